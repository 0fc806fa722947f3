"""A gate passes that does better than chance and than doing without; one doubt is enough to hold that back."""

from typing import Any

import pytest

from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.gate_verdict import GateEvidence, verdict_on_gate
from rl_core.statistics.verdict import MIN_SESSIONS

GOOD = Interval(0.2, 0.05, 0.35, 0.95, MIN_SESSIONS, MIN_SESSIONS)
BAD = Interval(-0.2, -0.35, -0.05, 0.95, MIN_SESSIONS, MIN_SESSIONS)
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
    assert verdict_on_gate(GOOD_GATE).word == "PASS"


@pytest.mark.parametrize(
    ("changed", "word", "reason"),
    [
        ({"over_random": TOUCHING}, "NOT PROVEN", "against random vetoes at its rates the interval"),
        ({"over_approving": TOUCHING}, "NOT PROVEN", "against always approving the interval"),
        ({"over_approving": BAD}, "NOT PROVEN", "against always approving the interval"),
        ({"beaten": 0.94}, "NOT PROVEN", "better than 94 % of the random reruns"),
        ({"synthetic": True}, "NOT PROVEN", "synthetic world"),
        ({"without_verdict": 7}, "NOT PROVEN", "7 of 200 proposals went without a verdict"),
        ({"over_random": GOOD._replace(sessions=MIN_SESSIONS - 1)}, "NOT PROVEN", "59 sessions, fewer than 60"),
        ({"over_random": None}, "NOT PROVEN", "no interval against random vetoes"),
        ({"over_random": BAD, "beaten": 0.0}, "FAIL", "the whole interval lies below zero"),
        ({"over_random": BAD, "synthetic": True}, "NOT PROVEN", "synthetic world"),
        ({"in_sample": True}, "IN SAMPLE", "trained on are included"),
    ],
)
def test_what_keeps_a_gate_from_passing(changed: dict[str, Any], word: str, reason: str) -> None:
    verdict = verdict_on_gate(GOOD_GATE._replace(**changed))

    assert verdict.word == word and any(reason in each for each in verdict.reasons)
