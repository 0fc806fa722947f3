"""Policies without training: the rule of a planted world, the same with a trailing stop, and random entries."""

from dataclasses import dataclass, field
from math import log

import numpy as np
from numpy.typing import NDArray

from rl_core.checkpoints.policy import Bools, Floats, Policy
from rl_core.contract import BUY, ENABLE_TRAIL, HOLD, SELL
from rl_core.features.features import FEATURE_NAMES
from rl_core.features.observation import ACTION_COUNTS, HELD_SCALE, OBSERVATION_SIZES, WINDOW_SIZE

# A signal bar has 6.5 to 9 times its usual volume and moves 1.6 to 2.1 ATR of the bars before it; no other bar does.
LEAST_VOLUME, LEAST_MOVE_ATR = log(5.5), 0.8
LAST_BAR = WINDOW_SIZE - len(FEATURE_NAMES)
MOVE, VOLUME = LAST_BAR + FEATURE_NAMES.index("return_atr"), LAST_BAR + FEATURE_NAMES.index("relative_volume")
SIDE, BARS_HELD = WINDOW_SIZE, WINDOW_SIZE + 4


@dataclass(frozen=True)
class DeclaredRule(Policy):
    """Enters every signal that comes while flat; with ``trail_after`` bars it lets the stop trail (phase 2).

    In a planted world nothing earns more with a bracket left alone: each signal is worth the same, none can be seen
    before it comes, and to pass one by only frees the account for a later one of the same worth.
    """

    trail_after: int | None = None

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
class RandomEntries(Policy):
    """Enters with ``chance`` at every close that allows it, on a random side."""

    chance: float = 0.02
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def decide_batch(self, observations: Floats, legal_actions: Bools) -> NDArray[np.int32]:
        """[N] drawn actions."""
        drawn = self.generator.random(len(observations))
        side = self.generator.choice(np.array([BUY, SELL], np.int32), len(observations))
        enters = legal_actions[:, BUY] & (drawn < self.chance)
        return np.where(enters, side, HOLD).astype(np.int32)


def declared_rule(*, trail_after: int | None = None) -> DeclaredRule:
    """The rule of a planted world; phase 1's unless it manages."""
    return DeclaredRule(*_blank(1 if trail_after is None else 2), trail_after=trail_after)


def random_entries(chance: float, seed: int) -> RandomEntries:
    """Phase 1's random-entry control."""
    return RandomEntries(*_blank(1), chance=chance, generator=np.random.default_rng(seed))


def _blank(phase: int) -> tuple[Floats, Floats, float, tuple[Floats, ...], tuple[Floats, ...]]:
    """Arrays of a policy of that shape that does nothing."""
    size, actions = OBSERVATION_SIZES[phase], ACTION_COUNTS[phase]
    zeros = np.zeros(size, np.float32)
    return zeros, zeros + 1, 1.0, (np.zeros((size, actions), np.float32),), (np.zeros(actions, np.float32),)
