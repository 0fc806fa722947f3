"""Hansen's test: the figures of another implementation on the same arrays, its size under no edge, and its power."""

import numpy as np
import pytest

from rl_core.statistics.superior_ability import _long_run_variance, superior_ability


def waves() -> np.ndarray:
    """120 periods of five candidates that depend on their past, the last one clearly worse."""
    t, k = np.arange(120)[:, None], np.arange(5)[None, :]
    means = np.array([0.1, 0.05, 0, -0.1, -0.6])
    return np.asarray(np.sin(1.7 * t * (k + 1) + k * k) + 0.5 * np.cos(0.9 * t + k) + means)


def test_variances_are_those_of_another_implementation() -> None:
    """`arch` 8.0.0, SPA(np.zeros(120), -waves(), block_size=3)."""
    of_arch = [0.31043430706897895, 0.2209352062739905, 0.3928955882963715, 1.0598653737983383, 0.2430412212192702]

    np.testing.assert_allclose(_long_run_variance(waves(), 1 / 3), of_arch, rtol=1e-9)


def test_p_values_are_those_of_another_implementation() -> None:
    """As above, reps=100000, seed=7, on candidates of variance 1: `arch` does not divide by it, Hansen's test does."""
    gains = waves() / np.sqrt(_long_run_variance(waves(), 1 / 3))

    found = superior_ability(gains, block=3, resamples=20_000)

    assert (found.lower, found.consistent, found.upper) == pytest.approx((0.04134, 0.05505, 0.06872), abs=0.006)
    assert found.best == 0 and found.lower <= found.consistent <= found.upper
    scaled = superior_ability(gains * np.array([1, 5, 0.1, 2, 9]), block=3, resamples=20_000)
    np.testing.assert_allclose(scaled, found)


def test_without_an_edge_one_in_twenty_is_called_one() -> None:
    """200 searches among ten candidates; the best one alone would seem good in four of ten."""
    rng = np.random.default_rng(3)
    found = [superior_ability(gains, block=1, resamples=400) for gains in rng.normal(size=(200, 100, 10))]

    assert 0.015 <= np.mean([f.consistent <= 0.05 for f in found]) <= 0.09
    assert np.mean([f.statistic > 1.645 for f in found]) > 0.3


def test_a_good_candidate_is_found_among_poor_ones() -> None:
    """Candidates that are clearly worse do not hide it: the consistent p is below the upper one."""
    rng = np.random.default_rng(4)
    gains = rng.normal(size=(250, 30)) - 1
    gains[:, 11] += 1.25

    found = superior_ability(gains, block=1, resamples=2_000)

    assert found.best == 11 and found.consistent < 0.03 < found.upper


@pytest.mark.parametrize(("shape", "block"), [((9, 2), 1.0), ((20, 0), 1.0), ((20, 2), 0.5)])
def test_too_little_is_refused(shape: tuple[int, int], block: float) -> None:
    with pytest.raises(ValueError, match="too few"):
        superior_ability(np.zeros(shape), block=block)
