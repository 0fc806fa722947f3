"""Minutes made of seconds and ticks as they come, each rule by itself, and real seconds against real minutes."""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.clock import MarketClock, Pace
from orchestrator.journal.lines import Record
from orchestrator.run.followed_bars import FollowedBars, Source
from orchestrator.run.growing_file import Again, Grown
from orchestrator.run.made_minutes import KEPT
from orchestrator.run.runner import FeedBar, FeedNote
from rl_core.bars.card import agreement
from rl_core.bars.read import read_bars
from rl_core.bars.rows import BarRow, RowKind
from rl_core.bars.seconds import read_seconds
from rl_core.trading.hours import MINUTE_NS

SHARED = Path(__file__).parents[4] / "shared" / "data"
COLUMNS = {"ticks": "datetime,price,size", "seconds": "datetime,open,high,low,close,volume"}
NOON = 1_704_301_200_000_000_000  # 2024-01-03T17:00:00Z, within a session


class Rows:
    """A source that has what a test gave it."""

    def __init__(self) -> None:
        self.there, self._next = True, 0
        self.waiting = list[Grown]()

    def say(self, *lines: str, known: bool = False, again: Again = "", lost: int = 0) -> None:
        """Lines that the next look finds."""
        self._next += lost
        begins = self._next == 0
        content = [line.encode() for line in lines]
        self.waiting.append(Grown(content, self._next, again, known, begins=begins, lost=lost))
        self._next += len(lines)

    def begin_anew(self) -> None:
        """Rows are numbered from the first again."""
        self.say(again="replaced", known=True)
        self._next = 0

    def read(self) -> Grown:
        """What was said, part by part."""
        return self.waiting.pop(0) if self.waiting else Grown([], self._next, "", False, current=self.there)

    def close(self) -> None:
        """Nothing is held."""


class Following:
    """What is made of the rows of a `Rows`."""

    def __init__(self, folder: Path, kind: RowKind, last: str = "2024-01-03T16:59:00Z", recorded: Any = ()) -> None:
        """The history is one bar, at 17,000; the clock stands a minute after noon."""
        path = folder / "NQ_past.csv"
        path.write_text(f"{COLUMNS['seconds']}\n{last},17000,17000,17000,17000,1\n")
        self.now_s, self.rows = 0.0, Rows()
        clock = MarketClock(Pace(NOON, 1, 1.0), monotonic=lambda: self.now_s, wall_ns=lambda: 1)
        self.now_s = 60.0
        source = Source(self.rows, "feed", None, None, kind, 1.0)
        self.bars = FollowedBars(source, read_bars(path), recorded, clock, late_after_s=10.0)
        if kind != "minutes":
            self.rows.say(COLUMNS[kind], known=True)

    def found(self) -> tuple[list[BarRow], list[tuple[str, int]]]:
        """The bars that were made since the last look, and the notes with the row that each is of."""
        bars, notes = list[BarRow](), list[tuple[str, int]]()
        while (found := self.bars.read()) or self.rows.waiting:
            for each in found:
                if isinstance(each, FeedBar):
                    bars.append(BarRow(*(getattr(each.bar, name) for name in BarRow._fields)))
                else:
                    notes.append((each.code, int(each.facts.get("row", 0))))
        return bars, notes


def at(second: float, minute: int = 0) -> str:
    """A time after noon."""
    return f"2024-01-03T17:{minute:02d}:{second:06.3f}Z"


def tick(second: float, price: float, size: int = 1, minute: int = 0) -> str:
    return f"{at(second, minute)},{price},{size}"


def second(of: int, prices: Iterable[float], volume: int = 1, minute: int = 0) -> str:
    return f"{at(of, minute)},{','.join(map(str, prices))},{volume}"


def bar(opened: float, high: float, low: float, close: float, volume: int, minute: int = 0) -> BarRow:
    ticks = (round(4 * price) for price in (opened, high, low, close))
    return BarRow(NOON + minute * MINUTE_NS, *ticks, volume)


def test_ticks_make_the_minute_that_they_are_of(tmp_path: Path) -> None:
    """Order within the minute is by time, then as they came; the next minute's first tick ends it."""
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0, 17000, 2), tick(20, 17004), tick(30, 16999.5, 3), tick(30, 17001), tick(25, 17009))
    assert market.found() == ([], [])
    market.rows.say(tick(0.5, 17002, minute=1))

    assert market.found() == ([bar(17000, 17009, 16999.5, 17001, 8)], [])


def test_seconds_make_the_minute_that_they_are_of(tmp_path: Path) -> None:
    market = Following(tmp_path, "seconds")
    market.rows.say(second(0, (17000, 17003, 16998, 17001), 5), second(59, (17001, 17002, 17000, 17000.25), 2))
    market.rows.say(second(1, (17000, 17000, 17000, 17000), minute=1))

    assert market.found() == ([bar(17000, 17003, 16998, 17000.25, 7)], [])


def test_the_clock_ends_a_minute_once_nothing_more_can_be_on_its_way(tmp_path: Path) -> None:
    """A second after its end, and only while whoever writes is there: a feed that is away may have rows of it."""
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0, 17000))
    market.now_s = 60.9
    assert market.found() == ([], [])
    market.now_s, market.rows.there = 61.5, False
    assert market.found() == ([], [])
    market.rows.there = True

    assert market.found() == ([bar(17000, 17000, 17000, 17000, 1)], [])
    assert market.found() == ([], [])


def test_a_row_of_a_minute_that_was_made_makes_a_corrected_bar(tmp_path: Path) -> None:
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0, 17000), tick(1, 17001, minute=1))
    assert market.found()[0] == [bar(17000, 17000, 17000, 17000, 1)]
    market.rows.say(tick(30, 17005), tick(31, 17006))

    bars, notes = market.found()
    assert (bars, notes) == ([], [("corrected", 1)])
    assert market.bars.last == bar(17000, 17000, 17000, 17000, 1), "what was played stays"


@pytest.mark.parametrize("kind", ["seconds", "ticks"])
def test_a_late_row_counts_though_many_minutes_come_in_the_same_look(tmp_path: Path, kind: RowKind) -> None:
    """As at a restart, which reads in one look what came in many."""

    def row(of: int, minute: int) -> str:
        return tick(of, 17_000, minute=minute) if kind == "ticks" else second(of, (17_000,) * 4, minute=minute)

    market = Following(tmp_path, kind)
    market.now_s = 60.0 * 30
    market.rows.say(row(0, 0), row(0, 1), row(30, 0), *(row(0, minute) for minute in range(2, 14)))
    bars, notes = market.found()

    assert [each.ts_event_ns for each in bars][:2] == [NOON, NOON + MINUTE_NS] and len(bars) >= 13
    assert [code for code, _ in notes].count("corrected") == 1


def test_a_second_that_is_doubled_counts_once_and_one_that_is_corrected_in_time_counts(tmp_path: Path) -> None:
    market = Following(tmp_path, "seconds")
    once, twice = second(0, (17000, 17001, 17000, 17001), 4), second(5, (17001, 17002, 17001, 17002), 1)
    market.rows.say(once, once, twice, second(5, (17001, 17008, 17001, 17003), 9))
    market.rows.say(second(0, (17003, 17003, 17003, 17003), minute=1))

    assert market.found() == ([bar(17000, 17008, 17000, 17003, 13)], [("doubled", 2)])


def test_two_equal_ticks_are_two_trades(tmp_path: Path) -> None:
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0, 17000, 3), tick(0, 17000, 3), tick(0, 17000, minute=1))

    assert market.found() == ([bar(17000, 17000, 17000, 17000, 6)], [])


def test_a_minute_without_a_row_has_no_bar(tmp_path: Path) -> None:
    market = Following(tmp_path, "ticks")
    market.now_s = 250.0
    market.rows.say(tick(0, 17000), tick(0, 17001, minute=3), tick(0, 17002, minute=4))

    bars, notes = market.found()
    assert [made.ts_event_ns for made in bars] == [NOON, NOON + 3 * MINUTE_NS]
    assert [code for code, _ in notes] == ["late", "gap"]


def test_a_first_minute_that_was_joined_later_is_no_bar(tmp_path: Path) -> None:
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0.001, 17000), tick(0.001, 17001, minute=1), tick(0, 17002, minute=2))
    market.now_s = 121.0

    assert market.found() == ([bar(17001, 17001, 17001, 17001, 1, minute=1)], [("partial", 1), ("gap", 0)])


def test_a_first_minute_in_which_the_market_opens_is_whole(tmp_path: Path) -> None:
    market = Following(tmp_path, "ticks", last="2024-01-03T21:59:00Z")
    market.now_s = 6 * 3600 + 60.0
    market.rows.say("2024-01-03T23:00:04.5Z,17000,1", "2024-01-03T23:01:00.2Z,17001,1")

    bars, notes = market.found()
    assert [made.ts_event_ns for made in bars] == [NOON + 6 * 60 * MINUTE_NS] and notes == []


@pytest.mark.parametrize("how", ["lost", "replaced"])
def test_a_minute_of_which_rows_were_lost_is_no_bar(tmp_path: Path, how: str) -> None:
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0, 17000), tick(0, 17001, minute=1))
    assert len(market.found()[0]) == 1
    market.now_s = 181.0
    if how == "replaced":
        market.rows.begin_anew()
        market.rows.say(COLUMNS["ticks"], known=True)
    market.rows.say(tick(9, 17002, minute=1), tick(0, 17003, minute=2), lost=5 * (how == "lost"))
    market.rows.say(tick(0, 17003, minute=3))

    bars, notes = market.found()
    assert [made.ts_event_ns for made in bars] == [NOON + 2 * MINUTE_NS]
    assert [code for code, _ in notes] == [how, "partial", "gap"]


def test_a_row_of_long_ago_is_recorded_and_not_counted(tmp_path: Path) -> None:
    market = Following(tmp_path, "ticks")
    market.now_s = 60.0 * (KEPT + 3)
    market.rows.say(*(tick(0, 17000, minute=minute) for minute in range(KEPT + 2)))
    market.found()
    market.rows.say(tick(9, 17000, minute=1), tick(9, 17000, minute=2))

    assert market.found() == ([], [("out_of_order", KEPT + 3), ("corrected", 3)])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (tick(6, 17000, minute=1), "early"),
        (tick(30, 170000), "malformed"),
        (tick(30, 17000.1), "malformed"),
        (tick(30, 17000, -1), "malformed"),
        ("2024-01-03T17:00:30Z,17000", "malformed"),
        ("half past,17000,1", "malformed"),
    ],
)
def test_a_tick_that_is_none_is_recorded_and_changes_no_minute(tmp_path: Path, line: str, code: str) -> None:
    market = Following(tmp_path, "ticks")
    market.rows.say(tick(0, 17000), line, tick(40, 17001))
    assert market.found() == ([], [(code, 2)])
    market.now_s = 62.0

    assert market.found() == ([bar(17000, 17001, 17000, 17001, 2)], [])


def test_rows_of_which_none_can_be_read_are_one_record_until_others_come(tmp_path: Path) -> None:
    market = Following(tmp_path, "minutes")
    market.rows.say("time of day,price", *["09:30,17000"] * 50)
    bars, notes = market.found()
    assert (bars, notes) == ([], [("malformed", 0)])
    market.rows.begin_anew()
    market.rows.say(COLUMNS["seconds"], second(0, (17000, 17000, 17000, 17000)))

    assert market.found() == ([bar(17000, 17000, 17000, 17000, 1)], [("replaced", 0)])


def recorded(market: Following) -> list[Record]:
    """What a run writes of all that the next looks find."""
    records = list[Record]()
    while (found := market.bars.read()) or market.rows.waiting:
        for each in found:
            told = {**each.facts, "code": each.code} if isinstance(each, FeedNote) else each.bar.model_dump()
            records.append(Record(0, "feed" if isinstance(each, FeedNote) else "bar", told, False, ""))
    return records


def test_what_is_recorded_is_not_told_again_by_a_run_that_goes_on(tmp_path: Path) -> None:
    """Every row is read again from the first, bad and late ones too; the open minute goes on where it was."""
    lines = (tick(0, 17000), tick(1, 170000), tick(0, 17001, minute=1), tick(30, 17004), tick(4, 17003, minute=1))
    market = Following(tmp_path, "ticks")
    market.rows.say(*lines)
    records = recorded(market)
    assert [record.type for record in records] == ["feed", "bar", "feed"]

    again = Following(tmp_path, "ticks", recorded=records)
    again.rows.say(*lines, known=True)
    assert again.found() == ([], [])
    again.rows.say(tick(9, 17009, minute=1), tick(0, 17000, minute=2))
    again.now_s = 121.0

    assert again.found() == ([bar(17001, 17009, 17001, 17009, 3, minute=1)], [])


LATE = {"by the next minute": ([0, 1, 2], [3, 4]), "by the clock": ([0, 1], [3, 2, 4])}
"""How the second of three minutes is made, before rows of it come late: the rows of each look."""


def late_rows(kind: RowKind) -> list[str]:
    """The first rows of three minutes, and two late ones of the second."""
    rows = [(0, 17000, 0), (0, 17000, 1), (0, 17001, 2), (30, 17004, 1), (40, 16990, 1)]
    if kind == "ticks":
        return [tick(of, price, minute=minute) for of, price, minute in rows]
    return [second(of, [price] * 4, minute=minute) for of, price, minute in rows]


@pytest.mark.parametrize("kind", ["seconds", "ticks"])
@pytest.mark.parametrize("made", LATE)
@pytest.mark.parametrize("answers", [(5,), (4, 1), (1, 1, 1, 1, 1)])
def test_what_was_corrected_once_is_not_so_again_however_the_rows_come_after_a_stop(
    tmp_path: Path, kind: RowKind, made: str, answers: tuple[int, ...]
) -> None:
    """The record of the minute has number and time of its first row, which counts nevertheless.

    Late rows that came at once may come in two answers.
    """
    lines, looks = late_rows(kind), LATE[made]
    market, records = Following(tmp_path, kind), list[Record]()
    market.now_s = 122.0
    for look in looks:
        market.rows.say(*(lines[row] for row in look))
        records += recorded(market)
    counted = [(record.type, record.payload["volume"]) for record in records if "volume" in record.payload]
    assert counted == [("bar", 1), ("bar", 1), ("feed", 3)]

    again, there = Following(tmp_path, kind, recorded=records), iter([row for look in looks for row in look])
    again.now_s = 122.0
    for rows in answers:
        again.rows.say(*(lines[next(there)] for _ in range(rows)), known=True)
    assert again.found() == ([], [])


@pytest.mark.parametrize("minutes", [3, KEPT + 5])
def test_what_was_corrected_while_a_run_stood_still_is_told_once(tmp_path: Path, minutes: int) -> None:
    """Also of a minute that can get no further row before all that are there are read."""
    lines = late_rows("ticks")
    market = Following(tmp_path, "ticks")
    market.now_s = 122.0
    market.rows.say(*lines[:3])
    records = recorded(market)

    again = Following(tmp_path, "ticks", recorded=records)
    again.now_s = 60.0 * minutes
    for line in [*lines, *(tick(0, 17001, minute=minute) for minute in range(3, minutes))]:
        again.rows.say(line, known=True)
    bars, notes = again.found()

    assert notes.count(("corrected", 2)) == 1 and len(bars) >= minutes - 3
    assert [code for code, _ in notes if code != "late"] == ["corrected"]


def test_the_first_row_of_a_minute_of_a_closed_market_makes_no_second_record(tmp_path: Path) -> None:
    lines = ["2024-01-03T22:10:00Z,17000,1", "2024-01-03T22:10:30Z,17001,1", "2024-01-03T22:11:00Z,17000,1"]
    market = Following(tmp_path, "ticks")
    market.now_s = 5 * 3600 + 10 * 60 + 70.0
    market.rows.say(*lines)
    records = recorded(market)
    assert [record.payload["code"] for record in records] == ["closed_market"]

    again = Following(tmp_path, "ticks", recorded=records)
    again.now_s = market.now_s
    again.rows.say(*lines, known=True)
    assert again.found() == ([], [])


def test_a_feed_that_numbers_anew_loses_no_bar_to_a_number_that_was_told(tmp_path: Path) -> None:
    """Row 2 was none when the run was stopped; in the feed that it finds again row 2 is a bar that is due."""
    told = {"code": "malformed", "row": 2, "fault": "short_row", "bar": -1}
    market = Following(tmp_path, "minutes", recorded=[Record(1, "feed", told, False, "")])
    market.rows.say(COLUMNS["seconds"], "2024-01-03T16:59:00Z,17000,17000,17000,17000,1", known=True)
    market.rows.say(second(0, (17000, 17001, 17000, 17001)), known=True)

    assert market.found() == ([bar(17000, 17001, 17000, 17001, 1)], [])


@pytest.mark.skipif(not SHARED.exists(), reason="the shared market bars are not here")
def test_real_seconds_make_the_minutes_that_the_vendor_made_of_them(tmp_path: Path) -> None:
    """Two hours of NQ from a session's open on; as few or as many at once as a look finds."""
    files = [SHARED / f"NQ_{name}_20250504.csv.gz" for name in ("1m", "1s")]
    minutes = read_bars(files[0])
    rows = gzip.decompress(files[1].read_bytes()).decode().splitlines()
    expected = list(zip(*(getattr(minutes, name).tolist() for name in BarRow._fields), strict=True))

    for step in (37, 10_000):
        market = Following(tmp_path, "seconds", last="2025-05-02T20:59:00Z")
        market.bars._price = int(minutes.open[0])
        market.now_s = (int(minutes.ts_event_ns[-1]) + 2 * MINUTE_NS - NOON) / 1e9
        for start in range(1, len(rows), step):
            market.rows.say(*rows[start : start + step])
        made, notes = market.found()
        assert made == [BarRow(*row) for row in expected] and {code for code, _ in notes} <= {"late", "gap"}
    shares = agreement(minutes, read_seconds(files[1], minutes)).equal
    assert np.mean(list(shares.values())) == 1.0
