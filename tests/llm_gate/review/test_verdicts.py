"""From an answer to a verdict, and everything on the way that is refused."""

import math
from collections.abc import Callable
from decimal import Decimal

import pytest

from llm_gate.contract import Approve, EntryProposal, Label, Resize, Veto
from llm_gate.engines.base import Answer, Question
from llm_gate.errors import ForeignVerdictError, MalformedVerdictError
from llm_gate.review.verdicts import probabilities_by_label, verdict_of

LETTERS: dict[str, Label] = {"A": "approve", "B": "shrink", "C": "veto"}
ID = "0" * 31 + "1"
THIRDS = {"A": 0.25, "B": 0.25, "C": 0.5}


@pytest.mark.parametrize(
    ("letter", "verdict"),
    [("A", Approve()), ("B", Resize(size_factor=Decimal("0.25"), reason="why")), ("C", Veto(reason="why"))],
)
def test_each_letter_has_its_verdict(
    make_proposal: Callable[..., EntryProposal], letter: str, verdict: Approve | Resize | Veto
) -> None:
    question = Question(make_proposal(proposal_id=ID), (), LETTERS)
    answer = Answer(ID, letter, THIRDS, "why", "code")

    assert verdict_of(answer, question, shrink_factor=Decimal("0.25")) == verdict


@pytest.mark.parametrize(
    "answer",
    [
        Answer(ID, "D", THIRDS, "", "code"),
        Answer(ID, "", None, "", "code"),
        Answer(ID, " A", None, "", "code"),
        Answer(ID, "a", None, "", "code"),
        Answer(ID, "The", None, "", "code"),
        Answer(ID, "A", {"A": 0.5, "B": 0.3, "C": 0.3}, "", "code"),
        Answer(ID, "A", {"A": 0.2, "B": 0.1, "C": 0.1}, "", "code"),
        Answer(ID, "A", {"A": 1.2, "B": -0.1, "C": -0.1}, "", "code"),
        Answer(ID, "A", {"A": 0.5, "B": 0.5}, "", "code"),
        Answer(ID, "A", {"A": math.nan, "B": 0.5, "C": 0.5}, "", "code"),
        Answer(ID, "C", None, "x" * 281, "code"),
        Answer(ID, "B", None, "", "model", Decimal(1)),
        Answer(ID, "B", None, "", "model", Decimal(0)),
        Answer(ID, "B", None, "", "model", Decimal("-0.5")),
        Answer(ID, "B", None, "", "model", Decimal("1.5")),
        Answer(ID, "A", None, "", "model", Decimal("0.5")),
        Answer(ID, "C", None, "", "model", Decimal("0.5")),
    ],
)
def test_an_answer_out_of_bounds_is_refused_whole(make_proposal: Callable[..., EntryProposal], answer: Answer) -> None:
    with pytest.raises(MalformedVerdictError):
        verdict_of(answer, Question(make_proposal(proposal_id=ID), (), LETTERS), shrink_factor=Decimal("0.5"))


def test_an_answer_to_another_proposal_is_foreign(make_proposal: Callable[..., EntryProposal]) -> None:
    question = Question(make_proposal(proposal_id=ID), (), LETTERS)

    with pytest.raises(ForeignVerdictError):
        verdict_of(Answer("f" * 32, "A", None, "", "code"), question, shrink_factor=Decimal("0.5"))


def test_probabilities_by_label_add_up_to_one() -> None:
    """Logs rounded to float32 add up to a little less or more."""
    by_label = probabilities_by_label({"A": 0.2499, "B": 0.25, "C": 0.5}, LETTERS)

    assert sum(by_label.values()) == pytest.approx(1.0, abs=1e-12)
    assert by_label["veto"] == pytest.approx(0.5 / 0.9999)
