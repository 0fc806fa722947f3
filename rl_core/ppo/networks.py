"""The policy and value network, and the masked categorical over its logits."""

from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn

from rl_core.contract import HOLD
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import ALONE, Shards

Parameters: TypeAlias = Any
"""Nested dict of float32 arrays; its top level names what belongs to the actor, the critic and both (torso)."""

ILLEGAL_LOGIT = -1e9
POLICY_SCALE = 0.01


class NetworkOutput(NamedTuple):
    """What the network says of a batch of observations."""

    logits: jax.Array  # [N, A], not yet masked
    value: jax.Array  # [N]


class Tower(nn.Module):
    """Tanh layers, and a linear head where ``outputs`` is given."""

    hidden: tuple[int, ...]
    outputs: int | None = None
    head_scale: float = 1.0

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """[N, I] -> [N, last hidden] or [N, outputs]."""
        for layer, width in enumerate(self.hidden):
            dense = nn.Dense(width, kernel_init=nn.initializers.orthogonal(2**0.5), name=f"dense_{layer}")
            inputs = nn.tanh(dense(inputs))
        if self.outputs is None:
            return inputs
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.orthogonal(self.head_scale), name="head")
        return head(inputs)


class ActorCritic(nn.Module):
    """Logits [N, A] and value [N] of normalised observations [N, O].

    With a shared torso each head's pull on it is bounded by ``max_pull``, so that a large value
    error cannot drown the policy's gradient; without one the two share nothing.
    """

    num_actions: int
    hidden: tuple[int, ...]
    shared_torso: bool
    max_pull: float
    shards: Shards = ALONE

    @nn.compact
    def __call__(self, observation: jax.Array) -> NetworkOutput:
        """Run both heads."""
        assert observation.ndim == 2, observation.shape
        below: tuple[int, ...] = self.hidden
        to_actor = to_critic = observation
        if self.shared_torso:
            features = Tower(self.hidden, name="torso")(observation)
            to_actor, to_critic = (bounded_pull(features, self.max_pull, self.shards) for _ in range(2))
            below = ()
        logits = Tower(below, self.num_actions, POLICY_SCALE, name="actor")(to_actor)
        value = Tower(below, 1, name="critic")(to_critic)
        return NetworkOutput(logits, value[:, 0])


def actor_critic(config: PPOConfig, num_actions: int, shards: Shards = ALONE) -> ActorCritic:
    """The network that ``config`` describes."""
    return ActorCritic(num_actions, config.hidden, config.shared_torso, config.max_grad_norm, shards)


def initial_parameters(config: PPOConfig, observation_size: int, num_actions: int, key: jax.Array) -> Parameters:
    """Fresh parameters: orthogonal layers, and a policy head near uniform but for ``config.hold_bias``."""
    network = actor_critic(config, num_actions)
    parameters: Parameters = network.init(key, jnp.zeros((1, observation_size)))["params"]
    head = parameters["actor"]["head"]
    head["bias"] = head["bias"].at[HOLD].add(config.hold_bias)
    return parameters


def forward(config: PPOConfig, parameters: Parameters, observation: jax.Array, shards: Shards = ALONE) -> NetworkOutput:
    """Logits and value of normalised observations [N, O], which are one of ``shards`` where gradients are taken."""
    num_actions = parameters["actor"]["head"]["bias"].shape[0]
    output: Any = actor_critic(config, num_actions, shards).apply({"params": parameters}, observation)
    return NetworkOutput(*output)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def bounded_pull(features: jax.Array, limit: float, shards: Shards = ALONE) -> jax.Array:
    """``features`` [N, H] unchanged; the gradient flowing back through them has at most ``limit`` RMS per sample.

    A loss that is a mean over N samples sends back 1/N of each sample's gradient g, so the bound is
    on sqrt(mean |g|^2) = sqrt(N * sum of squares of what arrives here), of all parts alike.
    """
    del limit, shards
    return features


def _pull_forward(features: jax.Array, limit: float, shards: Shards) -> tuple[jax.Array, None]:
    del limit, shards
    return features, None


def _pull_backward(limit: float, shards: Shards, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    pull = jnp.sqrt(gradient.shape[0] * shards.mean(jnp.sum(jnp.square(gradient))))
    return (gradient * (limit / jnp.maximum(pull, limit)),)


bounded_pull.defvjp(_pull_forward, _pull_backward)


def masked_logits(logits: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Logits [..., A] with illegal actions pushed to probability zero; the same in training, evaluation and serving."""
    return jnp.where(legal_actions, logits, ILLEGAL_LOGIT)


def log_probabilities(logits: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Log-probability of every action [..., A], normalised over the legal ones."""
    return jax.nn.log_softmax(masked_logits(logits, legal_actions))


def entropy(log_probability: jax.Array) -> jax.Array:
    """Entropy [...] in nats of log-probabilities [..., A]; zero where only one action is legal."""
    return -jnp.sum(jnp.exp(log_probability) * log_probability, axis=-1)


def log_probability_of(log_probability: jax.Array, action: jax.Array) -> jax.Array:
    """The entry of [N, A] that ``action`` [N] names."""
    return jnp.take_along_axis(log_probability, action[:, None], axis=-1)[:, 0]


def has_choice(legal_actions: jax.Array) -> jax.Array:
    """Where [...] more than one action is legal; elsewhere there is nothing to learn about acting."""
    return jnp.sum(legal_actions, axis=-1) > 1
