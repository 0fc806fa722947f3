"""A logistic regression on the facts as numbers, read from a file: the control that any taught model must beat.

`llm_gate.teaching.fit_logistic` fits and saves it. A proposal is approved where its calibrated chance of a win reaches
the one at which wins pay for losses, else vetoed; shrunk instead where the fit was to veto no more than a given share.
"""

import hashlib
from math import exp
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_gate.contract import Count, EntryProposal, Label, Positive, Probability, Sha256
from llm_gate.engines.base import Answer, Question, letter_of
from llm_gate.engines.proposal_numbers import numbers_of
from llm_gate.engines.saved_file import Kind, read_saved

_KIND = Kind("regression", "llm-gate tune --method logistic")
_DIGEST_LETTERS = 16
_FARTHEST = 500.0  # log-odds: exp of more is no float


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Column(_Saved):
    """One number of a proposal, and what the regression makes of it."""

    name: str
    mean: float
    scale: float = Field(gt=0)
    weight: float = Field(description="log-odds for one scale")


class LogisticFold(_Saved):
    """Whole sessions that were predicted by a regression on the others."""

    sessions: Positive
    cases: Positive
    loss: float = Field(description="mean log loss of P(win)")


class LogisticModel(_Saved):
    """A fitted regression, with what it was taught on."""

    form: Literal["gate_logistic.v1"] = "gate_logistic.v1"
    columns: tuple[Column, ...] = Field(min_length=1)
    intercept: float
    slope: float = Field(gt=0, description="calibration: log-odds times this, plus the shift")
    shift: float
    threshold: Probability = Field(
        description="approve from this P(win) on: there wins pay for losses; 0: it knows nothing"
    )
    veto_below: Probability | None = Field(
        None, description="shrink from this P(win) up to the threshold, veto below; none: nothing is shrunk"
    )
    penalty: float = Field(gt=0, description="on the squares of the weights, chosen by the folds")
    cases: Positive
    sessions: Positive
    cases_digest: Sha256
    last_session: Count = Field(description="of those it was taught on; it may be judged on later ones")
    in_sample: bool = Field(description="taught on bars that the policy was trained on too")
    folds: tuple[LogisticFold, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_the_numbers_of_this_version(self) -> Self:
        names = [column.name for column in self.columns]
        if names != list(numbers_of(_ANY)):
            raise ValueError("its columns are not those of this version; teach it again")
        if self.veto_below is not None and self.veto_below >= self.threshold:
            raise ValueError("veto_below lies under the threshold from which everything is approved")
        return self

    def label(self, p_win: float) -> Label:
        """What is done at this chance of a win."""
        if p_win >= self.threshold:
            return "approve"
        return "veto" if self.veto_below is None or p_win < self.veto_below else "shrink"

    def judge(self, proposal: EntryProposal) -> Label:
        """What is done with ``proposal``, by its chance of a win."""
        return self.label(self.p_win(proposal))

    def p_win(self, proposal: EntryProposal) -> float:
        """The calibrated chance that ``proposal`` earns more than nothing."""
        numbers = numbers_of(proposal)
        terms = (column.weight * (numbers[column.name] - column.mean) / column.scale for column in self.columns)
        odds = self.slope * (self.intercept + sum(terms)) + self.shift
        return 1 / (1 + exp(-min(max(odds, -_FARTHEST), _FARTHEST)))


class LogisticFile(NamedTuple):
    """A regression with the file that it was read from."""

    saved: LogisticModel
    name: str
    """The file's name and the start of its SHA-256: what journals and logs call it."""


class LogisticEngine:
    """Judges by a saved regression; needs no model and no server, and answers in microseconds."""

    name = "logistic"
    by_case = True

    def __init__(self, file: LogisticFile) -> None:
        self._saved = file.saved
        self.model = file.name

    async def decide(self, question: Question) -> Answer:
        """Approve, shrink or veto, with the chance of a win as that of an approval."""
        p_win, label = self._saved.p_win(question.proposal), self._saved.judge(question.proposal)
        chances: dict[Label, float] = {"approve": p_win, "veto": 1 - p_win}
        probabilities = {letter: chances.get(meaning, 0.0) for letter, meaning in question.letters.items()}
        reason = "" if label == "approve" else f"chance of a win {p_win:.3f}, under {self._saved.threshold:.3f}"
        letter = letter_of(label, question.letters)
        return Answer(question.proposal.proposal_id, letter, probabilities, reason, "code")


def read_logistic(path: Path) -> LogisticFile:
    """The regression in ``path``, as `llm-gate tune --method logistic` saves it.

    Raises:
        RequestError: it cannot be read, or is none of this version.
    """
    saved, content = read_saved(path, LogisticModel, _KIND)
    return LogisticFile(saved, f"{path.stem}@{hashlib.sha256(content).hexdigest()[:_DIGEST_LETTERS]}")


_ANY = EntryProposal.model_validate(
    {
        "proposal_id": "0" * 32,
        "side": "buy",
        "quantity": 1,
        "stop_atr_milli": 1500,
        "target_atr_milli": 4500,
        "context": {
            "trend_15_atr_milli": 0,
            "trend_60_atr_milli": 0,
            "trend_240_atr_milli": 0,
            "volatility_percentile": 50,
            "regime": "flat/normal",
            "session_part": "midday",
            "minutes_to_flat": 100,
            "room_to_floor_risks_milli": 1000,
            "losing_streak": 0,
        },
    }
)
