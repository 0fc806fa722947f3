"""`orchestrator run` from the command to the report, over real workers."""

import hashlib
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest

from llm_gate.prompts.prompt_files import find_prompt, load_prompt, prompts_folder
from rl_core.bars.read import read_bars
from rl_core.features.market_view import view_of
from rl_core.regimes.fitted import read_model, wild_percents
from rl_core.regimes.labels import compute_regimes
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.processes.commands import call, call_here, decided, manifest, only_run, records
from tests.processes.conftest import LEFT_OUT, SESSION_BARS, SESSIONS, DemoWorld, RunCommand, Start, command_line
from tests.regressions import regression, saved

pytestmark = pytest.mark.process


class Played(NamedTuple):
    """A run that was played to its end."""

    ended: "subprocess.CompletedProcess[str]"
    runs: Path

    @property
    def summary(self) -> dict[str, Any]:
        """What it printed."""
        found: dict[str, Any] = json.loads(self.ended.stdout)
        return found

    @property
    def folder(self) -> Path:
        """Of the run."""
        return only_run(self.runs)


Play: TypeAlias = Callable[..., Played]


@pytest.fixture(scope="module")
def play(demo_world: DemoWorld, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Plays the held-out session as asked for, from an empty folder; the same run is played once for all tests."""
    empty = tmp_path_factory.mktemp("elsewhere")

    @cache
    def played(*more: object, **options: Any) -> Played:
        runs = tmp_path_factory.mktemp("played") / "runs"
        ended = call("orchestrator", *command_line(demo_world, runs, "--json", *more, **options), cwd=empty)
        assert ended.returncode == 0, ended.stderr
        return Played(ended, runs)

    return played


@pytest.mark.parametrize("phase", [1, 2])
def test_a_run_ends_with_a_report_whose_books_agree(play: Play, phase: int) -> None:
    played = play(phase=phase)

    summary, run = played.summary, played.folder
    assert Path(summary["run"]) == run
    assert summary["books"] == "agree to the cent"
    assert summary["because"].endswith("1 session with trades; at least 10 are needed")
    assert summary["status"] == manifest(run)["status"] == "ended"
    assert (run / "report.html").read_text().startswith("<!")
    assert len(records(run, "bar")) == SESSION_BARS
    assert summary["trades"] > 0
    assert records(run, "decided")
    assert "planted edge" in played.ended.stderr
    assert manifest(run)["rows_left_out"] == list(LEFT_OUT)


def test_without_a_gate_every_proposal_is_an_order(play: Play) -> None:
    played = play(phase=1, gate="off")

    assert records(played.folder, "intent")
    assert records(played.folder, "decided") == []
    assert not (played.folder / "logs" / "gate.log").exists()
    assert played.summary["books"] == "agree to the cent"


def test_a_regression_judges_every_entry(play: Play, tmp_path: Path) -> None:
    """With one weight, on the side of the trade: every buy is approved and every sale vetoed."""
    model = saved(tmp_path / "gate.json", buy=9.0)
    wide = regression(buy=9.0).model_copy(update={"threshold": 0.9})
    model.write_text(wide.model_dump_json())

    run = play(f'--set=gate.model="{model}"', gate="logistic").folder

    sides = {record["proposal"]["proposal_id"]: record["proposal"]["side"] for record in records(run, "proposed")}
    said = {record["proposal"]: record["outcome"]["kind"] for record in records(run, "decided")}
    assert said == {name: "approve" if side == "buy" else "veto" for name, side in sides.items()}
    assert manifest(run)["inputs"]["model"].startswith("gate@") and not (run / "logs" / "vllm.log").exists()
    taught = manifest(run)["gate_taught"]
    assert taught.startswith("taught on ") and taught in (run / "report.html").read_text().replace("&#39;", "'")


def test_a_shadow_gate_is_recorded_and_changes_no_trade(play: Play) -> None:
    """The fills are those of the run without a gate, though the gate said veto."""
    shadow, off = play("--shadow", phase=2).folder, play(phase=2, gate="off").folder

    verdicts = {record["outcome"]["kind"] for record in records(shadow, "decided")}
    fills = [[(fill["price"], fill["quantity"]) for fill in records(run, "fill")] for run in (shadow, off)]
    assert "veto" in verdicts
    assert fills[0] == fills[1] != []


def test_seconds_travel_with_their_minute(demo_world: DemoWorld, play: Play) -> None:
    """The seconds cover the first half of the session only, so the minutes after it carry an empty frame."""
    run = play("--seconds", demo_world.seconds).folder

    digests = [bar["seconds"] for bar in records(run, "bar")]
    assert len(set(digests[: SESSION_BARS // 2])) > 500
    assert len(set(digests[SESSION_BARS // 2 :])) == 1


def test_seconds_of_another_market_are_refused(run_command: RunCommand, tmp_path: Path) -> None:
    from rl_core.bars.write import write_bars
    from rl_core.worlds.demo import demo_world

    other = demo_world(8, SESSIONS, seconds=True).seconds
    assert other is not None
    path = tmp_path / "NQ_D1S.parquet"
    write_bars(other.slice(len(other) - 50_000, len(other)), path)

    ended = call("orchestrator", *run_command("--seconds", path))

    assert ended.returncode == 3
    assert ended.stderr.startswith(f"orchestrator: {path}: only ")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_the_gate_is_told_the_regime_that_was_fitted_on_the_training_split(demo_world: DemoWorld, play: Play) -> None:
    """By the checkpoint's thresholds and hidden states, as one pass over the whole file gives them."""
    run = play(phase=2, gate="off").folder

    model = read_model(demo_world.phase2 / "regimes.json")
    bars = read_bars(demo_world.minutes)
    trading = compile_trading(TradingConfig(), bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    regimes, wild = compute_regimes(view, model.thresholds), wild_percents(model.states(view))
    first = int(np.flatnonzero(bars.ts_event_ns == records(run, "bar")[0]["ts_event_ns"])[0])
    contexts = {first + record["bar"]: record["proposal"]["context"] for record in records(run, "proposed")}
    assert len(contexts) > 3
    for t, context in contexts.items():
        regime = regimes.at(t)
        assert (context["regime"], context["wild_percent"]) == (regime.label, int(wild[t]))
        for name in ("volume_percentile", "to_session_high_atr_milli", "to_session_low_atr_milli", "vwap_atr_milli"):
            assert context[name] == getattr(regime, name)
    digest = hashlib.sha256((demo_world.phase2 / "regimes.json").read_bytes()).hexdigest()
    assert manifest(run)["inputs"]["regimes_digest"] == digest
    assert (run / "regimes.json").read_bytes() == (demo_world.phase2 / "regimes.json").read_bytes()
    (end,) = records(run, "end")
    played = np.arange(first, first + SESSION_BARS)
    assert end["labels"] == Counter(regimes.at(t).label for t in played)
    assert end["wild"] == int((wild[played] >= 50).sum())
    verdict = json.loads((run / "verdict.json").read_text())
    assert set(verdict["by_regime"]["hidden state"]) <= {"calm", "wild"}
    assert verdict["regime_shift"].startswith("Shares of the 1,380 bars")


def test_a_checkpoint_without_regimes_is_served_with_the_usual_ones(play: Play) -> None:
    run = play(phase=1, gate="off").folder

    assert {record["proposal"]["context"]["wild_percent"] for record in records(run, "proposed")} == {None}
    assert (manifest(run)["inputs"]["regimes_digest"], (run / "regimes.json").exists()) == ("", False)
    assert "usual thresholds, not fitted: beyond 2.5 ATR" in (run / "report.html").read_text()
    assert records(run, "end")[0]["wild"] is None


def test_an_evaluation_breaks_its_trades_down_by_the_same_regimes(demo_world: DemoWorld) -> None:
    line = ("evaluate", demo_world.phase2, "--bars", demo_world.minutes)

    told, shown = call_here("rl-core", *line, "--json"), call_here("rl-core", *line)

    assert told.returncode == shown.returncode == 0, told.stderr + shown.stderr
    found = json.loads(told.stdout)
    kinds = {"regime", "hidden state", "part of the session"}
    assert {row["kind"] for row in found["by_regime"]} == kinds
    for kind in kinds:
        assert sum(row["trades"] for row in found["by_regime"] if row["kind"] == kind) == found["trades"]
    assert found["regimes_digest"] == hashlib.sha256((demo_world.phase2 / "regimes.json").read_bytes()).hexdigest()
    assert "by regime (thresholds fitted on the training split: " in shown.stdout


def test_a_run_elsewhere_finds_its_prompt_among_a_persons_own_here_and_what_ships(
    play: Play, start: Start, tmp_path: Path
) -> None:
    """The gate's worker reads the very file that was found, wherever that lies; the first verdict names it."""
    text = (prompts_folder() / "entry_facts.v1.md").read_text(encoding="utf-8")
    here, own = tmp_path / "prompts", tmp_path / "own"
    for folder, words in ((here, "first"), (own, "at once")):
        folder.mkdir()
        (folder / "mine.v1.md").write_text(text.replace("Answer with", f"Answer {words} with"), encoding="utf-8")
    named = "--set=gate.prompt=mine.v1"
    said = {"default": {record["prompt"] for record in records(play(phase=1).folder, "decided")}}
    for name, more in (("here", (named,)), ("own", (named, "--prompts", "own"))):
        run = start(*more, runs=name, cwd=tmp_path)
        run.until(lambda runs=tmp_path / name: bool(decided(runs)))
        assert run.ask_to_stop(signal.SIGTERM) == 143
        said[name] = {record["prompt"] for record in decided(tmp_path / name)}

    expected = {"default": find_prompt("entry_review.v1"), "here": load_prompt(here / "mine.v1.md")}
    expected["own"] = load_prompt(own / "mine.v1.md")
    assert said == {name: {prompt.digest} for name, prompt in expected.items()}
    assert len({prompt.digest for prompt in expected.values()}) == 3
