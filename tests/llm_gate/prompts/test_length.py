"""Prompts measured with a real tokenizer: the longest rendering, both ways to decode, and what does not fit."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal, Note
from llm_gate.engines.base import Turn
from llm_gate.errors import PromptError, RequestError
from llm_gate.prompts.length import Tokens, check_length, length_of
from llm_gate.prompts.outside_text import longest_block
from llm_gate.prompts.prompt_files import Prompt, find_prompt, load_prompt, prompt_paths, prompts_folder
from llm_gate.serving.server import MAX_MODEL_LEN


@pytest.fixture(scope="module")
def tokens(tiny_folder: Path) -> Tokens:
    """The tiny model's own tokenizer: one token a byte, so no other counts more."""
    return Tokens(tiny_folder)


@pytest.mark.parametrize("path", prompt_paths(prompts_folder()), ids=lambda path: path.stem)
def test_every_prompt_fits_our_server_even_at_a_token_a_byte(tokens: Tokens, path: Path) -> None:
    prompt = load_prompt(path)

    lengths = check_length(prompt, tokens, MAX_MODEL_LEN)

    assert [length.mode for length in lengths] == list(prompt.front.modes)
    assert lengths[0].mode == "choice" and all(a.tokens < b.tokens for a, b in pairwise(lengths))


def noted(proposal: EntryProposal) -> EntryProposal:
    """With more text than is shown, all of it in escapes."""
    return proposal.model_copy(update={"notes": (Note(source="<" * 64, text="<" * 4000),) * 9})


def test_no_rendering_is_longer_than_the_longest(tokens: Tokens, make_proposal: Callable[..., EntryProposal]) -> None:
    """Among proposals of every kind: it is the one that is counted."""
    prompt = find_prompt("entry_notes.v1")
    proposals = [
        noted(make_proposal(room_to_floor_risks_milli=room, vwap_atr_milli=vwap, to_session_high_atr_milli=1_000_000))
        for room in (-(10**9), 1999, 10**9)
        for vwap in (-(10**9), 10**9)
    ]

    longest = max(len(tokens.of_chat(prompt.render(proposal))) for proposal in proposals)

    assert longest <= length_of(prompt, "choice", tokens, MAX_MODEL_LEN).tokens


class WordTokens(Tokens):
    """One token a word, as cheap as words can be: escapes would cost far more than they do here."""

    def __init__(self) -> None:
        """No model."""

    def of_chat(self, chat: tuple[Turn, ...]) -> list[int]:
        """A token a word."""
        return [0] * sum(self.count(turn.text) for turn in chat)

    def count(self, text: str) -> int:
        """Words."""
        return len(text.split())


def test_each_character_of_the_notes_counts_as_a_token() -> None:
    """Notes may be escapes throughout, which no tokenizer has words for."""
    plain = length_of(find_prompt("entry_facts.v1"), "choice", WordTokens(), MAX_MODEL_LEN)
    noted = length_of(find_prompt("entry_notes.v1"), "choice", WordTokens(), MAX_MODEL_LEN)

    assert noted.tokens >= plain.tokens + len(longest_block())


def test_a_prompt_that_does_not_fit_is_refused_by_its_numbers(tokens: Tokens) -> None:
    prompt = find_prompt("entry_rules.v1")
    needed = length_of(prompt, "json", tokens, MAX_MODEL_LEN)
    enough = needed.tokens + needed.answer

    assert check_length(prompt, tokens, enough)[1].fits
    with pytest.raises(PromptError, match=rf"entry_rules\.v1: json: .* {needed.tokens} tokens .* {enough - 1};"):
        check_length(prompt, tokens, enough - 1)


def test_a_prompt_for_one_mode_is_measured_in_that_mode_only(tokens: Tokens, tmp_path: Path) -> None:
    text = (prompts_folder() / "entry_rules.v1.md").read_text(encoding="utf-8")
    (tmp_path / "t.v1.md").write_text(text.replace('["choice", "json"]', '["choice"]'), encoding="utf-8")
    prompt: Prompt = load_prompt(tmp_path / "t.v1.md")

    assert [length.mode for length in check_length(prompt, tokens, MAX_MODEL_LEN)] == ["choice"]


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')

    with pytest.raises(RequestError, match="holds no tokenizer"):
        Tokens(tmp_path)
