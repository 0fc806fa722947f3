"""The entropy coefficient: fixed, or moved so that entropy where there is a choice follows a target."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import ALONE, Shards
from rl_core.ppo.losses import mean_where
from rl_core.ppo.networks import has_choice

GAIN = 0.5


class Adjustment(NamedTuple):
    """Scalars of one update."""

    coefficient: jax.Array  # of the next update
    target: jax.Array  # nats over states with a choice; NaN where nothing is followed


def first_coefficient(config: PPOConfig) -> jax.Array:
    """Before the first update, within the bounds if there are any."""
    control, fixed = config.entropy_control, jnp.float32(config.entropy_coefficient)
    return fixed if control is None else jnp.clip(fixed, control.least, control.most)


def adjusted(
    config: PPOConfig, coefficient: jax.Array, entropy: jax.Array, legal_actions: jax.Array, shards: Shards = ALONE
) -> Adjustment:
    """The coefficient after an update in which entropy was ``entropy`` nats over states with a choice.

    It is multiplied by exp(``GAIN`` x what is missing, as a share of the target), by ``most_change`` at most, and
    stays within its bounds. An update without a choice, or without a finite entropy, changes nothing.

    Args:
        config: its ``entropy_control`` says what is followed; None: nothing is.
        coefficient: of the update.
        entropy: mean over its minibatches.
        legal_actions: [..., A] of its transitions.
        shards: the parts that the transitions are in.
    """
    control = config.entropy_control
    if control is None:
        return Adjustment(coefficient, jnp.float32(jnp.nan))
    choice = has_choice(legal_actions)
    uniform = shards.mean(mean_where(choice, jnp.log(jnp.sum(legal_actions, axis=-1)), shards))
    target = control.share * uniform if control.nats is None else jnp.where(uniform > 0, control.nats, 0.0)
    limit = jnp.log(control.most_change)
    missing = jnp.clip(GAIN * (target - entropy) / jnp.maximum(target, 1e-8), -limit, limit)
    moved = jnp.clip(coefficient * jnp.exp(missing), control.least, control.most)
    known = (target > 0) & jnp.isfinite(entropy)
    return Adjustment(jnp.where(known, moved, coefficient), target)
