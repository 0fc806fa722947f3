"""From cases to a model whose upper layers were taught: lower states, adapters, merged folder, card."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.prompts.prompt_files import Prompt
from llm_gate.teaching.fit_head import gains_of
from llm_gate.teaching.fit_lora import AdapterCases, Epoch, LoraFit, fit_lora
from llm_gate.teaching.hidden_states import Step
from llm_gate.teaching.lesson_card import Took, lesson_card
from llm_gate.teaching.lessons import Lessons
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.taught_folder import AdapterCard, TaughtCard, write_taught
from llm_gate.teaching.tune_head import FOLDS, Clock
from llm_gate.teaching.upper_layers import LAYERS, RANK, UpperLayers


class Progress(NamedTuple):
    """Who is told how far it is."""

    step: Step
    epoch: Epoch


def lower_states_path(out: Path) -> Path:
    """The file beside the folder ``out`` that keeps what came out of the lower layers."""
    return out.with_name(f"{out.name}.lower-states")


def tune_lora(
    lessons: Lessons,
    prompt: Prompt,
    upper: UpperLayers,
    out: Path,
    *,
    progress: Progress,
    clock: Clock = time.monotonic,
) -> TaughtCard:
    """Teach ``upper``, the top layers of a model, what the letters of ``prompt`` mean, and write the folder ``out``.

    A command that was stopped goes on with the lower layers' states that it kept.

    Raises:
        RequestError: the prompt, the model, the states or the folder cannot be used.
        ResourceError: the disk refuses.
    """
    prompt.refuse_mode("choice")
    reader = upper.reader
    letters, started = reader.letters(prompt.front.letters), clock()
    with StatesFile(lower_states_path(out), upper.kept_width) as kept:
        below = upper.below([prompt.render(case.proposal) for case in lessons.cases], kept, progress.step)
    read, folds = clock(), lessons.folds(FOLDS)
    cases = AdapterCases(below, gains_of(lessons.r, letters.labels), lessons.session)
    approve = letters.labels.index("approve")
    fit = fit_lora(upper, cases, letters.rows.astype(np.float64), folds, approve=approve, epoch=progress.epoch)
    took = Took(states=read - started, fit=clock() - read)
    card = lesson_card(lessons, prompt, reader.model_id, folds, fit, took)
    card = card.model_copy(update={"method": "lora", "adapters": _adapters(fit, upper.seed)})
    write_taught(reader.folder, out, letters, fit.rows, card, changed=fit.changed)
    return card


def _adapters(fit: LoraFit, seed: int) -> AdapterCard:
    return AdapterCard(layers=LAYERS, rank=RANK, seed=seed, epochs=fit.steps, loss_stopped=fit.loss_stopped)
