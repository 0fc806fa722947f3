"""Folds: every session is judged once, by a policy that has seen nothing of it or of what follows."""

import numpy as np
import pytest

from rl_core.proofs.folds import FoldRules, walk_forward_folds
from trigate.errors import DataError

DAYS = np.array([100, 101, 102, 103, 104, 107, 108, 109, 110, 111, 114, 115, 116], np.int32)  # 13 sessions


def spans(rules: FoldRules) -> list[tuple[int, int, int, int]]:
    folds = walk_forward_folds(DAYS, rules)
    return [(fold.train.first, fold.train.last, fold.test.first, fold.test.last) for fold in folds]


def test_folds_by_hand() -> None:
    """Six sessions before the first fold, of which one is left out; the other seven are 2, 2 and 3."""
    assert spans(FoldRules(folds=3, first_share=0.5, embargo=1)) == [
        (100, 104, 108, 109),
        (100, 108, 110, 111),
        (100, 110, 114, 116),
    ]


def test_a_window_that_rolls_keeps_its_length() -> None:
    assert spans(FoldRules(folds=3, first_share=0.5, embargo=1, rolling=True)) == [
        (100, 104, 108, 109),
        (102, 108, 110, 111),
        (104, 110, 114, 116),
    ]


@pytest.mark.parametrize("embargo", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_each_session_is_judged_once_and_the_embargo_lies_between(embargo: int, count: int) -> None:
    folds = walk_forward_folds(DAYS, FoldRules(folds=count, first_share=0.46, embargo=embargo))

    judged = [day for fold in folds for day in DAYS[(fold.test.first <= DAYS) & (fold.test.last >= DAYS)]]
    assert judged == list(DAYS[int(0.46 * len(DAYS)) :])
    for fold in folds:
        between = DAYS[(fold.train.last < DAYS) & (fold.test.first > DAYS)]
        assert len(between) == embargo and fold.train.last < fold.test.first
        assert fold.test.total == np.sum((fold.test.first <= DAYS) & (fold.test.last >= DAYS))
    assert [fold.locked for fold in folds] == [False] * (count - 1) + [True]


@pytest.mark.parametrize("rules", [FoldRules(folds=8, first_share=0.5), FoldRules(folds=2, first_share=0.1, embargo=1)])
def test_too_few_sessions_are_refused_with_the_figures(rules: FoldRules) -> None:
    with pytest.raises(DataError, match="13 sessions are too few"):
        walk_forward_folds(DAYS, rules)


def test_a_gates_share_is_cut_off_the_sessions_before_a_fold_by_hand() -> None:
    """Of five sessions before the first fold two are the gate's, one is left out before them and two train."""
    folds = walk_forward_folds(DAYS, FoldRules(folds=3, first_share=0.5, embargo=1, gate_share=0.4))

    cut = [(fold.train.first, fold.train.last, fold.gate, fold.test.first) for fold in folds]
    assert [(first, last, gate and (gate.first, gate.last), test) for first, last, gate, test in cut] == [
        (100, 101, (103, 104), 108),
        (100, 102, (104, 108), 110),
        (100, 103, (107, 110), 114),
    ]


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("embargo", [0, 1, 2])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_policy_gate_and_judge_share_no_session_and_the_embargo_lies_between_each(
    share: float, embargo: int, rolling: bool
) -> None:
    days = np.arange(200, 260, dtype=np.int32)
    rules = FoldRules(folds=4, embargo=embargo, rolling=rolling, gate_share=share)
    without = walk_forward_folds(days, rules._replace(gate_share=0.0))

    for fold, whole in zip(walk_forward_folds(days, rules), without, strict=True):
        assert fold.gate is not None and fold.test == whole.test
        assert fold.train.last + embargo + 1 == fold.gate.first and fold.gate.last + embargo + 1 == fold.test.first
        assert fold.gate.total == round(share * whole.train.total)
        assert fold.train.first == whole.train.first and fold.gate.last == whole.train.last
        assert fold.train.total + embargo + fold.gate.total == whole.train.total


@pytest.mark.parametrize("share", [0.05, 0.9])
def test_a_share_that_leaves_nothing_to_the_gate_or_to_the_policy_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="5 sessions before a fold are too few for a gate's share"):
        walk_forward_folds(DAYS, FoldRules(folds=3, first_share=0.5, embargo=1, gate_share=share))
