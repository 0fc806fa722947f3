"""How sure a figure is: every metric is a function of weights, so that one resampling serves them all.

Row 0 of the weights [1 + B, N] is all ones and gives the figure itself; each other row says how often a resample
drew each of the N values. Whole groups are drawn: a case with all its values, or a session with all its cases.

Under ten groups there is no interval, from ten to nineteen a bootstrap-t one, from twenty on the percentile interval
(Efron and Tibshirani 1993, chapters 12.5 and 13): with few groups the latter misses the truth too often
(`bench/coverage.py`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trigate.intervals import FEW_BLOCKS, LEAST_BLOCKS, studentised_interval

RESAMPLES = 2000
STUDENTISED_RESAMPLES = 500
"""Each needs as many evaluations of the metric as there are groups, for its own standard error."""
LEVEL = 0.95

Floats = npt.NDArray[np.float64]
Metric = Callable[[Floats], Floats]
"""Weights [1 + B, N] to one value a row [1 + B]; NaN where a resample cannot say."""


class Figure(NamedTuple):
    """A value with its interval; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    """How many values it was taken over."""


class Resamples(NamedTuple):
    """How often each resample draws each of N values, and which values are drawn together."""

    weights: Floats  # [1 + B, N]
    group: npt.NDArray[np.int64]  # [N], from 0

    @property
    def groups(self) -> int:
        """How many are drawn from."""
        return int(self.group.max()) + 1 if len(self.group) else 0


def block_weights(groups: Sequence[object], *, resamples: int = RESAMPLES, seed: int = 0) -> Resamples:
    """Draw whole groups of equal ``groups`` [N] with replacement, ``resamples`` times."""
    if not groups:
        return Resamples(np.ones((1 + resamples, 0)), np.zeros(0, np.int64))
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    row = np.array([places[group] for group in groups], np.int64)
    count = len(places)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return Resamples(np.concatenate([np.ones((1, len(row))), drawn[:, row].astype(np.float64)]), row)


def figure(
    metric: Metric, resamples: Resamples, *, level: float = LEVEL, within: tuple[float, float] | None = None
) -> Figure:
    """The metric's value and its interval, which never leaves the range ``within`` that the metric can have.

    No interval under `LEAST_BLOCKS` groups, nor under `FEW_BLOCKS` where no group makes a difference, as where all
    answers are right; nor where fewer than half the resamples can say.
    """
    count = resamples.weights.shape[1]
    if count == 0:
        return Figure(None)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = metric(resamples.weights)
        value = float(values[0])
        if not np.isfinite(value):
            return Figure(None, rows=count)
        few = LEAST_BLOCKS <= resamples.groups < FEW_BLOCKS
        bounds = _studentised(metric, resamples, values, level) if few else _percentiles(resamples, values, level)
    if bounds is None:
        return Figure(value, rows=count)
    low, high = bounds if within is None else np.clip(bounds, *within)
    return Figure(value, float(low), float(high), count)


def _percentiles(resamples: Resamples, values: Floats, level: float) -> tuple[float, float] | None:
    if resamples.groups < LEAST_BLOCKS:
        return None
    finite = values[1:][np.isfinite(values[1:])]
    if 2 * len(finite) <= len(values) - 1:
        return None
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _studentised(metric: Metric, resamples: Resamples, values: Floats, level: float) -> tuple[float, float] | None:
    drawn = resamples.weights[1 : 1 + STUDENTISED_RESAMPLES]
    values_drawn = values[1 : 1 + STUDENTISED_RESAMPLES]
    known = np.isfinite(values_drawn)
    error = float(_jackknife_errors(metric, resamples, resamples.weights[:1], values[:1])[0])
    if 2 * known.sum() <= len(drawn) or error == 0:
        return None
    errors = _jackknife_errors(metric, resamples, drawn[known], values_drawn[known])
    return studentised_interval(float(values[0]), error, values_drawn[known], errors, level=level)


def _jackknife_errors(metric: Metric, resamples: Resamples, weights: Floats, values: Floats) -> Floats:
    """Standard error of the metric in each row of ``weights`` [B, N]: one of its groups is left out at a time.

    A group drawn k times stands for k blocks, of which one is left out. A row that cannot say without it is as it was.
    """
    count, squares = resamples.groups, np.zeros(len(weights))
    for group in range(count):
        member = resamples.group == group
        times = weights[:, member][:, 0]
        without = metric(np.maximum(weights - member, 0.0))
        off = np.where(np.isfinite(without), without - values, 0.0)
        squares += times * off * off
    return np.asarray(np.sqrt(squares * (count - 1) / count))


def mean_of(values: npt.ArrayLike) -> Metric:
    """The weighted mean of ``values`` [N]."""
    column = np.asarray(values, np.float64)

    def metric(weights: Floats) -> Floats:
        return np.asarray(weights @ column / weights.sum(axis=1))

    return metric
