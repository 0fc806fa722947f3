"""What a vLLM server's reply must look like, a constrained letter or a constrained object; nothing is repaired."""

import math
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from llm_gate.contract import LONGEST_REASON, Label, parse_json
from llm_gate.engines.base import Answer, letter_of
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
    token: str
    top_logprobs: list[_Candidate]


class _Logprobs(_Reply):
    content: Annotated[list[_Position], Field(min_length=1)]


class _Message(_Reply):
    content: str


class _Usage(_Reply):
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None
    completion_tokens: Annotated[int, Field(ge=0)] | None = None


class _Choice(_Reply):
    message: _Message
    logprobs: _Logprobs


class _JsonChoice(_Reply):
    message: _Message
    finish_reason: Literal["stop"]
    """``length`` is an object cut short, or white space without end."""


class _Head(_Reply):
    id: str
    object: Literal["chat.completion"]
    usage: _Usage = _Usage()


class _Completion(_Head):
    choices: Annotated[list[_Choice], Field(min_length=1, max_length=1)]


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


def parse_completion(body: bytes, *, request_id: str, letters: dict[str, Label]) -> Answer:
    """The letter and its probabilities in the body of a chat completion that was constrained to one letter.

    Raises:
        MalformedVerdictError: anything but one of ``letters`` with the probability of each.
        ForeignVerdictError: a reply whose id does not carry ``request_id``.
    """
    completion = _completion(_Completion, body, request_id)
    choice = completion.choices[0]
    letter = choice.message.content
    probabilities = _probabilities(choice.logprobs.content[0], letters)
    reason = f"the model chose {letter} with {probabilities[letter]:.2f}" if letter in probabilities else ""
    return Answer(request_id, letter, probabilities, reason, "code", **completion.usage.model_dump())


def parse_json_completion(body: bytes, *, request_id: str, letters: dict[str, Label]) -> Answer:
    """The decision, size and reason in a chat completion that was constrained to `JSON_SCHEMA`.

    Raises:
        MalformedVerdictError: anything but one whole object of the schema.
        ForeignVerdictError: a reply whose id does not carry ``request_id``.
    """
    completion = _completion(_JsonCompletion, body, request_id)
    content = completion.choices[0].message.content
    parse_json(content)
    try:
        verdict = _OBJECTS.validate_json(content)
    except ValidationError as error:
        raise MalformedVerdictError(f"not a verdict: {error.errors()[0]['msg']}") from None
    factor = Decimal(verdict.size_percent) / 100 if isinstance(verdict, _ShrinkObject) else None
    letter = letter_of(verdict.decision, letters)
    return Answer(request_id, letter, None, verdict.reason, "model", factor, **completion.usage.model_dump())


_HeadT = TypeVar("_HeadT", bound=_Head)


def _completion(kind: type[_HeadT], body: bytes, request_id: str) -> _HeadT:
    parse_json(body)
    try:
        completion = kind.model_validate_json(body)
    except ValidationError as error:
        raise MalformedVerdictError(f"not a chat completion: {error.errors()[0]['msg']}") from None
    if completion.id != f"chatcmpl-{request_id}":
        raise ForeignVerdictError(f"reply {completion.id!r} is not to request {request_id}")
    return completion


def _probabilities(position: _Position, letters: dict[str, Label]) -> dict[str, float]:
    logprobs = {entry.token: entry.logprob for entry in position.top_logprobs}
    if missing := [letter for letter in letters if letter not in logprobs]:
        raise MalformedVerdictError(f"no probability for {', '.join(missing)}")
    return {letter: math.exp(logprobs[letter]) for letter in letters}
