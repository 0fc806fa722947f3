"""Gates of several folds and policies together: one interval over all judged sessions, and what they did by regime.

Policies of one fold meet the same sessions, so a session with all of them is one block: its difference is their mean.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.gate_worth import APPROVING, THREE_LINES, GateWorth, Played
from rl_core.regimes.fitted import LABELS
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from trigate.intervals import widened_level

LEVEL = 0.95  # of all intervals by regime together
RARE_BELOW = 0.05
"""A regime with a smaller share of the cases that a gate was taught on was rare to it; nine alike have 0.11 each."""
RARE, OFTEN = "rare when taught", "often met when taught"

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.bool_]


class JudgedGate(NamedTuple):
    """The gate of one policy, taught before the sessions that it is judged on."""

    fold: int
    seed: int
    worth: GateWorth
    taught: Integers  # [9] cases that it was taught on, by regime
    asked: Integers  # [9] entries of the judged sessions that it was asked about
    stopped: Integers  # [9] of them that it vetoed or shrank
    untaught: str = ""  # why nothing could be taught, so that everything was approved

    @property
    def rare(self) -> Chosen:
        """[9] regimes that it hardly met when it was taught; none of a gate that was not."""
        total = self.taught.sum()
        return np.asarray((total > 0) & (self.taught < RARE_BELOW * total))


class RegimeUplift(NamedTuple):
    """What gates did in one regime, or in several."""

    name: str
    taught: int  # cases
    share: float  # of all cases that taught
    asked: int
    stopped: int
    uplift: Interval | None  # R a session in which there was a trade there, more than approving all; None: no such

    @property
    def word(self) -> str:
        """What the interval says."""
        if not self.asked:
            return "not met"
        if not self.stopped:
            return "left alone"
        if self.uplift is None or self.uplift.low is None or self.uplift.high is None:
            return "NOT PROVEN"
        return "helps" if self.uplift.low > 0 else "harms" if self.uplift.high < 0 else "NOT PROVEN"

    def row(self) -> dict[str, Any]:
        """Plain values."""
        uplift = None if self.uplift is None else self.uplift._asdict()
        return {**self._asdict(), "uplift": uplift, "word": self.word}


class PooledGates(NamedTuple):
    """All gates of a walk."""

    sessions: int
    r: dict[str, float]  # R a session of each kind of path
    over_approving: Interval | None  # R a session
    over_random: Interval | None
    beaten: float  # share of the random reruns with less R over all folds
    folds_judged: int
    folds_better: int  # than approving everything
    regimes: tuple[RegimeUplift, ...]  # those that were met
    by_rarity: tuple[RegimeUplift, ...]  # what was rare to each gate when it was taught, and the rest


def pooled(judged: Sequence[JudgedGate]) -> PooledGates:
    """Everything over all folds; ``judged`` holds the gates of every policy of each of them."""
    gate, approving = _by_session(judged, _gate), _by_session(judged, _approving)
    random = _by_session(judged, _random)
    reruns = np.sum([[path.r.sum() for path in each.worth.random] for each in judged], axis=0)
    total = sum(each.worth.paths["gate"].r.sum() for each in judged)
    differences = [_mean_of_fold(judged, fold, lambda each: _gate(each) - _approving(each)) for fold in _folds(judged)]
    met = [place for place in range(len(LABELS)) if any(each.asked[place] or each.taught[place] for each in judged)]
    level = widened_level(LEVEL, len(met) + 2)
    return PooledGates(
        sessions=len(gate),
        r={
            "gate": float(gate.mean()),
            APPROVING: float(approving.mean()),
            THREE_LINES: float(_by_session(judged, lambda each: each.worth.paths[THREE_LINES].r).mean()),
            "random": float(random.mean()),
        },
        over_approving=_interval(gate - approving),
        over_random=_interval(gate - random),
        beaten=float(np.mean(reruns < total)),
        folds_judged=len(differences),
        folds_better=sum(float(each.sum()) > 0 for each in differences),
        regimes=tuple(_uplift(LABELS[place], judged, _only(place), level) for place in met),
        by_rarity=(
            _uplift(RARE, judged, lambda each: each.rare, level),
            _uplift(OFTEN, judged, lambda each: ~each.rare & (each.taught.sum() > 0), level),
        ),
    )


def _folds(judged: Sequence[JudgedGate]) -> list[int]:
    return sorted({each.fold for each in judged})


def _by_session(judged: Sequence[JudgedGate], of: Callable[[JudgedGate], Floats]) -> Floats:
    """[S] of the sessions of all folds, each the mean over the policies of its fold."""
    return np.concatenate([_mean_of_fold(judged, fold, of) for fold in _folds(judged)])


def _mean_of_fold(judged: Sequence[JudgedGate], fold: int, of: Callable[[JudgedGate], Floats]) -> Floats:
    return np.asarray(np.mean([of(each) for each in judged if each.fold == fold], axis=0))


def _gate(each: JudgedGate) -> Floats:
    return each.worth.paths["gate"].r


def _approving(each: JudgedGate) -> Floats:
    return each.worth.paths[APPROVING].r


def _random(each: JudgedGate) -> Floats:
    return np.asarray(np.mean([path.r for path in each.worth.random], axis=0))


def _interval(difference: Floats, level: float = 0.95) -> Interval | None:
    return session_block_bootstrap(difference, np.arange(len(difference)), level=level)


def _only(place: int) -> Callable[[JudgedGate], Chosen]:
    return lambda each: np.arange(len(LABELS)) == place


def _uplift(
    name: str, judged: Sequence[JudgedGate], chosen: Callable[[JudgedGate], Chosen], level: float
) -> RegimeUplift:
    """What the gates did in the regimes that are ``chosen`` of each."""

    def of_regimes(each: JudgedGate, path: Played) -> Floats:
        return np.asarray(path.session_regime_r[:, chosen(each)].sum(axis=1))

    def difference(each: JudgedGate) -> Floats:
        return of_regimes(each, each.worth.paths["gate"]) - of_regimes(each, each.worth.paths[APPROVING])

    def traded(each: JudgedGate) -> Floats:
        paths = (each.worth.paths["gate"], each.worth.paths[APPROVING])
        there = [path.session_regime_r[:, chosen(each)] != 0 for path in paths]
        return np.asarray(np.any(there, axis=(0, 2)), np.float64)

    with_a_trade = _by_session(judged, traded) > 0
    taught = sum(int(each.taught[chosen(each)].sum()) for each in judged)
    return RegimeUplift(
        name=name,
        taught=taught,
        share=taught / max(1, sum(int(each.taught.sum()) for each in judged)),
        asked=sum(int(each.asked[chosen(each)].sum()) for each in judged),
        stopped=sum(int(each.stopped[chosen(each)].sum()) for each in judged),
        uplift=_interval(_by_session(judged, difference)[with_a_trade], level),
    )
