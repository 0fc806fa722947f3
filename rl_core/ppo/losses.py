"""The clipped PPO objective."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_core.ppo.backend import conditions_are_free
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED, Shards
from rl_core.ppo.networks import NetworkOutput, entropy, has_choice, log_probabilities, log_probability_of


class KnownBatch(NamedTuple):
    """States [N] in which the advantage of the first K actions is known, taken or not, and no other is legal."""

    memory: Any  # [N, ...]
    legal_actions: jax.Array  # [N, K] bool
    log_probability: jax.Array  # [N, K] under the behaviour policy
    advantage: jax.Array  # [N, K], scaled; 0 where illegal


class Batch(NamedTuple):
    """Transitions [N] to learn from."""

    memory: Any  # [N, ...], what `rollout.rebuilt_observations` makes the observations of
    legal_actions: jax.Array  # [N, A] bool
    action: jax.Array  # [N]
    log_probability: jax.Array  # [N] of the action under the behaviour policy
    value: jax.Array  # [N] of the behaviour policy's critic
    advantage: jax.Array  # [N], normalised
    target: jax.Array  # [N], what the value should be
    known: KnownBatch | None = None  # other states, whose actions are known and count beside those taken here


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
    known_logits: jax.Array | None = None,
    entropy_coefficient: jax.Array | None = None,
) -> Losses:
    """Clipped policy loss, value loss and entropy of one minibatch.

    A state with one legal action says nothing about acting (its ratio is 1 whatever the network
    does), so it counts for the value alone. With the minibatch in several parts, the mean of every
    part's losses and gradients is that of the whole. Without ``entropy_coefficient`` that of ``config`` holds.

    The states of ``batch.known`` have an objective of their own, summed over actions in the proportion in which the
    behaviour policy would take them; it is added to that of the actions taken, or replaces it where it knows them all.

    Source: Schulman et al. 2017, https://arxiv.org/abs/1707.06347, equations 7 and 9; the KL
    estimate is (ratio - 1) - log ratio, http://joschu.net/blog/kl-approx.html.

    Args:
        output: of the network for the batch's states.
        batch: [N] rows.
        config: the learner's settings.
        shards: how the minibatch is split over devices.
        known_logits: [N, A] of the network for the states of ``batch.known``.
        entropy_coefficient: [] that an entropy control has set.
    """
    objectives = []
    if batch.known is None or batch.known.legal_actions.shape[-1] < batch.legal_actions.shape[-1]:
        objectives.append(_sampled(output.logits, batch, config))
    if batch.known is not None:
        assert known_logits is not None
        objectives.append(_summed(known_logits, batch.known, config))
    parts = [_means(objective, shards) for objective in objectives]
    summed = _Means(*(jnp.sum(jnp.stack(column)) for column in zip(*parts, strict=True)))
    value = value_loss(output.value, batch, config.value_clip)
    coefficient = config.entropy_coefficient if entropy_coefficient is None else entropy_coefficient
    return Losses(
        total=-summed.surrogate + config.value_coefficient * value - coefficient * summed.entropy,
        policy=-summed.surrogate,
        value=value,
        entropy=summed.entropy / len(parts),
        kl=summed.kl / len(parts),
        clip_fraction=summed.clipped / len(parts),
    )


class _Means(NamedTuple):
    """Means of an objective over its states with a choice; scalars."""

    surrogate: jax.Array
    entropy: jax.Array
    kl: jax.Array
    clipped: jax.Array


def _means(objective: "_Objective", shards: Shards) -> _Means:
    # Without shaping most bars allow HOLD alone. Counting them would dilute the policy loss and the entropy by a
    # factor that changes from rollout to rollout.
    columns = (objective.surrogate, entropy(objective.log_probability), objective.kl, objective.clipped)
    if conditions_are_free():
        # In this order a run from before goes on as if it had not stopped.
        return _Means(*(mean_where(objective.choice, column, shards) for column in columns))
    return _Means(*mean_where(objective.choice, jnp.stack(columns), shards))


class _Objective(NamedTuple):
    """The policy's part of a minibatch, [N] each."""

    choice: jax.Array  # bool
    log_probability: jax.Array  # [N, A]
    surrogate: jax.Array
    kl: jax.Array
    clipped: jax.Array  # share of the behaviour policy's actions whose ratio is clipped


def _sampled(logits: jax.Array, batch: Batch, config: PPOConfig) -> _Objective:
    """The objective of the actions that were taken."""
    log_probability = log_probabilities(logits, batch.legal_actions)
    log_ratio = log_probability_of(log_probability, batch.action) - batch.log_probability
    ratio, surrogate = _clipped_surrogate(log_ratio, batch.advantage, config.clip)
    return _Objective(
        choice=has_choice(batch.legal_actions),
        log_probability=log_probability,
        surrogate=surrogate,
        kl=ratio - 1 - log_ratio,
        clipped=(jnp.abs(ratio - 1) > config.clip).astype(ratio.dtype),
    )


def _summed(logits: jax.Array, known: KnownBatch, config: PPOConfig) -> _Objective:
    """The objective of all actions, each as often as the behaviour policy takes it."""
    log_probability = log_probabilities(logits[:, : known.legal_actions.shape[-1]], known.legal_actions)
    log_ratio = jnp.where(known.legal_actions, log_probability - known.log_probability, 0.0)
    ratio, surrogate = _clipped_surrogate(log_ratio, known.advantage, config.clip)
    taken = jnp.where(known.legal_actions, jnp.exp(known.log_probability), 0.0)
    return _Objective(
        choice=has_choice(known.legal_actions),
        log_probability=log_probability,
        surrogate=jnp.sum(taken * surrogate, -1),
        kl=jnp.sum(taken * (ratio - 1 - log_ratio), -1),
        clipped=jnp.sum(taken * (jnp.abs(ratio - 1) > config.clip), -1),
    )


def _clipped_surrogate(log_ratio: jax.Array, advantage: jax.Array, clip: float) -> tuple[jax.Array, jax.Array]:
    """The probability ratio and PPO's pessimistic gain, in the shape of ``log_ratio``."""
    ratio = jnp.exp(log_ratio)
    return ratio, jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


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
    """Mean of the values [...] picked by ``where`` [...] bool; 0 if none is picked. Of values [K, ...] K means.

    Each of several shards divides by the mean number picked, so that the mean over shards is that of the whole.
    """
    picked = shards.mean(jnp.sum(where).astype(values.dtype))
    own = tuple(range(values.ndim - where.ndim, values.ndim))
    return jnp.sum(jnp.where(where, values, 0.0), own) / jnp.maximum(picked, 1 / shards.count)
