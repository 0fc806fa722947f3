"""What a trade earns in a planted world, computed: a diffusion with a known drift between stop and target, on a grid.

Before costs the price is a martingale but for the drift. So a trade is worth the mean price at which it ends, and once
the drift has passed nothing that is done changes that mean. Distances are in mean ranges (ATR) of the bars before the
signal; the bracket is measured by ATR14 at the signal's close, which holds the signal's own range. DECISIONS 11.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.worlds.demo import MOVE_ATR, RANGE_TO_SIGMA
from rl_core.worlds.planted_edge import ATR_BARS, TARGET_TO_STOP

Reals = npt.NDArray[np.float64]

STOP_ATR, TRAIL_ATR = 1.5, 1.0
CELL_ATR = 0.03  # of the grid for a bracket that nobody touches
MANAGED_CELL_ATR = 0.1  # of the grid on which its stop moves: one more dimension
RANGE_BEYOND_MOVE_ATR = 0.45  # a signal bar's range beyond its move
ATR14_AT_SIGNAL = (ATR_BARS - 1 + float(np.mean(MOVE_ATR)) + RANGE_BEYOND_MOVE_ATR) / ATR_BARS


class BracketValue(NamedTuple):
    """A trade that is left to its bracket."""

    mean_r: float
    win_share: float  # ends at the target if played to the end; the rest is stopped


class _Grid(NamedTuple):
    """Price levels [N] from stop to target, entry at 0."""

    cell: float
    below: int  # cells from the entry to the stop
    above: int
    minute_steps: int

    @property
    def price(self) -> Reals:
        """[N] ATR above the entry."""
        return np.asarray(np.arange(-self.below, self.above + 1) * self.cell, np.float64)


def bracket_value(drift: Reals) -> BracketValue:
    """What entering at a signal earns before costs, with ``drift`` [D] ATR in each minute after it."""
    grid = _grid(CELL_ATR)
    density = np.zeros(len(grid.price))
    density[grid.below] = 1.0
    for minute in drift.tolist():
        density = density @ _minute(grid, minute, 0)
    earned = float(density @ grid.price)
    stop, target = STOP_ATR * ATR14_AT_SIGNAL, TARGET_TO_STOP * STOP_ATR * ATR14_AT_SIGNAL
    return BracketValue(earned / stop, (earned + stop) / (stop + target))


def managed_value(drift: Reals) -> float:
    """The most that breakeven and trail can make of that trade, in R before costs: dynamic programming backwards.

    The state at a close is the price, the stop and whether it trails; each close may move the stop to the entry (if the
    price is beyond it), or let it trail one ATR14 from then on, or no more. The entry's own bar cannot be managed.
    """
    grid = _grid(MANAGED_CELL_ATR)
    price, levels = grid.price, len(grid.price)
    stops, at = np.arange(levels - 1)[:, None], np.arange(levels)[None, :]
    trail = round(TRAIL_ATR * ATR14_AT_SIGNAL / grid.cell)
    followed = np.clip(np.maximum(stops, at - trail), 0, levels - 2)
    may_break_even = (at > grid.below) & (stops < grid.below)
    resting = trailing = np.where(at > stops, price, price[stops])
    for minute in drift[:0:-1].tolist():
        left_alone, going_on = _through(grid, resting, minute), _through(grid, trailing, minute)
        moved = going_on[followed, at]  # the stop follows this close, then the minute is played
        even = np.where(may_break_even, left_alone[grid.below], -np.inf)
        even_and_on = np.where(may_break_even, going_on[np.maximum(followed, grid.below), at][grid.below], -np.inf)
        open_now = at > stops
        resting = np.where(open_now, np.maximum.reduce([left_alone, moved, even]), price[stops])
        switched_off = left_alone[followed, at]  # the stop has followed already
        trailing = np.where(open_now, np.maximum.reduce([moved, switched_off, even_and_on]), price[stops])
    entered = _through(grid, resting, float(drift[0]))[0, grid.below]
    return float(entered / (STOP_ATR * ATR14_AT_SIGNAL))


def _grid(cell: float) -> _Grid:
    stop = STOP_ATR * ATR14_AT_SIGNAL
    steps = int(np.ceil(2 / (RANGE_TO_SIGMA * cell) ** 2))
    return _Grid(cell, round(stop / cell), round(TARGET_TO_STOP * stop / cell), steps)


def _through(grid: _Grid, value: Reals, drift: float) -> Reals:
    """[S, N] before a minute what ``value`` is after it, by stop and price; a stop that is met ends the trade there."""
    rows = []
    for stop, after in enumerate(value):
        ended = after.copy()
        ended[: stop + 1] = grid.price[stop]
        rows.append(_minute(grid, drift, stop) @ ended)
    return np.array(rows)


@cache
def _minute(grid: _Grid, drift: float, stop: int) -> Reals:
    """[N, N] chance to go from one level to another within a minute; levels up to ``stop`` and the target absorb."""
    levels = len(grid.price)
    spread = 1 / (RANGE_TO_SIGMA * grid.cell) ** 2 / (2 * grid.minute_steps)
    lean = drift / grid.minute_steps / (2 * grid.cell)
    inside = np.arange(stop + 1, levels - 1)
    step = np.eye(levels)
    step[inside, inside] -= 2 * spread
    step[inside, inside + 1] += spread + lean
    step[inside, inside - 1] += spread - lean
    return np.linalg.matrix_power(step, grid.minute_steps)
