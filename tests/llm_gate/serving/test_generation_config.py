"""What a model's own generation_config.json says of sampling must not reach the gate, with a real vLLM."""

import asyncio
import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal, GateFailed, Reviewed
from llm_gate.engines.vllm import VllmEngine
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.review.rehearsal import proof_in_modes
from llm_gate.serving.server import VllmServer

pytest.importorskip("torch")

OF_THE_MODEL = {"max_new_tokens": 14, "temperature": 1.9, "repetition_penalty": 5.0, "do_sample": True, "top_k": 2}
"""14 tokens are too few for an object, and the penalty moves the logits of every letter that a prompt holds."""


@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_models_own_generation_config_changes_nothing(
    tiny_folder: Path, tmp_path: Path, make_proposal: Callable[..., EntryProposal]
) -> None:
    """The same weights answer alike, letter for letter and token for token, with such a file and without.

    Both what we send and how the server was started see to that, so a request that says nothing is tried too: it gets
    more tokens than the file would allow.
    """
    with_file = Path(shutil.copytree(tiny_folder, tmp_path / "models" / "own-sampling"))
    (with_file / "generation_config.json").write_text(json.dumps(OF_THE_MODEL), encoding="utf-8")

    (plain, _), (changed, tokens) = (
        asked_of(model, tmp_path / f"{model.name}.log", make_proposal()) for model in (tiny_folder, with_file)
    )

    assert [reviewed.outcome for reviewed in changed] == [reviewed.outcome for reviewed in plain]
    assert all(not isinstance(reviewed.outcome, GateFailed) for reviewed in plain)
    assert changed[0].probabilities == pytest.approx(plain[0].probabilities, abs=1e-6)
    assert changed[1].completion_tokens == plain[1].completion_tokens
    assert plain[1].completion_tokens is not None and plain[1].completion_tokens > OF_THE_MODEL["max_new_tokens"]
    assert tokens > OF_THE_MODEL["max_new_tokens"]


def asked_of(model: Path, log: Path, proposal: EntryProposal) -> tuple[list[Reviewed], int]:
    """What the gate makes of ``proposal`` in each mode, and the tokens of a reply to a request without any sampling."""
    prompt = find_prompt(DEFAULT_PROMPT)
    with VllmServer(model, log_path=log) as server:
        server.wait_ready(400.0, proof=proof_in_modes(prompt, ("choice",)))
        engine = VllmEngine(server.url, server.key, model_id=server.model_id)
        ways = [Gate(engine, prompt, GateConfig(mode=mode, deadline_s=60.0)) for mode in ("choice", "json")]
        return [asyncio.run(gate.review(proposal)) for gate in ways], tokens_by_default(server)


def tokens_by_default(server: VllmServer) -> int:
    """How long a reply is where the request leaves the longest to the server."""
    least = OF_THE_MODEL["max_new_tokens"] + 1
    asked = {"model": server.served, "messages": [{"role": "user", "content": "Sing."}], "min_tokens": least, "seed": 0}
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as reply:
        return int(json.load(reply)["usage"]["completion_tokens"])
