"""Whether the best of several beats a benchmark by more than the search for it explains: Hansen's SPA test.

Sources: Hansen 2005, "A test for superior predictive ability", Journal of Business and Economic Statistics 23(4);
Politis and Romano 1994 (the stationary bootstrap).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 5_000

Floats = npt.NDArray[np.float64]


class SuperiorAbility(NamedTuple):
    """P values that no candidate beats the benchmark; small ones speak for the best candidate."""

    lower: float  # poor candidates are taken as equal to the benchmark's: liberal
    consistent: float  # those that are clearly worse are left out; the figure to use
    upper: float  # every candidate counts in full: conservative (White's reality check, studentised)
    best: int  # which candidate has the largest statistic
    statistic: float


def superior_ability(gains: Floats, *, block: float, resamples: int = RESAMPLES, seed: int = 0) -> SuperiorAbility:
    """The test on ``gains`` [T, N]: by how much each of N candidates did better than the benchmark in each period.

    Args:
        gains: of periods in the order of time, such as R a session over that of the benchmark.
        block: mean length of the blocks that are resampled together; 1 where periods do not depend on each other.
        resamples: how many.
        seed: of the resampling.

    Raises:
        ValueError: fewer than ten periods, no candidate, or a block below 1.
    """
    periods, candidates = gains.shape
    if periods < 10 or candidates < 1 or block < 1:
        raise ValueError(f"{periods} periods, {candidates} candidates, blocks of {block}: too few for the test")
    mean, spread = gains.mean(axis=0), np.sqrt(_long_run_variance(gains, 1 / block))
    statistics = np.sqrt(periods) * mean / spread
    statistic = max(0.0, float(statistics.max()))
    drawn = _resampled_means(gains, 1 / block, resamples, np.random.default_rng(seed))
    poor = statistics < -np.sqrt(2 * np.log(np.log(periods)))
    centres = {"lower": np.maximum(mean, 0.0), "consistent": np.where(poor, 0.0, mean), "upper": mean}
    p_values = {}
    for name, centre in centres.items():
        best = np.maximum((np.sqrt(periods) * (drawn - centre) / spread).max(axis=1), 0.0)
        p_values[name] = float((1 + (best >= statistic).sum()) / (1 + resamples))
    return SuperiorAbility(best=int(statistics.argmax()), statistic=statistic, **p_values)


def _long_run_variance(gains: Floats, ends: float) -> Floats:
    """[N] variance of the root of T times a mean, as the stationary bootstrap has it (Hansen 2005, section 3.2).

    Args:
        gains: [T, N].
        ends: probability that a block ends after a period.
    """
    periods = len(gains)
    away = gains - gains.mean(axis=0)
    total = (away**2).mean(axis=0)
    lags = np.arange(1, periods)
    weights = (periods - lags) / periods * (1 - ends) ** lags + lags / periods * (1 - ends) ** (periods - lags)
    for lag, weight in zip(lags[weights > 1e-12], weights[weights > 1e-12], strict=True):
        total = total + 2 * weight * (away[:-lag] * away[lag:]).sum(axis=0) / periods
    smallest = 1e-12 * np.maximum((gains**2).mean(axis=0), 1e-300)
    return np.asarray(np.maximum(total, smallest))


def _resampled_means(gains: Floats, ends: float, resamples: int, rng: np.random.Generator) -> Floats:
    """[B, N] means of resampled time: blocks that begin anywhere, end by chance, and wrap round the end."""
    periods = len(gains)
    at = rng.integers(0, periods, resamples)
    total = np.zeros((resamples, gains.shape[1]))
    for _ in range(periods):
        total += gains[at]
        fresh = rng.random(resamples) < ends
        at = np.where(fresh, rng.integers(0, periods, resamples), (at + 1) % periods)
    return np.asarray(total / periods)
