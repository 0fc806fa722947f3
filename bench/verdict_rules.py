"""Twenty rules that do trade: breakouts, momentum, mean reversion, the time of day, and bursts of volume."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from bench.verdict_worlds import Worlds
from rl_core.worlds.planted_edge import ATR_BARS

APART = 20  # minutes between two entries of a rule
MOST_A_SESSION = 8
VOLUME_BARS = 30

Integers = npt.NDArray[np.int64]
Sides = npt.NDArray[np.int8]
Reals = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Grid(NamedTuple):
    """What rules see, [S, 390] each."""

    open: Integers
    high: Integers
    low: Integers
    close: Integers
    volume: Integers
    atr: Reals


Rule = Callable[[Grid], Integers]
"""[S, 390] of 1 where it buys at the close of a bar, -1 where it sells, else 0."""


def grid_of(worlds: Worlds) -> Grid:
    """The bars of ``worlds`` by session."""
    bars, total = worlds.view.bars, worlds.view.features.true_range_sum
    return Grid(
        open=worlds.by_session(bars.open),
        high=worlds.by_session(bars.high),
        low=worlds.by_session(bars.low),
        close=worlds.by_session(bars.close),
        volume=worlds.by_session(bars.volume),
        atr=worlds.by_session(total) / ATR_BARS,
    )


def momentum(grid: Grid, *, bars: int, atr: float, way: int = 1) -> Integers:
    """With a move of more than so many ATR over so many bars; ``way`` -1: against it."""
    move = np.zeros_like(grid.close)
    move[:, bars:] = grid.close[:, bars:] - grid.close[:, :-bars]
    return way * _where_beyond(move, atr * grid.atr)


def channel(grid: Grid, *, bars: int, atr: float, way: int = 1) -> Integers:
    """With a close that lies more than so many ATR from the mean of the last closes; ``way`` -1: back to it."""
    total = np.cumsum(grid.close, axis=1)
    mean = np.zeros(grid.close.shape)
    mean[:, bars - 1 :] = (total[:, bars - 1 :] - np.pad(total[:, :-bars], ((0, 0), (1, 0)))) / bars
    away = grid.close - mean
    away[:, : bars - 1] = 0.0
    return way * _where_beyond(away, atr * grid.atr)


def new_extreme(grid: Grid, *, bars: int, way: int = 1) -> Integers:
    """With a close beyond the highest high or the lowest low of the bars before; ``way`` -1: against it."""
    highest = maximum_filter1d(grid.high, bars, axis=1, origin=(bars - 1) // 2)
    lowest = minimum_filter1d(grid.low, bars, axis=1, origin=(bars - 1) // 2)
    side = np.zeros_like(grid.close)
    above, below = grid.close[:, bars:] > highest[:, bars - 1 : -1], grid.close[:, bars:] < lowest[:, bars - 1 : -1]
    side[:, bars:] = above.astype(np.int64) - below.astype(np.int64)
    return way * side


def time_of_day(grid: Grid, *, minute: int, way: int) -> Integers:
    """At one minute after the open, with the move since the open; ``way`` -1: against it."""
    side = np.zeros_like(grid.close)
    side[:, minute] = way * np.sign(grid.close[:, minute] - grid.open[:, 0])
    return side


def burst(grid: Grid, *, volume: float, atr: float = 1.0) -> Integers:
    """With a bar's move, where it has so many times the mean volume of the bars before it."""
    total = np.cumsum(grid.volume, axis=1)
    usual = np.full(grid.close.shape, np.inf)
    before = total[:, VOLUME_BARS - 1 : -1] - np.pad(total[:, : -VOLUME_BARS - 1], ((0, 0), (1, 0)))
    usual[:, VOLUME_BARS:] = before / VOLUME_BARS
    # Only a few bars of history exist early in a session; there the mean is of those.
    usual[:, 1:VOLUME_BARS] = total[:, : VOLUME_BARS - 1] / np.arange(1, VOLUME_BARS)
    loud = grid.volume > volume * usual
    return np.where(loud, _where_beyond(grid.close - grid.open, atr * grid.atr), 0)


RULES: dict[str, Rule] = {
    "channel 20, 2 ATR": partial(channel, bars=20, atr=2.0),
    "channel 20, 3 ATR": partial(channel, bars=20, atr=3.0),
    "channel 60, 3 ATR": partial(channel, bars=60, atr=3.0),
    "new extreme of 30": partial(new_extreme, bars=30),
    "new extreme of 60": partial(new_extreme, bars=60),
    "new extreme of 120": partial(new_extreme, bars=120),
    "momentum 1, 1.5 ATR": partial(momentum, bars=1, atr=1.5),
    "momentum 5, 3 ATR": partial(momentum, bars=5, atr=3.0),
    "momentum 15, 5 ATR": partial(momentum, bars=15, atr=5.0),
    "momentum 30, 6 ATR": partial(momentum, bars=30, atr=6.0),
    "back to the mean of 20, 3 ATR": partial(channel, bars=20, atr=3.0, way=-1),
    "against a new extreme of 60": partial(new_extreme, bars=60, way=-1),
    "against 5, 3 ATR": partial(momentum, bars=5, atr=3.0, way=-1),
    "against 15, 5 ATR": partial(momentum, bars=15, atr=5.0, way=-1),
    "10:00, with the open": partial(time_of_day, minute=30, way=1),
    "10:30, against the open": partial(time_of_day, minute=60, way=-1),
    "14:00, with the open": partial(time_of_day, minute=270, way=1),
    "15:00, against the open": partial(time_of_day, minute=330, way=-1),
    "burst of 4 volumes": partial(burst, volume=4.0),
    "burst of 3 volumes, 0.5 ATR": partial(burst, volume=3.0, atr=0.5),
}
PLANTED_RULES = ("burst of 4 volumes", "burst of 3 volumes, 0.5 ATR")
"""Those that a planted world pays."""


def thinned(side: Sides, may_enter: Bools) -> Sides:
    """[R, S, 390] the entries that are made: where they may be, 20 minutes apart, and eight a session at most."""
    kept = side * may_enter
    rules, sessions, minutes = kept.shape
    free, made = np.zeros((rules, sessions), np.int64), np.zeros((rules, sessions), np.int64)
    for minute in range(minutes):
        enters = (kept[:, :, minute] != 0) & (minute >= free) & (made < MOST_A_SESSION)
        kept[:, :, minute] *= enters
        free = np.where(enters, minute + APART, free)
        made += enters
    return kept


def _where_beyond(move: npt.NDArray[np.generic], limit: Reals) -> Integers:
    """The sign of a move that is larger than ``limit``, else 0."""
    size = np.asarray(move, np.float64)
    return np.where(np.abs(size) > limit, np.sign(size), 0).astype(np.int64)
