"""Gates of several folds and policies together, by hand: sessions are the blocks, and what was rare is told apart."""

from fractions import Fraction

import numpy as np
import pytest

from rl_core.evaluation.gate_worth import APPROVING, THREE_LINES, GateWorth, Played, Rates
from rl_core.evaluation.pooled_gates import OFTEN, RARE, JudgedGate, pooled
from rl_core.regimes.fitted import LABELS

OFTEN_MET, SELDOM_MET = LABELS.index("up/calm"), LABELS.index("down/wild")
SESSIONS = 24


def path(r: np.ndarray) -> Played:
    """A path that earned ``r`` [S, 9]."""
    by_regime = np.count_nonzero(r, axis=0)
    total = r.sum(axis=1)
    return Played(int(by_regime.sum()), 0, total, 100 * total, r, by_regime, 1, 0, 0, 0)


def earning(often: float, seldom: float) -> np.ndarray:
    """[S, 9] the same every session but for a little noise, which an interval needs."""
    r = np.zeros((SESSIONS, len(LABELS)))
    noise = np.random.default_rng(0).normal(0, 0.05, SESSIONS)
    r[:, OFTEN_MET], r[:, SELDOM_MET] = often + noise, seldom - noise
    return r


def judged(fold: int, seed: int, gate: np.ndarray, approving: np.ndarray) -> JudgedGate:
    paths = {"gate": path(gate), APPROVING: path(approving), THREE_LINES: path(approving)}
    worth = GateWorth(SESSIONS, Rates(0.5, 0.0, Fraction(1, 2)), paths, (path(approving), path(gate * 0.9)), ())
    taught, asked, stopped = np.zeros((3, len(LABELS)), np.int64)
    taught[OFTEN_MET], taught[SELDOM_MET] = 97, 3
    asked[[OFTEN_MET, SELDOM_MET]] = SESSIONS
    stopped[[OFTEN_MET, SELDOM_MET]] = SESSIONS // 2
    return JudgedGate(fold, seed, worth, taught, asked, stopped)


def test_seeds_of_a_fold_are_one_block_a_session_and_folds_follow_each_other() -> None:
    """Two seeds gain 1 R and 0 R a session, so the fold gains 0.5; the other fold loses 0.25."""
    none = earning(0.0, 0.0)
    gates = [
        judged(1, 0, earning(1.0, 0.0), none),
        judged(1, 1, none, none),
        judged(2, 0, earning(-0.25, 0.0), none),
        judged(2, 1, earning(-0.25, 0.0), none),
    ]

    together = pooled(gates)

    assert together.sessions == 2 * SESSIONS and (together.folds_judged, together.folds_better) == (2, 1)
    assert together.over_approving is not None and together.over_approving.sessions == 2 * SESSIONS
    assert together.over_approving.mean == pytest.approx((0.5 - 0.25) / 2)
    assert together.r["gate"] - together.r[APPROVING] == pytest.approx(0.125)
    # One draw of vetoes earns what approving earns, the other nine tenths of what the gate earns.
    assert together.beaten == 1.0 and together.r["random"] == pytest.approx((0 + 0.9 * 0.125) / 2)


def test_each_regime_has_its_own_uplift_and_what_was_rare_when_taught_is_told_apart() -> None:
    """The gate gains 0.4 R where it was taught much, and loses 0.7 R in the regime of 3 of 100 cases."""
    together = pooled([judged(1, 0, earning(0.4, -0.7), earning(0.0, 0.0))])

    by_name = {each.name: each for each in (*together.regimes, *together.by_rarity)}
    assert set(by_name) == {"up/calm", "down/wild", RARE, OFTEN}
    assert (by_name["up/calm"].word, by_name["down/wild"].word) == ("helps", "harms")
    for regime, group in (("up/calm", OFTEN), ("down/wild", RARE)):
        assert by_name[group]._replace(name=regime) == by_name[regime]
    often, rare = by_name[OFTEN].uplift, by_name[RARE].uplift
    assert often is not None and rare is not None
    assert (often.mean, rare.mean) == (pytest.approx(0.4), pytest.approx(-0.7))
    assert (by_name[RARE].taught, by_name[RARE].share) == (3, 0.03)
    assert often.level == pytest.approx(1 - 0.05 / 4), "four intervals at once"


def test_a_gate_that_stopped_nothing_or_met_nothing_claims_nothing() -> None:
    same = earning(0.4, 0.2)
    gate = judged(1, 0, same, same)
    idle, absent = gate.stopped * 0, gate.asked.copy()
    absent[SELDOM_MET] = 0

    together = pooled([gate._replace(stopped=idle, asked=absent)])

    assert {each.name: each.word for each in together.regimes} == {"up/calm": "left alone", "down/wild": "not met"}


def test_too_few_sessions_prove_nothing() -> None:
    few = judged(1, 0, earning(0.4, 0.1), earning(0.0, 0.0))
    paths = {name: path(each.session_regime_r[:9]) for name, each in few.worth.paths.items()}
    random = tuple(path(each.session_regime_r[:9]) for each in few.worth.random)

    together = pooled([few._replace(worth=few.worth._replace(paths=paths, random=random))])

    assert {each.word for each in (*together.regimes, *together.by_rarity)} == {"NOT PROVEN"}


def test_what_taught_nothing_counts_to_neither_group() -> None:
    gate = judged(1, 0, earning(0.4, -0.7), earning(0.4, -0.7))

    together = pooled([gate._replace(taught=gate.taught * 0, untaught="3 sessions")])

    assert [(each.taught, each.asked, each.uplift) for each in together.by_rarity] == [(0, 0, None), (0, 0, None)]
