"""What a model makes of each case before its output layer: the last hidden state, computed once and kept."""

import contextlib
import copy
import hashlib
import io
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Label
from llm_gate.engines.base import Turn
from llm_gate.errors import EXTRAS, NotInstalledError, RequestError
from llm_gate.prompts.length import Tokens
from llm_gate.serving.model_folders import model_id
from llm_gate.teaching.packed_linears import packed_linears
from llm_gate.teaching.states_file import State, StatesFile

SAME_LOGITS = 1e-3
"""How far a logit may lie from row times state: the two are added up in another order."""

BATCH = 8
"""Cases of one length that are read together. More are no faster: what they make no longer fits a core's cache."""

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


NO_OPENING = _Opening([], None)


class _Told(NamedTuple):
    """A case as the model is told it: an opening that it remembers, and the tokens after it."""

    opening: _Opening
    tokens: list[int]


class Work(NamedTuple, Generic[T]):
    """How cases are read that have no state yet."""

    shape: Callable[[T], Hashable]
    """Cases of one shape are read together."""
    read: Callable[[Sequence[T]], Sequence[State]]
    """The states of a batch of one shape."""


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
            raise NotInstalledError(f"teaching a model needs {error.name}: {EXTRAS}") from None
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
        with self._one_thread():
            openings = {turns: self._opening(turns) for turns in {chat[:-1] for chat in chats}}
            told = [_told(ids, openings[chat[:-1]]) for ids, chat in zip(tokens, chats, strict=True)]
            self._check(told[0])
        work = Work(lambda one: (len(one.tokens), tuple(one.opening.tokens)), self._states)
        return self.kept_for(tokens, told, work, kept, step).astype(np.float64)

    def tokens_of(self, chat: tuple[Turn, ...]) -> list[int]:
        """The tokens of ``chat``, up to the answer."""
        return self._tokens.of_chat(chat)

    def kept_for(
        self, tokens: Sequence[list[int]], told: Sequence[T], work: Work[T], kept: StatesFile, step: Step
    ) -> npt.NDArray[np.float32]:
        """[N, W] what ``work`` makes of each of ``told``, which ``kept`` knows by its ``tokens``.

        What it does not hold yet is computed, a batch at a time, and added to it.

        Raises:
            ResourceError: the disk refuses.
        """
        keys = [hashlib.sha256(f"{self.model_id}/{ids}".encode()).digest() for ids in tokens]
        missing = {key: one for key, one in zip(keys, told, strict=True) if key not in kept.known}
        already = len(keys) - len(missing)
        if missing:
            self._keep_each(missing, work, kept, lambda done: step(already + done, len(keys)))
        return np.stack([kept.known[key] for key in keys])

    def _keep_each(self, missing: dict[bytes, T], work: Work[T], kept: StatesFile, step: Callable[[int], None]) -> None:
        batches = _batches(missing, work.shape)
        with self._one_thread(), self._fast(), ThreadPoolExecutor(self._workers) as pool:
            made = pool.map(work.read, [[missing[key] for key in batch] for batch in batches])
            try:
                together = (one for batch in zip(batches, made, strict=True) for one in zip(*batch, strict=True))
                for done, (key, state) in enumerate(together, 1):
                    kept.append(key, state)
                    step(done)
            finally:  # who stops does not wait for the batches that nobody began
                pool.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """One thread a batch, and a batch a core: threads that share one wait for each other on a busy machine.

        So sums are taken in one order too, on however many cores.
        """
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)

    def _fast(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext() if self.device == "cuda" else packed_linears(self.model.base_model)

    @property
    def _workers(self) -> int:
        return 1 if self.device == "cuda" else len(os.sched_getaffinity(0))

    def _opening(self, turns: tuple[Turn, ...]) -> _Opening:
        """The tokens before the last turn's text, read once for all chats that begin with ``turns``.

        They hang on the turns alone, not on which chats are asked for.
        """
        first, other = (self._tokens.of_chat((*turns, Turn("user", text))) for text in ("A", "b"))
        differs = (place for place, (one, two) in enumerate(zip(first, other, strict=False)) if one != two)
        tokens = first[: next(differs, 0)]
        if not tokens:
            return NO_OPENING
        with self._torch.inference_mode():
            read = self.model(self._torch.tensor([tokens], device=self.device), use_cache=True, logits_to_keep=1)
        return _Opening(tokens, read.past_key_values)

    def _check(self, told: _Told) -> None:
        """RequestError unless the output layer is one matrix over the last state."""
        ids = self._torch.tensor([told.opening.tokens + told.tokens], device=self.device)
        with self._torch.inference_mode():
            logits = self.model(ids, logits_to_keep=1, use_cache=False).logits[0, -1]
            farthest = float((self._head(self._last([told])[0]) - logits).abs().max())
        if farthest > SAME_LOGITS:
            raise RequestError(
                f"{self.folder}: does more with its last state than one matrix does; it cannot be taught so"
            )

    def _states(self, batch: Sequence[_Told]) -> Sequence[State]:
        return list(self._last(batch).cpu().numpy())

    def _last(self, batch: Sequence[_Told]) -> Any:
        """[B, D] the last hidden states of a batch of one shape."""
        opening = batch[0].opening
        # The model adds to what it remembers, so each batch gets a copy.
        remembered = copy.deepcopy(opening.remembered)
        if remembered is not None:
            remembered.batch_repeat_interleave(len(batch))
        with self._torch.inference_mode():
            told = self._torch.tensor([one.tokens for one in batch], device=self.device)
            read = self.model.base_model(told, past_key_values=remembered, use_cache=remembered is not None)
            return read.last_hidden_state[:, -1]


def _told(ids: list[int], opening: _Opening) -> _Told:
    """The tokens ``ids`` after ``opening`` where they begin with it, else all of them."""
    shared = len(opening.tokens)
    return _Told(opening, ids[shared:]) if ids[:shared] == opening.tokens else _Told(NO_OPENING, ids)


def _batches(missing: dict[bytes, T], shape: Callable[[T], Hashable]) -> list[list[bytes]]:
    """The keys of ``missing``, at most `BATCH` of one shape together, in the order in which a shape is first met."""
    alike: dict[Hashable, list[bytes]] = {}
    for key, one in missing.items():
        alike.setdefault(shape(one), []).append(key)
    return [keys[start : start + BATCH] for keys in alike.values() for start in range(0, len(keys), BATCH)]
