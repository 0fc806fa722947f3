"""The hidden Markov model against every path of tiny cases, on data whose states are known, and bit for bit."""

from itertools import pairwise, product
from math import exp, log, pi, sqrt

import numpy as np
import pytest

from rl_core.regimes.hidden_markov import HiddenMarkov, Reals, _smooth, filtered, filtered_step, fit

MODEL = HiddenMarkov(
    np.array([0.6, 0.3, 0.1]),
    np.array([[0.8, 0.15, 0.05], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]]),
    np.array([-1.0, 0.2, 1.5]),
    np.array([0.5, 0.8, 1.1]),
)
VALUES = [0.3, -1.2, 0.9, 2.0, -0.4]


def joint(path: tuple[int, ...], values: list[float]) -> float:
    """P(path, values), term by term."""
    chance = MODEL.start[path[0]]
    for a, b in pairwise(path):
        chance *= MODEL.transition[a, b]
    for k, x in zip(path, values, strict=True):
        z = (x - MODEL.mean[k]) / MODEL.spread[k]
        chance *= exp(-0.5 * z * z) / (MODEL.spread[k] * sqrt(2 * pi))
    return float(chance)


def posterior(values: list[float], at: int) -> list[float]:
    """P(state at ``at`` | values), summed over every path."""
    paths = list(product(range(3), repeat=len(values)))
    total = sum(joint(path, values) for path in paths)
    return [sum(joint(path, values) for path in paths if path[at] == k) / total for k in range(3)]


def test_the_filter_is_the_sum_over_every_path_of_the_past() -> None:
    found = filtered(MODEL, np.array(VALUES), np.zeros(5, np.int32))

    for t in range(5):
        np.testing.assert_allclose(found[t], posterior(VALUES[: t + 1], t), rtol=1e-12)


def test_expected_states_moves_and_likelihood_are_sums_over_every_path() -> None:
    """Two sessions of unequal length; the shorter one's missing end counts for nothing."""
    table = np.array([VALUES, [*VALUES[:3], np.nan, np.nan]])
    sequences = (VALUES, VALUES[:3])

    smoothed = _smooth(MODEL, table)

    chances = [sum(joint(p, v) for p in product(range(3), repeat=len(v))) for v in sequences]
    assert smoothed.log_likelihood == pytest.approx(sum(map(log, chances)), rel=1e-12)
    moves = np.zeros((3, 3))
    for values, chance in zip(sequences, chances, strict=True):
        for path in product(range(3), repeat=len(values)):
            for a, b in pairwise(path):
                moves[a, b] += joint(path, values) / chance
    np.testing.assert_allclose(smoothed.moves, moves, rtol=1e-10)
    for row, values in enumerate(sequences):
        for t in range(len(values)):
            np.testing.assert_allclose(smoothed.state[t, row], posterior(values, t), rtol=1e-10)
    assert not smoothed.state[3:, 1].any()


def drawn(seed: int, sessions: int, length: int) -> tuple[Reals, np.ndarray, np.ndarray]:
    """Two lasting states, at -1 and +1 with a spread of 0.7: values, sessions and the states."""
    generator = np.random.default_rng(seed)
    state = np.empty((sessions, length), int)
    state[:, 0] = generator.integers(2, size=sessions)
    for n in range(1, length):
        stays = generator.random(sessions) < np.array([0.98, 0.95])[state[:, n - 1]]
        state[:, n] = np.where(stays, state[:, n - 1], 1 - state[:, n - 1])
    values = np.where(state == 1, 1.0, -1.0) + 0.7 * generator.standard_normal(state.shape)
    return values.ravel(), np.repeat(np.arange(sessions, dtype=np.int32), length), state.ravel()


def test_em_finds_the_states_that_made_the_data_and_never_loses_likelihood() -> None:
    values, session, state = drawn(1, 40, 300)

    found = fit(values, session, 2)

    np.testing.assert_allclose(found.model.mean, [-1, 1], atol=0.05)
    np.testing.assert_allclose(found.model.spread, 0.7, atol=0.05)
    np.testing.assert_allclose(np.diag(found.model.transition), [0.98, 0.95], atol=0.01)
    assert np.all(np.diff(found.log_likelihoods) >= -1e-6)
    assert np.mean(filtered(found.model, values, session).argmax(axis=1) == state) > 0.95


def test_a_step_at_a_time_gives_the_batch_bit_for_bit_and_a_session_starts_afresh() -> None:
    values, session, _ = drawn(2, 7, 53)
    batch = filtered(MODEL, values, session)

    before, rows = None, []
    for t, value in enumerate(values):
        before = filtered_step(MODEL, None if t % 53 == 0 else before, np.array([value]))
        rows.append(before[0])

    np.testing.assert_array_equal(np.stack(rows), batch)


def test_an_outlier_makes_no_state_impossible_for_ever() -> None:
    values = np.array([0.0, 1e6, *([-1.0] * 30)])

    found = filtered(MODEL, values, np.zeros(len(values), np.int32))

    assert np.isfinite(found).all() and found[-1].argmax() == 0
