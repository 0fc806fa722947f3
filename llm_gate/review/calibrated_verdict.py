"""A saved calibration, and the verdict it makes of what a model says.

A model's P(approve) is mapped to the share that came true, and a threshold says from where on an entry is approved;
below it the entry is vetoed, or taken half as large where more vetoes than the fit allowed would be needed. That is the
policy that was fitted on the past and tested on what came after, so nothing of the model's own letter is left: neither
its shrink nor its veto. An approval is the proposal as it stands, so no calibration can make an entry larger than
proposed. `llm_gate.evals.scoring.fit_calibration` fits and saves it;
DECISIONS 13 says why the threshold alone decides.
"""

import hashlib
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from llm_gate.contract import Approve, Mode, Probability, Resize, Sha256, Veto
from llm_gate.engines.saved_file import Kind, read_saved
from llm_gate.errors import RequestError

Method = Literal["isotonic", "temperature"]
Target = Literal["label", "outcome"]
Floats = npt.NDArray[np.float64]

SHRUNK = Decimal("0.5")
"""Of the proposed contracts, where a calibration shrinks: the share that its lines were fitted for."""
_EDGE = 1e-6
_KIND = Kind("calibration", "llm-gate calibrate", 4 * 1024 * 1024)


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProbabilityMap(_Saved):
    """From the P(approve) that a model says to the share that came true; it keeps their order."""

    method: Method
    said: tuple[Probability, ...] = Field((), description="isotonic: knots, straight lines between them")
    observed: tuple[Probability, ...] = ()
    temperature: Annotated[float, Field(gt=0, description="temperature: log-odds are divided by it")] = 1.0

    @model_validator(mode="after")
    def _keeps_the_order(self) -> Self:
        if self.method == "isotonic":
            if not self.said or len(self.said) != len(self.observed):
                raise ValueError("an isotonic map needs as many observed shares as knots, and one at least")
            if any(a >= b for a, b in pairwise(self.said)) or any(a > b for a, b in pairwise(self.observed)):
                raise ValueError("an isotonic map rises, and its knots do not repeat")
        return self

    def __call__(self, probability: npt.ArrayLike) -> Floats:
        """Calibrated probabilities of the same shape."""
        p = np.asarray(probability, np.float64)
        if self.method == "isotonic":
            return np.asarray(np.interp(p, self.said, self.observed))
        return np.asarray(1 / (1 + np.exp(-logit(p) / self.temperature)))


class FoldResult(_Saved):
    """What a map and a threshold from the folds before did on one fold."""

    fold: int
    rows: int
    brier_said: float
    brier_mapped: float
    threshold: float | None
    veto_rate: float | None
    shrink_rate: float | None = None
    r_gate: float | None = Field(description="mean R a proposal")
    r_always: float | None


class Calibration(_Saved):
    """A map and a threshold, with what they were fitted on."""

    model: str
    model_digest: str
    prompt: str
    prompt_digest: Sha256
    mode: Mode
    target: Target
    map: ProbabilityMap
    threshold: Probability | None = Field(
        description="approve from this P(approve) as the model says it; none: no outcomes"
    )
    shrink_from: Probability | None = Field(
        None, description="under the threshold, from this P(approve) on half as large; none: nothing is shrunk"
    )
    max_veto_rate: Probability
    fitted_rows: int
    data_digest: Sha256 = Field(description="of the rows, those of the test included")
    folds: tuple[FoldResult, ...] = Field(min_length=1, description="the last is the test of what is saved")
    thresholds_tried: tuple[float, ...]
    trials: int = Field(0, ge=0, description="prompts and thresholds on record when it was saved")

    @model_validator(mode="after")
    def _shrinks_only_below_its_threshold(self) -> Self:
        if self.shrink_from is not None and (self.threshold is None or self.shrink_from >= self.threshold):
            raise ValueError("shrink_from lies under the threshold from which everything is approved")
        return self


class CalibratedVerdict(NamedTuple):
    """The verdict that a calibration makes of a probability."""

    verdict: Approve | Resize | Veto
    probability: float
    """Calibrated, of approve."""


class CalibrationFile(NamedTuple):
    """A calibration with the text of the file that it was read from."""

    saved: Calibration
    text: str
    """What the file holds, to the byte."""

    @property
    def digest(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def rule(self, p_approve: float) -> CalibratedVerdict:
        """Approve from the threshold on; below it shrink where the fit said so, else veto."""
        threshold = self.saved.threshold
        assert threshold is not None, "without a threshold it is refused"
        mapped, line = (float(value) for value in self.saved.map([p_approve, threshold]))
        if p_approve >= threshold:
            return CalibratedVerdict(Approve(), mapped)
        reason = f"approve {p_approve:.3f}, calibrated {mapped:.3f}: under {line:.3f}"
        if self.saved.shrink_from is not None and p_approve >= self.saved.shrink_from:
            return CalibratedVerdict(Resize(size_factor=SHRUNK, reason=reason), mapped)
        return CalibratedVerdict(Veto(reason=reason), mapped)

    def refuse_other(self, prompt_digest: str, model: str, mode: Mode) -> None:
        """RequestError if it was fitted on answers of another prompt, model or mode."""
        saved = self.saved
        pairs = (("prompt", saved.prompt_digest, prompt_digest), ("model", saved.model_digest, model))
        for what, fitted, used in (*pairs, ("mode", saved.mode, mode)):
            if fitted != used:
                raise RequestError(f"the calibration is of another {what}: {fitted}, not {used}; calibrate this one")


def read_calibration(path: Path) -> CalibrationFile:
    """The calibration in ``path``, as `llm-gate calibrate` saves it.

    Raises:
        RequestError: it cannot be read, is no calibration, or has no threshold that could veto.
    """
    saved, content = read_saved(path, Calibration, _KIND)
    if saved.threshold is None:
        raise RequestError(f"{path}: was fitted on labels and has no threshold; calibrate on recorded cases")
    if saved.threshold == 0.0:
        raise RequestError(f"{path}: approves of everything, as no threshold earned more; such a gate is no gate")
    return CalibrationFile(saved, content.decode("utf-8"))


def logit(p: Floats) -> Floats:
    """Log-odds, those of 0 and 1 kept finite."""
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside / (1 - inside)))
