"""Halted, flattened and resumed: within one bar, in the record, and the same again after a kill and in a replay."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.journal.journal import Journal, read_journal
from orchestrator.journal.lines import Record
from orchestrator.run.control import COMMANDS, Control, ask, standing_in_force
from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from orchestrator.run.runner import StopAskedError
from orchestrator.run.stopping import Stopping
from orchestrator.trader.state import Standing
from tests.orchestrator.played_files import FileWorld, play_file
from trigate.errors import ConfigError, ProcessNotReadyError
from trigate.locks import holder_of


def records(run: RunFolder, *kinds: str) -> list[Record]:
    """The records of these types."""
    return [record for record in read_journal(run.journal) if record.type in kinds]


def bar_of(run: RunFolder) -> dict[int, int]:
    """Number of each record -> number of the last bar recorded before it or with it, -1 before the first."""
    last, found = -1, {}
    for record in read_journal(run.journal):
        last = record.payload["seq"] if record.type == "bar" else last
        found[record.number] = last
    return found


@pytest.fixture(scope="module")
def free(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nobody touches."""
    return play_file(file_world, tmp_path_factory.mktemp("free"))


def entry_bar(run: RunFolder) -> int:
    """The bar at whose close the first entry was ordered that stayed open for three bars or more."""
    at = bar_of(run)
    orders, fills = records(run, "intent"), records(run, "fill")
    trips = [(a, b) for a, b in pairwise(fills) if a.payload["reason"] == "entry"]
    held = {a.payload["order"] for a, b in trips if at[b.number] - at[a.number] >= 3}
    return next(at[order.number] for order in orders if order.payload["order"] in held)


@pytest.mark.parametrize("after", [0, 2])
def test_a_halt_takes_no_further_entry_and_leaves_the_position_its_bracket(
    file_world: FileWorld, free: RunFolder, tmp_path: Path, after: int
) -> None:
    """Asked right after the entry was ordered, the order is cancelled before a bar can fill it; later, it is held."""
    bar = entry_bar(free) + after
    run = play_file(file_world, tmp_path, asked=lambda last: "halted" if last >= bar else "trading")

    (said,) = records(run, "operator")
    assert (said.payload, said.synced) == ({"standing": "halted", "bar": bar}, True)
    at = bar_of(run)
    assert [record for record in records(run, "intent", "proposed", "acted") if at[record.number] > bar] == []
    codes = [record.payload["code"] for record in records(run, "cancelled")]
    later = [record.payload["reason"] for record in records(run, "fill") if at[record.number] > bar]
    free_at = bar_of(free)
    its_own = [r.payload["reason"] for r in records(free, "fill") if free_at[r.number] > bar][:1]
    assert (codes, later) == ((["operator"], []) if after == 0 else ([], its_own))
    assert replay_run(run).difference == ""


def test_a_flatten_closes_at_the_next_open_and_then_holds_back(
    file_world: FileWorld, free: RunFolder, tmp_path: Path
) -> None:
    bar = entry_bar(free) + 1
    run = play_file(file_world, tmp_path, asked=lambda last: "flat" if last >= bar else "trading")

    at = bar_of(run)
    (flatten,) = [record for record in records(run, "flatten") if at[record.number] == bar]
    after = [record for record in records(run, "fill") if record.number > flatten.number]
    assert [(record.payload["reason"], at[record.number]) for record in after] == [("flatten", bar + 1)]
    opened = records(run, "bar")[bar + 1].payload["open"]
    assert abs(after[0].payload["price"] - opened) == 1, "the next open, one slippage worse"
    assert records(run, "end")
    assert replay_run(run).difference == ""


def test_a_resumed_run_trades_on(file_world: FileWorld, free: RunFolder, tmp_path: Path) -> None:
    bar = entry_bar(free)
    run = play_file(file_world, tmp_path, asked=lambda last: "halted" if bar <= last < bar + 60 else "trading")

    said = [(record.payload["standing"], record.payload["bar"]) for record in records(run, "operator")]
    at = bar_of(run)
    entered = [at[record.number] for record in records(run, "intent")]
    assert said == [("halted", bar), ("trading", bar + 60)]
    assert [e for e in entered if bar < e <= bar + 60] == []
    assert [e for e in entered if e > bar + 60] != []
    assert replay_run(run).difference == ""


def test_killed_anywhere_around_a_word_and_continued_the_bytes_are_the_same(
    file_world: FileWorld, free: RunFolder, tmp_path: Path
) -> None:
    """Cut after each record from the order to the flat position: a word that was recorded is not recorded again."""
    bar = entry_bar(free) + 1

    def asked(last: int) -> Standing:
        return "flat" if bar <= last < bar + 3 else "trading"

    played = bar + 8
    whole = play_file(file_world, tmp_path / "whole", stop_after=played, asked=asked)
    lines, at = whole.journal.read_bytes().splitlines(keepends=True), bar_of(whole)
    around = [number for number, seq in at.items() if bar - 1 <= seq <= bar + 4]

    for count in around[::5]:
        run = play_file(file_world, tmp_path / str(count), stop_after=0)
        run.journal.write_bytes(b"".join(lines[:count]))
        run.write_manifest(run.manifest().model_copy(update={"journal_head": ""}))
        assert play_file(file_world, tmp_path / str(count), stop_after=played, asked=asked).path == run.path
        assert run.journal.read_bytes() == b"".join(lines), f"cut after record {count}"
    assert len(around) > 10


def test_the_file_says_one_word_and_any_other_halts(tmp_path: Path) -> None:
    control = Control(tmp_path)
    path = tmp_path / "control"

    assert control.wanted() == "trading"
    for command, standing in COMMANDS.items():
        ask(tmp_path, command)
        assert (control.wanted(), path.stat().st_mode & 0o777) == (standing, 0o600)
    for content in (b"", b"resume now", b"\xff\xfe", b"resume" + b" " * 100, b"RESUME"):
        path.write_bytes(content)
        assert control.wanted() == ("trading" if content.strip() == b"resume" else "halted"), content
    path.unlink()
    path.mkdir()
    assert control.wanted() == "halted"


def command(name: str, run: RunFolder, *more: str) -> tuple[int, str, BaseException | None]:
    """`orchestrator NAME RUN` in this process."""
    ended = CliRunner().invoke(app, [name, str(run.path), *more])
    return ended.exit_code, ended.stdout, ended.exception


def test_a_word_for_a_run_that_nobody_plays_counts_from_its_next_start(file_world: FileWorld, tmp_path: Path) -> None:
    run = play_file(file_world, tmp_path, stop_after=30)

    code, said, _ = command("halt", run)

    assert (code, "it is halted from its next start on" in said) == (0, True)
    assert standing_in_force(run.journal) == "trading"
    play_file(file_world, tmp_path)
    assert [record.payload for record in records(run, "operator")] == [{"standing": "halted", "bar": 29}]
    assert standing_in_force(run.journal) == "halted"
    assert records(run, "intent") == []


def test_a_word_for_a_living_run_waits_until_it_is_recorded(file_world: FileWorld, tmp_path: Path) -> None:
    """This process holds the journal, and so it is the run: it has not taken the word before the second try."""
    run = play_file(file_world, tmp_path, stop_after=3)

    with Journal.open(run.journal) as journal:
        _, _, fault = command("halt", run, "--wait", "0")
        while journal.replaying:
            recorded = journal.next_recorded()
            assert recorded is not None
            journal.append(recorded.type, recorded.payload, sync=recorded.synced)
        journal.append("operator", {"standing": "halted", "bar": 2}, sync=True)
        code, said, _ = command("halt", run, "--wait", "5")

    assert isinstance(fault, ProcessNotReadyError)
    assert "has not taken 'halt' within 0 s" in str(fault)
    assert (code, said.strip()) == (0, f"{run.path}: is halted")


def test_an_ended_run_takes_no_word(free: RunFolder) -> None:
    _, _, fault = command("flatten", free)

    assert isinstance(fault, ConfigError)
    assert "ended, so there is nothing to flatten" in str(fault)
    assert not (free.path / "control").exists()


def test_who_holds_a_lock_is_found_without_touching_it(tmp_path: Path) -> None:
    """A process that was killed holds nothing, though the file still has its number; nor does its successor."""
    path = tmp_path / "run" / "journal.jsonl"
    lock = path.with_name("journal.jsonl.lock")
    assert holder_of(lock) is None
    with Journal.open(path):
        assert holder_of(lock) == os.getpid()
    assert holder_of(lock) is None
    holding = (
        "import sys, time; from pathlib import Path; from orchestrator.journal.journal import Journal\n"
        "with Journal.open(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holding, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert holder_of(lock) == other.pid
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert (holder_of(lock), lock.read_text().strip()) == (None, str(other.pid))


def test_a_run_that_holds_stops_at_once_and_one_that_flattens_once_it_is_flat(tmp_path: Path) -> None:
    control, asked = Control(tmp_path), [False]
    holding = Stopping(lambda: asked[0], Control(tmp_path), "hold")
    flattening = Stopping(lambda: asked[0], control, "flatten")

    before = (holding.due(holds=True), flattening.due(holds=True))
    flattening.check()
    asked[0] = True
    after = (holding.due(holds=True), flattening.due(holds=True), flattening.due(holds=False))
    flattening.check()

    assert (before, after) == ((False, False), (True, False, True))
    assert control.wanted() == "flat", "whatever the file says"
    with pytest.raises(StopAskedError):
        holding.check()


def test_a_run_that_flattens_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.stopping.FLATTEN_WITHIN_S", 0.0)
    flattening = Stopping(lambda: True, Control(tmp_path), "flatten")

    assert flattening.due(holds=True)
    with pytest.raises(StopAskedError):
        flattening.check()
