"""A run comes out of its journal's inputs again, byte for byte; what does not is named, and damage is set aside."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.journal.journal import read_journal
from orchestrator.journal.lines import Chain, Record
from orchestrator.run.folder import RunFolder
from orchestrator.run.replay import replay_run
from tests.orchestrator.played_files import FileWorld, play_file
from trigate.errors import ConfigError, DataError, ExitCode, ResourceError

KEPT = {"n", "p", "d", "s", "t"}


@pytest.fixture(scope="module")
def ended(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of one session that has ended."""
    return play_file(file_world, tmp_path_factory.mktemp("ended"))


@pytest.fixture
def run(ended: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it to damage."""
    return RunFolder(Path(shutil.copytree(ended.path, tmp_path / ended.path.name)))


def replay(run: RunFolder, *options: object) -> Result:
    """`orchestrator replay` of ``run``, in this process."""
    return CliRunner().invoke(app, ["replay", str(run.path), *map(str, options)])


def rewritten(run: RunFolder, number: int, **changed: Any) -> Record:
    """Change the payload of one record and chain all lines anew, as a forger would; returns what it was."""
    records = list(read_journal(run.journal))
    chain, lines = Chain(), []
    for record in records:
        payload = {**record.payload, **changed} if record.number == number else record.payload
        lines.append(chain.line(record.type, payload, sync=record.synced))
        chain = chain.after(lines[-1], sync=record.synced)
    run.journal.write_bytes(b"".join(lines))
    run.write_manifest(run.manifest().model_copy(update={"journal_head": chain.head}))
    return records[number - 1]


def first_of(run: RunFolder, kind: str) -> Record:
    """The first record of this type."""
    return next(record for record in read_journal(run.journal) if record.type == kind)


def test_every_byte_comes_out_again(ended: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "derived.jsonl"
    told = replay(ended, "--verify", "--json", "--out", out)

    said = json.loads(told.stdout)
    assert told.exit_code == 0
    assert out.read_bytes() == ended.journal.read_bytes()
    assert (said["bars"], said["reaches"], said["difference"], said["torn"]) == (1380, True, "", 0)
    kinds = {record.type for record in read_journal(ended.journal)}
    assert kinds >= {"acted", "decided", "intent", "fill", "trade", "mark", "session_closed", "proposal_closed", "end"}
    assert said["trades"] == first_of(ended, "end").payload["trades"] > 3


def test_for_a_person_it_says_how_far_it_came(run: RunFolder) -> None:
    """Only --verify makes an exit code of it."""
    rewritten(run, first_of(run, "end").number, bars=0)

    told = replay(run)

    assert told.exit_code == 0
    assert "came out byte for byte" in told.stdout
    assert "as far as the run went" in told.stdout
    assert "was recorded as 'end' with 'bars' = 0, now it is 1380" in told.stdout


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [("fill", "price", 1), ("trade", "pnl", 7), ("intent", "quantity", 1), ("mark", "floor", 0)],
)
def test_a_forged_consequence_is_named(run: RunFolder, kind: str, field: str, value: int) -> None:
    """The chain of the forged journal is whole and its manifest knows its head: only deriving it again can tell."""
    number = first_of(run, kind).number
    before = rewritten(run, number, **{field: value}).payload[field]

    told = replay(run, "--verify", "--json")

    said = json.loads(told.stdout)
    assert said["records"] == number - 1
    assert (
        said["difference"] == f"record {number} was recorded as '{kind}' with '{field}' = {value}, now it is {before}"
    )
    assert isinstance(told.exception, DataError)
    assert told.exception.exit_code == ExitCode.DATA
    assert said["difference"] in str(told.exception)


def test_a_forged_bar_is_none_of_the_file(run: RunFolder) -> None:
    bar = first_of(run, "bar")
    rewritten(run, bar.number, close=bar.payload["close"] + 1)

    assert "record 3 cannot be followed: DataError: bar 0: file_changed" in replay_run(run).difference


def test_an_action_that_was_not_allowed_does_not_trade(run: RunFolder) -> None:
    number = first_of(run, "acted").number
    rewritten(run, number, action=5)

    assert f"record {number} was recorded as 'acted' with 'action' = 5, now it is 0" in replay_run(run).difference


def test_a_run_that_was_stopped_or_killed_is_followed_as_far_as_it_went(file_world: FileWorld, tmp_path: Path) -> None:
    """And a torn record behind the last whole one is no difference."""
    run = play_file(file_world, tmp_path, stop_after=700)
    run.journal.write_bytes(run.journal.read_bytes() + b"0000")

    found = replay_run(run)

    assert (found.bars, found.ended, found.difference, found.torn) == (700, False, "", 4)
    assert replay(run, "--verify").exit_code == 0


def test_it_needs_no_lock_and_changes_nothing(file_world: FileWorld, run: RunFolder) -> None:
    from orchestrator.journal.journal import Journal

    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    with Journal.open(run.journal):
        assert replay_run(run).difference == ""

    assert {name: (run.path / name).read_bytes() for name in before} == before


def test_damage_is_named_and_set_aside_and_the_run_does_not_go_on(
    file_world: FileWorld, run: RunFolder, tmp_path: Path
) -> None:
    lines = run.journal.read_bytes().splitlines(keepends=True)
    number = first_of(run, "fill").number
    at = sum(map(len, lines[: number - 1]))
    damaged = b"".join(lines).replace(lines[number - 1], lines[number - 1].replace(b"entry", b"entrx"))
    run.journal.write_bytes(damaged)
    (tmp_path / "runs").mkdir()
    run.path.rename(tmp_path / "runs" / run.path.name)
    run = RunFolder(tmp_path / "runs" / run.path.name)

    told = replay(run, "--verify")
    aside = replay(run, "--quarantine", "--json")

    assert told.exception is not None
    assert f"record {number} at byte {at} is damaged" in str(told.exception)
    assert (aside.exit_code, json.loads(aside.stdout)["records"]) == (0, number - 1)
    tail = run.path / f"journal.jsonl.from-record-{number}"
    assert run.journal.read_bytes() + tail.read_bytes() == damaged
    assert tail.stat().st_mode & 0o777 == 0o600
    assert run.manifest().status == "quarantined"
    assert "is damaged" in run.manifest().cause
    assert replay_run(run).difference == ""
    again = play_file(file_world, tmp_path / "runs")
    assert again.path != run.path
    assert again.journal.read_bytes() == b"".join(lines)


def test_a_torn_tail_is_set_aside_and_the_run_goes_on(file_world: FileWorld, tmp_path: Path) -> None:
    run = play_file(file_world, tmp_path, stop_after=100)
    whole = run.journal.read_bytes()
    run.journal.write_bytes(whole + b"torn")

    assert replay(run, "--quarantine").exit_code == 0

    assert run.journal.read_bytes() == whole
    number = len(whole.splitlines()) + 1
    assert (run.path / f"journal.jsonl.from-record-{number}").read_bytes() == b"torn"
    assert run.manifest().status == "stopped"
    assert play_file(file_world, tmp_path).path == run.path


def test_whole_records_that_are_missing_leave_nothing_to_set_aside(run: RunFolder) -> None:
    lines = run.journal.read_bytes().splitlines(keepends=True)
    run.journal.write_bytes(b"".join(lines[:-1]))

    told = replay(run, "--quarantine")

    assert isinstance(told.exception, DataError)
    assert "records were lost or replaced" in str(told.exception)
    assert run.manifest().status == "ended"


def test_a_living_runs_journal_is_not_cut(run: RunFolder) -> None:
    from orchestrator.journal.journal import Journal

    with Journal.open(run.journal):
        told = replay(run, "--quarantine")

    assert isinstance(told.exception, ResourceError)
    assert "locked by pid" in str(told.exception)


def test_files_that_are_not_those_of_the_run_are_refused(file_world: FileWorld, run: RunFolder, tmp_path: Path) -> None:
    """Each by its name; what only moved can be named anew."""
    from rl_core.bars.read import read_bars
    from rl_core.bars.write import write_bars

    bars = read_bars(file_world.bars)
    shorter = tmp_path / "NQ_D1M.parquet"
    write_bars(bars.slice(0, len(bars) - 1), shorter)
    moved = Path(shutil.copytree(file_world.checkpoint, tmp_path / "moved" / file_world.checkpoint.name))
    old = run.manifest()

    with pytest.raises(DataError, match="file_changed"):
        replay_run(run, _sources(bars=shorter))
    assert replay(run, "--verify", "--checkpoint", moved).exit_code == 0
    inputs = old.inputs
    for changed, fault in (
        ({"code_version": "0"}, "was made by code version 0"),
        ({"checkpoint_digest": "0" * 64}, "is not the checkpoint of the run"),
        ({"rule_pack_digest": "0" * 64}, "is no longer the one of the run"),
    ):
        run.write_manifest(old.model_copy(update={"inputs": inputs.model_copy(update=changed)}))
        with pytest.raises(ConfigError, match=fault):
            replay_run(run)


def _sources(**where: Path) -> Any:
    from orchestrator.run.found_again import Sources

    return Sources(**where)


def test_a_folder_that_is_no_runs_is_said_so(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["replay", str(tmp_path)])

    assert isinstance(told.exception, ConfigError)
    assert "so it is no run's folder" in str(told.exception)
