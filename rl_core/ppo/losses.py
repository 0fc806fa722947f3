"""The clipped PPO objective."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED, Shards
from rl_core.ppo.networks import NetworkOutput, entropy, has_choice, log_probabilities, log_probability_of


class Batch(NamedTuple):
    """Transitions [N] to learn from."""

    memory: Any  # [N, ...], what `rollout.rebuilt_observations` makes the observations of
    legal_actions: jax.Array  # [N, A] bool
    action: jax.Array  # [N]
    log_probability: jax.Array  # [N] of the action under the behaviour policy
    value: jax.Array  # [N] of the behaviour policy's critic
    advantage: jax.Array  # [N], normalised
    target: jax.Array  # [N], what the value should be


class Losses(NamedTuple):
    """Scalars of one minibatch; those of the policy are means over states with a choice."""

    total: jax.Array
    policy: jax.Array
    value: jax.Array
    entropy: jax.Array  # nats
    kl: jax.Array  # estimate of KL(behaviour, current), never negative
    clip_fraction: jax.Array


def ppo_loss(
    output: NetworkOutput,
    batch: Batch,
    config: PPOConfig,
    shards: Shards = UNSHARDED,
    *,
    entropy_coefficient: jax.Array | None = None,
) -> Losses:
    """Clipped policy loss, value loss and entropy of one minibatch.

    A state with one legal action says nothing about acting (its ratio is 1 whatever the network
    does), so it counts for the value alone. With the minibatch in several parts, the mean of every
    part's losses and gradients is that of the whole. Without ``entropy_coefficient`` that of ``config`` holds.

    Source: Schulman et al. 2017, https://arxiv.org/abs/1707.06347, equations 7 and 9; the KL
    estimate is (ratio - 1) - log ratio, http://joschu.net/blog/kl-approx.html.
    """
    log_probability = log_probabilities(output.logits, batch.legal_actions)
    log_ratio = log_probability_of(log_probability, batch.action) - batch.log_probability
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
    surrogate = jnp.minimum(ratio * batch.advantage, clipped * batch.advantage)

    # Without shaping most bars allow HOLD alone. Counting them would dilute the policy loss and the entropy by a
    # factor that changes from rollout to rollout.
    choice = has_choice(batch.legal_actions)
    policy = -mean_where(choice, surrogate, shards)
    mean_entropy = mean_where(choice, entropy(log_probability), shards)
    value = value_loss(output.value, batch, config.value_clip)
    coefficient = config.entropy_coefficient if entropy_coefficient is None else entropy_coefficient
    return Losses(
        total=policy + config.value_coefficient * value - coefficient * mean_entropy,
        policy=policy,
        value=value,
        entropy=mean_entropy,
        kl=mean_where(choice, ratio - 1 - log_ratio, shards),
        clip_fraction=mean_where(choice, (jnp.abs(ratio - 1) > config.clip).astype(ratio.dtype), shards),
    )


def value_loss(value: jax.Array, batch: Batch, clip: float | None) -> jax.Array:
    """Half the mean squared error of the values [N].

    With ``clip`` the larger error of two counts: that of the value as it is, and that of the value moved by at most
    ``clip`` from the behaviour policy's. It stops the critic from chasing one rollout's targets too far.
    """
    error = jnp.square(value - batch.target)
    if clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -clip, clip)
        error = jnp.maximum(error, jnp.square(near - batch.target))
    return 0.5 * jnp.mean(error)


def normalised_advantage(advantage: jax.Array, legal_actions: jax.Array, shards: Shards = UNSHARDED) -> jax.Array:
    """Advantages [...] shifted and scaled to mean 0 and variance 1 over the states with a choice, of all shards."""
    choice = has_choice(legal_actions)
    centred = advantage - shards.mean(mean_where(choice, advantage, shards))
    return centred / jnp.sqrt(shards.mean(mean_where(choice, jnp.square(centred), shards)) + 1e-8)


def mean_where(where: jax.Array, values: jax.Array, shards: Shards = UNSHARDED) -> jax.Array:
    """Mean of the values [...] picked by ``where`` [...] bool; 0 if none is picked.

    Each of several shards divides by the mean number picked, so that the mean over shards is that of the whole.
    """
    picked = shards.mean(jnp.sum(where).astype(values.dtype))
    return jnp.sum(jnp.where(where, values, 0.0)) / jnp.maximum(picked, 1 / shards.count)
