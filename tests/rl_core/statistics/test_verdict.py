"""PASS and FAIL need the same evidence; every doubt holds both back; training bars prove nothing."""

from typing import Any

import pytest

from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.criteria import PolicyCriteria
from rl_core.statistics.verdict import (
    NOT_COUNTED,
    Evidence,
    Tries,
    verdict_on,
)

USUAL = PolicyCriteria()
GOOD = Interval(0.2, 0.05, 0.35, 0.95, USUAL.min_sessions, USUAL.min_trades)
BAD = Interval(-0.2, -0.35, -0.05, 0.95, USUAL.min_sessions, USUAL.min_trades)
CLEAN = Evidence(
    expectancy=GOOD,
    in_sample=False,
    synthetic=False,
    trained_on_world=False,
    training_ended=True,
    proposals=200,
    without_verdict=0,
    tries=NOT_COUNTED,
    record_faults=(),
)
DOUBTS: list[tuple[dict[str, Any], str]] = [
    ({"synthetic": True}, "synthetic world: its edge was planted"),
    ({"trained_on_world": True}, "the policy was trained on a synthetic world"),
    ({"training_ended": False}, "has not ended"),
    ({"without_verdict": 7}, "7 of 200 proposals went without a verdict (3.5 %)"),
    ({"record_faults": ("the books do not reconcile",)}, "do not reconcile"),
]


def test_a_pass_needs_a_whole_interval_above_zero_from_enough_sessions_and_trades() -> None:
    assert verdict_on(CLEAN, USUAL) == ("PASS", ("the interval of mean R starts at +0.050",))


def test_other_criteria_decide_and_are_named_beside_the_word() -> None:
    """A file that asks less can make a PASS, but not one that looks like the calibrated one."""
    little = CLEAN._replace(expectancy=GOOD._replace(sessions=20, trades=30))
    asked_less = USUAL.model_copy(update={"min_sessions": 20, "min_trades": 30})

    assert verdict_on(little, USUAL).word == "NOT PROVEN"
    word, reasons = verdict_on(little, asked_less)
    assert (word, reasons[1:]) == (
        "PASS",
        ("policy.min_sessions = 20, not the calibrated 60", "policy.min_trades = 30, not the calibrated 100"),
    )
    more = verdict_on(CLEAN, USUAL.model_copy(update={"more_than_r": 0.1}))
    assert more.word == "NOT PROVEN" and "starts at +0.050, not above policy.more_than_r" in more.reasons[0]
    lucky = CLEAN._replace(tries=Tries(31, 0.96))
    assert verdict_on(lucky, USUAL).word == "PASS"
    assert verdict_on(lucky, USUAL.model_copy(update={"sure": 0.99})).word == "NOT PROVEN"
    quiet = CLEAN._replace(without_verdict=7)
    assert verdict_on(quiet, USUAL.model_copy(update={"most_without_verdict": 0.1})).word == "PASS"


def test_a_fail_needs_a_whole_interval_below_zero_from_enough_sessions_and_trades() -> None:
    assert verdict_on(CLEAN._replace(expectancy=BAD), USUAL).word == "FAIL"


@pytest.mark.parametrize("clear", [GOOD, BAD])
@pytest.mark.parametrize(
    ("changed", "reason"),
    [({"sessions": USUAL.min_sessions - 1}, "59 sessions"), ({"trades": USUAL.min_trades - 1}, "99 trades")],
)
def test_too_few_trades_prove_neither_a_gain_nor_a_loss(clear: Interval, changed: dict[str, int], reason: str) -> None:
    verdict = verdict_on(CLEAN._replace(expectancy=clear._replace(**changed)), USUAL)  # type: ignore[arg-type]

    assert verdict.word == "NOT PROVEN" and len(verdict.reasons) == 2 and reason in verdict.reasons[0]
    assert "would be clear" in verdict.reasons[1]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.1), (-0.1, 0.0), (-0.1, 0.1)])
def test_an_interval_that_touches_zero_proves_nothing(low: float, high: float) -> None:
    verdict = verdict_on(CLEAN._replace(expectancy=GOOD._replace(low=low, high=high)), USUAL)

    assert verdict.word == "NOT PROVEN" and "zero included" in verdict.reasons[0]


@pytest.mark.parametrize("clear", [GOOD, BAD])
@pytest.mark.parametrize(("doubt", "reason"), DOUBTS)
def test_one_doubt_is_enough(clear: Interval, doubt: dict[str, Any], reason: str) -> None:
    verdict = verdict_on(CLEAN._replace(expectancy=clear, **doubt), USUAL)

    assert verdict.word == "NOT PROVEN" and reason in verdict.reasons[0]


def test_a_gate_that_was_silent_now_and_then_is_still_the_gate() -> None:
    assert verdict_on(CLEAN._replace(without_verdict=6), USUAL).word == "PASS"


@pytest.mark.parametrize("expectancy", [GOOD, BAD, None, GOOD._replace(low=None, high=None, sessions=3)])
def test_training_bars_are_in_sample_whatever_was_earned_on_them(expectancy: Interval | None) -> None:
    verdict = verdict_on(CLEAN._replace(expectancy=expectancy, in_sample=True), USUAL)

    assert verdict.word == "IN SAMPLE" and "trained on, or that had been seen, are included" in verdict.reasons[0]


def test_every_doubt_is_told() -> None:
    doubts = {name: value for doubt, _ in DOUBTS for name, value in doubt.items()}
    poor = GOOD._replace(low=-0.1, sessions=12, trades=30)

    reasons = verdict_on(CLEAN._replace(expectancy=poor, **doubts), USUAL).reasons

    assert len(reasons) == len(DOUBTS) + 3


def test_a_run_without_trades_or_without_an_interval_says_why() -> None:
    """One losing trade was a FAIL once."""
    one = Interval(-1.0, None, None, 0.95, 1, 1)

    assert verdict_on(CLEAN._replace(expectancy=None), USUAL) == ("NOT PROVEN", ("no trade was closed",))
    assert verdict_on(CLEAN._replace(expectancy=one), USUAL).reasons == (
        "1 session with trades; at least 10 are needed",
    )


def test_no_evidence_can_be_left_out() -> None:
    """A command that forgets one does not run."""
    assert Evidence._field_defaults == {}


@pytest.mark.parametrize(("deflated", "word"), [(0.95, "PASS"), (0.949, "NOT PROVEN"), (None, "NOT PROVEN")])
def test_the_best_of_several_must_be_better_than_luck(deflated: float | None, word: str) -> None:
    verdict = verdict_on(CLEAN._replace(tries=Tries(31, deflated)), USUAL)

    assert verdict.word == word
    if word != "PASS":
        assert verdict.reasons[0].startswith("31 different tries were judged on these sessions")
        assert "would be clear without these doubts" in verdict.reasons[1]


def test_a_loss_is_a_loss_however_many_were_tried() -> None:
    assert verdict_on(CLEAN._replace(expectancy=BAD, tries=Tries(31, 0.0)), USUAL).word == "FAIL"


def test_a_first_try_needs_no_deflation() -> None:
    assert verdict_on(CLEAN._replace(tries=Tries(1, 0.5)), USUAL).word == "PASS"
