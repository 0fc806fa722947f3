"""The model server of a run: one that the run starts, or the user's own; either must answer what the run will ask."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from llm_gate.errors import or_without_a_model
from llm_gate.evals.asking.answerers import user_server
from llm_gate.prompts.prompt_files import load_prompt
from llm_gate.review.rehearsal import proof_for
from llm_gate.serving.server import VllmServer
from llm_gate.serving.user_server import UserServer
from orchestrator.run.config import GateSection
from orchestrator.run.gate_setup import NO_MODEL, GateInputs, model_spec

ModelServer = VllmServer | UserServer
Say = Callable[[str], None]
END_WITHIN_S = 2.0
"""A run that is asked to stop is gone within five seconds, its model server included."""


def begin_server(
    gate: GateSection, inputs: GateInputs, log_path: Path, stack: ExitStack, *, say: Say
) -> ModelServer | None:
    """The server, begun and not waited for; None where the gate needs none. One that was started ends with ``stack``.

    Raises:
        RequestError, ResourceError: it cannot be used or started.
    """
    return _server(gate, inputs, log_path, stack, say) if gate.engine == "vllm" else None


def prove_server(server: ModelServer, gate: GateSection, *, say: Say, check: Callable[[], None]) -> None:
    """Wait until ``server`` has proven itself; ``check`` is called a few times a second meanwhile, and may raise.

    Raises:
        RequestError, ServerNotReadyError: it did not.
    """
    server.wait_ready(
        gate.ready_deadline_s, proof=proof_for(load_prompt(gate.prompt, gate.prompts), gate.review), check=check
    )
    say("vLLM gave a constrained answer, passed the canary and answered the run's own prompt")


def _server(gate: GateSection, inputs: GateInputs, log_path: Path, stack: ExitStack, say: Say) -> ModelServer:
    if gate.url is not None:
        server = user_server(model_spec(gate))
        say(f"asking the model server at {server.url}")
        return server
    assert inputs.folder is not None, "a server that is started has a model"
    with or_without_a_model(NO_MODEL):
        started = VllmServer(inputs.folder, log_path=log_path, template_kwargs=gate.chat_template_kwargs)
    started.end_within_s = END_WITHIN_S
    say(f"starting vLLM with {started.model_id} on the loopback address")
    return stack.enter_context(started)
