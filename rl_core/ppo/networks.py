"""The policy and value network, and the masked categorical distribution over its logits."""

from abc import abstractmethod
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn

from rl_core.contract import HOLD
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED, Shards

Parameters: TypeAlias = Any
"""Nested dict of float32 arrays; its top level names what belongs to the actor, the critic and both (torso)."""

ILLEGAL_LOGIT = -1e9  # finite: -inf would turn 0 x log 0 of the entropy into NaN
POLICY_SCALE = 0.01  # near 0, so that training starts from an almost uniform policy


class NetworkOutput(NamedTuple):
    """The network's outputs for N observations."""

    logits: jax.Array  # [N, A], not yet masked
    value: jax.Array  # [N]


class TanhLayers(nn.Module):
    """Dense layers with tanh, followed by a linear head where ``outputs`` is given."""

    hidden: tuple[int, ...]
    outputs: int | None = None
    head_scale: float = 1.0

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Map inputs [N, I] to [N, last hidden width], or to [N, outputs] behind a head."""
        for layer, width in enumerate(self.hidden):
            dense = nn.Dense(width, kernel_init=nn.initializers.orthogonal(2**0.5), name=f"dense_{layer}")
            inputs = nn.tanh(dense(inputs))
        if self.outputs is None:
            return inputs
        head = nn.Dense(self.outputs, kernel_init=nn.initializers.orthogonal(self.head_scale), name="head")
        return head(inputs)


class ActorCritic(nn.Module):
    """Logits [N, A] and value [N] of normalised observations [N, O].

    With a shared torso the gradient that each head sends into it is limited on its own, so that a large value error
    cannot drown the policy's gradient. Without one the two heads share no parameter.
    """

    num_actions: int
    hidden: tuple[int, ...]
    shared_torso: bool
    max_gradient: float
    shards: Shards = UNSHARDED

    @nn.compact
    def __call__(self, observation: jax.Array) -> NetworkOutput:
        """Compute both heads."""
        assert observation.ndim == 2, observation.shape
        below: tuple[int, ...] = self.hidden
        to_actor = to_critic = observation
        if self.shared_torso:
            features = TanhLayers(self.hidden, name="torso")(observation)
            to_actor, to_critic = (limited_gradient(features, self.max_gradient, self.shards) for _ in range(2))
            below = ()
        logits = TanhLayers(below, self.num_actions, POLICY_SCALE, name="actor")(to_actor)
        value = TanhLayers(below, 1, name="critic")(to_critic)
        return NetworkOutput(logits, value[:, 0])


class OwnNetwork(PPOConfig):
    """The settings of a learner whose network is not `ActorCritic`; a subclass gives the network."""

    @abstractmethod
    def network(self, num_actions: int) -> nn.Module:
        """A module that maps normalised observations [N, O] to a `NetworkOutput`.

        Its parameters are named ``actor`` and ``critic``, with nothing in common unless ``shared_torso`` is set; the
        actor ends in a dense layer named ``head``, whose bias has ``num_actions`` entries.
        """


def actor_critic(config: PPOConfig, num_actions: int, shards: Shards = UNSHARDED) -> nn.Module:
    """The network that ``config`` describes, with ``num_actions`` logits."""
    if isinstance(config, OwnNetwork):
        return config.network(num_actions)
    return ActorCritic(num_actions, config.hidden, config.shared_torso, config.max_grad_norm, shards)


def initial_parameters(config: PPOConfig, observation_size: int, num_actions: int, key: jax.Array) -> Parameters:
    """Fresh parameters: orthogonal layers, and a policy head near uniform but for ``config.hold_bias``."""
    network = actor_critic(config, num_actions)
    parameters: Parameters = network.init(key, jnp.zeros((1, observation_size)))["params"]
    head = parameters["actor"]["head"]
    head["bias"] = head["bias"].at[HOLD].add(config.hold_bias)
    return parameters


def forward(
    config: PPOConfig, parameters: Parameters, observation: jax.Array, shards: Shards = UNSHARDED
) -> NetworkOutput:
    """Logits [N, A] and value [N] of normalised observations [N, O].

    ``shards`` matters for gradients alone: the N observations are then one shard of the minibatch.
    """
    num_actions = parameters["actor"]["head"]["bias"].shape[0]
    output: Any = actor_critic(config, num_actions, shards).apply({"params": parameters}, observation)
    return NetworkOutput(*output)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def limited_gradient(features: jax.Array, limit: float, shards: Shards = UNSHARDED) -> jax.Array:
    """Return ``features`` [N, H] unchanged, but limit the gradient that flows back through them.

    The limit is on the root mean square over samples. A loss that is a mean over N samples sends back 1/N of each
    sample's gradient g, so the figure is sqrt(mean |g|^2) = sqrt(N * sum of squares of what arrives here), over all
    shards alike.
    """
    del limit, shards
    return features


def _limited_forward(features: jax.Array, limit: float, shards: Shards) -> tuple[jax.Array, None]:
    del limit, shards
    return features, None


def _limited_backward(limit: float, shards: Shards, _: None, gradient: jax.Array) -> tuple[jax.Array]:
    size = jnp.sqrt(gradient.shape[0] * shards.mean(jnp.sum(jnp.square(gradient))))
    return (gradient * (limit / jnp.maximum(size, limit)),)


limited_gradient.defvjp(_limited_forward, _limited_backward)


def masked_logits(logits: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Logits [..., A] in which illegal actions have probability zero; the same in training, evaluation and serving."""
    return jnp.where(legal_actions, logits, ILLEGAL_LOGIT)


def log_probabilities(logits: jax.Array, legal_actions: jax.Array) -> jax.Array:
    """Log-probability of every action [..., A], normalised over the legal ones."""
    return jax.nn.log_softmax(masked_logits(logits, legal_actions))


def entropy(log_probability: jax.Array) -> jax.Array:
    """Entropy [...] in nats of log-probabilities [..., A]; zero where only one action is legal."""
    return -jnp.sum(jnp.exp(log_probability) * log_probability, axis=-1)


def log_probability_of(log_probability: jax.Array, action: jax.Array) -> jax.Array:
    """The entry of [N, A] that ``action`` [N] names."""
    # Looked up, its gradient would be a scatter: one row after the other on a CPU, operations of its own elsewhere.
    named = jnp.arange(log_probability.shape[-1]) == action[:, None]
    return jnp.sum(jnp.where(named, log_probability, 0.0), axis=-1)


def has_choice(legal_actions: jax.Array) -> jax.Array:
    """Whether [...] more than one action is legal; elsewhere there is nothing to learn about acting."""
    return jnp.sum(legal_actions, axis=-1) > 1
