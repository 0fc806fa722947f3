"""After how many sessions a gate of the selftest would have been promoted, and how often a blind one would.

The blind gates are the same recorded letters on twins of the held-out sessions: what the proposals earned is dealt to
them anew, so that nothing a gate said can hang together with it, while how often it vetoes and how outcomes lie stay.
"""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.evals.scoring.promotion import Judged, PromotionCriteria, promoted_after

CRITERIA = PromotionCriteria()
WITHIN = 250
"""Sessions; the promotions of later ones do not count."""
BLIND_SEED = 20_240

Reals = npt.NDArray[np.float64]


class Promotions(NamedTuple):
    """What came of one gate over some worlds."""

    after: tuple[int | None, ...]
    """Of each world, the judged session after which it was promoted, from 1; None: not within `WITHIN`."""
    sessions: int
    """Judged, the least of all worlds."""
    twins: int
    blind: int
    """Of the twins, those in which it was promoted too."""

    @property
    def share(self) -> float:
        """Of the worlds in which the gate was promoted."""
        return sum(count is not None for count in self.after) / len(self.after)

    @property
    def median_after(self) -> float | None:
        """Sessions until the promotion in the middle world; None where more than half saw none."""
        least = median([float("inf") if count is None else count for count in self.after])
        return None if least == float("inf") else float(least)


def promotions_of(
    let_through: Reals, r: Reals, session: npt.NDArray[np.int64], *, trials: int, twins: int, seed: int
) -> Promotions:
    """The promotions of a gate on one world.

    Args:
        let_through: [N] of each held-out proposal, 0 to 1.
        r: [N] what each earned alone, R.
        session: [N]
        trials: how many gates were tried on these proposals; alpha is divided by it.
        twins: how many times the outcomes are dealt anew.
        seed: of that dealing.
    """
    within = session < np.unique(session)[:WITHIN].max() + 1
    let_through, r, session = let_through[within], r[within], session[within]

    def after(outcomes: Reals) -> int | None:
        rows = [Judged(*row) for row in zip(session.tolist(), let_through.tolist(), outcomes.tolist(), strict=True)]
        return promoted_after(rows, CRITERIA, trials=trials)

    drawn = np.random.default_rng((BLIND_SEED, seed))
    # A gate that lets everything through, or nothing, says nothing: no outcome can promote it.
    says = let_through.min() < let_through.max()
    blind = sum(after(drawn.permutation(r)) is not None for _ in range(twins)) if says else 0
    return Promotions((after(r),), len(np.unique(session)), twins, blind)


def joined(parts: Sequence[Promotions]) -> Promotions:
    """Of several worlds as one."""
    return Promotions(
        after=tuple(count for part in parts for count in part.after),
        sessions=min(part.sessions for part in parts),
        twins=sum(part.twins for part in parts),
        blind=sum(part.blind for part in parts),
    )
