"""Combinatorial splits and paths: as in the book, and against a brute force that looks at every session alone."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.trades import Trades, trades_from
from rl_core.proofs.combinatorial import CombinatorialRules, combinatorial_splits, paths_over
from rl_core.proofs.combinatorial_walk import SplitResult, _overfitting, path_matrices
from trigate.errors import DataError

DAYS = np.array([day for day in range(19_000, 19_040) if day % 7 not in (3, 4)], np.int32)  # 28 sessions, no weekends
SEED = 3


def trained(days: np.ndarray, rules: CombinatorialRules) -> list[set[int]]:
    """The sessions that each split trains on, from its runs."""
    return [
        {int(day) for run in split.train for day in days[(days >= run.first) & (days <= run.last)]}
        for split in combinatorial_splits(days, rules)
    ]


@pytest.mark.parametrize("embargo", [0, 1, 2])
@pytest.mark.parametrize(("groups", "judged"), [(4, 1), (4, 2), (6, 2), (5, 3)])
def test_splits_are_those_of_a_brute_force(groups: int, judged: int, embargo: int) -> None:
    """A session is trained on unless it, or one within the embargo of it on either side, is judged."""
    rules = CombinatorialRules(groups, judged, embargo)
    group_of = np.repeat(np.arange(groups), np.diff(np.arange(groups + 1) * len(DAYS) // groups))

    splits = combinatorial_splits(DAYS, rules)

    assert len(splits) == rules.splits == comb(groups, judged)
    for split, of_split, chosen in zip(splits, trained(DAYS, rules), combinations(range(groups), judged), strict=True):
        assert tuple(group.number for group in split.test) == chosen
        for group in split.test:
            inside = DAYS[group_of == group.number]
            assert (group.sessions.first, group.sessions.last, group.sessions.total) == (
                inside[0], inside[-1], len(inside),
            )  # fmt: skip
        expected = {
            int(day)
            for place, day in enumerate(DAYS)
            if not set(group_of[max(0, place - embargo) : place + embargo + 1]) & set(chosen)
        }
        assert of_split == expected and sum(run.total for run in split.train) == len(expected)
        for before, after in zip(split.train, split.train[1:], strict=False):
            assert DAYS[(before.last < DAYS) & (after.first > DAYS)].size > 0, "runs are apart"


def test_paths_are_those_of_the_book() -> None:
    """Six groups, two judged: 15 splits and 5 paths, the first two as section 12.4.1 lists them, splits from 1."""
    rules = CombinatorialRules(6, 2)

    paths = paths_over(combinatorial_splits(DAYS, rules), rules)

    assert len(paths) == rules.paths == 5
    assert [place + 1 for place in paths[0]] == [1, 1, 2, 3, 4, 5]
    assert [place + 1 for place in paths[1]] == [2, 6, 6, 7, 8, 9]


@pytest.mark.parametrize(("groups", "judged"), [(4, 1), (4, 2), (6, 3)])
def test_every_judgement_is_on_one_path_and_no_more(groups: int, judged: int) -> None:
    rules = CombinatorialRules(groups, judged, embargo=0)
    splits = combinatorial_splits(DAYS, rules)

    used = [(place, group) for path in paths_over(splits, rules) for group, place in enumerate(path)]

    judgements = [(place, group.number) for place, split in enumerate(splits) for group in split.test]
    assert sorted(used) == sorted(judgements) and len(set(used)) == len(used)


@pytest.mark.parametrize(
    ("rules", "cause"),
    [
        (CombinatorialRules(4, 4), "4 of 4 groups cannot be judged"),
        (CombinatorialRules(4, 2, embargo=20), "none is left to train on"),
        (CombinatorialRules(40, 2), "28 sessions are too few for 40 groups"),
    ],
)
def test_what_leaves_nothing_to_train_on_is_refused(rules: CombinatorialRules, cause: str) -> None:
    with pytest.raises(DataError, match=cause):
        combinatorial_splits(DAYS, rules)


def earned(day: int, r: int) -> Evaluation:
    """One trade, of ``r`` R."""
    row = {**dict.fromkeys(Trades._fields, 0), "session": day, "pnl_cents": r, "risk_cents": 1}
    return Evaluation(trades_from([tuple(row[name] for name in Trades._fields)]), 1, 0, None)


def test_a_path_is_put_together_of_what_each_split_judged() -> None:
    """Split number s earns s R on the first session of each group: on a path they stand where its groups do."""
    rules = CombinatorialRules(4, 2)
    splits = combinatorial_splits(DAYS, rules)
    done = [
        SplitResult(
            split,
            {SEED: tuple(earned(group.sessions.first, split.number) for group in split.test)},
            False,
            False,
        )
        for split in splits
    ]

    matrices = path_matrices(done, rules, DAYS)

    firsts = np.searchsorted(DAYS, [DAYS[edge] for edge in np.arange(4) * len(DAYS) // 4])
    assert matrices.shape == (3, len(DAYS), 1)
    # Splits of four groups: 1 = (1, 2), 2 = (1, 3), 3 = (1, 4), 4 = (2, 3), 5 = (2, 4), 6 = (3, 4).
    assert matrices[:, firsts, 0].tolist() == [[1, 1, 2, 3], [2, 4, 4, 5], [3, 5, 6, 6]]
    assert matrices.sum() == sum(2 * split.number for split in splits)


def test_choosing_the_best_of_equal_seeds_is_overfitting_and_of_one_better_seed_is_not() -> None:
    """Noise alone: the best inside is below the middle outside about as often as not; a seed that is better never."""
    noise = np.random.default_rng(2).normal(size=(4, 96, 3))
    better = noise.copy()
    better[:, :, 1] += 2.0

    by_luck, by_merit = _overfitting(noise), _overfitting(better)

    assert by_luck is not None and by_merit is not None and by_luck.paths == 4
    assert 0.3 < by_luck.probability < 0.9 and by_merit.probability == 0.0 and by_merit.median_rank == 1.0
    assert _overfitting(noise[:, :, :1]) is None and _overfitting(noise[:, :3]) is None
