"""Whether a fit tells cases apart that it did not see: does what it leans to go with what they earned?

A loss also counts how sure a fit is, and how the share of wins drifts from fold to fold. Neither says whether it knows
which cases pay: of twins without anything to find a loss lets many pass, and it misses much where there is little.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LEAST_Z = 2.0
"""Standard errors from which on something was found; what was fitted on cases of the same luck passes it oftener than a
normal distribution says (docs/teaching.md)."""

Reals = npt.NDArray[np.float64]


def told_apart(
    leaning: Reals, earned: Reals, session: npt.NDArray[np.int64], folds: Sequence[npt.NDArray[np.bool_]]
) -> float:
    """How many standard errors the covariance of ``leaning`` [N] and ``earned`` [N] lies above 0.

    Both are taken from their mean within each of ``folds`` [N], so that no fold's level counts, and summed by
    ``session`` [N], as outcomes of one session may hang together. 0 where all of a fold lean alike.
    """
    together = np.zeros(len(leaning))
    for fold in folds:
        together[fold] = (leaning[fold] - leaning[fold].mean()) * (earned[fold] - earned[fold].mean())
    judged = np.any(folds, axis=0)
    by_session = np.array([together[judged & (session == one)].sum() for one in np.unique(session[judged])])
    spread = by_session.std(ddof=1) / np.sqrt(len(by_session))
    return float(by_session.mean() / spread) if spread > 0 else 0.0


def towards(letter: int, logits: Reals) -> Reals:
    """[N] how far ``logits`` [N, L] lean to one letter against the mean of the others."""
    others = np.delete(logits, letter, axis=1).mean(axis=1)
    return np.asarray(logits[:, letter] - others)
