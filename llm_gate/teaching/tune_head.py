"""From cases to a taught model folder: states, rows, folder, card."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.prompts.prompt_files import Prompt
from llm_gate.teaching.fit_head import HeadFit, fit_head, gains_of
from llm_gate.teaching.hidden_states import Letters, Reader, Step
from llm_gate.teaching.lessons import Lessons
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.taught_folder import TaughtCard, write_taught

FOLDS = 5
Clock = Callable[[], float]


class TaughtHead(NamedTuple):
    """What was found, before it is written."""

    letters: Letters
    fit: HeadFit
    card: TaughtCard


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
    found = _taught(lessons, prompt, reader, out, step=step, clock=clock)
    write_taught(reader.folder, out, found.letters, found.fit.rows, found.card)
    return found.card


def _taught(lessons: Lessons, prompt: Prompt, reader: Reader, out: Path, *, step: Step, clock: Clock) -> TaughtHead:
    letters = reader.letters(prompt.front.letters)
    started = clock()
    with StatesFile(states_path(out), reader.width) as kept:
        states = reader.states([prompt.render(case.proposal) for case in lessons.cases], kept, step)
    read, folds = clock(), lessons.folds(FOLDS)
    gains, approve = gains_of(lessons.r, letters.labels), letters.labels.index("approve")
    fit = fit_head(states, gains, letters.rows.astype(np.float64), folds, approve=approve)
    card = TaughtCard(
        source=reader.model_id,
        prompt=prompt.name,
        prompt_digest=prompt.digest,
        letters=prompt.front.letters,
        cases=len(lessons.cases),
        sessions=len(np.unique(lessons.session)),
        cases_digest=lessons.digest,
        last_session=int(lessons.session.max()),
        in_sample=lessons.in_sample,
        fold_sessions=tuple(len(np.unique(lessons.session[fold])) for fold in folds),
        steps=fit.steps,
        loss_before=fit.loss_before,
        loss_taught=fit.loss_taught,
        loss_fitted=fit.loss_fitted,
        loss_same=fit.loss_same,
        found=fit.found,
        seconds_states=round(read - started, 1),
        seconds_fit=round(clock() - read, 1),
    )
    return TaughtHead(letters, fit, card)
