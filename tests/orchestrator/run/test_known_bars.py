"""What a run knows of each bar: its history as it is, and every other row that was taken for one of them."""

import tracemalloc

import pytest

from orchestrator.run.known_bars import KnownBars
from rl_core.bars.bars import Bars
from rl_core.bars.rows import BarRow
from rl_core.worlds.demo import demo_world

AFTER = 60_000_000_000


@pytest.fixture(scope="module")
def history() -> Bars:
    return demo_world(3, 2).minutes


def row_of(history: Bars, place: int) -> BarRow:
    """The bar at ``place`` as a row."""
    return BarRow._make(int(getattr(history, name)[place]) for name in BarRow._fields)


def test_every_bar_of_the_history_is_known_and_nothing_else(history: Bars) -> None:
    known = KnownBars(history)

    for place in (0, 1, len(history) - 1):
        assert known.of(int(history.ts_event_ns[place])) == (row_of(history, place),)
    assert known.last_of_history == row_of(history, -1)
    for missing in (int(history.ts_event_ns[0]) - AFTER, int(history.ts_event_ns[0]) + 1, known.last_of_history[0] + 1):
        assert known.of(missing) == ()


def test_other_values_of_a_bar_are_known_beside_the_first_and_each_once(history: Bars) -> None:
    known, first = KnownBars(history), row_of(history, 5)
    corrected = first._replace(close=first.close + 1)
    came = known.last_of_history._replace(ts_event_ns=known.last_of_history.ts_event_ns + AFTER)

    for row in (first, corrected, corrected, came, came):
        known.add(row)

    assert known.of(first.ts_event_ns) == (first, corrected)
    assert known.of(came.ts_event_ns) == (came,)


def test_a_bar_out_of_its_turn_is_known_where_it_belongs(history: Bars) -> None:
    """As one that comes after a later one, or that a journal tells of before."""
    known, last = KnownBars(history), KnownBars(history).last_of_history
    late, later = (last._replace(ts_event_ns=last.ts_event_ns + minutes * AFTER, close=minutes) for minutes in (5, 6))
    corrected = later._replace(close=99)

    for row in (later, late, corrected):
        known.add(row)

    assert known.of(late.ts_event_ns) == (late,) and known.of(later.ts_event_ns) == (later, corrected)
    assert known.of(last.ts_event_ns + 7 * AFTER) == ()


def test_a_bar_that_came_takes_less_than_a_hundred_bytes(history: Bars) -> None:
    known, last = KnownBars(history), KnownBars(history).last_of_history

    def come(first: int) -> None:
        for minutes in range(first, first + 2000):
            known.add(last._replace(ts_event_ns=last.ts_event_ns + minutes * AFTER, open=10**9 + minutes))

    come(1)  # Python keeps tuples that are free for the next ones
    tracemalloc.start()
    try:
        come(2001)
        assert tracemalloc.get_traced_memory()[0] < 100 * 4000
    finally:
        tracemalloc.stop()


def test_a_history_takes_no_memory_of_its_own(history: Bars) -> None:
    """A year of minutes took 198 MiB as rows."""
    tracemalloc.start()
    try:
        KnownBars(history)
        assert tracemalloc.get_traced_memory()[1] < len(history)
    finally:
        tracemalloc.stop()
