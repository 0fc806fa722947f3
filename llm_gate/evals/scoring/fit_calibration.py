"""What a model's P(approve) means, and where to draw the line: fitted on the past, tried on what came after.

A fold is a run of sessions, in order of time; labelled bank cases have no time, so their tune split counts as the
past of their held-out split. What is saved was fitted on every fold but the last, and the last one tests it.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt

from llm_gate.errors import RequestError
from llm_gate.evals.data.log import Row
from llm_gate.evals.scoring.scores import first_answers
from llm_gate.review.calibrated_verdict import SHRUNK, Calibration, FoldResult, Method, ProbabilityMap, Target, logit

CANDIDATES = 20

Floats = npt.NDArray[np.float64]


class Lines(NamedTuple):
    """Two thresholds on P(approve)."""

    approve_from: float
    shrink_from: float
    """At most ``approve_from``: between the two an entry is taken half as large, below it is vetoed."""
    tried: tuple[float, ...]
    """Every ``approve_from`` that was compared."""


class _Fit(NamedTuple):
    map: ProbabilityMap
    lines: Lines | None


def method_of(name: str) -> Method:
    """The method of this name; RequestError if there is none."""
    for method in get_args(Method):
        if name == method:
            return cast(Method, method)
    raise RequestError(f"no method {name!r}; there are: {', '.join(get_args(Method))}")


def calibrate_rows(rows: Sequence[Row], *, method: Method, max_veto_rate: float, folds: int = 5) -> Calibration:
    """The calibration of one answerer's rows.

    Raises:
        RequestError: no probabilities, or nothing that came before anything else.
    """
    rated = [row for row in first_answers(rows) if row.task == "entry" and row.p_approve is not None]
    if not rated:
        raise RequestError("no row says a probability of approve: only the mode choice of a model does")
    if len({(row.model_digest, row.prompt_digest) for row in rated}) > 1:
        raise RequestError("the rows are of different prompts or models under one name; give the logs of one")
    rated = [*{row.case_digest: row for row in rated}.values()]  # a case in two logs is one case
    target: Target = "outcome" if any(row.r is not None for row in rated) else "label"
    parts = _folds([row for row in rated if _came_true(row, target) is not None], target, folds)
    fits = [
        _fit([row for part in parts[:n] for row in part], target, method, max_veto_rate) for n in range(1, len(parts))
    ]
    results = [_tested(n, parts[n], target, fit) for n, fit in enumerate(fits, start=1)]
    first, lines = rated[0], fits[-1].lines
    return Calibration(
        model=first.model,
        model_digest=first.model_digest,
        prompt=first.prompt,
        prompt_digest=first.prompt_digest,
        mode=first.mode,
        target=target,
        map=fits[-1].map,
        threshold=None if lines is None else lines.approve_from,
        shrink_from=None if lines is None or lines.shrink_from == lines.approve_from else lines.shrink_from,
        max_veto_rate=max_veto_rate,
        fitted_rows=sum(len(part) for part in parts[:-1]),
        data_digest=_digest(row for part in parts for row in part),
        folds=tuple(results),
        thresholds_tried=tuple(sorted({value for fit in fits if fit.lines for value in fit.lines.tried})),
    )


def isotonic_map(predicted: npt.ArrayLike, came_true: npt.ArrayLike) -> ProbabilityMap:
    """The non-decreasing map of least squared error (pool adjacent violators); equal probabilities are one knot.

    Args:
        predicted: [N] what the model gave, in 0 to 1.
        came_true: [N] bool.
    """
    from scipy.optimize import isotonic_regression  # slow to load, and it looks for torch

    knots, place = np.unique(np.asarray(predicted, np.float64), return_inverse=True)
    weights = np.bincount(place).astype(np.float64)
    means = np.bincount(place, weights=np.asarray(came_true, np.float64)) / weights
    fitted = isotonic_regression(means, weights=weights).x
    return ProbabilityMap(method="isotonic", said=tuple(knots.tolist()), observed=tuple(fitted.tolist()))


def temperature_map(predicted: npt.ArrayLike, came_true: npt.ArrayLike) -> ProbabilityMap:
    """The temperature of greatest likelihood (Guo et al. 2017, https://arxiv.org/abs/1706.04599), 1/50 to 50.

    ``predicted`` [N] is what the model gave, ``came_true`` [N] whether it did.
    """
    from scipy.optimize import minimize_scalar

    odds, outcome = logit(np.asarray(predicted, np.float64)), np.asarray(came_true, np.float64)

    def loss(log_temperature: float) -> float:
        scaled = odds / np.exp(log_temperature)
        return float((np.logaddexp(0.0, scaled) - outcome * scaled).mean())

    optimum = minimize_scalar(loss, bounds=(-np.log(50), np.log(50)), method="bounded")
    return ProbabilityMap(method="temperature", temperature=float(np.exp(optimum.x)))


def best_lines(predicted: npt.ArrayLike, r: npt.ArrayLike, max_veto_rate: float) -> Lines:
    """The two thresholds that together earn most, vetoing at most ``max_veto_rate``.

    ``predicted`` [N] and what each proposal earned, ``r`` [N]. What lies under ``approve_from`` is better not taken at
    all; so of these as many are vetoed as the bound allows, from the least likely on, and the others are shrunk. One
    value is searched, not two: each is a trial. Approving all (0) is always tried, and wins a tie.
    """
    p, earned = np.asarray(predicted, np.float64), np.asarray(r, np.float64)
    candidates = np.unique(np.concatenate([[0.0], np.quantile(p, np.linspace(0, 1, CANDIDATES))])).tolist()
    bound = veto_line(p, max_veto_rate)

    def gained(approve_from: float) -> float:
        return float((earned * _let_through(p, approve_from, min(approve_from, bound))).mean())

    best = max(candidates, key=lambda value: (gained(value), -value))
    return Lines(best, min(best, bound), tuple(candidates))


def veto_line(predicted: npt.ArrayLike, max_veto_rate: float) -> float:
    """The largest value of which at most that share of ``predicted`` [N] lies below; infinite where all may."""
    p = np.sort(np.asarray(predicted, np.float64))
    most = int(max_veto_rate * len(p) + 1e-9)
    return float(p[most]) if most < len(p) else float("inf")


def _let_through(p: Floats, approve_from: float, shrink_from: float) -> Floats:
    return np.where(p >= approve_from, 1.0, np.where(p >= shrink_from, float(SHRUNK), 0.0))


def _fit(rows: Sequence[Row], target: Target, method: Method, max_veto_rate: float) -> _Fit:
    predicted = [row.p_approve or 0.0 for row in rows]
    came_true = [bool(_came_true(row, target)) for row in rows]
    made = isotonic_map(predicted, came_true) if method == "isotonic" else temperature_map(predicted, came_true)
    if target == "label":
        return _Fit(made, None)
    return _Fit(made, best_lines(predicted, [row.r or 0.0 for row in rows], max_veto_rate))


def _tested(fold: int, rows: Sequence[Row], target: Target, fit: _Fit) -> FoldResult:
    predicted = np.array([row.p_approve or 0.0 for row in rows])
    came_true = np.array([bool(_came_true(row, target)) for row in rows], np.float64)
    r, lines = np.array([row.r or 0.0 for row in rows]), fit.lines
    share = None if lines is None else _let_through(predicted, lines.approve_from, lines.shrink_from)
    return FoldResult(
        fold=fold,
        rows=len(rows),
        brier_said=float(((predicted - came_true) ** 2).mean()),
        brier_mapped=float(((fit.map(predicted) - came_true) ** 2).mean()),
        threshold=None if lines is None else lines.approve_from,
        veto_rate=None if share is None else float((share == 0).mean()),
        shrink_rate=None if share is None else float((share == float(SHRUNK)).mean()),
        r_gate=None if share is None else float((r * share).mean()),
        r_always=None if share is None else float(r.mean()),
    )


def _folds(rows: Sequence[Row], target: Target, count: int) -> list[list[Row]]:
    """The rows in order of time, in parts of whole sessions."""
    if target == "label":
        parts = [[row for row in rows if row.split == split] for split in ("tune", "held_out")]
    else:
        sessions = sorted({row.session for row in rows if row.session is not None})
        blocks = np.array_split(np.array(sessions), min(count, max(1, len(sessions))))
        parts = [[row for row in rows if row.session in set(block.tolist())] for block in blocks]
    parts = [part for part in parts if part]
    if len(parts) < 2:
        raise RequestError(
            "nothing to fit on: it takes recorded rows of two sessions, or bank rows of tune and held_out "
            '(llm-gate eval --set \'splits=["tune", "held_out"]\')'
        )
    return parts


def _came_true(row: Row, target: Target) -> bool | None:
    if target == "label":
        return None if row.truth is None else row.truth == "approve"
    return None if row.r is None else row.r > 0


def _digest(rows: Iterable[Row]) -> str:
    lines = sorted(row.model_dump_json() for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
