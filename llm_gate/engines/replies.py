"""Reads a vLLM server's reply, a constrained letter or a constrained object.

A reply that is out of bounds, or that contradicts itself, is refused whole: nothing is repaired, and no part of it is
believed before another.
"""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from llm_gate.contract import LONGEST_REASON, Label, first_fault, parse_json
from llm_gate.engines.base import SUM_TOLERANCE, Answer, letter_of
from llm_gate.errors import ForeignVerdictError, MalformedVerdictError

DECODED_REASON = 72
"""Characters a model may spend on a reason: at a token each, the whole object still fits into 128 tokens."""


class _Reply(BaseModel):
    """Part of a server's reply; fields we do not read are the server's own affair."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class _Candidate(_Reply):
    token: str
    logprob: float = Field(le=0.0)


class _Position(_Reply):
    """One token that was decoded, and those that could have stood in its place."""

    token: str
    logprob: Annotated[float, Field(le=0.0)] | None = None
    top_logprobs: list[_Candidate]


class _Logprobs(_Reply):
    content: Annotated[list[_Position], Field(min_length=1, max_length=1)]


class _Message(_Reply):
    """What the model said: text alone. A refusal, a tool or a function beside it is another answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None


class _Usage(_Reply):
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None
    completion_tokens: Annotated[int, Field(ge=0)] | None = None


class _Choice(_Reply):
    index: Literal[0] = 0
    error: None = None
    message: _Message


class _LetterChoice(_Choice):
    logprobs: _Logprobs
    finish_reason: Literal["stop", "length"]
    """A letter fills the one token that was asked for, so ``length`` is its usual end."""


class _JsonChoice(_Choice):
    finish_reason: Literal["stop"]
    """``length`` is an object cut short, or white space without end."""


class _Head(_Reply):
    id: str
    object: Literal["chat.completion"]
    model: str
    error: None = None
    usage: _Usage = _Usage()


class _LetterCompletion(_Head):
    choices: Annotated[list[_LetterChoice], Field(min_length=1, max_length=1)]


class _JsonCompletion(_Head):
    choices: Annotated[list[_JsonChoice], Field(min_length=1, max_length=1)]


class _Object(BaseModel):
    """One form of a ``json`` reply; it is the decode schema and the parser at once."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class _ApproveObject(_Object):
    decision: Literal["approve"]
    reason: str = Field(max_length=LONGEST_REASON)


class _ShrinkObject(_Object):
    decision: Literal["shrink"]
    size_percent: int = Field(ge=1, le=99)
    reason: str = Field(max_length=LONGEST_REASON)


class _VetoObject(_Object):
    decision: Literal["veto"]
    reason: str = Field(max_length=LONGEST_REASON)


_OBJECTS: TypeAdapter[_ApproveObject | _ShrinkObject | _VetoObject] = TypeAdapter(
    Annotated[_ApproveObject | _ShrinkObject | _VetoObject, Field(discriminator="decision")]
)


def _decode_schema(form: type[_Object]) -> dict[str, Any]:
    schema = form.model_json_schema()
    fields = {name: {k: v for k, v in field.items() if k != "title"} for name, field in schema["properties"].items()}
    fields["reason"]["maxLength"] = DECODED_REASON
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


JSON_SCHEMA: dict[str, Any] = {"anyOf": [_decode_schema(form) for form in (_ApproveObject, _ShrinkObject, _VetoObject)]}
"""What a ``json`` reply is decoded with: three flat objects, no references, no patterns."""

JSON_EXAMPLES: dict[Label, str] = {
    "approve": '{"decision":"approve","reason":"nothing speaks against it"}',
    "shrink": '{"decision":"shrink","size_percent":50,"reason":"one thing speaks against it"}',
    "veto": '{"decision":"veto","reason":"too much speaks against it"}',
}
"""One object of each form, for a prompt that has letters."""


class ExpectedReply(NamedTuple):
    """What a reply must agree with, to be the answer to a request."""

    request_id: str
    model: str
    """The name under which the server serves the model."""
    letters: dict[str, Label]


def parse_completion(body: bytes, expected: ExpectedReply) -> Answer:
    """The letter and its probabilities in the body of a chat completion that was constrained to one letter.

    A reply that contradicts itself is refused whole: no part of it says which other part is wrong.

    Raises:
        MalformedVerdictError: anything but the likeliest of the letters, once, with the probability of each.
        ForeignVerdictError: a reply whose id does not carry the request's.
    """
    completion = _completion(_LetterCompletion, body, expected)
    choice, usage = completion.choices[0], completion.usage
    letter, position = choice.message.content, choice.logprobs.content[0]
    if letter not in expected.letters:
        raise MalformedVerdictError(f"{letter[:20]!r} is none of {', '.join(expected.letters)}")
    if position.token != letter:
        raise MalformedVerdictError(f"says {letter}, but the token decoded is {position.token[:20]!r}")
    if usage.completion_tokens not in (None, 1):
        raise MalformedVerdictError(f"one token was asked for, and {usage.completion_tokens} were decoded")
    probabilities = _probabilities(position, expected.letters)
    reason = f"the model chose {letter} with {probabilities[letter]:.2f}"
    return Answer(expected.request_id, letter, probabilities, reason, "code", **usage.model_dump())


def parse_json_completion(body: bytes, expected: ExpectedReply) -> Answer:
    """The decision, size and reason in a chat completion that was constrained to `JSON_SCHEMA`.

    Raises:
        MalformedVerdictError: anything but one whole object of the schema.
        ForeignVerdictError: a reply whose id does not carry the request's.
    """
    completion = _completion(_JsonCompletion, body, expected)
    content = completion.choices[0].message.content
    parse_json(content)
    try:
        verdict = _OBJECTS.validate_json(content)
    except ValidationError as error:
        raise MalformedVerdictError(f"not a verdict: {error.errors()[0]['msg']}") from None
    factor = Decimal(verdict.size_percent) / 100 if isinstance(verdict, _ShrinkObject) else None
    letter = letter_of(verdict.decision, expected.letters)
    usage = completion.usage.model_dump()
    return Answer(expected.request_id, letter, None, verdict.reason, "model", factor, **usage)


_HeadT = TypeVar("_HeadT", bound=_Head)


def _completion(kind: type[_HeadT], body: bytes, expected: ExpectedReply) -> _HeadT:
    reply = parse_json(body)
    reply_id = reply.get("id") if isinstance(reply, dict) else None
    # Whatever a reply to another request says, it is none of ours: so it is told apart before it is read.
    if isinstance(reply_id, str) and reply_id != f"chatcmpl-{expected.request_id}":
        raise ForeignVerdictError(f"reply {reply_id[:80]!r} is not to request {expected.request_id}")
    try:
        completion = kind.model_validate_json(body)
    except ValidationError as error:
        raise MalformedVerdictError(f"not the completion asked for: {first_fault(error, 'reply')}") from None
    if completion.model != expected.model:
        raise MalformedVerdictError(f"the reply is of the model {completion.model[:64]!r}, not of {expected.model!r}")
    return completion


def _probabilities(position: _Position, letters: dict[str, Label]) -> dict[str, float]:
    """The probability of each letter; MalformedVerdictError where they contradict each other or the letter said."""
    logprobs: dict[str, float] = {}
    for candidate in position.top_logprobs:
        if candidate.token in logprobs:
            raise MalformedVerdictError(f"{candidate.token[:20]!r} has two probabilities")
        logprobs[candidate.token] = candidate.logprob
    if missing := [letter for letter in letters if letter not in logprobs]:
        raise MalformedVerdictError(f"no probability for {', '.join(missing)}")
    chosen = logprobs[position.token]
    if position.logprob is not None and abs(math.exp(position.logprob) - math.exp(chosen)) > SUM_TOLERANCE:
        raise MalformedVerdictError(f"{position.token} has two probabilities")
    if chosen < max(logprobs.values()):  # of two letters equally likely, the server may say either
        likelier = max(logprobs, key=lambda token: logprobs[token])
        raise MalformedVerdictError(f"says {position.token}, although {likelier[:20]!r} is likelier")
    probabilities = {letter: math.exp(logprobs[letter]) for letter in letters}
    if abs(sum(probabilities.values()) - 1.0) > SUM_TOLERANCE:
        raise MalformedVerdictError(f"probabilities add up to {sum(probabilities.values()):.4f}, not 1")
    return probabilities
