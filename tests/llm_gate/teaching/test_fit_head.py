"""Rows of an output layer from states and outcomes: the gains, the slope, early stopping, and no bias needed."""

import numpy as np
import numpy.typing as npt
import pytest

from llm_gate.contract import Label
from llm_gate.teaching.fit_head import AT_ONCE, STEPS, _in_blocks, chances_of, fit_head, gains_of, loss_of

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


def sessions_of(count: int) -> npt.NDArray[np.int64]:
    """Four cases a session."""
    return np.arange(count) // 4


def folds_of(count: int) -> list[npt.NDArray[np.bool_]]:
    return [np.isin(np.arange(count), block) for block in np.array_split(np.arange(count), 5)]


def test_a_gain_is_what_a_choice_earns_more_than_the_worst() -> None:
    """3 R: 3, 1.5 and 0. -1 R: 0, 0.5 and 1."""
    assert gains_of(np.array([3.0, -1.0]), LABELS).tolist() == [[3.0, 1.5, 0.0], [0.0, 0.5, 1.0]]
    assert gains_of(np.array([-1.0]), ("veto", "approve", "shrink")).tolist() == [[1.0, 0.0, 0.5]]


def test_the_optimum_approves_exactly_where_the_expected_r_is_above_zero() -> None:
    """Wins of 3 R pay for losses of 1 R from 3 in 12 on; one half of the cases wins 4 in 12, the other 2."""
    r = np.tile(np.array([3.0] * 4 + [-1.0] * 8 + [3.0] * 2 + [-1.0] * 10), 40)
    states = np.tile(np.repeat(np.eye(2), 12, axis=0), (40, 1)) + 1.0

    fit = fit_head(states, gains_of(r, LABELS), np.zeros((3, 2)), folds_of(len(r)), session=sessions_of(len(r)))

    (approve, _, veto), (approve_less, _, veto_more) = chances_of(np.eye(2) + 1.0, fit.rows)
    assert fit.found and approve > veto and approve_less < veto_more


def test_it_finds_the_direction_that_pays_and_judges_unseen_cases_by_it() -> None:
    states, r, holds = states_and_outcomes(1500)
    rows = np.random.default_rng(0).normal(0, 0.1, (3, 12))

    fit = fit_head(states[:1000], gains_of(r[:1000], LABELS), rows, folds_of(1000), session=sessions_of(1000))

    chances = chances_of(states[1000:], fit.rows)
    assert ((chances[:, 0] > chances[:, 2]) == holds[1000:]).mean() > 0.8
    assert fit.found and fit.loss_taught < min(fit.loss_before, fit.loss_same) and fit.steps > 0


def test_all_cases_left_out_choose_the_steps_not_those_of_the_last_fold() -> None:
    """One number in forty says what pays. The last fold's outcomes are dealt anew: by it three steps are best."""
    told, r, _ = states_and_outcomes(1000)
    generator, last = np.random.default_rng(8), folds_of(1000)[-1]
    together = generator.normal(0, 1, (1000, 1)) + generator.normal(0, 0.05, (1000, 39))
    r[last] = generator.permutation(r[last])
    states = np.column_stack([told[:, 4], together + 3.0])

    fit = fit_head(states, gains_of(r, LABELS), np.zeros((3, 40)), folds_of(1000), session=sessions_of(1000))

    assert fit.found and fit.steps > STEPS[1]


@pytest.mark.parametrize("labels", [LABELS, ("veto", "approve", "shrink")])
def test_where_nothing_is_told_everything_is_approved(labels: tuple[Label, ...]) -> None:
    """The letters stand in any order; outcomes lose on average, which is no reason for a gate that knows nothing."""
    states, r, _ = states_and_outcomes(1500, told=False)
    lost = np.where(r > 0, 2.0, r)
    approve = labels.index("approve")

    fit = fit_head(
        states[:1000],
        gains_of(lost[:1000], labels),
        np.zeros((3, 12)),
        folds_of(1000),
        session=sessions_of(1000),
        approve=approve,
    )

    assert lost.mean() < 0 and not fit.found
    assert chances_of(states[1000:], fit.rows)[:, approve].min() > 0.9


def test_the_same_cases_give_the_same_rows_bit_for_bit() -> None:
    states, r, _ = states_and_outcomes(300)
    gains, folds, session = gains_of(r, LABELS), folds_of(300), sessions_of(300)
    fits = [fit_head(states, gains, np.zeros((3, 12)), folds, session=session).rows for _ in range(2)]

    assert np.array_equal(fits[0], fits[1])


def test_chances_and_loss_by_hand() -> None:
    """Logits 0 and ln 3: chances 1/4 and 3/4. Gains 1 and 3: (ln 4 + 3 ln (4/3)) / 4."""
    rows = np.array([[0.0], [np.log(3.0)]])
    states = np.ones((1, 1))

    assert chances_of(states, rows)[0].tolist() == pytest.approx([0.25, 0.75])
    by_hand = (np.log(4) + 3 * np.log(4 / 3)) / 4
    assert loss_of(states @ rows.T, np.array([[1.0, 3.0]])) == pytest.approx(by_hand)


def test_cases_in_blocks_give_the_rows_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """39 multiplications a case: blocks of 7 cases, of which the last is not full, or one block of all 300."""
    states, r, _ = states_and_outcomes(300)

    def rows(at_once: int) -> Reals:
        monkeypatch.setattr("llm_gate.teaching.fit_head.AT_ONCE", at_once)
        return fit_head(states, gains_of(r, LABELS), np.zeros((3, 12)), folds_of(300), session=sessions_of(300)).rows

    assert rows(7 * 39) == pytest.approx(rows(10**9), abs=1e-9)


@pytest.mark.parametrize("count", [1, 151, 152, 800])
def test_no_block_is_so_large_that_openblas_divides_it(count: int) -> None:
    """At a model's width of 577 numbers and three letters 151 cases take 261,381 multiplications, of 262,144."""
    values = np.arange(2.0 * count).reshape(count, 2) + 1

    blocks = _in_blocks(values, 577 * 3)

    rows = blocks.reshape(-1, 2)
    assert blocks.shape[1] * 577 * 3 <= AT_ONCE and len(blocks) == -(-count // 151)
    assert np.array_equal(rows[:count], values) and not rows[count:].any()
