"""Twenty-five replies that are no verdict, in both modes: each is refused whole, and none is repaired."""

import json
import math
from collections.abc import Callable
from decimal import Decimal

import pytest

from llm_gate.contract import EntryProposal, Label
from llm_gate.engines.base import Question
from llm_gate.engines.replies import parse_completion, parse_json_completion
from llm_gate.errors import EngineError, ForeignVerdictError, MalformedVerdictError
from llm_gate.review.verdicts import verdict_of

ID = "0" * 31 + "1"
LETTERS: dict[str, Label] = {"A": "approve", "B": "shrink", "C": "veto"}
WHOLE = '{"decision":"shrink","size_percent":50,"reason":"x"}'


def body(content: object, *, finish: str = "stop", request_id: str = ID) -> bytes:
    """A chat completion that says ``content``."""
    top = [{"token": letter, "logprob": math.log(1 / 3)} for letter in "ABC"]
    choice = {
        "message": {"role": "assistant", "content": content},
        "logprobs": {"content": [{"token": "A", "top_logprobs": top}]},
        "finish_reason": finish,
    }
    return json.dumps({"id": f"chatcmpl-{request_id}", "object": "chat.completion", "choices": [choice]}).encode()


def sized(percent: str) -> bytes:
    """A reply whose size is written as ``percent``."""
    return body(WHOLE.replace("50", percent))


def judged(mode: str, data: bytes, proposal: EntryProposal) -> object:
    """The verdict in ``data``; an EngineError if there is none."""
    parse = parse_json_completion if mode == "json" else parse_completion
    return verdict_of(
        parse(data, request_id=ID, letters=LETTERS), Question(proposal, (), LETTERS), shrink_factor=Decimal("0.5")
    )


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
