"""A taught folder in a real vLLM server: the letters have the chances that were computed while teaching."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from llm_gate.engines.base import Question
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.review.rehearsal import proof_in_modes
from llm_gate.serving.server import VllmServer
from llm_gate.teaching.fit_head import chances_of
from llm_gate.teaching.hidden_states import Reader
from llm_gate.teaching.lessons import lessons_of
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.tune_head import states_path, tune_head
from tests.llm_gate.teaching.conftest import MakeCases, say_nothing, tied
from tests.optional import skip_module_without

skip_module_without("torch")

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]


def test_a_server_says_what_was_computed_while_teaching(
    make_cases: MakeCases, tiny_folder: Path, tmp_path: Path
) -> None:
    """Embeddings and output layer are one matrix before, two after; the canary and the prompt's own cases pass."""
    prompt, lessons, out = find_prompt("entry_taught.v1"), lessons_of(make_cases(1000)), tmp_path / "taught"
    assert tune_head(lessons, prompt, Reader(tied(tiny_folder, tmp_path / "tied")), out, step=say_nothing).found
    taught, few = Reader(out), lessons.cases[:6]
    letters = taught.letters(prompt.front.letters)
    with StatesFile(states_path(out).with_suffix(".again"), taught.width) as kept:
        states = taught.states([prompt.render(case.proposal) for case in few], kept, say_nothing)
    computed = chances_of(states, letters.rows.astype(np.float64))

    with VllmServer(out, log_path=tmp_path / "vllm.log") as server:
        server.wait_ready(300.0, proof=proof_in_modes(prompt, ("choice",)))
        engine = server.engine()
        questions = [Question(case.proposal, prompt.render(case.proposal), prompt.front.letters) for case in few]
        answers = [asyncio.run(engine.decide(question)) for question in questions]

    said = [[(answer.probabilities or {})[letter] for letter in letters.names] for answer in answers]
    assert np.array(said) == pytest.approx(computed, abs=2e-3)
    assert [answer.letter for answer in answers] == [letters.names[n] for n in computed.argmax(axis=1)]
    assert np.ptp(computed[:, 0]) > 0.005, "else the same letter for every case would pass"
