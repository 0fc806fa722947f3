"""Random draws with the statistics of NQ minutes: volatility, reopening gaps, volume.

Measured on NQ 2023-11..2025-12 (543 sessions); docstrings give the measured values.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import exp, lgamma, log

import numpy as np
import numpy.typing as npt

from rl_core.worlds.nq_profile import SESSION_MINUTES, index_in_session, mean_abs_return_bp, median_volume

Floats = npt.NDArray[np.float64]

# Logarithm of a session's volatility: (share of the variance, correlation from session to session).
LEVEL_STD = 0.45
LEVEL_PARTS = ((0.65, 0.94), (0.35, 0.3))
# Logarithm of a minute's volatility within the session: (variance, correlation from minute to minute).
CLUSTER_PARTS = ((0.10, 0.90), (0.15, 0.997))
NOISE_DF = 8.0
# (hour, minute) ET: how often a session has news then, and how many times the volatility.
NEWS = {(8, 30): (0.3, 4.0), (10, 0): (0.15, 2.5), (14, 0): (0.07, 4.0)}
NEWS_MINUTES = 10
NEWS_DECAY_MINUTES = 2.0

OVERNIGHT_GAP_BP, WEEKEND_GAP_BP = 2.3, 10.0
GAP_DF, GAP_LIMIT_BP = 2.0, 250.0

# Logarithm of volume over its usual value = slope x that of the range + noise of its own.
VOLUME_RANGE_SLOPE = 0.85
VOLUME_NOISE_PARTS = ((0.04, 0.0), (0.06, 0.97))
USUAL_VOLUME_SESSIONS = 20
# E[range] / E|return| of a Brownian minute; the median range lies lower for the mixture used here.
MEDIAN_RANGE_TO_MEAN_ABS_RETURN = 1.55
# Logarithm of volume over usual: compressed above VOLUME_BEND and capped at VOLUME_CEILING, so that a planted
# burst of volume stands out.
VOLUME_BEND, VOLUME_CEILING = 0.5, 1.1


def draw_sigma(sessions: int, generator: np.random.Generator) -> Floats:
    """[S, 1380] standard deviation of each minute's log return; its mean absolute return follows the profile.

    Measured: std of log session volatility 0.43 with correlations 0.70, 0.44, 0.20 at 1, 5, 20 sessions;
    Student noise of 4.6 degrees of freedom once time of day and session are divided out, part of which is
    the clustering within the session.
    """
    level = _sum_of_series((sessions, 1), [(LEVEL_STD**2 * share, decay) for share, decay in LEVEL_PARTS], generator)
    level -= level.mean()
    cluster = _sum_of_series((SESSION_MINUTES, sessions), CLUSTER_PARTS, generator).T
    noise = np.sqrt(NOISE_DF / generator.chisquare(NOISE_DF, (sessions, SESSION_MINUTES)))
    raw = np.exp(level + cluster) * noise
    variance = LEVEL_STD**2 + sum(part for part, _decay in CLUSTER_PARTS)
    mean_abs = np.sqrt(2 / np.pi) * np.exp(variance / 2) * _mean_root_inverse_chisquare(NOISE_DF)
    return np.asarray(mean_abs_return_bp() / 1e4 * _news(sessions, generator) * raw / mean_abs)


def draw_gap(hours_closed: float, generator: np.random.Generator) -> float:
    """Log return over a closure. Measured: median 2.0 bp over the daily hour, 8.8 bp over a weekend."""
    scale = OVERNIGHT_GAP_BP if hours_closed <= 1 else WEEKEND_GAP_BP
    return float(np.clip(scale * generator.standard_t(GAP_DF), -GAP_LIMIT_BP, GAP_LIMIT_BP)) / 1e4


def usual_volume(past: list[npt.NDArray[np.int64]], minutes: int) -> Floats:
    """[minutes] median contracts of each minute over the last 20 sessions in ``past``; a table's before the first."""
    table = median_volume()
    stacked = np.full((max(1, min(len(past), USUAL_VOLUME_SESSIONS)), SESSION_MINUTES), np.inf)
    for row, volume in zip(stacked, past[-USUAL_VOLUME_SESSIONS:], strict=False):
        row[: len(volume)] = volume
    stacked.sort(axis=0)
    count = np.isfinite(stacked).sum(axis=0)
    column = np.arange(SESSION_MINUTES)
    low, high = (
        stacked[np.maximum(count - 1, 0) // 2, column],
        stacked[np.minimum(count // 2, len(stacked) - 1), column],
    )
    return np.asarray(np.where(count > 0, (low + high) / 2, table)[:minutes])


def draw_volume(log_range: Floats, usual: Floats, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Contracts [M] of minutes whose log price range is ``log_range`` [M].

    Measured: correlation of log volume with log range 0.82 to 0.91, and 0.68 to 0.82 without the time of day.
    """
    minutes = len(log_range)
    profile = mean_abs_return_bp()[:minutes] / 1e4 * MEDIAN_RANGE_TO_MEAN_ABS_RETURN
    noise = _sum_of_series((minutes, 1), VOLUME_NOISE_PARTS, generator)[:, 0]
    wanted = VOLUME_RANGE_SLOPE * np.log(np.maximum(log_range, 1e-6) / profile) + noise
    over_usual = wanted + np.log(median_volume()[:minutes] / usual)
    room = VOLUME_CEILING - VOLUME_BEND
    bent = VOLUME_BEND + room * np.tanh((over_usual - VOLUME_BEND) / room)
    over_usual = np.where(over_usual > VOLUME_BEND, bent, over_usual)
    return np.asarray(np.maximum(1, np.rint(usual * np.exp(over_usual))).astype(np.int64))


def _sum_of_series(
    shape: tuple[int, int], parts: Sequence[tuple[float, float]], generator: np.random.Generator
) -> Floats:
    """[N, B] sums of independent autoregressions, one for each (variance, decay) in ``parts``.

    x_n = decay * x_{n-1} + noise, stationary, along the first axis.
    """
    total = np.zeros(shape)
    for variance, decay in parts:
        series = generator.standard_normal(shape) * np.sqrt(variance)
        series[1:] *= np.sqrt(1 - decay**2)
        total += _accumulated(series, decay)
    return total


def _accumulated(noise: Floats, decay: float) -> Floats:
    """[N, B] x_n = decay * x_{n-1} + noise_n along the first axis."""
    # Over steps of one number each NumPy takes ten times as long as Python.
    rows = noise[:, 0].tolist() if noise.shape[1] == 1 else noise
    return np.array(list(accumulate(rows, lambda last, now: decay * last + now))).reshape(noise.shape)


def _news(sessions: int, generator: np.random.Generator) -> Floats:
    """[S, 1380] factor on the volatility, of mean 1 in every minute."""
    factor = np.ones((sessions, SESSION_MINUTES))
    fading = np.exp(-np.arange(NEWS_MINUTES) / NEWS_DECAY_MINUTES)
    for time, (share, times) in NEWS.items():
        at = index_in_session(*time)
        happens = generator.random((sessions, 1)) < share
        factor[:, at : at + NEWS_MINUTES] *= (1 + happens * (times - 1) * fading) / (1 + share * (times - 1) * fading)
    return factor


def _mean_root_inverse_chisquare(df: float) -> float:
    """E[sqrt(df / X)] for X chi-square with ``df`` degrees of freedom."""
    return exp(lgamma((df - 1) / 2) - lgamma(df / 2) + log(df / 2) / 2)
