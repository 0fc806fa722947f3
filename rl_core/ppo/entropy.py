"""Keeps the entropy coefficient, or moves it so that the policy's entropy follows a target."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED, Shards
from rl_core.ppo.losses import mean_where
from rl_core.ppo.networks import has_choice

GAIN = 0.5  # of the proportional controller, on the logarithm of the coefficient


class EntropyAdjustment(NamedTuple):
    """The coefficient after one update; both are scalars."""

    coefficient: jax.Array  # of the next update
    target: jax.Array  # nats over states with a choice; NaN where nothing is followed


def first_coefficient(config: PPOConfig) -> jax.Array:
    """The coefficient [] before the first update, within the bounds if there are any."""
    control, fixed = config.entropy_control, jnp.float32(config.entropy_coefficient)
    return fixed if control is None else jnp.clip(fixed, control.least, control.most)


def adjusted_coefficient(
    config: PPOConfig, coefficient: jax.Array, entropy: jax.Array, legal_actions: jax.Array, shards: Shards = UNSHARDED
) -> EntropyAdjustment:
    """Move the coefficient towards the target entropy after one update.

    It is multiplied by exp(``GAIN`` x the relative shortfall of entropy), by at most ``most_change``, and stays
    within its bounds. It works on the logarithm because coefficients span orders of magnitude. An update without a
    choice, or without a finite entropy, changes nothing.

    Args:
        config: its ``entropy_control`` holds the target; with None the coefficient stays.
        coefficient: [] that the update used.
        entropy: [] nats, mean over the states with a choice and over the update's minibatches.
        legal_actions: [..., A] bool, of the update's transitions.
        shards: how the transitions are split over devices.
    """
    control = config.entropy_control
    if control is None:
        return EntropyAdjustment(coefficient, jnp.float32(jnp.nan))
    choice = has_choice(legal_actions)
    uniform = shards.mean(mean_where(choice, jnp.log(jnp.sum(legal_actions, axis=-1)), shards))
    target = control.share * uniform if control.nats is None else jnp.where(uniform > 0, control.nats, 0.0)
    limit = jnp.log(control.most_change)
    step = jnp.clip(GAIN * (target - entropy) / jnp.maximum(target, 1e-8), -limit, limit)
    proposed = jnp.clip(coefficient * jnp.exp(step), control.least, control.most)
    measurable = (target > 0) & jnp.isfinite(entropy)
    return EntropyAdjustment(jnp.where(measurable, proposed, coefficient), target)
