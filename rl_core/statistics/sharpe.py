"""How sure a Sharpe ratio is: its probability, the track record it needs, and what is left of it after many tries.

Sharpe ratios here are of one period, such as a session, and not annualised, unless a name says so.

Sources: Bailey and López de Prado 2012, "The Sharpe ratio efficient frontier", Journal of Risk 15(2) (probability,
minimum track record); the same 2014, "The deflated Sharpe ratio", Journal of Portfolio Management 40(5).
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trigate.intervals import LEAST_BLOCKS

SESSIONS_A_YEAR = 252
SURE = 0.95

Floats = npt.NDArray[np.float64]


class SharpeRatio(NamedTuple):
    """A Sharpe ratio and what its error depends on."""

    ratio: float  # of one period: mean over standard deviation
    periods: int
    skewness: float = 0.0
    kurtosis: float = 3.0  # 3 for normal returns

    @property
    def annualised(self) -> float:
        """Of a year of 252 sessions, where a period is one."""
        return self.ratio * math.sqrt(SESSIONS_A_YEAR)

    @property
    def error_of_one(self) -> float:
        """The ratio's standard error times the root of (periods - 1): fat tails and rare large losses widen it."""
        return math.sqrt(1 - self.skewness * self.ratio + (self.kurtosis - 1) / 4 * self.ratio**2)


def sharpe_ratio(returns: Floats) -> SharpeRatio | None:
    """The Sharpe ratio of ``returns`` [N]; None under ten periods, as for any interval, or where they do not vary."""
    if len(returns) < LEAST_BLOCKS:
        return None
    away = returns - returns.mean()
    variance = float((away**2).mean())
    if variance <= 1e-24 * max(1.0, float(returns.mean()) ** 2):
        return None
    skewness, kurtosis = (float((away**power).mean()) / variance ** (power / 2) for power in (3, 4))
    return SharpeRatio(float(returns.mean() / returns.std(ddof=1)), len(returns), skewness, kurtosis)


def sharpe_of(session: npt.NDArray[np.int64], r: Floats, sessions: int) -> SharpeRatio | None:
    """The Sharpe ratio of R a session; None under ten sessions with trades.

    Args:
        session: [N] the trading day of each trade.
        r: [N] what each earned.
        sessions: that were played; one without a trade earned 0.
    """
    days, row = np.unique(session, return_inverse=True)
    earned = np.zeros(sessions)
    earned[: len(days)] = np.bincount(row, weights=r, minlength=len(days))
    return sharpe_ratio(earned) if len(days) >= LEAST_BLOCKS else None


def probabilistic_sharpe(found: SharpeRatio, benchmark: float = 0.0) -> float:
    """The probability that the true ratio lies above ``benchmark`` (2012, equation 11)."""
    from scipy.special import ndtr  # slow to load

    return float(ndtr((found.ratio - benchmark) * math.sqrt(found.periods - 1) / found.error_of_one))


def minimum_track_record(found: SharpeRatio, benchmark: float = 0.0, *, sure: float = SURE) -> float | None:
    """Periods after which a ratio of this kind is above ``benchmark`` with this probability (2012, equation 13).

    None where the ratio is not above the benchmark: no length of record proves that.
    """
    if found.ratio <= benchmark:
        return None
    from scipy.special import ndtri  # slow to load

    return 1 + (found.error_of_one * float(ndtri(sure)) / (found.ratio - benchmark)) ** 2


def expected_best_sharpe(tries: int, spread: float) -> float:
    """The best ratio that ``tries`` without any edge are expected to find (2014, equation 1).

    Args:
        tries: how many independent ones; 1 expects 0.
        spread: standard deviation of the ratios over the tries.
    """
    assert tries >= 1 and spread >= 0
    if tries == 1:
        return 0.0
    from scipy.special import ndtri  # slow to load

    gamma = float(np.euler_gamma)
    quantiles = ndtri([1 - 1 / tries, 1 - 1 / (tries * math.e)])
    return spread * float((1 - gamma) * quantiles[0] + gamma * quantiles[1])


def deflated_sharpe(found: SharpeRatio, *, tries: int, spread: float | None = None) -> float:
    """The probability that the best of ``tries`` is above what luck alone finds in so many (2014, equation 2).

    Args:
        found: the best one's.
        tries: how many independent ones there were, all of them counted.
        spread: standard deviation of the ratios over the tries; None: that of tries of the same length without an edge.
    """
    of_luck = 1 / math.sqrt(found.periods - 1) if spread is None else spread
    return probabilistic_sharpe(found, expected_best_sharpe(tries, of_luck))
