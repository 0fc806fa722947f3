"""The running normaliser against NumPy over everything seen."""

import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.normaliser import BOUND, initial_normaliser, merge, moments, normalise


def test_merged_moments_equal_numpy_over_all_raw_observations() -> None:
    """Batches of unequal size with means far from zero."""
    rng = np.random.default_rng(0)
    batches = [rng.normal(50, 3, (rows, 4)).astype(np.float32) for rows in (7, 64, 1, 256)]

    running = initial_normaliser(4)
    for batch in batches:
        running = merge(running, moments(jnp.asarray(batch)))

    every = np.concatenate(batches).astype(np.float64)
    np.testing.assert_allclose(running.mean, every.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(running.variance, every.var(axis=0), rtol=1e-4)
    assert running.seen.tolist() == [len(every)] * 4


def test_a_fresh_normaliser_changes_nothing() -> None:
    """Mean 0, variance 1."""
    raw = jnp.array([[-2.0, 0.0, 3.5]])

    assert normalise(initial_normaliser(3), raw).tolist() == raw.tolist()


def test_normalised_observations_are_standard_and_bounded() -> None:
    """An input 1000 deviations out must not reach the network as 1000."""
    raw = jnp.asarray(np.random.default_rng(1).normal(-7, 0.1, (1000, 2)), jnp.float32)
    known = moments(raw)

    normal = normalise(known, raw)

    assert np.allclose(normal.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(normal.std(axis=0), 1, atol=1e-3)
    assert normalise(known, raw + 100.0).max() == BOUND


def test_an_input_that_never_moved_stays_finite() -> None:
    """Position inputs are constant zero until the first trade."""
    known = moments(jnp.zeros((8, 1)))

    assert normalise(known, jnp.zeros((1, 1))).tolist() == [[0.0]]
    assert normalise(known, jnp.ones((1, 1))).tolist() == [[BOUND]]


def test_window_decay_weighs_bars_of_the_window_by_their_age() -> None:
    """20 bars x 11 features, oldest first, then the position: the newest bar counts 1, then 1/2, then 1/3."""
    gain = initial_normaliser(225, window_decay=1.0).gain

    assert gain[209:].tolist() == [1.0] * 16
    assert gain[198:209].tolist() == [0.5] * 11
    assert gain[187:198].tolist() == pytest.approx([1 / 3] * 11)
    assert gain[:11].tolist() == pytest.approx([1 / 20] * 11)
    assert normalise(initial_normaliser(225, window_decay=1.0), jnp.ones((1, 225)))[0].tolist() == gain.tolist()


def test_the_gain_survives_merging() -> None:
    """It is a setting, not a statistic."""
    known = merge(initial_normaliser(225, window_decay=0.5), moments(jnp.ones((4, 225))))

    assert known.gain.tolist() == initial_normaliser(225, window_decay=0.5).gain.tolist()
