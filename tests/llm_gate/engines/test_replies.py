"""Replies that are no verdict, in both modes: each is refused whole, none is repaired, and none becomes an entry."""

import math
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from llm_gate.contract import Approve, EntryProposal, Label, Resize
from llm_gate.engines.base import Question
from llm_gate.engines.replies import ExpectedReply, parse_completion, parse_json_completion
from llm_gate.errors import EngineError, ForeignVerdictError, MalformedVerdictError
from llm_gate.review.verdicts import verdict_of
from tests.llm_gate.completions import as_bytes, json_completion, letter_completion

ID = "0" * 31 + "1"
LETTERS: dict[str, Label] = {"A": "approve", "B": "shrink", "C": "veto"}
EXPECTED = ExpectedReply(ID, "gate", LETTERS)
WHOLE = '{"decision":"shrink","size_percent":50,"reason":"x"}'


def body(content: object, *, finish: str | None = None, request_id: str = ID) -> bytes:
    """A chat completion that says ``content``: a letter, or what stands in for an object."""
    reply = (
        letter_completion(request_id, content) if content in ("A", "B", "C") else json_completion(request_id, content)
    )
    reply["choices"][0]["finish_reason"] = finish or reply["choices"][0]["finish_reason"]
    return as_bytes(reply)


def sized(percent: str) -> bytes:
    """A reply whose size is written as ``percent``."""
    return body(WHOLE.replace("50", percent))


def judged(mode: str, data: bytes, proposal: EntryProposal) -> object:
    """The verdict in ``data``; an EngineError if there is none."""
    parse = parse_json_completion if mode == "json" else parse_completion
    answer = parse(data, EXPECTED)
    return verdict_of(answer, Question(proposal, (), LETTERS), shrink_factor=Decimal("0.5"))


TABLE = {
    # One in each mode: the body itself.
    "empty": (b"", MalformedVerdictError),
    "truncated": (body(WHOLE)[:-9], MalformedVerdictError),
    "garbage": (b"\xff\xfe\x00{{{", MalformedVerdictError),
    "byte order mark": (b"\xef\xbb\xbf" + body(WHOLE), MalformedVerdictError),
    "UTF-16": (body(WHOLE).decode().encode("utf-16"), MalformedVerdictError),
    "markdown fence": (b"```json\n" + body(WHOLE) + b"\n```", MalformedVerdictError),
    "prose around it": (b"Sure! " + body(WHOLE), MalformedVerdictError),
    "two objects": (body(WHOLE) * 2, MalformedVerdictError),
    "a key twice": (body(WHOLE).replace(b'"object":', b'"object": "x", "object":'), MalformedVerdictError),
    "100,000 brackets": (b"[" * 100_000, MalformedVerdictError),
    "another decision's id": (body(WHOLE, request_id="f" * 32), ForeignVerdictError),
    "an id and a new line": (body(WHOLE, request_id=ID + "\n"), ForeignVerdictError),
    "no choice": (body(WHOLE).replace(b'"choices": [', b'"choices": [], "other": ['), MalformedVerdictError),
    # What the model said.
    "content cut short": (body(WHOLE[:-4], finish="length"), MalformedVerdictError),
    "content in a fence": (body(f"```json\n{WHOLE}\n```"), MalformedVerdictError),
    "content in prose": (body(f"I think {WHOLE}"), MalformedVerdictError),
    "content's key twice": (body(WHOLE.replace('"reason"', '"size_percent":99,"reason"')), MalformedVerdictError),
    "size above the proposed": (sized("150"), MalformedVerdictError),
    "size of nothing": (sized("0"), MalformedVerdictError),
    "negative size": (sized("-50"), MalformedVerdictError),
    "size NaN": (sized("NaN"), MalformedVerdictError),
    "size 1e400": (sized("1e400"), MalformedVerdictError),
    "size true": (sized("true"), MalformedVerdictError),
    "size as text": (sized('"50"'), MalformedVerdictError),
    "a side of its own": (body(WHOLE.replace('"reason"', '"side":"sell","reason"')), MalformedVerdictError),
}


def test_the_table_has_25_rows_and_its_reply_without_a_fault_is_a_verdict(
    make_proposal: Callable[..., EntryProposal],
) -> None:
    proposal = make_proposal(proposal_id=ID)

    assert len(TABLE) == 25
    assert judged("json", body(WHOLE), proposal) != judged("choice", body("A"), proposal)


@pytest.mark.parametrize("mode", ["choice", "json"])
@pytest.mark.parametrize("row", TABLE)
def test_the_reply_is_refused_whole(make_proposal: Callable[..., EntryProposal], mode: str, row: str) -> None:
    data, fault = TABLE[row]

    with pytest.raises(fault) as caught:
        judged(mode, data, make_proposal(proposal_id=ID))

    assert isinstance(caught.value, EngineError)


@pytest.mark.parametrize(
    "content",
    [
        '{"decision":"approve"}',
        '{"decision":"approve","size_percent":50,"reason":""}',
        '{"decision":"veto","size_percent":99,"reason":""}',
        '{"decision":"shrink","reason":""}',
        '{"decision":"APPROVE","reason":""}',
        '{"decision":"approve","reason":"' + "x" * 281 + '"}',
        '{"decision":"approve","reason":"a\tb"}',
        '{"decision":"shrink","size_percent":50.0,"reason":""}',
        '{"decision":null,"reason":""}',
        '["approve"]',
        '"approve"',
        "approve",
        "A",
        " A",
        "A\n",
        "",
        None,
    ],
)
def test_no_other_form_is_a_verdict_in_json(make_proposal: Callable[..., EntryProposal], content: object) -> None:
    with pytest.raises(MalformedVerdictError):
        judged("json", body(content), make_proposal(proposal_id=ID))


def test_an_object_that_was_cut_off_is_refused_even_if_it_looks_whole(
    make_proposal: Callable[..., EntryProposal],
) -> None:
    """``length`` after a whole object is white space without end: what else was to come is not known."""
    with pytest.raises(MalformedVerdictError):
        judged("json", body(WHOLE, finish="length"), make_proposal(proposal_id=ID))


Change = Callable[[dict[str, Any]], object]


def choice(reply: dict[str, Any]) -> Any:
    """The only choice of a reply."""
    return reply["choices"][0]


def position(reply: dict[str, Any]) -> Any:
    """The only position of a letter's logprobs."""
    return choice(reply)["logprobs"]["content"][0]


def said(reply: dict[str, Any], letter: str) -> None:
    """Another letter in message and position; the probabilities stay those of A."""
    choice(reply)["message"]["content"] = position(reply)["token"] = letter


IN_BOTH: dict[str, Change] = {
    "an error beside the choices": lambda r: r.update(error={"message": "out of memory", "code": 500}),
    "an error as text": lambda r: r.update(error="overloaded"),
    "an error inside the choice": lambda r: choice(r).update(error={"message": "aborted"}),
    "another model": lambda r: r.update(model="llama-3"),
    "our name in other letters": lambda r: r.update(model="Gate"),
    "no model": lambda r: r.pop("model"),
    "model null": lambda r: r.update(model=None),
    "a tool call": lambda r: choice(r)["message"].update(tool_calls=[{"function": {"name": "buy"}}]),
    "a function call": lambda r: choice(r)["message"].update(function_call={"name": "buy", "arguments": "{}"}),
    "a refusal": lambda r: choice(r)["message"].update(refusal="I cannot advise on trades"),
    "a role of its own": lambda r: choice(r)["message"].update(role="user"),
    "another index": lambda r: choice(r).update(index=1),
    "two choices": lambda r: r["choices"].append(choice(r)),
    "finish null": lambda r: choice(r).update(finish_reason=None),
    "no finish": lambda r: choice(r).pop("finish_reason"),
    "finish tool_calls": lambda r: choice(r).update(finish_reason="tool_calls"),
    "finish content_filter": lambda r: choice(r).update(finish_reason="content_filter"),
    "finish abort": lambda r: choice(r).update(finish_reason="abort"),
    "finish error": lambda r: choice(r).update(finish_reason="error"),
    "negative usage": lambda r: r["usage"].update(completion_tokens=-1),
}
IN_CHOICE: dict[str, Change] = {
    "the letter is not the likeliest": lambda r: said(r, "B"),
    "the letter is the least likely": lambda r: said(r, "C"),
    "message and token differ": lambda r: choice(r)["message"].update(content="B"),
    "token and message differ": lambda r: position(r).update(token="B"),
    "a letter with a blank": lambda r: said(r, "A "),
    "a word": lambda r: said(r, "Approve"),
    "a letter twice": lambda r: position(r)["top_logprobs"].append({"token": "A", "logprob": -9.0}),
    "another letter twice": lambda r: position(r)["top_logprobs"].append({"token": "C", "logprob": -2.3}),
    "two positions": lambda r: choice(r)["logprobs"]["content"].append(position(r)),
    "no position": lambda r: choice(r)["logprobs"].update(content=[]),
    "no logprobs": lambda r: choice(r).update(logprobs=None),
    "a letter without probability": lambda r: position(r)["top_logprobs"].pop(),
    "probabilities add up to less": lambda r: position(r)["top_logprobs"][2].update(logprob=-9.0),
    "probabilities add up to more": lambda r: position(r)["top_logprobs"][2].update(logprob=-1.0),
    "all of them certain": lambda r: [one.update(logprob=0.0) for one in position(r)["top_logprobs"]],
    "a likelier word": lambda r: position(r)["top_logprobs"].append({"token": "The", "logprob": -0.1}),
    "a probability above 1": lambda r: position(r)["top_logprobs"][0].update(logprob=0.1),
    "the chosen one has another probability": lambda r: position(r).update(logprob=-2.0),
    "the chosen one is above 1": lambda r: position(r).update(logprob=0.5),
    "length of more than one token": lambda r: r["usage"].update(completion_tokens=2),
    "no token at all": lambda r: r["usage"].update(completion_tokens=0),
}
IN_JSON: dict[str, Change] = {
    "finish length": lambda r: choice(r).update(finish_reason="length"),
    "content null": lambda r: choice(r)["message"].update(content=None),
    "content in parts": lambda r: choice(r)["message"].update(content=[{"type": "text", "text": WHOLE}]),
}
APPROVES = {"choice": letter_completion(ID), "json": json_completion(ID, '{"decision":"approve","reason":"x"}')}


@pytest.mark.parametrize(
    ("mode", "name"),
    [(mode, name) for mode, own in (("choice", IN_CHOICE), ("json", IN_JSON)) for name in (*IN_BOTH, *own)],
)
def test_a_reply_that_contradicts_itself_is_refused_whole(
    make_proposal: Callable[..., EntryProposal], mode: str, name: str
) -> None:
    """Each approves but for one thing that cannot be so; believing the rest of it would let an entry through."""
    reply = deepcopy(APPROVES[mode])
    assert judged(mode, as_bytes(reply), make_proposal(proposal_id=ID)) == Approve()

    (IN_BOTH | IN_CHOICE | IN_JSON)[name](reply)

    with pytest.raises(MalformedVerdictError):
        judged(mode, as_bytes(reply), make_proposal(proposal_id=ID))


AS_SERVED: dict[str, Change] = {
    "two letters equally likely": lambda r: [
        one.update(logprob=math.log(p)) for one, p in zip(position(r)["top_logprobs"], (0.45, 0.45, 0.1), strict=True)
    ],
    "rounded to float32": lambda r: position(r)["top_logprobs"][1].update(logprob=-1.2039728),
    "a certain letter": lambda r: [
        one.update(logprob=p) for one, p in zip(position(r)["top_logprobs"], (0.0, -9999.0, -9999.0), strict=True)
    ],
    "ended by stop": lambda r: choice(r).update(finish_reason="stop"),
    "without usage": lambda r: r.pop("usage"),
    "without tool calls": lambda r: choice(r)["message"].pop("tool_calls"),
    "tool calls null": lambda r: choice(r)["message"].update(tool_calls=None),
    "error null": lambda r: r.update(error=None),
    "no logprob beside the token": lambda r: position(r).pop("logprob"),
    "fields of a newer server": lambda r: [r.update(kv_transfer_params=None), choice(r)["message"].update(audio=None)],
}


@pytest.mark.parametrize("name", AS_SERVED)
def test_what_a_real_server_may_say_is_a_verdict(make_proposal: Callable[..., EntryProposal], name: str) -> None:
    reply = letter_completion(ID)
    AS_SERVED[name](reply)
    if name in ("two letters equally likely", "a certain letter"):
        position(reply).pop("logprob")

    assert judged("choice", as_bytes(reply), make_proposal(proposal_id=ID)) == Approve()


def test_of_two_letters_equally_likely_either_may_be_said(make_proposal: Callable[..., EntryProposal]) -> None:
    for letter, verdict in (("A", Approve()), ("B", Resize(size_factor=Decimal("0.5"), reason="x"))):
        reply = letter_completion(ID, letter, {"A": 0.45, "B": 0.45, "C": 0.1})

        found = judged("choice", as_bytes(reply), make_proposal(proposal_id=ID))

        assert type(found) is type(verdict)


def test_the_reason_says_the_letter_and_its_probability() -> None:
    answer = parse_completion(as_bytes(letter_completion(ID, "C", {"A": 0.25, "B": 0.25, "C": 0.5})), EXPECTED)

    assert (answer.letter, answer.reason) == ("C", "the model chose C with 0.50")
    assert answer.probabilities == pytest.approx({"A": 0.25, "B": 0.25, "C": 0.5})
