"""What a model makes of each case before its output layer: the last hidden state, computed once and kept."""

import contextlib
import copy
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Label
from llm_gate.engines.base import Turn
from llm_gate.errors import RequestError
from llm_gate.prompts.length import Tokens
from llm_gate.serving.model_folders import model_id
from llm_gate.teaching.states_file import State, StatesFile

SAME_LOGITS = 1e-3
"""How far a logit may lie from row times state: the two are added up in another order."""

T = TypeVar("T")
Reals = npt.NDArray[np.float64]
Step = Callable[[int, int], None]
"""Called with the cases that have a state, and all."""


class Letters(NamedTuple):
    """The tokens of the letters that a prompt offers, and their rows of the output layer."""

    names: tuple[str, ...]
    labels: tuple[Label, ...]
    tokens: tuple[int, ...]
    rows: npt.NDArray[np.float32]
    """[L, D]"""


class _Opening(NamedTuple):
    """What every chat of a prompt begins with, and what the model remembers of it."""

    tokens: list[int]
    remembered: Any


class Reader:
    """A model folder, loaded to read cases; on a GPU where there is one, else on the CPU, in float32."""

    def __init__(self, folder: Path) -> None:
        """Load it.

        Raises:
            RequestError: what reads it is not installed, or its output layer is not one matrix over the last state.
        """
        try:
            import torch
            import transformers
        except ImportError as error:
            raise RequestError(f"teaching a model needs {error.name}: install the extra 'cpu' or 'cuda'") from None
        self._torch, self._tokens = torch, Tokens(folder)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.folder, self.model_id = folder, model_id(folder)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True
            )
        self.model: Any = loaded.eval().to(self.device)
        self._head: Any = self.model.get_output_embeddings()
        if self._head is None or getattr(self._head, "bias", None) is not None:
            raise RequestError(f"{folder}: its output layer is not one matrix without a bias; it cannot be taught so")

    @property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return int(self._head.weight.shape[1])

    def letters(self, meaning: dict[str, Label]) -> Letters:
        """The letters of a prompt in this model; RequestError if one is not a token of its own."""
        tokens = []
        for letter in meaning:
            ids = self._tokens.of_text(letter)
            if len(ids) != 1:
                raise RequestError(f"{self.folder}: the letter {letter} is {len(ids)} tokens; each must be one")
            tokens.append(ids[0])
        rows = self._head.weight.detach()[tokens].cpu().numpy().astype(np.float32)
        return Letters(tuple(meaning), tuple(meaning.values()), tuple(tokens), rows)

    def states(self, chats: Sequence[tuple[Turn, ...]], kept: StatesFile, step: Step) -> Reals:
        """[N, D] of each chat, those that ``kept`` does not hold yet computed and added to it.

        Raises:
            RequestError: the output layer does more than multiply.
            ResourceError: the disk refuses.
        """
        tokens = [self.tokens_of(chat) for chat in chats]
        openings = {turns: self._opening(turns) for turns in {chat[:-1] for chat in chats}}
        told = [(ids, openings[chat[:-1]]) for ids, chat in zip(tokens, chats, strict=True)]
        self._check(*told[0])
        return self.kept_for(tokens, told, self._state, kept, step).astype(np.float64)

    def tokens_of(self, chat: tuple[Turn, ...]) -> list[int]:
        """The tokens of ``chat``, up to the answer."""
        return self._tokens.of_chat(chat)

    def kept_for(
        self, tokens: Sequence[list[int]], told: Sequence[T], work: Callable[[T], State], kept: StatesFile, step: Step
    ) -> npt.NDArray[np.float32]:
        """[N, W] what ``work`` makes of each of ``told``, which ``kept`` knows by its ``tokens``.

        What it does not hold yet is computed, in order, and added to it.

        Raises:
            ResourceError: the disk refuses.
        """
        keys = [hashlib.sha256(f"{self.model_id}/{ids}".encode()).digest() for ids in tokens]
        missing = {key: one for key, one in zip(keys, told, strict=True) if key not in kept.known}
        already = len(keys) - len(missing)
        self._keep_each(missing, work, kept, lambda done: step(already + done, len(keys)))
        return np.stack([kept.known[key] for key in keys])

    def _keep_each(
        self, missing: dict[bytes, T], work: Callable[[T], State], kept: StatesFile, step: Callable[[int], None]
    ) -> None:
        # One thread a case and a case a core: threads that share one case wait for each other on a busy machine.
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(self._workers) as pool:
                for done, (key, state) in enumerate(zip(missing, pool.map(work, missing.values()), strict=True), 1):
                    kept.append(key, state)
                    step(done)
        finally:
            self._torch.set_num_threads(before)

    @property
    def _workers(self) -> int:
        return 1 if self.device == "cuda" else len(os.sched_getaffinity(0))

    def _opening(self, turns: tuple[Turn, ...]) -> _Opening:
        """The tokens before the last turn's text, read once for all chats that begin with ``turns``.

        They hang on the turns alone, not on which chats are asked for: a state is the same, bit for bit, whichever
        others are computed beside it.
        """
        first, other = (self._tokens.of_chat((*turns, Turn("user", text))) for text in ("A", "b"))
        differs = (place for place, (one, two) in enumerate(zip(first, other, strict=False)) if one != two)
        tokens = first[: next(differs, 0)]
        if not tokens:
            return _Opening([], None)
        with self._torch.inference_mode():
            read = self.model(self._torch.tensor([tokens], device=self.device), use_cache=True, logits_to_keep=1)
        return _Opening(tokens, read.past_key_values)

    def _check(self, ids: list[int], opening: _Opening) -> None:
        """RequestError unless the output layer is one matrix over the last state."""
        state, logits = self._read(ids, opening)
        with self._torch.inference_mode():
            farthest = float((self._head(state) - logits).abs().max())
        if farthest > SAME_LOGITS:
            raise RequestError(
                f"{self.folder}: does more with its last state than one matrix does; it cannot be taught so"
            )

    def _state(self, told: tuple[list[int], _Opening]) -> npt.NDArray[np.float32]:
        return np.asarray(self._read(*told)[0].cpu().numpy(), np.float32)

    def _read(self, ids: list[int], opening: _Opening) -> tuple[Any, Any]:
        """The last hidden state [D] after ``ids``, and the logits of the next token."""
        shared = len(opening.tokens)
        if ids[:shared] != opening.tokens:
            return self._read(ids, _Opening([], None))
        # The model adds to what it remembers, so each chat gets a copy.
        remembered = copy.deepcopy(opening.remembered)
        with self._torch.inference_mode():
            told = self._torch.tensor([ids[shared:]], device=self.device)
            output = self.model(
                told, past_key_values=remembered, output_hidden_states=True, logits_to_keep=1, use_cache=shared > 0
            )
            return output.hidden_states[-1][0, -1], output.logits[0, -1]
