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
