"""Fits the regression of `llm_gate.engines.logistic`: penalised, calibrated on sessions that it did not see."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.engines.logistic import Column, LogisticFold, LogisticModel
from llm_gate.engines.proposal_numbers import numbers_of
from llm_gate.errors import RequestError
from llm_gate.evals.scoring.fit_calibration import veto_line
from llm_gate.teaching.lessons import Lessons

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
FOLDS = 5
FLAT = 1e-3
"""The least slope of a calibration: as good as none."""

Reals = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]


class _Fit(NamedTuple):
    weights: Reals  # [C]
    intercept: float


def fit_logistic(lessons: Lessons, *, max_veto_rate: float = 1.0) -> LogisticModel:
    """The regression of a win on the numbers of each proposal.

    The penalty is the one with the least log loss where each fold of sessions is predicted by the others; those
    predictions also give the calibration (Platt 1999: a slope and a shift of the log-odds). The threshold is the chance
    of a win at which the mean win pays for the mean loss; it is 0, so that everything is approved, where the regression
    predicts left-out sessions no better than the share of wins does (`_knows`). Where more than ``max_veto_rate`` of
    the left-out cases lie below the threshold, the least likely are vetoed up to that share and the others shrunk.

    Raises:
        RequestError: every case won, or every case lost.
    """
    won = lessons.r > 0
    if won.all() or not won.any():
        raise RequestError("every case came out alike, so there is nothing to tell apart; give more cases")
    rows = [numbers_of(case.proposal) for case in lessons.cases]
    numbers = np.array([list(row.values()) for row in rows], np.float64)
    mean, scale = numbers.mean(axis=0), numbers.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x, folds = (numbers - mean) / scale, lessons.folds(FOLDS)
    unseen = {penalty: _predicted_unseen(x, won, folds, penalty) for penalty in PENALTIES}
    penalty = min(PENALTIES, key=lambda value: (_loss(unseen[value], won), -value))
    fit = _fit(x, won, penalty)
    slope, shift = _calibrated(unseen[penalty], won)
    wins, losses = float(lessons.r[won].mean()), float(-lessons.r[~won].mean())
    threshold = losses / (wins + losses) if _knows(unseen[penalty], won, lessons.session, folds) else 0.0
    bound = veto_line(1 / (1 + np.exp(-(slope * unseen[penalty] + shift))), max_veto_rate)
    return LogisticModel(
        columns=tuple(
            Column(name=name, mean=float(m), scale=float(s), weight=float(w))
            for name, m, s, w in zip(rows[0], mean, scale, fit.weights, strict=True)
        ),
        intercept=fit.intercept,
        slope=slope,
        shift=shift,
        threshold=threshold,
        veto_below=bound if bound < threshold else None,
        penalty=penalty,
        cases=len(lessons.cases),
        sessions=len(np.unique(lessons.session)),
        cases_digest=lessons.digest,
        last_session=int(lessons.session.max()),
        in_sample=lessons.in_sample,
        folds=tuple(
            LogisticFold(
                sessions=len(np.unique(lessons.session[fold])),
                cases=int(fold.sum()),
                loss=_loss(unseen[penalty][fold], won[fold]),
            )
            for fold in folds
        ),
    )


def _knows(odds: Reals, won: Chosen, session: npt.NDArray[np.int64], folds: Sequence[Chosen]) -> bool:
    """Whether unseen cases are predicted better than by the share of wins in the other folds.

    Better by one standard error over sessions, as the rule of that name asks of the simpler of two models (Breiman et
    al. 1984; Hastie, Tibshirani and Friedman 2009, 7.10).
    """
    plain = np.zeros(len(won))
    for fold in folds:
        share = won[~fold].mean()
        plain[fold] = np.log(share) - np.log1p(-share)
    gain = _losses(plain, won) - _losses(odds, won)
    by_session = np.array([gain[session == one].sum() for one in np.unique(session)])
    return bool(by_session.mean() > by_session.std(ddof=1) / np.sqrt(len(by_session)))


def _predicted_unseen(x: Reals, won: Chosen, folds: Sequence[Chosen], penalty: float) -> Reals:
    """[N] log-odds of each case, from a fit on the folds that it is not in."""
    odds = np.zeros(len(x))
    for fold in folds:
        fit = _fit(x[~fold], won[~fold], penalty)
        odds[fold] = x[fold] @ fit.weights + fit.intercept
    return odds


def _fit(x: Reals, won: Chosen, penalty: float) -> _Fit:
    """The weights of least summed log loss + penalty / 2 x their squares; the intercept is free."""
    from scipy.optimize import minimize  # slow to load

    def loss(weights: Reals) -> tuple[float, Reals]:
        odds = x @ weights[:-1] + weights[-1]
        error = 1 / (1 + np.exp(-odds)) - won
        total = (np.logaddexp(0.0, odds) - won * odds).sum() + penalty / 2 * (weights[:-1] ** 2).sum()
        return float(total), np.concatenate([x.T @ error + penalty * weights[:-1], [error.sum()]])

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return _Fit(found[:-1], float(found[-1]))


def _calibrated(odds: Reals, won: Chosen) -> tuple[float, float]:
    """Slope and shift of the log-odds; where a slope would turn the order round, the share of wins for all."""
    fit = _fit(odds[:, None], won, 1e-3)
    slope = float(fit.weights[0])
    if slope >= FLAT:
        return slope, fit.intercept
    return FLAT, float(np.log(won.mean()) - np.log1p(-won.mean()) - FLAT * odds.mean())


def _loss(odds: Reals, won: Chosen) -> float:
    """Mean log loss."""
    return float(_losses(odds, won).mean())


def _losses(odds: Reals, won: Chosen) -> Reals:
    """[N] log loss of each case."""
    return np.asarray(np.logaddexp(0.0, odds) - won * odds)
