"""Combinatorial purged cross-validation: sessions in groups, every choice of some of them judged by the others.

Source: López de Prado 2018, Advances in Financial Machine Learning, sections 7.4 and 12.4. N groups of which k are
judged make C(N, k) splits, and C(N - 1, k - 1) paths over all groups, as each group is judged in so many splits.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

from rl_core.proofs.folds import Days, Sessions, sessions_of
from trigate.errors import DataError


class CombinatorialRules(NamedTuple):
    """How sessions are cut."""

    groups: int = 6
    judged: int = 2
    """Groups that are judged at a time; the policy is trained on the others."""
    embargo: int = 1
    """Sessions left out of training on both sides of a judged group."""

    @property
    def splits(self) -> int:
        """Trainings a seed."""
        return comb(self.groups, self.judged)

    @property
    def paths(self) -> int:
        """Courses over all sessions, each session judged by another policy in each of them."""
        return comb(self.groups - 1, self.judged - 1)


class JudgedGroup(NamedTuple):
    """Consecutive sessions that are judged together."""

    number: int  # from 0
    sessions: Sessions


class Split(NamedTuple):
    """One choice of groups."""

    number: int  # from 1
    train: tuple[Sessions, ...]  # runs of sessions without a gap, in order of time
    test: tuple[JudgedGroup, ...]


def combinatorial_splits(days: Days, rules: CombinatorialRules) -> list[Split]:
    """Every split of ``days`` [D], ascending dates of sessions.

    Nothing has to be purged beyond whole sessions, as no trade outlives its own. The embargo lies on both sides of a
    judged group: before it as in `walk_forward_folds`, behind it because the first features of a session reach back
    over the one before.

    Raises:
        DataError: as many groups are judged as there are, or sessions are too few for one to train on.
    """
    if not 0 < rules.judged < rules.groups:
        raise DataError(
            f"{rules.judged} of {rules.groups} groups cannot be judged: at least one has to be trained on; judge fewer"
        )
    edges = np.arange(rules.groups + 1) * len(days) // rules.groups
    splits = []
    for number, chosen in enumerate(combinations(range(rules.groups), rules.judged), 1):
        kept = np.ones(len(days), bool)
        for group in chosen:
            kept[max(0, edges[group] - rules.embargo) : edges[group + 1] + rules.embargo] = False
        if not kept.any() or (np.diff(edges) == 0).any():
            raise DataError(
                f"{len(days)} sessions are too few for {rules.groups} groups with an embargo of {rules.embargo}: none "
                f"is left to train on where groups {', '.join(str(group + 1) for group in chosen)} are judged; give "
                "more bars or fewer groups"
            )
        test = tuple(JudgedGroup(group, sessions_of(days[edges[group] : edges[group + 1]])) for group in chosen)
        splits.append(Split(number, _runs(days, kept), test))
    return splits


def paths_over(splits: Sequence[Split], rules: CombinatorialRules) -> list[tuple[int, ...]]:
    """[paths][groups] which split, by its place, judges each group on each path.

    The j-th path takes of every group the j-th split that judges it, so every judgement is on one path and no more.
    """
    judging: list[list[int]] = [[] for _ in range(rules.groups)]
    for place, split in enumerate(splits):
        for group in split.test:
            judging[group.number].append(place)
    return [tuple(of_group[path] for of_group in judging) for path in range(rules.paths)]


def _runs(days: Days, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[Sessions, ...]:
    """The sessions that are kept, in runs without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], kept.astype(np.int8), [0]])))
    return tuple(sessions_of(days[first:stop]) for first, stop in zip(edges[::2], edges[1::2], strict=True))
