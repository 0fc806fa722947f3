"""From a reply to a verdict: parse, check, refuse whole what is out of bounds. Nothing is repaired."""

import math
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import Approve, Label, Resize, Veto, parse_json
from llm_gate.engines.base import Answer, Question
from llm_gate.errors import ForeignVerdictError, MalformedVerdictError

SUM_TOLERANCE = 1e-3
"""How far the probabilities of the letters may miss 1: the server rounds each to float32."""

_LONGEST_REASON = 280


class _Reply(BaseModel):
    """Part of a server's reply; fields we do not read are the server's own affair."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class _Candidate(_Reply):
    token: str
    logprob: float = Field(le=0.0)


class _Position(_Reply):
    token: str
    top_logprobs: list[_Candidate]


class _Logprobs(_Reply):
    content: Annotated[list[_Position], Field(min_length=1)]


class _Message(_Reply):
    content: str


class _Choice(_Reply):
    message: _Message
    logprobs: _Logprobs


class _Completion(_Reply):
    id: str
    object: Literal["chat.completion"]
    choices: Annotated[list[_Choice], Field(min_length=1, max_length=1)]


def parse_completion(body: bytes, *, proposal_id: str, letters: dict[str, Label]) -> Answer:
    """The letter and its probabilities in the body of a chat completion that was constrained to one letter.

    Raises:
        MalformedVerdictError: anything but one of ``letters`` with the probability of each.
        ForeignVerdictError: a reply whose id does not carry ``proposal_id``.
    """
    parse_json(body)
    try:
        completion = _Completion.model_validate_json(body)
    except ValidationError as error:
        raise MalformedVerdictError(f"not a chat completion: {error.errors()[0]['msg']}") from None
    if completion.id != f"chatcmpl-{proposal_id}":
        raise ForeignVerdictError(f"reply {completion.id!r} is not to proposal {proposal_id}")
    choice = completion.choices[0]
    letter = choice.message.content
    probabilities = _probabilities(choice.logprobs.content[0], letters)
    reason = f"the model chose {letter} with {probabilities[letter]:.2f}" if letter in probabilities else ""
    return Answer(proposal_id, letter, probabilities, reason, "code")


def _probabilities(position: _Position, letters: dict[str, Label]) -> dict[str, float]:
    logprobs = {entry.token: entry.logprob for entry in position.top_logprobs}
    if missing := [letter for letter in letters if letter not in logprobs]:
        raise MalformedVerdictError(f"no probability for {', '.join(missing)}")
    return {letter: math.exp(logprobs[letter]) for letter in letters}


def check(answer: Answer, question: Question, *, shrink_factor: Decimal) -> Approve | Veto | Resize:
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
    if len(answer.reason) > _LONGEST_REASON:
        raise MalformedVerdictError(f"the reason is longer than {_LONGEST_REASON} characters")
    match question.letters[answer.letter]:
        case "approve":
            return Approve()
        case "shrink":
            return Resize(size_factor=shrink_factor, reason=answer.reason)
        case "veto":
            return Veto(reason=answer.reason)


def labelled(probabilities: dict[str, float], letters: dict[str, Label]) -> dict[Label, float]:
    """The same probabilities by label, divided by their sum so that they add up to 1 as floats can."""
    total = sum(probabilities.values())
    return {label: probabilities[letter] / total for letter, label in letters.items()}


def _check_probabilities(probabilities: dict[str, float], letters: dict[str, Label]) -> None:
    if set(probabilities) != set(letters):
        raise MalformedVerdictError("probabilities are not those of the letters offered")
    if not all(0.0 <= probability <= 1.0 for probability in probabilities.values()):
        raise MalformedVerdictError("a probability lies outside 0 to 1")
    if abs(sum(probabilities.values()) - 1.0) > SUM_TOLERANCE:
        raise MalformedVerdictError(f"probabilities add up to {sum(probabilities.values()):.4f}, not 1")
