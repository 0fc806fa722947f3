"""Rows of an output layer from states and outcomes: the gains, the slope, early stopping, and no bias needed."""

import numpy as np
import numpy.typing as npt
import pytest

from llm_gate.contract import Label
from llm_gate.teaching.fit_head import chances_of, fit_head, gains_of, loss_of

LABELS: tuple[Label, ...] = ("approve", "shrink", "veto")
Reals = npt.NDArray[np.float64]


def states_and_outcomes(count: int, *, told: bool = True) -> tuple[Reals, Reals, npt.NDArray[np.bool_]]:
    """States [N, 12] around a large mean, in which one direction says what pays if ``told``: 45 or 15 wins in 100."""
    generator = np.random.default_rng(3)
    holds = generator.random(count) < 0.5
    states = generator.normal(0, 1, (count, 12)) + np.linspace(-9, 9, 12)
    if told:
        states[:, 4] += np.where(holds, 1.5, -1.5)
    won = generator.random(count) < np.where(holds, 0.45, 0.15)
    return states, np.where(won, 2.95, -1.05), holds


def folds_of(count: int) -> list[npt.NDArray[np.bool_]]:
    return [np.isin(np.arange(count), block) for block in np.array_split(np.arange(count), 5)]


def test_a_gain_is_what_a_choice_earns_more_than_the_worst() -> None:
    """3 R: 3, 1.5 and 0. -1 R: 0, 0.5 and 1."""
    assert gains_of(np.array([3.0, -1.0]), LABELS).tolist() == [[3.0, 1.5, 0.0], [0.0, 0.5, 1.0]]
    assert gains_of(np.array([-1.0]), ("veto", "approve", "shrink")).tolist() == [[1.0, 0.0, 0.5]]


def test_the_optimum_approves_exactly_where_the_expected_r_is_above_zero() -> None:
    """Wins of 3 R pay for losses of 1 R from 3 in 12 on; a row on a constant state finds the mean."""
    for wins, losses, approves in ((4, 8, True), (2, 10, False)):
        r = np.array([3.0] * wins + [-1.0] * losses)
        states, rows = np.ones((len(r), 1)), np.zeros((3, 1))

        fit = fit_head(states, gains_of(r, LABELS), rows, [np.ones(len(r), bool), np.arange(len(r)) % 2 == 0])

        approve, _, veto = chances_of(states, fit.rows)[0]
        assert (approve > veto) == approves


def test_it_finds_the_direction_that_pays_and_judges_unseen_cases_by_it() -> None:
    states, r, holds = states_and_outcomes(1500)
    rows = np.random.default_rng(0).normal(0, 0.1, (3, 12))

    fit = fit_head(states[:1000], gains_of(r[:1000], LABELS), rows, folds_of(1000))

    chances = chances_of(states[1000:], fit.rows)
    assert ((chances[:, 0] > chances[:, 2]) == holds[1000:]).mean() > 0.8
    assert fit.loss_taught < fit.loss_before and fit.steps > 0


def test_where_nothing_is_told_it_stops_early_and_orders_nothing() -> None:
    states, r, holds = states_and_outcomes(1500, told=False)

    fit = fit_head(states[:1000], gains_of(r[:1000], LABELS), np.zeros((3, 12)), folds_of(1000))

    chances = chances_of(states[1000:], fit.rows)
    margin = chances[:, 0] - chances[:, 2]
    auc = (margin[holds[1000:]][:, None] > margin[~holds[1000:]][None, :]).mean()
    assert auc == pytest.approx(0.5, abs=0.1)


def test_the_same_cases_give_the_same_rows_bit_for_bit() -> None:
    states, r, _ = states_and_outcomes(300)
    fits = [fit_head(states, gains_of(r, LABELS), np.zeros((3, 12)), folds_of(300)).rows for _ in range(2)]

    assert np.array_equal(fits[0], fits[1])


def test_chances_and_loss_by_hand() -> None:
    """Logits 0 and ln 3: chances 1/4 and 3/4. Gains 1 and 3: (ln 4 + 3 ln (4/3)) / 4."""
    rows = np.array([[0.0], [np.log(3.0)]])
    states = np.ones((1, 1))

    assert chances_of(states, rows)[0].tolist() == pytest.approx([0.25, 0.75])
    by_hand = (np.log(4) + 3 * np.log(4 / 3)) / 4
    assert loss_of(states @ rows.T, np.array([[1.0, 3.0]])) == pytest.approx(by_hand)
