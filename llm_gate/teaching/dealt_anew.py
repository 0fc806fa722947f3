"""How likely a fit would tell unseen cases apart as well if the outcomes were dealt anew: what a find may be of luck.

The folds share most of the cases that they are fitted on, so what they say of left-out cases hangs together, and a
statistic over them spreads by more than its own standard error. How far it spreads is found by dealing: the outcomes of
whole sessions, in a drawn order, are dealt to the same cases, and all is done again, the choice of the number of steps
included (a permutation test: Fisher 1935; Good 2005; for what was cross-validated Ojala and Garriga 2010).

That takes hundreds of fits, so it is done with the fit's linear twin: gradient descent on least squares from zero with
the same steps, which multiplies outcomes by a matrix of the states alone. The test holds for that twin exactly,
whatever the fit itself does with what it finds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DEALS = 199
SEED = 14

Reals = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]
Sessions = npt.NDArray[np.int64]


class Descent(NamedTuple):
    """Gradient descent as the fit does it."""

    steps: Sequence[int]
    rate: float  # of the longest step, as a share of what the least curved direction of one unit takes


class _Fold(NamedTuple):
    """What makes the leaning of left-out cases of the outcomes of the others."""

    left_out: Chosen  # [N]
    from_others: Reals  # [D, N - L] of outcomes to directions
    to_left_out: Reals  # [L, D]
    kept: Reals  # [S, D] share of each direction after so many steps


def luck_of_fit(
    states: Reals, earned: Reals, session: Sessions, folds: Sequence[Chosen], descent: Descent, *, deals: int = DEALS
) -> float:
    """The share of dealings, the cases' own outcomes among them, in which left-out cases are told apart as well.

    Args:
        states: [N, D] of the cases, in order of their sessions.
        earned: [N] what approving earned more than the other letters.
        session: [N]
        folds: [N] of each, which cases are left out.
        descent: of the fit.
        deals: how often outcomes are dealt anew.
    """
    dealt = np.stack([earned, *_dealt(earned, session, deals)], axis=1)
    parts = [_fold(states, fold, descent) for fold in folds]
    leaning = np.zeros((len(descent.steps), *dealt.shape))
    for part in parts:
        found = part.from_others @ dealt[~part.left_out]
        for place, kept in enumerate(part.kept):
            leaning[place][part.left_out] = part.to_left_out @ (kept[:, None] * found)
    apart = _apart(_best(leaning, dealt), dealt, session, folds)
    return float((apart >= apart[0]).mean())


def _best(leaning: Reals, dealt: Reals) -> Reals:
    """[N, K] of ``leaning`` [S, N, K] that after as many steps as tell ``dealt`` [N, K] with the least loss."""
    loss = (leaning**2 / 2 - leaning * dealt).mean(axis=1)  # [S, K]
    return np.asarray(np.take_along_axis(leaning, loss.argmin(axis=0)[None, None], axis=0)[0])


def luck_of_leaning(leaning: Reals, earned: Reals, session: Sessions, *, deals: int = DEALS) -> float:
    """The same of cases that no fit of theirs saw: how they are leant to [N] stays, and outcomes are dealt anew."""
    dealt = np.stack([earned, *_dealt(earned, session, deals)], axis=1)
    same = np.broadcast_to(leaning[:, None], dealt.shape)
    apart = _apart(same, dealt, session, [np.ones(len(leaning), np.bool_)])
    return float((apart >= apart[0]).mean())


def _dealt(earned: Reals, session: Sessions, deals: int) -> list[Reals]:
    """The outcomes of whole sessions, one after the other in a drawn order, dealt to the cases as they stand."""
    generator = np.random.default_rng(SEED)
    by_session = [earned[session == one] for one in np.unique(session)]
    return [np.concatenate([by_session[at] for at in generator.permutation(len(by_session))]) for _ in range(deals)]


def _fold(states: Reals, left_out: Chosen, descent: Descent) -> _Fold:
    """In units in which each column of the others is of mean 0 and one unit, beside a column of ones."""
    others = states[~left_out]
    mean, scale = others.mean(axis=0), others.std(axis=0)
    scale = np.where(scale > 1e-6 * scale.max(), scale, np.inf)
    x = np.column_stack([np.ones(len(states)), (states - mean) / scale])
    value, vector = np.linalg.eigh(x[~left_out].T @ x[~left_out] / len(others))
    value = np.maximum(value, 0.0)
    steps = np.array(descent.steps, np.float64)[:, None]
    share = descent.rate * value / value[-1]
    kept = -np.expm1(steps * np.log1p(-share)) / np.where(share > 0, value, 1.0)
    return _Fold(left_out, vector.T @ x[~left_out].T / len(others), x[left_out] @ vector, kept)


def _apart(leaning: Reals, dealt: Reals, session: Sessions, folds: Sequence[Chosen]) -> Reals:
    """[K] of each column of ``leaning`` and ``dealt`` [N, K] what `told_apart` says of it."""
    together = np.zeros_like(leaning)
    for fold in folds:
        together[fold] = (leaning[fold] - leaning[fold].mean(axis=0)) * (dealt[fold] - dealt[fold].mean(axis=0))
    _, place = np.unique(session, return_inverse=True)
    sums = np.zeros((place.max() + 1, leaning.shape[1]))
    np.add.at(sums, place, together)
    spread = sums.std(axis=0, ddof=1) / np.sqrt(len(sums))
    return np.asarray(np.divide(sums.mean(axis=0), spread, out=np.zeros_like(spread), where=spread > 0))
