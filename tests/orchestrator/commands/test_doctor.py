"""What `orchestrator doctor` calls wrong is what `orchestrator run` refuses, in the same words and with its code."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from llm_gate.engines.rules import RulesEngine
from llm_gate.review.size_line import AskedAs
from orchestrator.journal.journal import hold_journal
from orchestrator.run.accounts_file import read_accounts
from orchestrator.run.accounts_folder import held_accounts_folder
from orchestrator.run.doctor import Looks
from orchestrator.run.settings import OPTIONS
from orchestrator.workers.left_over import LeftOver, left_over
from rl_core.exchange.schedules import CHECKED_YEARS
from tests.orchestrator.played_files import FileWorld, play_file
from tests.processes.commands import ROOT, call_here, without_age
from tests.size_lines import size_line

Words = list[object]


def line(world: FileWorld, folder: Path) -> Words:
    """The options of a run that starts."""
    settings = ["part=all", f'runs="{folder / "runs"}"']
    options = ["--bars", world.bars, "--checkpoint", world.checkpoint, "--gate", "rules"]
    return [*options, *(f"--set={setting}" for setting in settings)]


def examined(options: Words, code: int) -> dict[str, dict[str, str]]:
    """What doctor says of each thing, having ended with ``code``."""
    ended = call_here("orchestrator", "doctor", *options, "--json")
    found: dict[str, Any] = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (code, ""), (ended.stdout, ended.stderr)
    assert (found["can_start"], found["exit_code"]) == (code == 0, code)
    return {check["check"]: check for check in found["checks"]}


def damaged(world: FileWorld, folder: Path) -> Words:
    """Of a copy of the checkpoint whose policy has one byte changed."""
    copy = Path(shutil.copytree(world.checkpoint, folder / world.checkpoint.name))
    policy = bytearray((copy / "policy.npz").read_bytes())
    policy[len(policy) // 2] ^= 1
    (copy / "policy.npz").write_bytes(policy)
    return ["--checkpoint", copy]


def malformed(world: FileWorld, folder: Path) -> Words:
    path = folder / "NQ_D1M.csv"
    path.write_text("datetime,open,high,low,close,volume,symbol\n2024-01-02T14:30:00Z,21000,20000,20999,21000,5,NQH4\n")
    return ["--bars", path]


def no_folder(world: FileWorld, folder: Path) -> Words:
    (folder / "runs").write_text("a file")
    return []


def size_of(model: str) -> Callable[[FileWorld, Path], Words]:
    """A size line that was fitted for the rules of ``model``, under a pack that is no run's."""

    def asked(world: FileWorld, folder: Path) -> Words:
        path = folder / "size.json"
        path.write_text(size_line(AskedAs(engine=RulesEngine.name, model=model)).model_dump_json())
        return [f"--set=gate.review.size={path}"]

    return asked


BROKEN: dict[str, tuple[str, int, Callable[[FileWorld, Path], Words]]] = {
    "unknown key": ("settings", 2, lambda world, folder: ["--set", "gate.engin=rules"]),
    "unknown mode": ("settings", 2, lambda world, folder: ["--mode", "smi"]),
    "live": ("settings", 6, lambda world, folder: ["--mode", "live"]),
    "no prompt": ("settings", 2, lambda world, folder: ["--set", "gate.prompt=prompts/none.v1.md"]),
    "no rules": ("settings", 2, lambda world, folder: ["--set", 'trading.rules="no/rules.toml"']),
    "no model": ("settings", 2, lambda world, folder: ["--gate", "vllm", "--set", 'gate.model="no/model"']),
    "no csv": ("settings", 2, lambda world, folder: ["--mode", "paper"]),
    "size line of another gate": ("model", 2, size_of("other rules")),
    "size line of another pack": ("plan", 2, size_of(RulesEngine.model)),
    "full disk": ("disk", 7, lambda world, folder: ["--set", "min_free_mb=1000000000"]),
    "runs is a file": ("disk", 7, no_folder),
    "feed of another machine": ("settings", 2, lambda world, folder: ["--mode=paper", "--feed=tcp://10.0.0.1:5557"]),
    "feed in sim": ("settings", 2, lambda world, folder: ["--feed=tcp://127.0.0.1:5557"]),
    "ticks as history": (
        "settings",
        2,
        lambda world, folder: ["--mode=paper", "--bars=no.csv", "--set=feed.rows=ticks"],
    ),
    "always late": (
        "settings",
        2,
        lambda world, folder: ["--mode=paper", "--feed=a.csv", "--set=feed.rows=ticks", "--set=paper.late_after_s=1"],
    ),
    "no clock": ("clock", 2, lambda world, folder: ["--mode=paper", "--bars=no.csv", "--clock=no.clock"]),
    "no bars": ("bars", 3, lambda world, folder: ["--bars", folder / "NQ_D1M.csv"]),
    "malformed bars": ("bars", 3, malformed),
    "no seconds": ("seconds", 3, lambda world, folder: ["--seconds", folder / "NQ_D1S.csv"]),
    "no checkpoint": ("checkpoint", 2, lambda world, folder: ["--checkpoint", folder]),
    "damaged checkpoint": ("checkpoint", 3, damaged),
    "other tick": ("rules", 2, lambda world, folder: ["--set", 'trading.contract="GC"']),
    "no calibration": ("model", 2, lambda world, folder: ["--set", 'gate.review.calibration="no.json"']),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_wrong_is_what_run_refuses(file_world: FileWorld, tmp_path: Path, fault: str) -> None:
    name, code, broken = BROKEN[fault]
    options = [*line(file_world, tmp_path), *broken(file_world, tmp_path)]

    first = next(check for check in examined(options, code).values() if check["level"] == "wrong")
    refused = call_here("orchestrator", "run", *options)

    assert first["check"] == name
    assert refused.returncode == code
    # Others write to the disk, too: how much is free may differ by the time at which it is asked again.
    free = partial(re.sub, r"\d+ MB are free", "N MB are free")
    assert free(without_age(refused.stderr)) == free(f"orchestrator: {first['said']}\n")
    assert not (tmp_path / "runs").is_dir()


def test_a_feed_of_another_machine_is_named_and_not_spoken_to(
    file_world: FileWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.run.fed_rows.FeedClient.__init__", _never)
    checks = examined([*line(file_world, tmp_path), "--mode=paper", "--feed=tcp://10.0.0.1:5557"], 2)

    assert {name for name, check in checks.items() if check["level"] == "wrong"} == {"settings", "feed"}


def _never(*_: object) -> None:
    raise AssertionError("a connection to another machine was begun")


def test_where_nothing_is_wrong_every_line_is_ok_and_nothing_is_left(file_world: FileWorld, tmp_path: Path) -> None:
    ended = call_here("orchestrator", "doctor", *line(file_world, tmp_path))

    *lines, last = ended.stdout.splitlines()
    assert (ended.returncode, last) == (0, "a run can start")
    named = ["machine", "settings", "disk", "bars", "calendar", "checkpoint", "rules", "model", "plan", "run"]
    assert [each.split()[1] for each in lines] == [*named, "loopback", "left"]
    assert not {each.split()[0] for each in lines if each.split()[1] not in ("machine", "rules", "left")} - {"ok"}
    assert not (tmp_path / "runs").exists()


def test_every_fault_is_told_and_what_depends_on_one_is_open(file_world: FileWorld, tmp_path: Path) -> None:
    """Two at once: `run` would name the bars alone."""
    options = [*line(file_world, tmp_path), "--bars", tmp_path / "NQ_D1M.csv", *damaged(file_world, tmp_path)]

    found = examined(options, 3)

    assert [name for name, check in found.items() if check["level"] == "wrong"] == ["bars", "checkpoint"]
    assert [name for name, check in found.items() if check["level"] == "open"] == ["calendar", "rules", "run"]


def accounts_file(folder: Path, **tables: str) -> Path:
    path = folder / "accounts.toml"
    path.write_text("".join(f"[accounts.{name}]\n{text}\n\n" for name, text in tables.items()))
    return path


def of_accounts(options: Words, code: int) -> dict[tuple[str, str], dict[str, str]]:
    """What doctor says of each thing of each account, "" for what they share, having ended with ``code``."""
    ended = call_here("orchestrator", "doctor", *options, "--json")
    assert (ended.returncode, ended.stderr) == (code, ""), (ended.stdout, ended.stderr)
    return {(each.get("account", ""), each["check"]): each for each in json.loads(ended.stdout)["checks"]}


def test_every_account_of_a_file_is_looked_at_and_the_first_that_is_wrong_counts(
    file_world: FileWorld, tmp_path: Path
) -> None:
    """`run` plays account a, and ends with the code of b, the first in the file that it could not."""
    broken = damaged(file_world, tmp_path)[1]
    tables = {
        "a": 'trading.rules = "topstep_combine#50k"\ntrading.risk_dollars = 150',
        "b": f'bars = "{tmp_path / "NQ_none.csv"}"',
        "c": f'checkpoint = "{broken}"',
        "d": 'trading.contract = "GC"',
    }
    options = [*line(file_world, tmp_path), "--accounts", accounts_file(tmp_path, **tables)]

    found = of_accounts(options, 3)

    wrong = [whose for whose, check in found.items() if check["level"] == "wrong"]
    assert wrong == [("b", "bars"), ("c", "checkpoint"), ("d", "rules")]
    assert "Topstep Combine 50K" in found["a", "rules"]["said"] and "a new one" in found["a", "run"]["said"]
    assert found["b", "run"]["level"] == found["d", "run"]["level"] == "open"
    assert not (tmp_path / "runs").is_dir()
    told = call_here("orchestrator", "doctor", *options).stdout
    assert f"wrong    b: bars       {found['b', 'bars']['said']}\n" in told


def test_a_fault_of_the_accounts_file_is_told_of_each_and_is_what_run_says(
    file_world: FileWorld, tmp_path: Path
) -> None:
    """Nothing is played then, so the first of them is how `run` ends, whatever else is wrong."""
    no_rules = 'trading.rules = "no/rules.toml"'
    file = accounts_file(tmp_path, a="sessions = 1", b=no_rules, c=no_rules)
    options = [*line(file_world, tmp_path), "--accounts", file]

    found = of_accounts(options, 2)
    refused = call_here("orchestrator", "run", *options)

    wrong = [name for name, check in found.items() if check["level"] == "wrong"]
    assert [name for name in wrong if name[1] == "settings"] == [("b", "settings"), ("c", "settings")]
    assert (refused.returncode, refused.stderr) == (2, f"orchestrator: {found['b', 'settings']['said']}\n")
    misspelt = [*line(file_world, tmp_path), "--accounts", accounts_file(tmp_path, a="sesions = 1")]
    assert "sesions" in of_accounts(misspelt, 2)["", "settings"]["said"]


def test_accounts_that_somebody_plays_are_wrong(file_world: FileWorld, tmp_path: Path) -> None:
    file = accounts_file(tmp_path, a="sessions = 1", b="sessions = 1\ntrading.risk_dollars = 100")
    options = [*line(file_world, tmp_path), "--accounts", file]
    given = {"--bars": file_world.bars, "--checkpoint": file_world.checkpoint, "--gate": "rules"}
    settings = ["part=all", f'runs="{tmp_path / "runs"}"']
    accounts = read_accounts(file, None, settings, dict.fromkeys(OPTIONS) | given)

    with held_accounts_folder(tmp_path / "runs", "sim", accounts):
        wrong = of_accounts(options, 7)["", "folder"]["said"]
        refused = call_here("orchestrator", "run", *options)

    assert "locked by pid" in wrong
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (7, f"orchestrator: {wrong}")
    assert "goes on" in of_accounts(options, 0)["", "folder"]["said"]


@contextmanager
def held(journal: Path) -> Iterator[None]:
    """Somebody plays the run."""
    with ExitStack() as undo:
        hold_journal(journal, undo)
        yield


@contextmanager
def lost(journal: Path) -> Iterator[None]:
    """A byte of a record that was on disk has changed."""
    content = bytearray(journal.read_bytes())
    content[len(content) // 2] ^= 1
    journal.write_bytes(content)
    yield


@pytest.mark.parametrize(("happens", "code", "said"), [(held, 7, "locked by pid"), (lost, 3, "whole records")])
def test_an_unfinished_run_that_cannot_go_on_is_wrong(
    file_world: FileWorld, tmp_path: Path, happens: Callable[[Path], Any], code: int, said: str
) -> None:
    begun = play_file(file_world, tmp_path / "runs", stop_after=200)
    options = line(file_world, tmp_path)
    assert "goes on after" in examined(options, 0)["run"]["said"]

    with happens(begun.journal):
        before = begun.journal.read_bytes()
        wrong = examined(options, code)["run"]["said"]
        refused = call_here("orchestrator", "run", *options)
        assert begun.journal.read_bytes() == before

    assert said in wrong
    assert (refused.returncode, refused.stderr.splitlines()[-1]) == (code, f"orchestrator: {wrong}")


def test_a_temporary_folder_that_no_socket_fits_into_is_wrong(
    file_world: FileWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    options = line(file_world, tmp_path)

    wrong = examined(options, 7)["loopback"]["said"]
    refused = call_here("orchestrator", "run", *options)

    assert refused.returncode == 7
    assert "set TMPDIR to a shorter one" in wrong and "set TMPDIR to a shorter one" in refused.stderr


def test_old_rules_and_unchecked_holidays_are_warnings(file_world: FileWorld, tmp_path: Path) -> None:
    """Bars of 2014 are before the first holiday that was checked; 40 of them are too few, which is another matter."""
    pack = tmp_path / "old.toml"
    plain = (ROOT / "configs/rules/plain_static.toml").read_text()
    (as_of,) = [each for each in plain.splitlines() if each.startswith("as_of")]
    pack.write_text(plain.replace(as_of, "as_of = 2020-01-01"))
    old = tmp_path / "NQ_D1M.csv"
    rows = [f"2014-07-01T15:{minute:02d}:00Z,3900,3901,3899,3900,5,NQU4" for minute in range(40)]
    old.write_text("\n".join(["datetime,open,high,low,close,volume,symbol", *rows, ""]))

    rules = examined([*line(file_world, tmp_path), "--set", f'trading.rules="{pack}"'], 0)["rules"]
    found = examined([*line(file_world, tmp_path), "--bars", old], 3)
    calendar = found["calendar"]

    assert rules["level"] == "warning" and "were read on 2020-01-01" in rules["said"]
    assert calendar["level"] == "warning" and "of 2014 to 2014" in calendar["said"]
    assert [name for name, check in found.items() if check["level"] == "wrong"] == ["plan"]


def test_the_checked_years_are_those_of_the_golden_table() -> None:
    table = (ROOT / "tests/golden/calendar_2015_2027.csv").read_text().splitlines()

    assert (int(table[1][:4]), int(table[-1][:4])) == CHECKED_YEARS


def test_a_worker_without_a_runner_is_found(tmp_path: Path) -> None:
    """Process 4 is such a one; 5 has a parent, 6 is something else, and 7 has ended."""
    for pid, state, parent, module in [
        (4, "S", 1, "orchestrator.workers.policy"),
        (5, "S", 3, "orchestrator.workers.gate"),
        (6, "S", 1, "sleep"),
        (7, "Z", 1, "orchestrator.workers.feed"),
    ]:
        entry = tmp_path / str(pid)
        entry.mkdir()
        (entry / "stat").write_text(f"{pid} (python (x)) {state} {parent} 0")
        (entry / "cmdline").write_bytes(b"python\0-m\0" + module.encode() + b"\0")

    assert left_over(tmp_path) == (LeftOver(4, "policy"),)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "cmdline").write_bytes(b"python\0/venv/bin/orchestrator\0run\0")
    assert left_over(tmp_path) == ()


def test_a_warning_is_no_fault() -> None:
    looks = Looks()

    found = looks.take("machine", lambda warn: (warn("warning: one core"), (7, "two cores"))[1])

    assert found == 7
    assert [(check.level, check.said) for check in looks.checks] == [("warning", "one core")]
