"""Outcomes dealt anew: a find is one that luck seldom reaches, also where outcomes of a session hang together."""

import numpy as np
import pytest

from llm_gate.teaching.dealt_anew import Descent, _apart, _best, _dealt, _fold, luck_of_fit, luck_of_leaning
from llm_gate.teaching.told_apart import told_apart

DESCENT = Descent((3, 10, 40, 160), 0.1)
SESSIONS, A_SESSION, WIDTH = 60, 4, 12


def folds_of(session: np.ndarray) -> list[np.ndarray]:
    return [np.isin(session, block) for block in np.array_split(np.unique(session), 5)]


def drawn(seed: int, knows: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States whose half is of the whole session, and outcomes that are mostly the session's; ``knows`` joins them."""
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(SESSIONS), A_SESSION)
    states = rng.normal(size=(len(session), WIDTH)) + 2 * rng.normal(size=(SESSIONS, WIDTH))[session]
    earned = 2 * rng.normal(size=SESSIONS)[session] + rng.normal(size=len(session)) + knows * states[:, 0]
    return states, earned, session


def chance(states: np.ndarray, earned: np.ndarray, session: np.ndarray, deals: int = 39) -> float:
    return luck_of_fit(states, earned, session, folds_of(session), DESCENT, deals=deals)


def test_what_is_there_is_found_and_no_dealing_tells_as_well() -> None:
    states, earned, session = drawn(0, knows=1.0)

    assert chance(states, earned, session) == pytest.approx(1 / 40)
    assert chance(states, earned, session) == chance(states, earned, session), "nothing hangs on a clock"


def test_of_twins_whose_sessions_hang_together_one_in_twenty_is_found() -> None:
    told = np.array([chance(*drawn(seed, knows=0.0)) for seed in range(60)])

    assert (told <= 0.05).sum() <= 6
    assert 0.3 < told.mean() < 0.7


def test_dealing_keeps_what_a_session_earned_together() -> None:
    earned = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 100.0])

    for dealt in _dealt(earned, np.array([0, 0, 0, 1, 1, 2]), 20):
        assert sorted(dealt) == sorted(earned)
        text = " ".join(f"{value:g}" for value in dealt)
        assert all(part in text for part in ("1 2 3", "10 20"))


def test_the_leaning_is_that_of_gradient_descent_step_by_step() -> None:
    """On least squares, from zero, in units of the other folds."""
    states, earned, session = drawn(2, knows=0.5)
    left_out = folds_of(session)[1]

    fold = _fold(states, left_out, DESCENT)
    found = fold.from_others @ earned[~left_out]
    leaning = [fold.to_left_out @ (kept * found) for kept in fold.kept]

    others = states[~left_out]
    x = np.column_stack([np.ones(len(states)), (states - others.mean(axis=0)) / others.std(axis=0)])
    known, y = x[~left_out], earned[~left_out]
    largest = np.linalg.eigvalsh(known.T @ known / len(known))[-1]
    weights, at = np.zeros(x.shape[1]), 0
    for step in range(1, DESCENT.steps[-1] + 1):
        weights = weights - DESCENT.rate / largest * known.T @ (known @ weights - y) / len(known)
        if step in DESCENT.steps:
            assert leaning[at] == pytest.approx(x[left_out] @ weights, abs=1e-8)
            at += 1
    assert at == len(DESCENT.steps)


def test_each_dealing_takes_the_number_of_steps_that_tells_it_best_and_not_the_surest() -> None:
    dealt = np.array([[1.0, 3.0], [-1.0, -3.0]])
    leaning = np.stack([np.full((2, 2), 0.8) * np.sign(dealt), np.full((2, 2), 3.5) * np.sign(dealt)])

    assert _best(leaning, dealt).tolist() == [[0.8, 3.5], [-0.8, -3.5]]


def test_many_are_told_apart_as_one_is() -> None:
    rng = np.random.default_rng(1)
    session, leaning, earned = np.repeat(np.arange(20), 3), rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    leaning[:, 3] = 1.0
    folds = folds_of(session)

    found = _apart(leaning, earned, session, folds)

    assert found == pytest.approx([told_apart(leaning[:, k], earned[:, k], session, folds) for k in range(4)])
    assert found[3] == 0


def test_a_leaning_of_cases_that_no_fit_saw_is_judged_as_it_stands() -> None:
    states, earned, session = drawn(3, knows=1.0)
    coin = np.random.default_rng(4).normal(size=len(session))

    assert luck_of_leaning(states[:, 0], earned, session) == pytest.approx(1 / 200)
    assert luck_of_leaning(-states[:, 0], earned, session) == 1.0
    assert 0.05 < luck_of_leaning(coin, earned, session) < 1.0
