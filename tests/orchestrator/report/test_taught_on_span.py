"""A gate on one policy's entries: it finds what a gated world holds, and no bar ever teaches and judges."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from orchestrator.report.taught_on_span import (
    Policy,
    Spans,
    Taught,
    Teaching,
    nothing_to_teach,
    refuse_taught_on,
    teach_and_judge,
)
from orchestrator.trader.seen_at_close import CloseViewTable
from rl_core.evaluation.entrants import Signals
from rl_core.evaluation.gate_worth import APPROVING
from rl_core.evaluation.span import Span
from rl_core.trading.setup import TradingConfig, compile_trading
from rl_core.worlds.controls import world_of
from trigate.errors import ConfigError

SESSIONS, FIRST_TAUGHT, FIRST_JUDGED = 56, 3, 40
HOW = Teaching(Fraction(1, 2), reruns=3)


@cache
def policy() -> tuple[Policy, np.ndarray, np.ndarray]:
    """Whoever enters every signal of a world in which half of them pay; its first bars [S], and which signals pay."""
    made = world_of("gated", 4, SESSIONS, drift_atr=2.0, form="one_fact")
    trading = compile_trading(TradingConfig(), made.minutes.instrument)
    views = CloseViewTable(made.minutes, 0, trading.pack, trading.hours)
    session = views.market.located.session
    first = np.append(np.searchsorted(session, np.unique(session)), len(session))
    assert made.edge.pays is not None
    until = int(made.minutes.ts_event_ns[first[FIRST_TAUGHT]])
    who = Signals("planted", made.edge.signals.astype(np.int8))
    return Policy(1, 0, who, until, views, trading), first, made.edge.pays


def spans(taught_from: int = FIRST_TAUGHT, judged_from: int = FIRST_JUDGED) -> Spans:
    _, first, _ = policy()
    return Spans(Span(int(first[taught_from]), int(first[39])), Span(int(first[judged_from]), int(first[-1])))


@pytest.fixture(scope="module")
def taught() -> Taught:
    return teach_and_judge(policy()[0], spans(), HOW)


def test_a_gate_finds_what_the_world_holds(taught: Taught) -> None:
    """It stops most of the entries that do not pay, few of those that do, and the path earns more."""
    _, first, pays = policy()
    paths = taught.gate.worth.paths

    assert taught.model is not None and taught.model.threshold > 0
    assert paths["gate"].r.sum() > paths[APPROVING].r.sum() + 5
    judged = {case.case_id: case for case in taught.cases if case.split == "held_out"}
    chances = [(taught.model.p_win(case.proposal), case.outcome_r_milli) for case in judged.values()]
    assert np.corrcoef(*np.array(chances).T)[0, 1] > 0.2
    signals = np.flatnonzero(pays[first[FIRST_JUDGED] :])
    assert 0 < paths["gate"].trades < paths[APPROVING].trades and len(signals) > 20


def test_cases_of_both_spans_tell_their_place_and_that_nobody_was_trained_there(taught: Taught) -> None:
    by_split = {split: [case for case in taught.cases if case.split == split] for split in ("tune", "held_out")}

    assert {case.in_sample for case in taught.cases} == {False}
    assert {case.session for case in by_split["tune"]} <= set(range(FIRST_TAUGHT, 39))
    assert {case.session for case in by_split["held_out"]} <= set(range(FIRST_JUDGED, SESSIONS))
    assert taught.gate.taught.sum() == len(by_split["tune"]) > 60
    assert taught.gate.asked.sum() >= len(by_split["held_out"]) > 20


def test_bars_that_the_policy_was_trained_on_teach_nobody() -> None:
    """Its training ends with the third session; a span that begins a session earlier is refused."""
    who, _, _ = policy()

    with pytest.raises(ConfigError, match="fold 1, seed 0: its policy was trained on bars that would teach or judge"):
        teach_and_judge(who, spans(taught_from=FIRST_TAUGHT - 1), HOW)


def test_bars_that_taught_a_gate_do_not_judge_it(taught: Taught) -> None:
    """Neither where the spans overlap, nor where the regression itself says that it knows a later session."""
    who, _, _ = policy()
    assert taught.model is not None

    with pytest.raises(ConfigError, match="a gate would be judged on bars that it is taught on"):
        teach_and_judge(who, spans(judged_from=38), HOW)
    refuse_taught_on(taught.model, taught.model.last_session + 1, "fold 1, seed 0")
    with pytest.raises(ConfigError, match="only later ones can judge it"):
        refuse_taught_on(taught.model, taught.model.last_session, "fold 1, seed 0")


def test_wins_of_one_session_teach_nothing(taught: Taught) -> None:
    """Left out, they leave losses alone to fit; nobody can say then what a fit knows."""
    cases = [case for case in taught.cases if case.split == "tune"]
    lucky = cases[0].session

    assert nothing_to_teach(cases) == ""
    lost = [case.model_copy(update={"outcome_r_milli": 3000 if case.session == lucky else -1000}) for case in cases]
    assert nothing_to_teach(lost) == "all wins, or all losses, are of a few sessions"
    assert nothing_to_teach(lost[3:]) == "all wins, or all losses, are of a few sessions"


def test_too_few_sessions_teach_nothing_and_everything_is_approved() -> None:
    who, _, _ = policy()

    found = teach_and_judge(who, spans(taught_from=32), HOW)

    assert found.model is None and "of the 10 that are needed" in found.gate.untaught
    assert found.gate.stopped.sum() == 0 == found.gate.taught.sum()
    assert found.gate.worth.paths["gate"].row() == found.gate.worth.paths[APPROVING].row()
