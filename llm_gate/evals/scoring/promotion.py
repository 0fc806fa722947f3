"""Whether a gate may act: an anytime-valid interval of its uplift over random vetoes, and SHADOW or PROMOTE.

One observation is one session: the mean over its proposals of

    (share_i - mean share of all earlier sessions) x (R_i - mean R of all earlier sessions)

where ``share`` is how much of a proposal the gate let through (1, 0.5, 0) and R is what it earned alone. A gate that
vetoes at random, at whatever rate, has mean zero here: vetoing more of a strategy that loses earns it nothing. Both
centres are known before the session begins. The first session only sets them (DECISIONS 14).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from llm_gate.evals.scoring.confidence_sequence import confidence_sequence

Word = Literal["SHADOW", "PROMOTE"]
Floats = npt.NDArray[np.float64]


class PromotionCriteria(BaseModel):
    """What a gate has to show before it may act."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_proposals: int = Field(300, ge=1, description="with a verdict and an outcome")
    min_sessions: int = Field(60, ge=2)
    alpha: float = Field(0.05, gt=0, lt=1, description="divided by the trials: every prompt and threshold tried")
    clip_low_r: float = Field(-2.0, lt=0, description="an outcome below counts as this")
    clip_high_r: float = Field(3.5, gt=0, description="an outcome above counts as this")


class Judged(NamedTuple):
    """One proposal with a verdict and an outcome."""

    session: int
    share: float
    """Of the proposed contracts that the gate let through, 0 to 1."""
    r: float
    """What the whole proposal earned alone, in R."""


class SessionUplift(NamedTuple):
    """One observation, and what it could not lie outside of, known before its session."""

    value: float
    least: float
    most: float


class Promotion(NamedTuple):
    """SHADOW or PROMOTE, and what it rests on."""

    word: Word
    reasons: tuple[str, ...]
    proposals: int
    sessions: int
    uplift: float | None
    """R a proposal over random vetoes: the mean of the sessions after the first."""
    low: float | None
    high: float | None
    alpha: float
    """After the division by the trials."""
    trials: int
    clipped: float
    """Share of the outcomes that were clipped."""
    history: tuple[tuple[float, float], ...] = ()
    """The interval after each session."""

    @property
    def line(self) -> str:
        """The status in one line."""
        return f"{self.word}: {'; '.join(self.reasons)}"


def promotion(judged: Sequence[Judged], criteria: PromotionCriteria, *, trials: int) -> Promotion:
    """The status of a gate after these proposals, in any order within a session."""
    raw = np.array([row.r for row in judged], np.float64)
    r = np.clip(raw, criteria.clip_low_r, criteria.clip_high_r)
    clipped = float((raw != r).mean()) if len(raw) else 0.0
    observed = session_uplifts([row._replace(r=float(value)) for row, value in zip(judged, r, strict=True)], criteria)
    alpha = criteria.alpha / max(1, trials)
    values, least, most = np.array(observed, np.float64).reshape(-1, 3).T
    sequence = confidence_sequence(values, least=least, most=most, alpha=alpha)
    history = tuple(zip(sequence.low.tolist(), sequence.high.tolist(), strict=True))
    low, high = history[-1] if history else (None, None)
    sessions = len({row.session for row in judged})
    doubts = _doubts(len(judged), sessions, low, criteria)
    return Promotion(
        word="SHADOW" if doubts else "PROMOTE",
        reasons=tuple(doubts) or (f"the interval of the uplift over random vetoes starts at {low:+.4f} R",),
        proposals=len(judged),
        sessions=sessions,
        uplift=float(values.mean()) if len(values) else None,
        low=low,
        high=high,
        alpha=alpha,
        trials=trials,
        clipped=clipped,
        history=history,
    )


def promoted_after(judged: Sequence[Judged], criteria: PromotionCriteria, *, trials: int) -> int | None:
    """The session, counted from 1, after which the gate was first promoted; None where it never was.

    The interval holds after every session at once, so looking after each costs nothing.
    """
    proposals = np.cumsum(np.unique([row.session for row in judged], return_counts=True)[1])
    intervals = promotion(judged, criteria, trials=trials).history
    # The first session only sets the centres, so the interval after session n is at n - 2.
    for count, (low, _) in enumerate(intervals, start=2):
        enough = count >= criteria.min_sessions and proposals[count - 1] >= criteria.min_proposals
        if enough and low > 0:
            return count
    return None


def session_uplifts(judged: Sequence[Judged], criteria: PromotionCriteria) -> list[SessionUplift]:
    """The observation of every session but the first, in order of time; no R may lie outside the clipping."""
    uplifts: list[SessionUplift] = []
    shares: list[float] = []
    results: list[float] = []
    for session in sorted({row.session for row in judged}):
        session_rows = [row for row in judged if row.session == session]
        share, r = np.array([row.share for row in session_rows]), np.array([row.r for row in session_rows])
        if shares:
            usual, mean = float(np.mean(shares)), float(np.mean(results))
            corners = [
                (let_through - usual) * (end - mean)
                for let_through in (0.0, 1.0)
                for end in (criteria.clip_low_r, criteria.clip_high_r)
            ]
            value = float(((share - usual) * (r - mean)).mean())
            uplifts.append(SessionUplift(value=value, least=min(corners), most=max(corners)))
        shares += share.tolist()
        results += r.tolist()
    return uplifts


def _doubts(proposals: int, sessions: int, low: float | None, criteria: PromotionCriteria) -> list[str]:
    doubts = []
    if proposals < criteria.min_proposals:
        doubts.append(f"{proposals} judged proposals with an outcome, fewer than {criteria.min_proposals}")
    if sessions < criteria.min_sessions:
        doubts.append(f"{sessions} sessions, fewer than {criteria.min_sessions}")
    if low is None:
        doubts.append("no session to compare with an earlier one")
    elif not low > 0:
        doubts.append(f"the interval of the uplift over random vetoes reaches down to {low:+.4f} R")
    return doubts
