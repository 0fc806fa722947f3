"""Whether left-out cases are told apart: the sum by hand, what does not count, and how often luck passes."""

import numpy as np
import pytest

from llm_gate.teaching.fit_head import gains_of
from llm_gate.teaching.told_apart import LEAST_Z, told_apart, towards

ALL = [np.ones(4, bool)]


def test_standard_errors_by_hand() -> None:
    """Leaning 1, -1, 1, -1; earned 3, -1, 0, -2, of mean 0: products 3, 1, 0, 2. Sessions: 4 and 2.

    Mean 3, standard deviation sqrt 2, over the root of two sessions: one standard error is 1.
    """
    leaning, earned = np.array([1.0, -1.0, 1.0, -1.0]), np.array([3.0, -1.0, 0.0, -2.0])

    assert told_apart(leaning, earned, np.array([1, 1, 2, 2]), ALL) == pytest.approx(3.0)


def test_the_level_of_a_fold_counts_for_nothing() -> None:
    """What earned more in one fold, and leans there as a whole, tells no case of it from another."""
    generator = np.random.default_rng(0)
    leaning, earned, session = generator.normal(size=40), generator.normal(size=40), np.arange(40)
    folds = [session < 20, session >= 20]

    moved = told_apart(leaning + 9.0 * folds[0], earned + 5.0 * folds[0], session, folds)

    assert moved == pytest.approx(told_apart(leaning, earned, session, folds))
    assert told_apart(1.0 * folds[0], earned + 5.0 * folds[0], session, folds) == 0.0


def test_cases_of_one_session_are_one_piece_of_evidence() -> None:
    """Each case ten times over in its session says no more than once."""
    generator = np.random.default_rng(1)
    leaning, session = generator.normal(size=30), np.arange(30)
    earned = leaning + generator.normal(size=30)
    once = told_apart(leaning, earned, session, [session >= 0])

    often = told_apart(np.repeat(leaning, 10), np.repeat(earned, 10), np.repeat(session, 10), [np.ones(300, bool)])

    assert often == pytest.approx(once) and once > LEAST_Z


def test_cases_outside_the_folds_are_no_evidence() -> None:
    generator = np.random.default_rng(2)
    leaning, earned, session = generator.normal(size=40), generator.normal(size=40), np.arange(40)
    some = session < 25

    assert told_apart(leaning, earned, session, [some]) == pytest.approx(
        told_apart(leaning[some], earned[some], session[some], [some[some]])
    )


def test_by_luck_it_is_passed_about_as_often_as_two_standard_errors_say() -> None:
    """One side of a normal distribution beyond 2: 2.3 in 100, here of 500 draws."""
    generator = np.random.default_rng(3)
    session, folds = np.repeat(np.arange(100), 3), [np.arange(300) % 5 == fold for fold in range(5)]

    passed = np.mean(
        [
            told_apart(generator.normal(size=300), generator.choice([2.95, -1.05], 300), session, folds) > LEAST_Z
            for _ in range(500)
        ]
    )

    assert 0.006 < passed < 0.05


def test_what_gains_and_logits_lean_to() -> None:
    """Gains lean to approving in proportion to R: 3, 1.5 and 0 of 3 R, and 0, 0.5 and 1 of -1 R."""
    gains = gains_of(np.array([3.0, -1.0]), ("approve", "shrink", "veto"))

    assert towards(0, gains).tolist() == [2.25, -0.75]
    assert towards(1, np.array([[2.0, 7.0, 4.0]])).tolist() == [4.0]
