"""From cases to a taught model folder: states, rows, folder, card."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from llm_gate.prompts.prompt_files import Prompt
from llm_gate.teaching.fit_head import fit_head, gains_of
from llm_gate.teaching.hidden_states import Reader, Step
from llm_gate.teaching.lesson_card import Took, lesson_card
from llm_gate.teaching.lessons import Lessons
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.taught_folder import TaughtCard, write_taught

FOLDS = 5
Clock = Callable[[], float]


def states_path(out: Path) -> Path:
    """The file beside the folder ``out`` that keeps what was computed, for a command that is given again."""
    return out.with_name(f"{out.name}.states")


def tune_head(
    lessons: Lessons,
    prompt: Prompt,
    reader: Reader,
    out: Path,
    *,
    step: Step,
    clock: Clock = time.monotonic,
) -> TaughtCard:
    """Teach the letters of ``prompt`` to the model of ``reader``, and write it to the folder ``out``.

    A command that was stopped goes on with the states that it kept; the fit itself takes seconds and draws nothing at
    random, so that the same cases give the same weights, whatever happened in between.

    Raises:
        RequestError: the prompt, the model, the states or the folder cannot be used.
        ResourceError: the disk refuses.
    """
    prompt.refuse_mode("choice")
    letters, started = reader.letters(prompt.front.letters), clock()
    with StatesFile(states_path(out), reader.width) as kept:
        states = reader.states([prompt.render(case.proposal) for case in lessons.cases], kept, step)
    read, folds = clock(), lessons.folds(FOLDS)
    gains, approve = gains_of(lessons.r, letters.labels), letters.labels.index("approve")
    own = letters.rows.astype(np.float64)
    fit = fit_head(states, gains, own, folds, session=lessons.session, approve=approve)
    took = Took(states=read - started, fit=clock() - read)
    card = lesson_card(lessons, prompt, reader.model_id, folds, fit, took)
    write_taught(reader.folder, out, letters, fit.rows, card)
    return card
