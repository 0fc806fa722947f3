"""A gate passes that does better than chance and than doing without; one doubt is enough to hold that back."""

from typing import Any

import pytest

from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.criteria import GateCriteria
from rl_core.statistics.gate_verdict import GateEvidence, verdict_on_gate

USUAL = GateCriteria()
GOOD = Interval(0.2, 0.05, 0.35, 0.95, USUAL.min_sessions, USUAL.min_sessions)
BAD = Interval(-0.2, -0.35, -0.05, 0.95, USUAL.min_sessions, USUAL.min_sessions)
GOOD_GATE = GateEvidence(
    over_random=GOOD,
    over_approving=GOOD,
    beaten=0.95,
    in_sample=False,
    synthetic=False,
    proposals=200,
    without_verdict=6,
)
TOUCHING = GOOD._replace(low=-0.01)


def test_a_gate_passes_that_beats_chance_and_doing_without() -> None:
    assert verdict_on_gate(GOOD_GATE, USUAL).word == "PASS"


def test_other_criteria_decide_and_are_named_beside_the_word() -> None:
    few = GOOD_GATE._replace(over_random=GOOD._replace(sessions=30), over_approving=GOOD._replace(sessions=30))

    assert verdict_on_gate(few, USUAL).word == "NOT PROVEN"
    word, reasons = verdict_on_gate(few, USUAL.model_copy(update={"min_sessions": 30}))
    assert (word, reasons[-1]) == ("PASS", "gate.min_sessions = 30, not the calibrated 60")
    assert verdict_on_gate(GOOD_GATE, USUAL.model_copy(update={"sure": 0.99})).word == "NOT PROVEN"
    assert verdict_on_gate(GOOD_GATE, USUAL.model_copy(update={"most_without_verdict": 0.01})).word == "NOT PROVEN"


@pytest.mark.parametrize(
    ("changed", "word", "reason"),
    [
        ({"over_random": TOUCHING}, "NOT PROVEN", "against random vetoes at its rates the interval"),
        ({"over_approving": TOUCHING}, "NOT PROVEN", "against always approving the interval"),
        ({"over_approving": BAD}, "NOT PROVEN", "against always approving the interval"),
        ({"beaten": 0.94}, "NOT PROVEN", "better than 94 % of the random reruns"),
        ({"synthetic": True}, "NOT PROVEN", "synthetic world"),
        ({"without_verdict": 7}, "NOT PROVEN", "7 of 200 proposals went without a verdict"),
        ({"over_random": GOOD._replace(sessions=USUAL.min_sessions - 1)}, "NOT PROVEN", "59 sessions, fewer than 60"),
        ({"over_random": None}, "NOT PROVEN", "no interval against random vetoes"),
        ({"over_random": BAD, "beaten": 0.0}, "FAIL", "the whole interval lies below zero"),
        ({"over_random": BAD, "synthetic": True}, "NOT PROVEN", "synthetic world"),
        ({"in_sample": True}, "IN SAMPLE", "trained on are included"),
    ],
)
def test_what_keeps_a_gate_from_passing(changed: dict[str, Any], word: str, reason: str) -> None:
    verdict = verdict_on_gate(GOOD_GATE._replace(**changed), USUAL)

    assert verdict.word == word and any(reason in each for each in verdict.reasons)
