"""Policies without training: the rule of a planted world, the same with a trailing stop, and random entries."""

from dataclasses import dataclass, field
from math import log

import numpy as np

from rl_core.checkpoints.policy import Decider, Floats
from rl_core.contract import BUY, ENABLE_TRAIL, HOLD, SELL
from rl_core.features.features import FEATURE_NAMES
from rl_core.features.observation import ACTION_COUNTS, HELD_SCALE, WINDOW_SIZE

# A signal bar has 6.5 to 9 times its usual volume and moves 1.6 to 2.1 ATR of the bars before it; no other bar does.
LEAST_VOLUME, LEAST_MOVE_ATR = log(5.5), 0.8
LAST_BAR = WINDOW_SIZE - len(FEATURE_NAMES)
MOVE, VOLUME = LAST_BAR + FEATURE_NAMES.index("return_atr"), LAST_BAR + FEATURE_NAMES.index("relative_volume")
SIDE, BARS_HELD = WINDOW_SIZE, WINDOW_SIZE + 4


@dataclass(frozen=True)
class DeclaredRule(Decider):
    """Enters every signal that comes while flat; with ``trail_after`` bars it lets the stop trail (phase 2).

    In a planted world nothing earns more with a bracket left alone: each signal is worth the same, none can be seen
    before it comes, and to pass one by only frees the account for a later one of the same worth.
    """

    trail_after: int | None = None

    @property
    def num_actions(self) -> int:
        """Phase 1's, unless it manages."""
        return ACTION_COUNTS[1 if self.trail_after is None else 2]

    def logits(self, observation: Floats) -> Floats:
        """[..., A]: 1 where the rule acts, 0 where it holds, -1 elsewhere."""
        scores = np.full((*observation.shape[:-1], self.num_actions), -1, np.float32)
        scores[..., HOLD] = 0
        signal = (observation[..., VOLUME] > LEAST_VOLUME) & (np.abs(observation[..., MOVE]) > LEAST_MOVE_ATR)
        scores[..., BUY][signal & (observation[..., MOVE] > 0)] = 1
        scores[..., SELL][signal & (observation[..., MOVE] < 0)] = 1
        if self.trail_after is not None:
            held = np.rint(observation[..., BARS_HELD] * HELD_SCALE)
            scores[..., ENABLE_TRAIL][(observation[..., SIDE] != 0) & (held >= self.trail_after)] = 2
        return scores


@dataclass(frozen=True)
class RandomEntries(Decider):
    """Enters with ``chance`` at every close that allows it, on a random side."""

    chance: float = 0.02
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def num_actions(self) -> int:
        """Phase 1's."""
        return ACTION_COUNTS[1]

    def logits(self, observation: Floats) -> Floats:
        """[..., 3]: 1 for the drawn side where it enters, 0 for HOLD, -1 elsewhere; drawn anew at every call."""
        states = observation.shape[:-1]
        drawn = self.generator.random(states)
        side = self.generator.choice(np.array([BUY, SELL], np.int32), states)
        scores = np.full((*states, self.num_actions), -1, np.float32)
        scores[..., HOLD] = 0
        np.put_along_axis(scores, side[..., None], np.where(drawn < self.chance, 1, -1)[..., None], axis=-1)
        return scores


def declared_rule(*, trail_after: int | None = None) -> DeclaredRule:
    """The rule of a planted world; phase 1's unless it manages."""
    return DeclaredRule(trail_after)


def random_entries(chance: float, seed: int) -> RandomEntries:
    """Phase 1's random-entry control."""
    return RandomEntries(chance, np.random.default_rng(seed))
