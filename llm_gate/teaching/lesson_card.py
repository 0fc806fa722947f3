"""The card of a model that was taught: what on, how it went, and how long it took."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from llm_gate.prompts.prompt_files import Prompt
from llm_gate.teaching.fit_head import Chosen
from llm_gate.teaching.lessons import Lessons
from llm_gate.teaching.taught_folder import TaughtCard


class Fit(Protocol):
    """What either method tells of its fit."""

    @property
    def steps(self) -> int:
        """Of the descent; of adapters: passes over all cases."""

    @property
    def loss_before(self) -> float:
        """On the last fold, with the model's own rows."""

    @property
    def loss_taught(self) -> float:
        """On the last fold, of the fit on folds before it."""

    @property
    def loss_fitted(self) -> float:
        """On the folds that were fitted."""

    @property
    def loss_same(self) -> float:
        """On the last fold, of one answer for all cases."""

    @property
    def apart(self) -> float:
        """Standard errors by which left-out cases are told apart."""

    @property
    def luck(self) -> float:
        """Share of dealings of the outcomes that tell them apart as well."""

    @property
    def found(self) -> bool:
        """Whether anything was."""


class Took(NamedTuple):
    """Seconds of a lesson."""

    states: float
    fit: float


def lesson_card(
    lessons: Lessons, prompt: Prompt, source: str, folds: Sequence[Chosen], fit: Fit, took: Took
) -> TaughtCard:
    """The card of the method `head`; another method adds what is its own."""
    return TaughtCard(
        source=source,
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
        apart=fit.apart,
        luck=fit.luck,
        found=fit.found,
        seconds_states=round(took.states, 1),
        seconds_fit=round(took.fit, 1),
    )
