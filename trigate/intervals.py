"""Intervals of figures that come from few blocks, such as sessions: how many are needed, and how wide to be (NumPy)."""

from typing import Final

import numpy as np
import numpy.typing as npt

LEAST_BLOCKS: Final = 10
"""Under ten blocks no interval is given: any that we tried misses the truth far more often than it says."""
FEW_BLOCKS: Final = 20
"""From here on a percentile interval covers what it says; and only losses are then news, not bad luck."""
LEAST_ERROR_SHARE: Final = 0.25
"""A resample of nearly equal values has nearly no error of its own; it counts at least this share of the sample's."""

Floats = npt.NDArray[np.float64]


def studentised_interval(
    value: float, error: float, resampled: Floats, resampled_errors: Floats, *, level: float
) -> tuple[float, float]:
    """The bootstrap-t interval of ``value``: how far resamples lie from it, in units of their own errors.

    A percentile interval is too narrow where blocks are few: resamples of ten sessions seldom hold the one big winner.
    Their own standard errors are then small too, so dividing by them widens the interval on the side that was missed.

    Source: Efron and Tibshirani 1993, chapter 12.5. The floor under the errors is ours; `bench/coverage.py` measures
    what the intervals cover.

    Args:
        value: the figure.
        error: its standard error.
        resampled: [B] the figure in each resample.
        resampled_errors: [B] the standard error of each.
        level: coverage, such as 0.95.
    """
    floored = np.maximum(resampled_errors, LEAST_ERROR_SHARE * error)
    if error == 0:
        return value, value
    studentised = (resampled - value) / floored
    low, high = np.quantile(studentised, [(1 - level) / 2, (1 + level) / 2])
    return float(value - high * error), float(value - low * error)


def widened_level(level: float, groups: int) -> float:
    """The level of each of ``groups`` intervals so that all of them hold together with ``level`` (Bonferroni).

    Of fifteen honest 95 % intervals, one or another misses in half of the tables.
    """
    return 1 - (1 - level) / max(1, groups)
