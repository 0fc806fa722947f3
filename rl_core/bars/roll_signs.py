"""Whether a jump of index futures looks like a change of contract that nobody declared.

A roll moves the price by what holding the index until the next expiry costs, up to 1.4 %, and it stays moved. A news
gap does the same. So a jump is suspected only when contracts change: in the days before the third Friday of a
quarter's last month, when volume moves on, and at the open after that Friday, when the old contract has expired. At a
session's open the market itself has moved while it was closed, so there a jump counts only if it is far beyond the
usual gap of the file.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rl_core.bars.bars import Bars
from rl_core.bars.plausibility import Prices, lasting_jumps
from rl_core.exchange.calendar import Calendar, Located
from rl_core.exchange.product_hours import EXCHANGE_ZONE

INDEX_FUTURES = ("ES", "NQ", "YM", "RTY", "NKD", "MES", "MNQ", "MYM", "M2K")
QUARTER_MONTHS = (3, 6, 9, 12)
ROLL_WEEK_DAYS = 9  # before the third Friday of the quarter's last month
EXPIRY_MINUTE = 9 * 60 + 30  # of that Friday, exchange time: index futures settle to the opening prices
ROLL_WINDOW_NS = 14 * 86_400 * 1_000_000_000
LONG_CLOSURE_NS = 24 * 3_600_000_000_000  # a weekend or a holiday, not the daily break
LEAST_GAPS = 8  # of a kind, to say what is usual
# A gap at an open is suspected beyond this many usual gaps of its kind. NQ's usual gap is 2 bp over the daily break and
# 9 bp over a weekend; its rolls of 2023 to 2025 moved it by 85 to 140 bp.
DAILY_GAPS, WEEKEND_GAPS = 12.0, 8.0
USUAL_DAILY, USUAL_WEEKEND = 0.0002, 0.0009  # of the price, where a file is too short to say


class OpeningGaps(NamedTuple):
    """Moves of the price from the last close of one session to the first open of the next."""

    row: npt.NDArray[np.int64]
    """[G] first bars of sessions, without the file's first."""
    share: npt.NDArray[np.float64]
    """[G] move over the close before, as a share of it, without its sign."""
    weekend: npt.NDArray[np.bool_]
    """[G] the market was closed for longer than a day."""

    def limits(self) -> tuple[float, float]:
        """Largest move, as a share of the price, that is ordinary over the daily break and over a weekend."""
        daily = _usual(self.share[~self.weekend], USUAL_DAILY)
        return DAILY_GAPS * daily, WEEKEND_GAPS * _usual(self.share[self.weekend], USUAL_WEEKEND)


def opening_gaps(bars: Bars, session: npt.NDArray[np.int32]) -> OpeningGaps:
    """The gaps between the sessions of ``bars`` [T]; ``session`` [T] is the trading day of each."""
    rows = np.flatnonzero(np.diff(session)) + 1
    before = bars.close[rows - 1].astype(np.float64)
    share = np.abs(bars.open[rows] - before) / before
    closed_ns = bars.ts_event_ns[rows] - bars.ts_event_ns[rows - 1]
    return OpeningGaps(rows, share, closed_ns > LONG_CLOSURE_NS)


def unnamed_rolls(bars: Bars) -> tuple[str, ...]:
    """A warning that ``bars`` jump where contracts change and no roll is named; none of what has no such jump.

    To features and fills such a jump is a move of the market, which a position held across it earns or pays.
    """
    if bars.instrument.symbol not in INDEX_FUTURES or bars.world:
        return ()
    rows = lasting_jumps(Prices(bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume))
    if not len(rows):
        return ()
    located = Calendar.covering(int(bars.ts_event_ns[0]), int(bars.ts_event_ns[-1])).locate(bars.ts_event_ns)
    gaps = opening_gaps(bars, located.session)
    rows = rows[[looks_like_a_roll(bars, located, int(row), gaps) for row in rows]]
    if not len(rows):
        return ()
    first = np.datetime64(int(bars.ts_event_ns[rows[0]]), "ns").astype("datetime64[s]")
    jumps = "a lasting jump" if len(rows) == 1 else f"{len(rows)} lasting jumps"
    return (
        f"{bars.instrument.symbol}: {jumps} in roll weeks that no roll explains, the first at {first}Z; name those at "
        "which the contract changes: `rl-core data check FILE --rolls` (docs/quick_start.md)",
    )


def looks_like_a_roll(bars: Bars, located: Located, row: int, gaps: OpeningGaps) -> bool:
    """Whether the jump before bar ``row`` is one that a change of contract would explain better than the market.

    Args:
        bars: of any contract; a synthetic market that declares itself has no contracts to change.
        located: [T] places of the bars in their calendar.
        row: a bar that opens far from the close before.
        gaps: of the same bars.
    """
    if bars.instrument.symbol not in INDEX_FUTURES or bars.world:
        return False
    if not in_roll_week(pd.Timestamp(int(bars.ts_event_ns[row]), tz="UTC")) or _rolled_near(bars, row):
        return False
    at = int(np.searchsorted(gaps.row, row))
    if at == len(gaps.row) or gaps.row[at] != row:
        return True
    if _expired_before(bars, located, row):
        return True
    daily, weekend = gaps.limits()
    return bool(gaps.share[at] > (weekend if gaps.weekend[at] else daily))


def in_roll_week(at: pd.Timestamp) -> bool:
    """Whether contracts change at ``at``: from nine days before the third Friday to the Monday after it."""
    friday = _third_friday(at)
    return bool(friday - pd.Timedelta(days=ROLL_WEEK_DAYS) <= at < friday + pd.Timedelta(days=4))


def _third_friday(at: pd.Timestamp) -> pd.Timestamp:
    """Midnight of the third Friday of the month of ``at``; far away from it in months without an expiry."""
    if at.month not in QUARTER_MONTHS:
        return at + pd.Timedelta(days=60)
    first = at.normalize().replace(day=1)
    return first + pd.Timedelta(days=(4 - first.day_of_week) % 7 + 14)


def _expired_before(bars: Bars, located: Located, row: int) -> bool:
    """Whether the bars before ``row`` end with the expiry: on the third Friday, at the last minute before 09:30 ET."""
    last = pd.Timestamp(int(bars.ts_event_ns[row - 1]), tz="UTC").tz_convert(EXCHANGE_ZONE)
    friday = _third_friday(last.tz_localize(None))
    ends = int(located.minute_et[row - 1]) + max(1, bars.interval_s // 60)
    return bool(last.tz_localize(None).normalize() == friday and EXPIRY_MINUTE - 5 <= ends <= EXPIRY_MINUTE)


def _rolled_near(bars: Bars, row: int) -> bool:
    """Whether a known roll of this quarter lies before or after ``row``: contracts change once a quarter."""
    at = bars.ts_event_ns[row]
    first, last = np.searchsorted(bars.ts_event_ns, [at - ROLL_WINDOW_NS, at + ROLL_WINDOW_NS])
    return bool(bars.contract[first] != bars.contract[last - 1])


def _usual(shares: npt.NDArray[np.float64], otherwise: float) -> float:
    return float(np.median(shares)) if len(shares) >= LEAST_GAPS else otherwise
