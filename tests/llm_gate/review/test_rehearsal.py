"""What a server must answer before a prompt is asked of it."""

import asyncio

import pytest

from llm_gate.engines.scripted import ScriptedEngine
from llm_gate.errors import MalformedVerdictError
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.review.rehearsal import proof_of

REVIEW, FACTS = find_prompt("entry_review.v1"), find_prompt("entry_facts.v1")


def test_each_prompt_is_rehearsed_once_in_each_of_its_modes() -> None:
    proof = proof_of([(REVIEW, "choice"), (REVIEW, "choice"), (FACTS, "choice"), (REVIEW, "json")])

    assert proof.modes == ("choice", "json")
    assert [one.name for one in proof.rehearsals] == [
        "prompt entry_review.v1 in choice",
        "prompt entry_facts.v1 in choice",
        "prompt entry_review.v1 in json",
    ]


def test_where_no_prompt_is_asked_the_canary_of_a_letter_remains() -> None:
    assert proof_of([]) == (("choice",), ())


def test_a_rehearsal_judges_twice_counts_nothing_and_raises_what_a_review_would_hide() -> None:
    good, bad = ScriptedEngine(["veto"]), ScriptedEngine(["approve", MalformedVerdictError("prose")])
    gate = Gate(good, REVIEW, GateConfig())

    asyncio.run(gate.rehearse())

    assert (len(good.asked), gate.counts.total()) == (2, 0)
    with pytest.raises(MalformedVerdictError, match="prose"):
        asyncio.run(Gate(bad, REVIEW, GateConfig()).rehearse())
