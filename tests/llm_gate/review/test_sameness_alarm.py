"""A gate that says the same to everything is told, once for each window."""

from llm_gate.contract import Approve, GateFailed, Outcome, Veto
from llm_gate.review.sameness_alarm import Sameness

VETO = Veto(reason="x")


def rings(outcomes: list[Outcome], window: int = 3) -> list[int]:
    """The positions at which the alarm rang."""
    sameness, found = Sameness(), []
    for position, outcome in enumerate(outcomes):
        sameness = sameness.after(outcome)
        if sameness.alarming(outcome, window):
            found.append(position)
    return found


def test_a_whole_window_of_one_kind_rings_once() -> None:
    assert rings([VETO] * 3) == [2]
    assert rings([Approve()] * 7) == [2, 5]
    assert rings([VETO] * 2) == []


def test_another_verdict_begins_anew() -> None:
    assert rings([VETO, VETO, Approve(), VETO, VETO, VETO]) == [5]


def test_a_failure_is_no_verdict() -> None:
    failed = GateFailed(cause="timeout")

    assert rings([failed] * 9) == []
    assert rings([VETO, failed, VETO, failed, VETO, failed]) == [4]
