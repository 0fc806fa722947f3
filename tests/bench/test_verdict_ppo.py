"""The learner's calibration: worlds are trained on and judged one by one, the log goes on, the table counts."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import verdict_ppo
from bench.verdict_ppo import KINDS, Given, experiment, judged_world, lines_of

TINY = Given(
    worlds=1,
    bars=512,
    inside=12,
    outside=8,
    more=(
        "ppo.num_envs=16",
        "ppo.rollout_length=16",
        "ppo.minibatches=2",
        "ppo.hidden=[8]",
        "ppo.updates_per_sync=1",
        "ppo.hold_bias=-2.0",
    ),
)


def judged(kind: str, world: int, word: str) -> dict[str, Any]:
    """A line of the log."""
    facts = {"bars": 512, "inside": 12, "outside": 8, "set": list(TINY.more)}
    return {"kind": kind, "world": world, "word": word, "session_r": 0.25, "trades": 3 + world, "cpu_s": 1.0} | facts


def test_a_world_is_trained_on_its_first_sessions_and_judged_on_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 24 sessions, four of them warm-up, ten are held out; one look at them is counted, and proves nothing."""
    monkeypatch.setenv("TRIGATE_TRIES", str(tmp_path / "tries.jsonl"))

    row = judged_world("planted", 0, TINY, tmp_path)

    assert (row["kind"], row["world"], row["sessions"], row["tries"]) == ("planted", 0, 10, 1)
    assert row["trades"] > 0 and row["word"] == "NOT PROVEN" and "fewer than 60" in row["because"]
    assert "in sample" not in row["because"].lower() and "synthetic" not in row["because"]
    assert json.loads(json.dumps(row)) == row and row["cpu_s"] > 0


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no edge 3: .*no_such_key"):
        judged_world("no edge", 3, TINY._replace(more=("ppo.no_such_key=1",)), tmp_path)


def test_a_training_that_was_asked_to_stop_is_not_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was saved on the way can be evaluated, too, and would count as a whole one."""
    monkeypatch.setattr(verdict_ppo, "prepare_evaluation", lambda *run, **said: SimpleNamespace(training_ended=False))
    monkeypatch.setattr(CliRunner, "invoke", lambda *given: SimpleNamespace(exit_code=0))

    with pytest.raises(SystemExit, match="planted 2: stopped before its training had ended"):
        judged_world("planted", 2, TINY, tmp_path)


def test_the_log_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind after kind; a world that the log holds is not played again, and one of other settings is refused."""
    log, played = tmp_path / "ppo.jsonl", []

    def fake(kind: str, number: int, given: Given, folder: Path) -> dict[str, Any]:
        played.append((kind, number))
        return judged(kind, number, "NOT PROVEN")

    monkeypatch.setattr(verdict_ppo, "judged_world", fake)
    monkeypatch.setenv("TRIGATE_TRIES", "put back by monkeypatch")
    log.write_text(json.dumps(judged("no edge", 0, "PASS")) + "\n")

    rows = experiment(TINY._replace(worlds=2), log)

    assert played == [("planted", 0), ("no edge", 1), ("planted", 1)] and set(KINDS) == {"no edge", "planted"}
    assert rows == [json.loads(line) for line in log.read_text().splitlines()] and len(rows) == 4
    with pytest.raises(SystemExit, match="holds worlds of other settings"):
        experiment(TINY._replace(bars=1024), log)


def test_the_table_counts_each_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three worlds without an edge passed: Wilson's interval of two thirds, of three, is 21 to 94 %."""
    words = ("PASS", "FAIL", "PASS")
    rows = [*(judged("no edge", *each) for each in enumerate(words)), judged("planted", 0, "NOT PROVEN")]

    _, nothing, planted = lines_of(rows)

    assert nothing.split() == ["no", "edge", "3", "2", "0", "1", "21", "to", "94", "%", "+0.250", "3", "to", "5"]
    assert planted.split() == ["planted", "1", "0", "1", "0", "0", "to", "79", "%", "+0.250", "3", "to", "3"]
    log = tmp_path / "ppo.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in (rows[0], rows[3])))
    asked = ["--log", str(log), "--worlds", "1", "--bars", "512", "--inside", "12", "--outside", "8", "--json"]
    settings = [word for each in TINY.more for word in ("--set", each)]
    monkeypatch.setattr(sys, "argv", ["verdict_ppo.py", *asked, *settings])
    verdict_ppo.main()
    assert json.loads(capsys.readouterr().out)["rows"] == [rows[0], rows[3]]
