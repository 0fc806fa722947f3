"""Whether a prompt fits a model's context, by the model's own tokenizer and for the longest proposal there can be."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from llm_gate.engines.base import Turn
from llm_gate.errors import EXTRAS, NotInstalledError, PromptError, RequestError
from llm_gate.prompts.facts import longest_facts
from llm_gate.prompts.outside_text import longest_block
from llm_gate.prompts.prompt_files import NOTES, Prompt

ANSWER_TOKENS = {"choice": 1, "json": 128}
"""What an answer may take."""
JSON_EXTRA = "Instead of a letter, answer with one JSON object of a decision, a size and a reason. " * 4
"""At least as long as what an engine adds to a chat that is to be answered in JSON."""
JSON_EXAMPLE = '{"decision": "shrink", "size_percent": 50, "reason": "one thing speaks against the trade"}'
"""At least as long as what stands for each example's letter then."""


class Length(NamedTuple):
    """The longest rendering of a prompt in one mode, in tokens, and what it has to fit."""

    mode: str
    tokens: int
    answer: int
    context: int

    @property
    def fits(self) -> bool:
        """Whether prompt and answer fit the context together."""
        return self.tokens + self.answer <= self.context


class Tokens:
    """A model's own tokenizer and chat template, read from its folder and nowhere else."""

    def __init__(self, folder: Path) -> None:
        """RequestError if the tokenizer, or what reads it, is missing."""
        try:
            import transformers
        except ImportError as error:
            raise NotInstalledError(f"counting tokens needs {error.name}: {EXTRAS}") from None
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise RequestError(f"{folder} holds no tokenizer: {str(error).splitlines()[0]}") from None
        if not self._tokenizer.chat_template:
            raise RequestError(f"{folder} holds no chat template")

    def of_chat(self, chat: tuple[Turn, ...]) -> list[int]:
        """The tokens that a server feeds the model for ``chat``, up to the answer."""
        messages = [{"role": turn.role, "content": turn.text} for turn in chat]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def control(self) -> frozenset[int]:
        """The tokens that a template begins and ends turns with."""
        return frozenset(self._tokenizer.all_special_ids) | frozenset(self._tokenizer.added_tokens_decoder)

    def count(self, text: str) -> int:
        """Tokens of ``text`` alone."""
        return len(self.of_text(text))

    def of_text(self, text: str) -> list[int]:
        """The tokens of ``text`` alone."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def longest_chat(prompt: Prompt, count: Callable[[str], int]) -> tuple[Turn, ...]:
    """The rendering that no other proposal's passes by more than rounding, each phrase the longest by ``count``."""
    return prompt.filled({**longest_facts(count)._asdict(), NOTES: longest_block()})


def length_of(prompt: Prompt, mode: str, tokens: Tokens, context: int) -> Length:
    """How long ``prompt`` can become in ``mode`` for a model that attends to ``context`` tokens."""
    chat = longest_chat(prompt, tokens.count)
    if mode == "json":
        chat = _in_json(chat)
    needed = len(tokens.of_chat(chat))
    if NOTES in prompt.front.fields:
        # Escapes cost more tokens than words: in the worst case each character of the block is one.
        needed += max(0, len(longest_block()) - tokens.count(longest_block()))
    return Length(mode, needed, ANSWER_TOKENS[mode], context)


def check_length(prompt: Prompt, tokens: Tokens, context: int) -> list[Length]:
    """The lengths in every mode of ``prompt``; PromptError if one does not fit."""
    lengths = [length_of(prompt, mode, tokens, context) for mode in prompt.front.modes]
    for length in lengths:
        if not length.fits:
            raise PromptError(
                f"{prompt.name}: {length.mode}: its longest rendering takes {length.tokens} tokens and the answer "
                f"{length.answer}; the model attends to {length.context}; shorten it"
            )
    return lengths


def _in_json(chat: tuple[Turn, ...]) -> tuple[Turn, ...]:
    turns = [turn._replace(text=JSON_EXAMPLE) if turn.role == "assistant" else turn for turn in chat]
    return turns[0]._replace(text=f"{turns[0].text}\n{JSON_EXTRA}"), *turns[1:]
