"""Turns an engine's answer into a verdict; an answer that is out of bounds is refused whole, and never repaired."""

from decimal import Decimal

from llm_gate.contract import LONGEST_REASON, Approve, Label, Resize, Veto
from llm_gate.engines.base import SUM_TOLERANCE, Answer, Question
from llm_gate.errors import ForeignVerdictError, MalformedVerdictError


def verdict_of(answer: Answer, question: Question, *, shrink_factor: Decimal) -> Approve | Veto | Resize:
    """The verdict that ``answer`` gives on ``question``.

    Raises:
        MalformedVerdictError: a letter that is not offered, or probabilities that are none.
        ForeignVerdictError: an answer to another proposal.
    """
    if answer.proposal_id != question.proposal.proposal_id:
        raise ForeignVerdictError(f"answer to {answer.proposal_id!r}, not to {question.proposal.proposal_id}")
    if answer.letter not in question.letters:
        raise MalformedVerdictError(f"{answer.letter[:20]!r} is none of {', '.join(question.letters)}")
    if answer.probabilities is not None:
        _check_probabilities(answer.probabilities, question.letters)
    if len(answer.reason) > LONGEST_REASON:
        raise MalformedVerdictError(f"the reason is longer than {LONGEST_REASON} characters")
    label = question.letters[answer.letter]
    _check_size(answer.size_factor, label)
    match label:
        case "approve":
            return Approve()
        case "shrink":
            return Resize(size_factor=answer.size_factor or shrink_factor, reason=answer.reason)
        case "veto":
            return Veto(reason=answer.reason)


def probabilities_by_label(probabilities: dict[str, float], letters: dict[str, Label]) -> dict[Label, float]:
    """The same probabilities by label, divided by their sum so that they add up to 1 as floats can."""
    total = sum(probabilities.values())
    return {label: probabilities[letter] / total for letter, label in letters.items()}


def _check_size(size_factor: Decimal | None, label: Label) -> None:
    if size_factor is not None and (label != "shrink" or not 0 < size_factor < 1):
        raise MalformedVerdictError(f"a size of {size_factor} does not go with {label}")


def _check_probabilities(probabilities: dict[str, float], letters: dict[str, Label]) -> None:
    if set(probabilities) != set(letters):
        raise MalformedVerdictError("probabilities are not those of the letters offered")
    if not all(0.0 <= probability <= 1.0 for probability in probabilities.values()):
        raise MalformedVerdictError("a probability lies outside 0 to 1")
    if abs(sum(probabilities.values()) - 1.0) > SUM_TOLERANCE:
        raise MalformedVerdictError(f"probabilities add up to {sum(probabilities.values()):.4f}, not 1")
