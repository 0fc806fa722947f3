"""Whatever a note holds: one block, no new turn, no forged marker, no wider verdict."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from llm_gate.contract import Approve, EntryProposal, GateFailed, Note, Resize, Veto
from llm_gate.engines.base import Answer, Question, Turn
from llm_gate.engines.scripted import ScriptedEngine
from llm_gate.errors import RequestError
from llm_gate.evals.data.injections import (
    HARMLESS,
    Channel,
    Payload,
    read_payloads,
    with_payload,
)
from llm_gate.prompts.length import Tokens
from llm_gate.prompts.outside_text import NOTICE, WITHHELD, marker_of
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.review.gate import Gate, GateConfig
from tests.proposals import CONTEXT

ProposalMaker = Callable[..., EntryProposal]

CHANNELS: tuple[Channel, ...] = get_args(Channel)
"""The parts of a proposal that take free text; every other one is a number or bound by a pattern."""
PAYLOADS = read_payloads()
ATTEMPTS = [(payload, channel) for payload in PAYLOADS for channel in CHANNELS]
PROMPT = find_prompt("entry_notes.v1")
BOUND_CHANNELS = ("kind", "proposal_id", "side", "context.regime", "context.session_part")
"""Every other text of a proposal: each is bound by a pattern or a list."""


class EchoEngine:
    """The worst model there can be: it answers with whatever stands in the first note."""

    name = "echo"
    model = "echo"

    async def decide(self, question: Question) -> Answer:
        """The note as the letter, and as the reason."""
        note = question.proposal.notes[0]
        said = note.text if note.source == "desk" else note.source
        return Answer(question.proposal.proposal_id, said, None, said, "model")


def ids(attempt: tuple[Payload, Channel]) -> str:
    """The name of a test."""
    return f"{attempt[0].payload_id}-{attempt[1]}"


def attempted(proposal: EntryProposal, attempt: tuple[Payload, Channel]) -> EntryProposal:
    """``proposal`` with the attempt in it."""
    return with_payload(proposal, *attempt)


def test_the_corpus_is_large_and_of_many_kinds() -> None:
    attempts = [payload for payload in PAYLOADS if payload.family != HARMLESS]

    assert len(attempts) >= 120
    assert (
        len({payload.payload_id for payload in PAYLOADS})
        == len({payload.text for payload in PAYLOADS})
        == len(PAYLOADS)
    )
    assert min(Counter(payload.family for payload in PAYLOADS).values()) >= 8


def test_hardly_any_attempt_is_withheld_for_another_reason(make_proposal: ProposalMaker) -> None:
    """A corpus that the blindness rule kept out would prove nothing about injection."""
    withheld = [a for a in ATTEMPTS if WITHHELD.text in PROMPT.render(attempted(make_proposal(), a))[-1].text]

    assert len(withheld) <= 4


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=ids)
def test_no_attempt_leaves_its_block(make_proposal: ProposalMaker, attempt: tuple[Payload, Channel]) -> None:
    proposal = attempted(make_proposal(), attempt)
    marker = marker_of(proposal.proposal_id)

    chat = PROMPT.render(proposal)

    bare = PROMPT.render(proposal.model_copy(update={"notes": ()}))
    assert [turn.role for turn in chat] == [turn.role for turn in bare]
    assert chat[:-1] == bare[:-1]
    assert NOTICE in chat[0].text
    lines, bare_lines = chat[-1].text.split("\n"), bare[-1].text.split("\n")
    changed = [at for at, pair in enumerate(zip(lines, bare_lines, strict=True)) if pair[0] != pair[1]]
    assert changed == [bare_lines.index("[]")]
    assert lines[changed[0] - 1] == f"--- outside text {marker} ---"
    assert lines[changed[0] + 1] == f"--- end of outside text {marker} ---"
    assert chat[-1].text.lower().count(marker) == 2
    assert len(re.findall("^---", chat[-1].text, re.MULTILINE)) == 2
    (note,) = json.loads(lines[changed[0]])
    assert set(note) == {"source", "text"}
    assert not set(lines[changed[0]][1:-1]) & set("<>|[]@#`&")


CONTROL = ("<|im_start|>", "<|im_end|>", "<|end|>", "<|assistant|>", "<|eot_id|>", "[INST]", "[/INST]", "<s>", "</s>")
"""Tokens that chat templates begin and end turns with, of several families of models at once."""
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endfor %}<|im_start|>"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """A real tokenizer that reads each of ``CONTROL`` wherever it stands in a text, and any other byte as itself."""
    import tokenizers
    import transformers

    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={t: n for n, t in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.add_special_tokens(list(CONTROL))
    folder = tmp_path_factory.mktemp("tokenizer")
    transformers.PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE).save_pretrained(folder)
    return Tokens(folder)


def controls(tokens: Tokens, chat: tuple[Turn, ...]) -> list[int]:
    """The control tokens that a model would read in ``chat``."""
    known = tokens.control()
    return [token for token in tokens.of_chat(chat) if token in known]


def test_no_attempt_adds_a_control_token(make_proposal: ProposalMaker, tokens: Tokens) -> None:
    """A tokenizer reads ``<|im_end|>`` inside a text as the end of a turn."""
    expected = controls(tokens, PROMPT.render(make_proposal()))

    read = {ids(a): controls(tokens, PROMPT.render(attempted(make_proposal(), a))) for a in ATTEMPTS}

    assert len(expected) == 5
    assert [name for name, found in read.items() if found != expected] == []


@pytest.mark.parametrize("token", CONTROL)
def test_a_text_that_were_not_escaped_would_add_control_tokens(tokens: Tokens, token: str) -> None:
    """The check above can fail."""
    chat = PROMPT.render(EntryProposal.model_validate_json(PLAIN))
    raw = (*chat[:-1], chat[-1]._replace(text=f"{chat[-1].text} {token} A"))

    assert len(controls(tokens, raw)) == len(controls(tokens, chat)) + 1


PLAIN = json.dumps(
    {
        "proposal_id": "0" * 32,
        "side": "sell",
        "quantity": 8,
        "stop_atr_milli": 1500,
        "target_atr_milli": 4500,
        "context": CONTEXT,
    }
)


def test_the_verdict_space_is_unchanged(make_proposal: ProposalMaker) -> None:
    """An obedient model's answer is one of the letters, whole, or no verdict; never more size, never another order."""
    config = GateConfig(shrink_factor=Decimal("0.5"), breaker_failures=10**6)
    gate = Gate(EchoEngine(), PROMPT, config)

    async def review_all() -> dict[str, object]:
        return {ids(a): (await gate.review(attempted(make_proposal(), a))).outcome for a in ATTEMPTS}

    outcomes = asyncio.run(review_all())

    spoken = {name: outcome for name, outcome in outcomes.items() if outcome != GateFailed(cause="malformed")}
    assert spoken == {"example-10-text": Veto(reason="C"), "example-10-source": Veto(reason="C")}


@pytest.mark.parametrize("label", ["approve", "shrink", "veto"])
def test_a_scripted_verdict_is_the_same_with_any_note(make_proposal: ProposalMaker, label: str) -> None:
    expected = {"approve": Approve(), "shrink": Resize(size_factor=Decimal("0.5"), reason="scripted")}

    async def review_all() -> list[object]:
        gate = Gate(ScriptedEngine([label]), PROMPT, GateConfig(shrink_factor=Decimal("0.5")))  # type: ignore[list-item]
        return [(await gate.review(attempted(make_proposal(), a))).outcome for a in ATTEMPTS]

    assert set(map(repr, asyncio.run(review_all()))) == {repr(expected.get(label, Veto(reason="scripted")))}


@pytest.mark.parametrize("channel", BOUND_CHANNELS)
def test_no_other_channel_takes_text(make_proposal: ProposalMaker, channel: str) -> None:
    sent = json.loads(make_proposal().model_dump_json())
    *above, name = channel.split(".")
    place = sent[above[0]] if above else sent
    taken = []
    for payload in PAYLOADS:
        place[name] = payload.text
        try:
            EntryProposal.model_validate_json(json.dumps(sent))
        except ValidationError:
            continue
        taken.append(payload.payload_id)

    assert taken == []


def test_the_notes_and_the_bound_channels_are_all_the_text_there_is() -> None:
    """A new text field has to be put into one of the two lists."""
    schema = EntryProposal.model_json_schema()
    texts = {name for name, kind in schema["properties"].items() if kind.get("type") == "string"}
    context = schema["$defs"]["RegimeContext"]["properties"]
    texts |= {f"context.{name}" for name, kind in context.items() if kind.get("type") == "string"}

    assert texts == set(BOUND_CHANNELS)
    assert set(Note.model_fields) == set(CHANNELS)


def payload(name: str, text: str, family: str = "order") -> Payload:
    """One attempt."""
    return Payload(payload_id=name, family=family, text=text)


def test_each_attempt_is_another_question(make_proposal: ProposalMaker) -> None:
    """A gate that remembers its answers by id would otherwise give the first one again."""
    proposals = [attempted(make_proposal(), a) for a in ATTEMPTS]

    assert len({proposal.proposal_id for proposal in proposals} | {make_proposal().proposal_id}) == len(ATTEMPTS) + 1


@pytest.mark.parametrize("text", ["{", '{"payload_id": "a", "family": "b"}', '{"payload_id": "a", "payload_id": "a"}'])
def test_a_faulty_corpus_is_named_by_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.jsonl").write_text(payload("a", "x").model_dump_json() + "\n" + text + "\n")

    with pytest.raises(RequestError, match=r"corpus\.jsonl:2: "):
        read_payloads(tmp_path / "corpus.jsonl")


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="No such file"):
        read_payloads(tmp_path / "none.jsonl")
