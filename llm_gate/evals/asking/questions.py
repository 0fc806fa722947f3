"""What is shown to a model about one case, whatever the task, and the digest under which the answer is logged."""

import hashlib
import json
from typing import NamedTuple

from llm_gate.contract import Mode
from llm_gate.engines.base import Turn
from llm_gate.errors import PromptError
from llm_gate.evals.asking.day_task import poll
from llm_gate.evals.asking.letter_orders import reordered
from llm_gate.evals.asking.regime_task import MEANINGS, NAME, Aspect, digest_of_reading, reading
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.log import TaskName
from llm_gate.evals.data.true_days import Attribute
from llm_gate.prompts.prompt_files import Prompt

PROBE_NAME = "name_the_day.v1"


class Cell(NamedTuple):
    """One way of asking one model: everything of a question but the case."""

    task: TaskName
    prompt: Prompt | None
    """None where the task brings its own."""
    mode: Mode
    order: int
    options: tuple[str, ...] = ()
    """Of the probe: what the model may choose from."""

    @property
    def probed(self) -> Attribute | None:
        """What the probe asks for; None: another task."""
        match self.task:
            case "year" | "month" | "third" | "weekday" | "market":
                return self.task
            case _:
                return None

    @property
    def aspect(self) -> Aspect:
        """Of the regime, for the tasks that ask for one."""
        return "volatility" if self.task == "volatility" else "direction"

    @property
    def prompt_name(self) -> str:
        """For logs and reports."""
        if self.prompt is not None:
            return self.prompt.name
        return NAME if self.probed is None else PROBE_NAME

    @property
    def prompt_digest(self) -> str:
        """SHA-256 in hex of what is asked besides the case."""
        if self.prompt is not None:
            return self.prompt.digest
        if self.probed is not None:
            return _digest([PROBE_NAME, self.probed, self.options])
        return digest_of_reading(self.aspect)


class Posed(NamedTuple):
    """One question as a model reads it."""

    chat: tuple[Turn, ...]
    meanings: dict[str, str]
    """Of each letter."""


def posed(cell: Cell, case: Case) -> Posed:
    """The question of ``cell`` about ``case``; PromptError if the prompt refuses the case."""
    if cell.prompt is not None:
        prompt = reordered(cell.prompt, cell.order)
        return Posed(
            prompt.render(case.proposal), {letter: str(label) for letter, label in prompt.front.letters.items()}
        )
    if cell.probed is not None:
        return Posed(*poll(case.proposal, cell.probed, cell.options))
    question = reading(cell.aspect, case.proposal.context)
    assert question is not None, "planned for cases with a label only"
    return Posed(question.chat, MEANINGS[cell.aspect])


def question_digest(cell: Cell, case: Case) -> str:
    """SHA-256 in hex of the question as rendered: other words for the same facts make it another question."""
    try:
        return _digest(posed(cell, case))
    except PromptError as error:
        return _digest(str(error))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()
