"""A prompt's own questions as part of the proof that a model server is ready for it."""

from collections.abc import Iterable

from llm_gate.contract import Mode
from llm_gate.engines.base import Engine
from llm_gate.prompts.prompt_files import Prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.serving.canaries import Proof, Rehearsal


def proof_for(prompt: Prompt, config: GateConfig) -> Proof:
    """What a server must answer before a gate of this prompt and configuration may use it."""
    return Proof((config.mode,), (_rehearsal(prompt, config),))


def proof_in_modes(prompt: Prompt, modes: tuple[Mode, ...]) -> Proof:
    """The same for every one of ``modes``, as far as the prompt is written for them."""
    written_for = [(prompt, mode) for mode in modes if mode in prompt.front.modes]
    return Proof(modes, proof_of(written_for).rehearsals)


def proof_of(ways: Iterable[tuple[Prompt, Mode]]) -> Proof:
    """What a server must answer before it is asked with each of these prompts, in its mode; each of them once."""
    distinct = {(prompt.digest, mode): (prompt, mode) for prompt, mode in ways}
    modes = dict.fromkeys(mode for _, mode in distinct)
    rehearsals = [_rehearsal(prompt, GateConfig(mode=mode)) for prompt, mode in distinct.values()]
    return Proof(tuple(modes) or ("choice",), tuple(rehearsals))


def _rehearsal(prompt: Prompt, config: GateConfig) -> Rehearsal:
    async def ask(engine: Engine) -> None:
        await Gate(engine, prompt, config).rehearse()

    return Rehearsal(f"prompt {prompt.name} in {config.mode}", ask)
