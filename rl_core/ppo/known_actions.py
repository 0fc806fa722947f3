"""Advantages of actions whose outcome is known whether they are taken or not.

Where nothing that an account does changes the market, a rollout need not try an action to learn what it leads to. So
every bar teaches about every such action, also while the account is in a position, and no chance of sampling comes
in: the policy's gradient is a sum over actions instead of a draw. Decisions in a position (phase 2) are learned from
those that were made.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_core.contract import BUY, HOLD
from rl_core.ppo.backend import conditions_are_free
from rl_core.ppo.losses import KnownBatch, mean_where
from rl_core.ppo.networks import has_choice, log_probabilities
from rl_core.ppo.rollout import RolloutContext


class KnownFigures(NamedTuple):
    """What known outcomes say about the behaviour policy, before it learns from them; scalars, over all choices."""

    entry_r: jax.Array  # mean outcome of its entries, each in the proportion in which it would make it
    random_r: jax.Array  # mean outcome of a long and a short at every close
    served_entries: jax.Array  # share of closes at which the likeliest action is an entry
    served_longs: jax.Array  # share of those that is long; 0 where there are none


class Known(NamedTuple):
    """What one rollout's known actions teach and show."""

    batch: KnownBatch  # [T, B, ...]
    figures: KnownFigures


def known_batch(context: RolloutContext, memory: Any, logits: jax.Array | None = None) -> Known | None:
    """Every action's advantage at the moments of a rollout, leaves [T, B, ...]; None where only playing tells.

    An action that takes the account for ``bars`` bars keeps it from what those bars would have earned otherwise. That
    is the rate at which the policy earns, so that

        advantage = credit - rate * (bars - 1),    rate = E[outcome] / E[bars] under the policy, at least 0,

    which is the average-reward form of a semi-Markov decision: no discount decides how long a trade may last.

    Source: Puterman 1994, Markov Decision Processes, section 11.4 (average reward, semi-Markov); the sum over actions
    is Sutton et al. 2000, "Policy gradient methods", theorem 1.

    Args:
        context: what the rollout was played with.
        memory: [T, B, ...] of `Environment.glimpse`.
        logits: [T, B, A] of the behaviour policy in those moments without a position, where its rollout kept them.
    """
    steps, envs = jax.tree.leaves(memory)[0].shape[:2]
    rows = jax.tree.map(lambda leaf: leaf.reshape(steps * envs, *leaf.shape[2:]), memory)
    known = context.env.known_actions(context.env_arrays.market, rows)
    if known is None:
        return None

    def by_bar(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(steps, envs, *leaf.shape[1:])

    def behaviour(bar: tuple[Any, jax.Array, jax.Array | None]) -> jax.Array:
        states, legal, kept = bar
        if kept is None:
            raw = context.env.shown(context.env_arrays.market, states)
            kept = context.actor.evaluate(context.config, raw)[1].logits
        return log_probabilities(kept[:, : legal.shape[-1]], legal)

    states, legal = jax.tree.map(by_bar, known.memory), by_bar(known.legal_actions)
    # Bar by bar, as observations of a whole rollout would be the largest array of an update; an accelerator has the
    # room, and would start each bar's operations anew.
    each_bar = jax.lax.map if conditions_are_free() else _at_once
    log_probability = each_bar(behaviour, (states, legal, logits))
    flat = log_probability.reshape(steps * envs, -1)
    batch = KnownBatch(states, legal, log_probability, by_bar(scaled_advantage(context, known, flat)))
    return Known(batch, known_figures(context, known, flat))


def _at_once(function: Callable[[Any], jax.Array], over: Any) -> jax.Array:
    """What `jax.lax.map` returns, of all elements together."""
    result: jax.Array = jax.vmap(function)(over)
    return result


def known_figures(context: RolloutContext, known: Any, log_probability: jax.Array) -> KnownFigures:
    """The figures of `KnownActions` [N] under log-probabilities [N, K]; HOLD is action 0."""
    mean = _mean_over_choices(context, known)
    entries = known.legal_actions.at[:, HOLD].set(False)
    probability = jnp.where(entries, jnp.exp(log_probability), 0.0)
    chosen = jnp.argmax(log_probability, -1)
    served, longs = mean((chosen != HOLD).astype(jnp.float32)), mean((chosen == BUY).astype(jnp.float32))
    return KnownFigures(
        entry_r=mean(jnp.sum(probability * known.outcome, -1)) / jnp.maximum(mean(jnp.sum(probability, -1)), 1e-9),
        random_r=mean(jnp.sum(jnp.where(entries, known.outcome, 0.0), -1) / jnp.maximum(jnp.sum(entries, -1), 1)),
        served_entries=served,
        served_longs=longs / jnp.maximum(served, 1e-9),
    )


def scaled_advantage(context: RolloutContext, known: Any, log_probability: jax.Array) -> jax.Array:
    """Advantages [N, K] of `KnownActions` under log-probabilities [N, K]; those of choices have a mean square of 1."""
    mean = _mean_over_choices(context, known)
    probability = jnp.where(known.legal_actions, jnp.exp(log_probability), 0.0)
    earned, taken = mean(jnp.sum(probability * known.outcome, -1)), mean(jnp.sum(probability * known.bars, -1))
    # A policy that loses would earn more by doing nothing, and HOLD's advantage of 0 says so.
    rate = jnp.maximum(earned, 0.0) / jnp.maximum(taken, 1.0)
    advantage = jnp.where(known.legal_actions, known.credit - rate * (known.bars - 1), 0.0)
    entries = jnp.maximum(jnp.sum(known.legal_actions, -1) - 1, 1)
    return advantage / jnp.sqrt(mean(jnp.sum(jnp.square(advantage), -1) / entries) + 1e-8)


def _mean_over_choices(context: RolloutContext, known: Any) -> Callable[[jax.Array], jax.Array]:
    """The mean of values [N] over the states that allow an entry, of all shards."""
    shards, choice = context.shards, has_choice(known.legal_actions)
    return lambda values: shards.mean(mean_where(choice, values, shards))
