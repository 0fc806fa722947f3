"""The interval of a mean R a trade, where the trades of one session depend on each other."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean with its percentile interval."""

    mean: float
    low: float
    high: float
    level: float  # e.g. 0.95
    sessions: int
    trades: int


def session_block_bootstrap(
    values: npt.NDArray[np.float64],
    session: npt.NDArray[np.int64],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval | None:
    """The mean of ``values`` [N] and its interval, resampling whole sessions; None without a trade.

    Source: Efron and Tibshirani 1993, chapter 13 (percentile interval), over blocks of one session.

    Args:
        values: [N] one number a trade, e.g. R.
        session: [N] the trading day of each trade.
        level: coverage.
        seed: of the resampling.
    """
    if len(values) == 0:
        return None
    days, row = np.unique(session, return_inverse=True)
    total = np.bincount(row, weights=values)
    count = np.bincount(row)
    drawn = np.random.default_rng(seed).integers(0, len(days), (RESAMPLES, len(days)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), level, len(days), len(values))
