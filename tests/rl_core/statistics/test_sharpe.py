"""Sharpe ratios: the printed examples of the papers, and what a short or crooked record does to certainty.

Bailey and López de Prado 2012, "The Sharpe ratio efficient frontier"; 2014, "The deflated Sharpe ratio".
"""

import math

import numpy as np
import pytest

from rl_core.statistics.sharpe import (
    SharpeRatio,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_ratio,
)


def test_the_paper_finds_a_hedge_fund_less_sure_than_normal_returns_would_be() -> None:
    """2012: 24 months at 0.458 a month; normal returns 98.2 %, skewness -2.448 and kurtosis 10.164 91.3 %."""
    normal = SharpeRatio(0.458, 24)

    assert probabilistic_sharpe(normal) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(normal._replace(skewness=-2.448, kurtosis=10.164)) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("periods_a_year", "skewness", "kurtosis", "years"),
    [(252, 0, 3, 2.73), (52, 0, 3, 2.83), (12, 0, 3, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_records_that_the_paper_asks_for(
    periods_a_year: int, skewness: float, kurtosis: float, years: float
) -> None:
    """2012: years until a yearly 2 is above 1 with 95 %, by day, week and month; last, for a hedge fund index."""
    root = math.sqrt(periods_a_year)
    found = SharpeRatio(2 / root, 100, skewness, kurtosis)

    needed = minimum_track_record(found, 1 / root)

    assert needed is not None and needed / periods_a_year == pytest.approx(years, abs=5e-3)
    assert minimum_track_record(found, 2 / root) is None


def test_the_best_of_a_hundred_tries_is_deflated_as_in_the_paper() -> None:
    """2014: yearly 2.5 over 1,250 days, skewness -3, kurtosis 10, spread of the tries 1/2 a year: 0.1132, and 0.9004.

    46 tries, or 88 with normal returns, leave 0.9505.
    """
    best, spread = SharpeRatio(2.5 / math.sqrt(250), 1250, -3, 10), math.sqrt(0.5 / 250)

    assert expected_best_sharpe(100, spread) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(best, tries=100, spread=spread) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(best, tries=46, spread=spread) == pytest.approx(0.9505, abs=5e-5)
    normal = best._replace(skewness=0, kurtosis=3)
    assert deflated_sharpe(normal, tries=88, spread=spread) == pytest.approx(0.9505, abs=1e-4)
    assert deflated_sharpe(best, tries=1) == probabilistic_sharpe(best)


def test_tries_without_an_edge_find_what_is_expected_of_them() -> None:
    """The best of 31 tries over 70 sessions, 2,000 times over; the deflated ratio calls 1 in 20 of them sure."""
    rng = np.random.default_rng(0)
    best = [
        max((sharpe_ratio(tries[:, k]) for k in range(31)), key=lambda found: found.ratio)
        for tries in rng.normal(size=(300, 70, 31))
    ]

    expected = expected_best_sharpe(31, 1 / math.sqrt(69))
    assert np.mean([found.ratio for found in best]) == pytest.approx(expected, rel=0.03)
    naive = np.mean([probabilistic_sharpe(found) > 0.95 for found in best])
    deflated = np.mean([deflated_sharpe(found, tries=31) > 0.95 for found in best])
    assert naive > 0.6 and deflated < 0.05


def test_the_moments_are_those_of_the_returns() -> None:
    """One gain of 9 among nineteen losses of 1 over twenty periods, by hand from the definition."""
    returns = np.array([9.0] + [-1.0] * 19)
    found = sharpe_ratio(returns)

    assert found is not None and found.periods == 20
    mean = (9 - 19) / 20
    spread = math.sqrt(((9 - mean) ** 2 + 19 * (1 + mean) ** 2) / 20)
    assert found.ratio == pytest.approx(mean / (spread * math.sqrt(20 / 19)))
    assert found.skewness == pytest.approx(((9 - mean) ** 3 + 19 * (-1 - mean) ** 3) / 20 / spread**3)
    assert found.kurtosis == pytest.approx(((9 - mean) ** 4 + 19 * (1 + mean) ** 4) / 20 / spread**4)
    assert found.annualised == pytest.approx(found.ratio * math.sqrt(252))


@pytest.mark.parametrize("returns", [np.arange(9.0), np.full(50, 0.1)])
def test_too_few_periods_and_returns_that_do_not_vary_have_no_ratio(returns: np.ndarray) -> None:
    assert sharpe_ratio(returns) is None
