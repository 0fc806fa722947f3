"""Adam behind gradient clipping for each head, with a learning rate that counts optimiser steps."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from rl_core.ppo.config import PPOConfig

TOWERS = "towers"
"""Where gradients hold several heads side by side: their arrays are [heads, ...]."""


def make_optimiser(config: PPOConfig) -> optax.GradientTransformation:
    """The optimiser of a run of ``config.optimiser_steps`` steps."""
    return optax.chain(clip_by_head(config.max_grad_norm), optax.adam(learning_rate(config), eps=1e-5))


def learning_rate(config: PPOConfig) -> optax.Schedule:
    """Learning rate after a number of **optimiser steps**, of which an update makes epochs x minibatches."""
    decay, warm = _decay(config), config.warmup_updates * config.steps_per_update
    if not warm:
        return decay
    return lambda count: decay(count) * jnp.minimum(1.0, (count + 1) / warm)


def _decay(config: PPOConfig) -> optax.Schedule:
    start, end, steps = config.learning_rate, config.final_learning_rate, config.optimiser_steps
    if config.schedule == "constant":
        return optax.constant_schedule(start)
    if config.schedule == "linear":
        return optax.linear_schedule(start, end, steps)
    return optax.cosine_decay_schedule(start, steps, alpha=end / start)


def steps_taken(state: Any) -> jax.Array:
    """Optimiser steps [] int32 counted by the state of `make_optimiser`, which is where its schedule stands."""
    _, (adam, _) = state
    count: jax.Array = adam.count
    return count


def clip_by_head(max_norm: float) -> optax.GradientTransformation:
    """Clip the gradients of actor, critic and torso each by its own global norm.

    One norm over all would let a huge value error, as at the first updates, scale the policy's step to nothing.
    """

    def clip(gradients: Any) -> Any:
        scale = max_norm / jnp.maximum(optax.tree.norm(gradients), max_norm)
        return jax.tree.map(lambda gradient: gradient * scale, gradients)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params
        return {head: (jax.vmap(clip) if head == TOWERS else clip)(tree) for head, tree in updates.items()}, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
