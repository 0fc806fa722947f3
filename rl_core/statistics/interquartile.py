"""The interquartile mean of a few runs with its bootstrap interval; runs are resampled within each task."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 5_000
TRIMMED_SHARE = 0.25  # of the runs at each end

FloatArray = npt.NDArray[np.float64]


class Aggregate(NamedTuple):
    """The middle of several runs."""

    iqm: float
    low: float | None  # None where a task was run once: nothing can be resampled
    high: float | None
    level: float
    runs: int  # of each task, the least
    tasks: int

    @property
    def label(self) -> str:
        """The figure with its interval, or that it is a single seed."""
        if self.low is None or self.high is None:
            return f"{self.iqm:+.3f} (a single seed, no interval)"
        return f"{self.iqm:+.3f} ({self.low:+.3f} to {self.high:+.3f}, {self.runs} seeds)"


def interquartile_mean(values: FloatArray) -> float:
    """Mean of the middle half of ``values`` [N]; the whole mean where N is below 4."""
    return float(_middle_means(values))


def _middle_means(values: FloatArray) -> FloatArray:
    """[...] of the last axis of ``values`` [..., N]."""
    from scipy.stats import trim_mean  # slow to load, and most commands of training aggregate nothing

    return np.asarray(trim_mean(values, TRIMMED_SHARE, axis=-1), np.float64)


def aggregate(scores: Sequence[Sequence[float]], *, level: float = 0.95, seed: int = 0) -> Aggregate:
    """The interquartile mean of all scores, with a stratified bootstrap percentile interval.

    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice",
    https://arxiv.org/abs/2108.13264, section 4.

    Args:
        scores: one row a task, one score a run; each row is resampled apart from the others.
        level: coverage.
        seed: of the resampling.
    """
    rows = [np.asarray(row, np.float64) for row in scores]
    assert rows and all(len(row) for row in rows)
    middle, runs = interquartile_mean(np.concatenate(rows)), min(len(row) for row in rows)
    if runs == 1:
        return Aggregate(middle, None, None, level, runs, len(rows))
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([row[generator.integers(0, len(row), (RESAMPLES, len(row)))] for row in rows], axis=1)
    low, high = np.quantile(_middle_means(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Aggregate(middle, float(low), float(high), level, runs, len(rows))


def aggregate_means(
    scores: Sequence[Sequence[float]], weights: Sequence[float], *, level: float = 0.95, seed: int = 0
) -> Aggregate:
    """The interquartile mean over runs of what each earns over all tasks, with a stratified bootstrap interval.

    The runs of two tasks that bear one number share nothing else: in every resample each task draws its own, so that
    luck in one task is not cancelled by another's for ever.

    Args:
        scores: one row a task, one score a run, as many in each.
        weights: of each task.
        level: coverage.
        seed: of the resampling.
    """
    table, share = np.asarray(scores, np.float64), np.asarray(weights, np.float64) / np.sum(weights)
    tasks, runs = table.shape
    middle = interquartile_mean(share @ table)
    if runs == 1:
        return Aggregate(middle, None, None, level, runs, tasks)
    drawn = np.random.default_rng(seed).integers(0, runs, (RESAMPLES, tasks, runs))
    means = np.einsum("t,btr->br", share, table[np.arange(tasks)[:, None], drawn])
    low, high = np.quantile(_middle_means(means), [(1 - level) / 2, (1 + level) / 2])
    return Aggregate(middle, float(low), float(high), level, runs, tasks)
