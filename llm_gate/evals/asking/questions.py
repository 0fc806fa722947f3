"""What is shown to a model about one case, whatever the task, and the digest under which the answer is logged."""

import hashlib
import json
from typing import NamedTuple

from llm_gate.contract import Mode
from llm_gate.engines.base import Turn
from llm_gate.errors import PromptError
from llm_gate.evals.asking.day_task import day_question
from llm_gate.evals.asking.letter_orders import reordered
from llm_gate.evals.asking.regime_task import MEANINGS, NAME, Aspect, digest_of_regime_question, regime_question
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.log import TaskName
from llm_gate.evals.data.true_days import Attribute
from llm_gate.prompts.prompt_files import Prompt

PROBE_NAME = "name_the_day.v1"


class Cell(NamedTuple):
    """One way of asking one model, a cell of the grid of tasks, prompts, modes and letter orders: all but the case."""

    task: TaskName
    prompt: Prompt | None
    """None where the task brings its own."""
    mode: Mode
    order: int
    options: tuple[str, ...] = ()
    """What the model may choose from, where it is asked to name the day."""

    @property
    def day_attribute(self) -> Attribute | None:
        """What the model is asked to name of the day; None where the task is another."""
        match self.task:
            case "year" | "month" | "third" | "weekday" | "market":
                return self.task
            case _:
                return None

    @property
    def aspect(self) -> Aspect:
        """The half of the regime that is asked for; of no meaning for other tasks."""
        return "volatility" if self.task == "volatility" else "direction"

    @property
    def prompt_name(self) -> str:
        """The name of what is asked, for logs and reports."""
        if self.prompt is not None:
            return self.prompt.name
        return NAME if self.day_attribute is None else PROBE_NAME

    @property
    def prompt_digest(self) -> str:
        """SHA-256 in hex of what is asked besides the case."""
        if self.prompt is not None:
            return self.prompt.digest
        if self.day_attribute is not None:
            return _digest([PROBE_NAME, self.day_attribute, self.options])
        return digest_of_regime_question(self.aspect)


class RenderedQuestion(NamedTuple):
    """One question as a model reads it."""

    chat: tuple[Turn, ...]
    meanings: dict[str, str]
    """What each letter stands for."""


def rendered_question(cell: Cell, case: Case) -> RenderedQuestion:
    """The question of ``cell`` about ``case``; PromptError if the prompt refuses the case."""
    if cell.prompt is not None:
        prompt = reordered(cell.prompt, cell.order)
        return RenderedQuestion(
            prompt.render(case.proposal), {letter: str(label) for letter, label in prompt.front.letters.items()}
        )
    if cell.day_attribute is not None:
        return RenderedQuestion(*day_question(case.proposal, cell.day_attribute, cell.options))
    question = regime_question(cell.aspect, case.proposal.context)
    assert question is not None, "planned for cases with a label only"
    return RenderedQuestion(question.chat, MEANINGS[cell.aspect])


def question_digest(cell: Cell, case: Case) -> str:
    """SHA-256 in hex of the question as rendered: other words for the same facts make it another question."""
    try:
        return _digest(rendered_question(cell, case))
    except PromptError as error:
        return _digest(str(error))


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()
