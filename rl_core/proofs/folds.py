"""Cuts the sessions of a market into folds: each is judged on sessions that lie behind those it is trained on."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trigate.errors import DataError

Days = npt.NDArray[np.int32]


class Sessions(NamedTuple):
    """Consecutive sessions; dates are days since 1970-01-01."""

    first: int
    last: int  # included
    total: int

    @property
    def label(self) -> str:
        """First and last date."""
        first, last = np.array([self.first, self.last]).astype("datetime64[D]")
        return f"{first} to {last}"


class Fold(NamedTuple):
    """One step of a walk forward."""

    number: int  # from 1
    train: Sessions
    test: Sessions
    locked: bool  # the last one, which is kept shut until the end
    gate: Sessions | None = None  # between them: a gate may be taught there, as the policy has not seen it


class FoldRules(NamedTuple):
    """How sessions are cut."""

    folds: int = 8
    first_share: float = 0.4
    """Of the sessions, before the first that is judged."""
    embargo: int = 1
    """Sessions left out between training and test."""
    rolling: bool = False
    """Each fold trains on as many sessions as the first; otherwise on all before it."""
    gate_share: float = 0.0
    """Of the sessions before the judged ones, the last ones, which no policy is trained on; 0: there are none."""


def walk_forward_folds(days: Days, rules: FoldRules) -> list[Fold]:
    """The folds of ``days`` [D], ascending dates of sessions.

    No trade outlives its session, so training and test share no outcome as long as no session is cut, and nothing has
    to be purged beyond that (López de Prado 2018, Advances in Financial Machine Learning, section 7.4.1). The embargo
    keeps what one session passes on to the next, such as its volatility, from both sides of the cut. It also lies
    between what a policy is trained on and what a gate is taught on.

    Raises:
        DataError: too few sessions for so many folds, or for one to train on, or for a share of a gate.
    """
    begin = int(len(days) * rules.first_share)
    size = begin - rules.embargo
    if len(days) - begin < rules.folds or size < 1:
        raise DataError(
            f"{len(days)} sessions are too few: the first {begin} are to train on, {rules.embargo} of them left out, "
            f"and the other {len(days) - begin} to be judged in {rules.folds} folds; give more bars or fewer folds"
        )
    edges = begin + np.arange(rules.folds + 1) * (len(days) - begin) // rules.folds
    folds = []
    for number, (start, stop) in enumerate(pairwise(edges), 1):
        until = start - rules.embargo
        train, gate = _parted(days[until - size if rules.rolling else 0 : until], rules)
        folds.append(Fold(number, train, sessions_of(days[start:stop]), number == rules.folds, gate))
    return folds


def _parted(before: Days, rules: FoldRules) -> tuple[Sessions, Sessions | None]:
    """What the policy is trained on, and the later sessions of ``before`` that are left to a gate."""
    if not rules.gate_share:
        return sessions_of(before), None
    gate = round(rules.gate_share * len(before))
    train = len(before) - gate - rules.embargo
    if gate < 1 or train < 1:
        raise DataError(
            f"{len(before)} sessions before a fold are too few for a gate's share of {rules.gate_share:g}: {train} to "
            f"train on, {rules.embargo} left out, {gate} for the gate; give more bars or another --gate-share"
        )
    return sessions_of(before[:train]), sessions_of(before[-gate:])


def sessions_of(days: Days) -> Sessions:
    """``days`` [D] without a gap between them, as the span that they are."""
    return Sessions(int(days[0]), int(days[-1]), len(days))
