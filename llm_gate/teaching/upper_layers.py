"""The upper layers of a model with adapters: what lies below them is computed once for each case, and kept.

Low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685) of the library `peft`, on every matrix of the top
layers. Only those layers run while teaching, forwards and backwards; the rest of the model never changes, so what comes
out of it for a case stays the same.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.engines.base import Turn
from llm_gate.errors import NotInstalledError, RequestError
from llm_gate.prompts.length import longest_chat
from llm_gate.prompts.prompt_files import Prompt
from llm_gate.teaching.hidden_states import Reader, Step, Work
from llm_gate.teaching.states_file import State, StatesFile

SAME_STATE = 1e-2
"""How far a state through the upper layers alone may lie from the whole model's: the two add up in another order."""
LAYERS, RANK = 2, 8
_SPARE = 8
"""Tokens beyond the prompt's longest rendering, which is the longest but for rounding."""


class BelowUpper(NamedTuple):
    """What comes out of the layers below, for each case."""

    states: npt.NDArray[np.float32]
    """[N, T, D], zero after a case's last token."""
    tokens: npt.NDArray[np.int64]
    """[N] how many tokens each has."""

    def of(self, chosen: npt.NDArray[np.bool_]) -> "BelowUpper":
        """Those of ``chosen`` [N]."""
        return BelowUpper(self.states[chosen], self.tokens[chosen])


class UpperLayers:
    """The top layers of a reader's model; adapters are drawn from the seed each time."""

    def __init__(self, reader: Reader, prompt: Prompt, seed: int) -> None:
        """RequestError if `peft` is not installed, or the model has no such layers."""
        try:
            import peft
        except ImportError:
            raise NotInstalledError("teaching the upper layers needs peft: pip install 'trigate[tune]'") from None
        import torch

        self._peft, self._torch, self.reader, self.seed = peft, torch, reader, seed
        body: Any = getattr(reader.model, "model", None)
        if not all(hasattr(body, part) for part in ("layers", "norm", "rotary_emb")) or len(body.layers) < LAYERS:
            raise RequestError(f"{reader.folder}: its layers are not those of a Llama or Qwen; teach its head instead")
        self._first = len(body.layers) - LAYERS
        longest = longest_chat(prompt, lambda text: len(reader.tokens_of((Turn("user", text),))))
        self._positions = len(reader.tokens_of(longest)) + _SPARE

    @property
    def device(self) -> str:
        """Where it computes."""
        return self.reader.device

    @property
    def kept_width(self) -> int:
        """Numbers that are kept of a case."""
        return self._positions * self.reader.width

    def below(self, chats: Sequence[tuple[Turn, ...]], kept: StatesFile, step: Step) -> BelowUpper:
        """What the layers below make of each chat; what ``kept`` does not hold yet is computed and added to it.

        Raises:
            RequestError: the upper layers alone do not end where the whole model does.
            ResourceError: the disk refuses.
        """
        told = [self.reader.tokens_of(chat) for chat in chats]
        states = self.reader.kept_for(told, told, Work(len, self._below), kept, step)
        states = states.reshape(len(chats), self._positions, self.reader.width)
        found = BelowUpper(states, np.array([len(ids) for ids in told], np.int64))
        self._check(told[0], found)
        return found

    @contextmanager
    def adapted(self) -> Iterator[Any]:
        """The model with adapters on its top layers, drawn from the seed; afterwards it is as it was."""
        self._torch.manual_seed(self.seed)
        config = self._peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=self._matrices())
        with contextlib.redirect_stderr(io.StringIO()):
            model = self._peft.get_peft_model(self.reader.model, config)
        # One thread: sums are then taken in one order on every machine, and none waits for another on a busy one.
        threads = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield model
        finally:
            self._torch.set_num_threads(threads)
            model.unload()

    def states(self, below: BelowUpper) -> Any:
        """[N, D] tensor: the last state of each case through the top layers, with what adapters they have now."""
        torch, body = self._torch, self.reader.model.model
        longest = int(below.tokens.max())
        hidden = torch.from_numpy(below.states[:, :longest]).to(self.reader.device)
        positions = torch.arange(longest, device=self.reader.device)[None]
        turned = body.rotary_emb(hidden, positions)
        # Attention looks back alone, so what pads a shorter case behind its end is never seen.
        for layer in body.layers[self._first :]:
            out = layer(hidden, attention_mask=None, position_ids=positions, position_embeddings=turned)
            hidden = out[0] if isinstance(out, tuple) else out
        last = hidden[torch.arange(len(hidden)), torch.from_numpy(below.tokens - 1)]
        return body.norm(last)

    def merged(self, adapted: Any) -> dict[str, Any]:
        """The weights of the top layers' matrices with the adapters added, by the names that the model's own have."""
        found = {}
        for name, module in adapted.base_model.model.named_modules():
            if hasattr(module, "get_delta_weight"):
                (adapter,) = module.active_adapters
                weight = module.get_base_layer().weight.detach() + module.get_delta_weight(adapter).detach()
                found[f"{name}.weight"] = weight.clone()
        return found

    def _matrices(self) -> list[str]:
        linear = self._torch.nn.Linear
        return [
            f"model.layers.{number}.{name}"
            for number in range(self._first, self._first + LAYERS)
            for name, module in self.reader.model.model.layers[number].named_modules()
            if isinstance(module, linear)
        ]

    def _below(self, batch: Sequence[list[int]]) -> Sequence[State]:
        """What comes out of the layers below for cases of one length."""
        length = len(batch[0])
        kept = np.zeros((len(batch), self._positions, self.reader.width), np.float32)
        if length > self._positions:
            raise RequestError(f"a case takes {length} tokens, the prompt's longest {self._positions}")
        with self._torch.inference_mode():
            told = self._torch.tensor(batch, device=self.reader.device)
            output = self.reader.model.model(told, output_hidden_states=True, use_cache=False)
        kept[:, :length] = output.hidden_states[self._first].cpu().numpy()
        return list(kept.reshape(len(batch), -1))

    def _check(self, ids: list[int], below: BelowUpper) -> None:
        first = np.arange(len(below.tokens)) == 0
        with self._torch.inference_mode():
            whole = self.reader.model.model(self._torch.tensor([ids], device=self.reader.device), use_cache=False)
            farthest = float((self.states(below.of(first))[0] - whole.last_hidden_state[0, -1]).abs().max())
        if farthest > SAME_STATE:
            raise RequestError(
                f"{self.reader.folder}: its upper layers need more than what comes out of the lower ones"
            )
