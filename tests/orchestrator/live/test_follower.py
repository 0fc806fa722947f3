"""A run is followed from its files alone: what is told is what its journal adds up to, however it grew."""

import shutil
from pathlib import Path

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.journal.lines import Record
from orchestrator.live.follower import Follower
from orchestrator.live.told import Cursor, rows_since, state_told
from orchestrator.report.status import standings, status_of
from orchestrator.run.folder import RunFolder
from tests.orchestrator.played_files import FileWorld, play_file


@pytest.fixture(scope="module")
def played(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended."""
    return play_file(file_world, tmp_path_factory.mktemp("followed"))


@pytest.fixture
def copy(played: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it without its records."""
    folder = RunFolder(Path(shutil.copytree(played.path, tmp_path / "run")))
    folder.journal.write_bytes(b"")
    return folder


def test_what_is_told_of_a_run_is_what_status_tells(played: RunFolder) -> None:
    follower, found = Follower(played), status_of(played)
    assert follower.read() and not follower.read()

    told = state_told(follower, follower.outside())

    assert follower.watched.now == found.now and follower.watched.records == found.records
    assert (told["state"], told["trade_count"], told["alarms"]) == ("ended", found.now.trades, list(found.alarms))
    assert told["position"] is None and told["workers"] == []
    fills = [r.payload for r in read_journal(played.journal) if r.type == "fill"]
    assert [(fill.price, fill.quantity) for fill in follower.watched.fills.all()] == [
        (fill["price"], fill["quantity"]) for fill in fills
    ]


def test_what_is_no_routine_is_told_in_points(played: RunFolder) -> None:
    """By hand: 73,135 ticks of 0.25 are 18,283.75 points."""
    follower = Follower(played)
    follower.read()
    follower.watched.take(Record(9_999, "managed", {"action": "trail_on", "stop": 73_135, "trailing": 1}, False, ""))

    note = state_told(follower, follower.outside())["notes"][0]

    assert note == {"number": 9_999, "type": "managed", "words": "action trail on, stop 18,283.75, trailing 1"}


def test_a_journal_that_grows_by_halves_of_lines_is_told_alike(played: RunFolder, copy: RunFolder) -> None:
    """Half a record is nothing yet; at every place the fold is that of the whole records so far."""
    content, follower, grown = played.journal.read_bytes(), Follower(copy), 0
    for stop in range(70_001, len(content) + 70_000, 70_000):
        with copy.journal.open("ab") as file:
            file.write(content[grown:stop])
        grown = min(stop, len(content))
        follower.read()
        whole = content[:grown].count(b"\n")
        records = [record for record in read_journal(played.journal) if record.number <= whole]
        assert (follower.watched.records, follower.watched.now) == (whole, standings(records))


def test_an_open_position_has_its_bracket_from_its_order(played: RunFolder, copy: RunFolder) -> None:
    """By hand: the stop and the target lie as far from the fill as the order said, until the policy moves them."""
    records = list(read_journal(played.journal))
    at = next(n for n, record in enumerate(records) if record.type == "fill" and record.payload["reason"] == "entry")
    fill, intent = records[at].payload, next(r.payload for r in reversed(records[:at]) if r.type == "intent")
    lines = played.journal.read_bytes().splitlines(keepends=True)
    copy.journal.write_bytes(b"".join(lines[: at + 1]))
    follower = Follower(copy)
    follower.read()

    told = state_told(follower, follower.outside())["position"]

    side = 1 if fill["quantity"] > 0 else -1
    entry = fill["price"]
    wanted = {
        "entry": entry,
        "stop": entry - side * intent["stop_ticks"],
        "target": entry + side * intent["target_ticks"],
    }
    assert {name: float(told[name].replace(",", "")) for name in wanted} == {
        name: ticks / 4 for name, ticks in wanted.items()
    }
    assert told["entered"] == told["quantity"]
    assert (told["side"], told["quantity"]) == ("long" if side > 0 else "short", abs(fill["quantity"]))


def test_a_decision_is_told_with_what_the_gate_was_told_and_said(played: RunFolder) -> None:
    follower = Follower(played)
    follower.read()

    told = state_told(follower, follower.outside())["decisions"]

    proposed = [r.payload for r in read_journal(played.journal) if r.type == "proposed"]
    assert len(told) == min(12, len(proposed)) > 5
    assert told[0]["proposal"].split()[0] == ("buy" if proposed[-1]["quantity"] > 0 else "sell")
    assert {one["outcome"] for one in told} == {"approved", "vetoed", "shrunk"}
    assert all("min to flat" in one["told"] and "risks" in one["told"] for one in told)


def test_rows_come_once_and_a_journal_that_was_cut_begins_anew(played: RunFolder, copy: RunFolder) -> None:
    lines = played.journal.read_bytes().splitlines(keepends=True)
    copy.journal.write_bytes(b"".join(lines[:500]))
    follower = Follower(copy)
    follower.read()
    first, cursor = rows_since(follower, Cursor(starts=-1))
    none, cursor = rows_since(follower, cursor)
    copy.journal.write_bytes(b"".join(lines[:600]))
    follower.read()
    more, cursor = rows_since(follower, cursor)
    copy.journal.write_bytes(b"".join(lines[:300]))
    follower.read()
    anew, _ = rows_since(follower, cursor)

    bars = [sum(b'"t":"bar"' in line for line in lines[:stop]) for stop in (500, 600, 300)]
    assert [rows["anew"] for rows in (first, none, more, anew)] == [True, False, False, True]
    assert [len(rows["bars"]) for rows in (first, none, more, anew)] == [bars[0], 0, bars[1] - bars[0], bars[2]]


def test_a_damaged_record_is_an_alarm_and_nothing_after_it_counts(played: RunFolder, copy: RunFolder) -> None:
    content = bytearray(played.journal.read_bytes())
    lines = bytes(content).splitlines(keepends=True)
    content[sum(map(len, lines[:100])) + 20] ^= 1
    copy.journal.write_bytes(content)
    follower = Follower(copy)
    follower.read()

    told = state_told(follower, follower.outside())

    assert told["records"] == 100
    assert any("record 101 is damaged" in alarm for alarm in told["alarms"])
