"""Contract rolls in rows as they come: a run keeps the last part of a file, in which they count from 0 again."""

from collections.abc import Iterable

import numpy as np
import pytest

from orchestrator.clock import MarketClock, Pace
from orchestrator.journal.lines import Record
from orchestrator.run.followed_bars import FollowedBars, Source
from orchestrator.run.growing_file import Grown
from orchestrator.run.runner import FeedBar, FeedNote
from orchestrator.trader.events import bar_closed
from rl_core.bars.bars import Bars
from rl_core.exchange.instruments import instrument
from rl_core.trading.hours import MINUTE_NS

NOON = 1_704_301_200_000_000_000  # 2024-01-03T17:00:00Z, within a session
PAST, COMING = range(-10, 0), range(5)
"""Minutes from noon on."""
COLUMNS = "datetime,open,high,low,close,volume"


def contract(minute: int, rolls_at: int) -> int:
    """As the whole file counts: its third contract, and from a minute on its fourth."""
    return 2 + (minute >= rolls_at)


def row(minute: int, rolls_at: int | None = None) -> str:
    """With its rolls, unless the source counts none."""
    time = np.datetime64(NOON + minute * MINUTE_NS, "ns").astype("datetime64[s]")
    prices = ",".join([str(17_000 + minute % 7)] * 4)
    return f"{time}Z,{prices},1" + ("" if rolls_at is None else f",{contract(minute, rolls_at)}")


def history(rolls_at: int) -> Bars:
    """The last minutes of a longer file, as a run keeps them."""
    prices = np.array([4 * (17_000 + minute % 7) for minute in PAST], np.int32)
    times = np.array([NOON + minute * MINUTE_NS for minute in PAST], np.int64)
    counts = np.array([contract(minute, rolls_at) - contract(PAST[0], rolls_at) for minute in PAST], np.int32)
    return Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=times,
        open=prices,
        high=prices,
        low=prices,
        close=prices,
        volume=np.ones(len(times), np.int64),
        contract=counts,
    )


class SaidRows:
    """A source with those lines, all there at the first look."""

    def __init__(self, lines: list[str]) -> None:
        self._parts = [Grown([line.encode() for line in lines], 0, "", known=True, begins=True)]

    def read(self) -> Grown:
        """Everything, once."""
        return self._parts.pop() if self._parts else Grown([], 99, "", known=False, current=True)

    def close(self) -> None:
        """Nothing is held."""


def found(lines: list[str], past: Bars, recorded: Iterable[Record] = ()) -> list[FeedBar | FeedNote]:
    """What a run that has that much on record finds in the lines, ten minutes after noon."""
    clock = MarketClock(Pace(NOON + 10 * MINUTE_NS, 1, 1.0), monotonic=lambda: 0.0, wall_ns=lambda: 1)
    return FollowedBars(Source(SaidRows(lines), "feed", None, None), past, recorded, clock, late_after_s=1e6).read()


def contracts(played: list[FeedBar | FeedNote]) -> list[int]:
    """Of bars alone: a note fails."""
    return [each.bar.contract for each in played if isinstance(each, FeedBar) or pytest.fail(f"{each}")]


@pytest.mark.parametrize("from_the_start", [True, False], ids=["file", "feed"])
@pytest.mark.parametrize(("rolls_at", "counted"), [(-5, [1] * 5), (2, [0, 0, 1, 1, 1]), (9, [0] * 5)])
def test_rolls_before_the_history_make_no_bar_another_one(
    from_the_start: bool, rolls_at: int, counted: list[int]
) -> None:
    """The file counts two more than the part that is kept. Nothing was corrected, at the start nor after a stop."""
    past = history(rolls_at)
    minutes = [*PAST, *COMING] if from_the_start else [*COMING]
    lines = [f"{COLUMNS},roll_index", *(row(minute, rolls_at) for minute in minutes)]

    begun = found(lines[: len(lines) - 2], past)
    bars = [each.bar for each in begun if isinstance(each, FeedBar)]
    recorded = [Record(n, "bar", dict(bar_closed(bar, "").payload), False, "") for n, bar in enumerate(bars)]
    again = found(lines, past, recorded)

    assert contracts(begun) == counted[:3] and contracts(again) == counted[3:]


def test_rows_that_count_no_rolls_are_of_the_contract_that_is_known() -> None:
    """The history rolled; a feed of prices alone does not undo it."""
    lines = [COLUMNS, *(row(minute) for minute in [*PAST, *COMING])]

    assert contracts(found(lines, history(-5))) == [1] * 5
