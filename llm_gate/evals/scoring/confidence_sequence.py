"""An interval for a mean that may be looked at after every observation: a betting confidence sequence.

Two gamblers bet on every candidate mean m that the next observation lies above, or below, it. If m is the mean, no
strategy that sees the past only can be expected to win, so capital of 1 / alpha at any time is evidence against m
(Ville's inequality). The interval holds the candidates that nobody got rich on so far. Their stakes are the
predictable plug-in ones.

Source: Waudby-Smith and Ramdas 2021, Estimating means of bounded random variables by betting,
https://arxiv.org/abs/2010.09686, the hedged capital of theorem 3 with equations 26 to 28.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GRID = 2001
STAKE_LIMIT = 0.75
"""c: a stake never risks more than this share of the capital."""
ROUNDING = 1e-9

Floats = npt.NDArray[np.float64]


class Sequence(NamedTuple):
    """The interval after each observation, running intersections; both [N], in the units of the observations."""

    low: Floats
    high: Floats


def confidence_sequence(
    observed: npt.ArrayLike, *, least: npt.ArrayLike, most: npt.ArrayLike, alpha: float = 0.05
) -> Sequence:
    """Intervals that all cover the mean at once with probability 1 - ``alpha``, however often they are looked at.

    Args:
        observed: [N] values whose mean given the past stays the same.
        least: [N] or one for all, what each value cannot lie below; known before the value is.
        most: the same from above.
        alpha: allowed chance that any interval of the sequence misses the mean.

    Raises:
        ValueError: a value lies outside its bounds.
    """
    values = np.asarray(observed, np.float64)
    least, most = (np.broadcast_to(np.asarray(bound, np.float64), values.shape) for bound in (least, most))
    if not ((least - ROUNDING <= values) & (values <= most + ROUNDING)).all():
        raise ValueError("a value lies outside the bounds that were stated for it")
    values = np.clip(values, least, most)
    if not len(values):
        return Sequence(values, values)
    means = np.linspace(least.min(), most.max(), GRID)
    up, down = np.zeros(GRID), np.zeros(GRID)  # logarithms of capital
    alive = np.ones(GRID, np.bool_)
    low, high = np.empty(len(values)), np.empty(len(values))
    ends = (float(means[0]), float(means[-1]))
    richest = np.log(2 / alpha)  # each side of the hedge begins with half of the capital
    for t, stake in enumerate(_stakes(values, (least, most), alpha)):
        up += np.log1p(_allowed(stake, means - least[t]) * (values[t] - means))
        down += np.log1p(-_allowed(stake, most[t] - means) * (values[t] - means))
        alive &= np.maximum(up, down) < richest
        ends = low[t], high[t] = _narrowed(ends, alive, means)
    return Sequence(low, high)


def _allowed(stake: float, deepest: Floats) -> Floats:
    """The stake on each candidate, cut so that a fall by ``deepest`` leaves capital; no fall, no cut."""
    return np.where(deepest > 0, np.minimum(stake, STAKE_LIMIT / np.where(deepest > 0, deepest, 1.0)), stake)


def _stakes(values: Floats, bounds: tuple[Floats, Floats], alpha: float) -> Floats:
    """The stake before each observation, from those before it and the first bounds alone."""
    least, most = float(bounds[0][0]), float(bounds[1][0])
    stakes = np.empty(len(values))
    total, spread = (least + most) / 2, ((most - least) / 2) ** 2
    variance = spread
    for t, value in enumerate(values, start=1):
        stakes[t - 1] = np.sqrt(2 * np.log(2 / alpha) / (variance * t * np.log1p(t)))
        total += value
        spread += (value - total / (t + 1)) ** 2
        variance = spread / (t + 1)
    return stakes


def _narrowed(before: tuple[float, float], alive: npt.NDArray[np.bool_], means: Floats) -> tuple[float, float]:
    """The outermost candidates left, one step of the grid wider: a mean between two candidates is not lost."""
    left = np.flatnonzero(alive)
    if not len(left):
        return before
    step = means[1] - means[0]
    return max(before[0], float(means[left[0]] - step)), min(before[1], float(means[left[-1]] + step))
