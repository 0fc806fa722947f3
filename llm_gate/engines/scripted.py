"""Gives the answers of a script in order: the control that approves of everything, and an engine for tests."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from llm_gate.contract import Label
from llm_gate.engines.base import Answer, Question, letter_of
from llm_gate.errors import EngineError


class Scripted(NamedTuple):
    """One step of the script: wait, then answer with a label or raise a fault."""

    step: Label | EngineError
    delay_s: float = 0.0
    proposal_id: str | None = None
    """The id to answer to; None is the proposal's own."""


class ScriptedEngine:
    """Plays a script; the last step repeats for ever."""

    name = "scripted"
    model = "script"
    by_case = False

    def __init__(self, script: Iterable[Label | EngineError | Scripted]) -> None:
        """A bare label or fault is a step without delay; ValueError for an empty script."""
        self._script = [step if isinstance(step, Scripted) else Scripted(step) for step in script]
        if not self._script:
            raise ValueError("a script needs at least one step")
        self.asked: list[str] = []

    async def decide(self, question: Question) -> Answer:
        """The next step of the script."""
        scripted = self._script[min(len(self.asked), len(self._script) - 1)]
        self.asked.append(question.proposal.proposal_id)
        await asyncio.sleep(scripted.delay_s)
        if isinstance(scripted.step, EngineError):
            raise scripted.step
        letter = letter_of(scripted.step, question.letters)
        proposal_id = scripted.proposal_id or question.proposal.proposal_id
        reason = "" if scripted.step == "approve" else "scripted"
        return Answer(proposal_id, letter, None, reason, "code")
