"""Generalised advantage estimation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.ppo.backend import conditions_are_free


class Trajectory(NamedTuple):
    """What the advantages of a rollout are computed from; every field is [T, B]."""

    reward: jax.Array
    value: jax.Array  # V(s_t)
    next_value: jax.Array  # V(s_{t+1}) of the state before any reset; not read where terminated
    terminated: jax.Array  # the episode ended by itself: nothing follows
    done: jax.Array  # terminated or truncated


def generalized_advantage(trajectory: Trajectory, *, discount: float, gae_lambda: float) -> jax.Array:
    """Estimate the advantage [T, B] of every action taken.

    delta_t = r_t + discount * (1 - terminated_t) * V(s_{t+1}) - V(s_t)
    A_t = delta_t + discount * gae_lambda * (1 - done_t) * A_{t+1}

    Source: Schulman et al. 2016, https://arxiv.org/abs/1506.02438, equation 16.

    Args:
        trajectory: [T, B] rollout of the behaviour policy.
        discount: what a reward one bar later is worth, 0..1.
        gae_lambda: 0 = one-step estimate, 1 = whole-episode estimate.
    """
    # A truncated episode would have gone on, so it is bootstrapped with the value of its last state; only termination
    # makes the future worth nothing. Either way the advantage of the next episode must not flow back into this one.
    future = jnp.where(trajectory.terminated, 0.0, trajectory.next_value)
    delta = trajectory.reward + discount * future - trajectory.value
    carried = jnp.where(trajectory.done, 0.0, discount * gae_lambda)

    if not conditions_are_free():
        # T steps one after another are T starts on an accelerator; a scan by halves is log2(T), in another order.
        advantage: jax.Array = jax.lax.associative_scan(_joined, (carried, delta), reverse=True)[1]
        return advantage

    def backward(advantage: jax.Array, step: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta_t, carried_t = step
        advantage = delta_t + carried_t * advantage
        return advantage, advantage

    return jax.lax.scan(backward, jnp.zeros_like(delta[0]), (delta, carried), reverse=True)[1]


def _joined(later: tuple[jax.Array, jax.Array], earlier: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Two stretches of bars as one: what it carries back, and its advantage where nothing follows."""
    (later_carried, later_advantage), (carried, advantage) = later, earlier
    return carried * later_carried, advantage + carried * later_advantage
