"""What a policy chose where it had a choice, and how undecided it was; taken while an evaluation is played."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.checkpoints.policy import ILLEGAL_LOGIT, Bools, Decider, Floats
from rl_core.contract import ACTION_NAMES


class Choices(NamedTuple):
    """The closes at which more than one action was legal."""

    closes: int
    entropy: float | None  # nats, the mean of the policy's own distribution over the legal actions; None: no choice
    actions: Mapping[str, int]  # how often each was taken there, by its name


class ChoicesSeen:
    """Adds up the choices of one policy."""

    def __init__(self, policy: Decider) -> None:
        """Nothing was chosen yet."""
        self._policy = policy
        self._count, self._entropy = 0, 0.0
        self._taken = np.zeros(policy.num_actions, np.int64)

    def take(self, observations: Floats, legal_actions: Bools, actions: npt.NDArray[np.int32]) -> None:
        """N more states: what was seen [N, O], what was legal [N, A], and what was done [N]."""
        where = legal_actions.sum(axis=1) > 1
        if not where.any():
            return
        entropies = entropy_of(self._policy.logits(observations[where]), legal_actions[where])
        self._count += int(where.sum())
        self._entropy += float(entropies.sum())
        self._taken += np.bincount(actions[where], minlength=len(self._taken))

    @property
    def so_far(self) -> Choices:
        """All of them."""
        mean = self._entropy / self._count if self._count else None
        return Choices(self._count, mean, dict(zip(ACTION_NAMES, self._taken.tolist(), strict=False)))


def entropy_of(logits: Floats, legal_actions: Bools) -> npt.NDArray[np.float64]:
    """Entropy [N] in nats of the distributions that ``logits`` [N, A] give the legal actions [N, A]."""
    masked = np.where(legal_actions, logits, ILLEGAL_LOGIT).astype(np.float64)
    masked -= masked.max(axis=1, keepdims=True)
    shares = np.exp(masked)
    total = shares.sum(axis=1)
    return np.asarray(np.log(total) - (shares * np.where(legal_actions, masked, 0.0)).sum(axis=1) / total)
