"""How sure a figure is: every metric is a function of weights, so that one resampling serves them all.

Row 0 of the weights [1 + B, N] is all ones and gives the figure itself; each other row says how often a resample
drew each of the N values. Whole groups are drawn: a case with all its values, or a session with all its cases.

Source: Efron and Tibshirani 1993, chapter 13 (percentile interval), over blocks.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
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


def block_weights(groups: Sequence[object], *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Weights [1 + resamples, N] that draw whole groups with replacement; equal members of ``groups`` [N] are one."""
    if not groups:
        return np.ones((1 + resamples, 0))
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    row = np.array([places[group] for group in groups], np.int64)
    count = len(places)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, len(row))), drawn[:, row].astype(np.float64)])


def figure(metric: Metric, weights: Floats, *, level: float = LEVEL) -> Figure:
    """The metric's value and percentile interval, over ``weights`` [1 + B, N].

    No interval where fewer than half the resamples can say, or where there is one group: it is drawn every time.
    """
    count = weights.shape[1]
    if count == 0:
        return Figure(None)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = metric(weights)
    if not np.isfinite(values[0]):
        return Figure(None, rows=count)
    resampled = values[1:][np.isfinite(values[1:])]
    if 2 * len(resampled) <= len(values) - 1 or (weights == 1).all():
        return Figure(float(values[0]), rows=count)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Figure(float(values[0]), float(low), float(high), count)


def mean_of(values: npt.ArrayLike) -> Metric:
    """The weighted mean of ``values`` [N]."""
    column = np.asarray(values, np.float64)

    def metric(weights: Floats) -> Floats:
        return np.asarray(weights @ column / weights.sum(axis=1))

    return metric
