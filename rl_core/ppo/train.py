"""One update (play, estimate, learn) as one compiled function, and the loop that repeats it."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from rl_core.ppo import normaliser as norm
from rl_core.ppo.advantages import generalized_advantage
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import Environment, World
from rl_core.ppo.losses import Batch, Losses, normalised_advantage, ppo_loss
from rl_core.ppo.metrics import Summary, UpdateMetrics, summarise
from rl_core.ppo.networks import Parameters, forward, initial_parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.optimiser import learning_rate, make_optimiser, steps_taken
from rl_core.ppo.rollout import Actor, Playing, Rollout, roll_out, trajectory_of

Stop: TypeAlias = Literal["finished", "asked", "not_finite"]


class Learner(NamedTuple):
    """What an optimiser step changes."""

    parameters: Parameters
    optimiser: Any  # optax state
    skipped: jax.Array  # int32, non-finite optimiser steps in a row


class TrainState(NamedTuple):
    """Everything that the next update depends on, and so everything that a checkpoint keeps."""

    learner: Learner
    normaliser: Normaliser
    playing: Playing
    key: jax.Array
    updates: jax.Array  # int32, updates done

    @property
    def parameters(self) -> Parameters:
        """The network's."""
        return self.learner.parameters


class TrainResult(NamedTuple):
    """Where training ended; the state is finite whatever the reason."""

    state: TrainState
    stop: Stop


def initial_state(
    config: PPOConfig, env: Environment, world: World, *, start: tuple[Parameters, Normaliser] | None = None
) -> TrainState:
    """The state before the first update, from ``config.seed`` alone.

    Args:
        config: the learner's settings.
        env: the environment to play.
        world: its market and parameters.
        start: parameters and normaliser to go on from (phase 2); fresh ones if None.
    """
    state: TrainState = _fresh_state(world, config=config, env=env)
    if start is None:
        return state
    # The first update takes its buffers over; the caller's stay whole.
    parameters, normaliser = jax.tree.map(jnp.copy, start)
    return state._replace(learner=state.learner._replace(parameters=parameters), normaliser=normaliser)


@partial(jax.jit, static_argnames=("config", "env"))
def _fresh_state(world: World, *, config: PPOConfig, env: Environment) -> TrainState:
    key, parameter_key, reset_key = jax.random.split(jax.random.key(config.seed), 3)
    parameters = initial_parameters(config, env.observation_size, env.num_actions, parameter_key)
    return TrainState(
        learner=Learner(parameters, make_optimiser(config).init(parameters), jnp.int32(0)),
        normaliser=norm.fresh(env.observation_size, recency=config.recency),
        playing=Playing(env.reset(*world, reset_key, config.num_envs), jnp.zeros(config.num_envs)),
        key=key,
        updates=jnp.int32(0),
    )


def train(
    config: PPOConfig,
    env: Environment,
    world: World,
    initial: TrainState,
    on_update: Callable[[TrainState, Summary], bool],
) -> TrainResult:
    """Run the updates that ``initial`` still lacks of ``config.num_updates``.

    Args:
        config: the learner's settings.
        env: the environment to play.
        world: its market and parameters.
        initial: where to start; its buffers are taken over and must not be used again.
        on_update: called every ``config.updates_per_sync`` updates with the state (to be saved before
            it returns, if at all) and the metrics since the last call; returns True to stop.
    """
    state, done = initial, int(initial.updates)
    while done < config.num_updates:
        began, block = time.perf_counter(), []
        for _ in range(min(config.updates_per_sync, config.num_updates - done)):
            state, metrics = update(state, world, config=config, env=env)
            block.append(metrics)
        fetched: list[UpdateMetrics] = jax.device_get(block)
        done += len(block)
        elapsed = time.perf_counter() - began
        asked = on_update(state, _row(config, done, fetched, elapsed))
        if int(state.learner.skipped) > config.max_skipped:
            return TrainResult(state, "not_finite")
        if asked:
            return TrainResult(state, "asked")
    return TrainResult(state, "finished")


def _row(config: PPOConfig, done: int, metrics: list[UpdateMetrics], elapsed: float) -> Summary:
    speed = len(metrics) * config.batch_size / elapsed
    return {"step": done * config.batch_size, "update": done, "steps_per_s": speed} | summarise(metrics)


@partial(jax.jit, static_argnames=("config", "env"), donate_argnames=("state",))
def update(state: TrainState, world: World, *, config: PPOConfig, env: Environment) -> tuple[TrainState, UpdateMetrics]:
    """Play one rollout and learn from it. Only ``config`` and ``env`` shape the compiled code."""
    key, play_key, learn_key = jax.random.split(state.key, 3)
    actor = Actor(state.learner.parameters, state.normaliser)
    playing, rollout = roll_out(config, env, world, actor, state.playing, play_key)
    batch = _batch(config, rollout)
    learner, (losses, applied) = _learn(config, state.learner, batch, learn_key)
    after = TrainState(
        learner=learner,
        normaliser=_next_normaliser(config, state.normaliser, rollout.seen),
        playing=playing,
        key=key,
        updates=state.updates + 1,
    )
    metrics = UpdateMetrics(
        counts=rollout.counts,
        losses=jax.tree.map(jnp.mean, losses),
        explained_variance=1 - jnp.var(batch.target - batch.value) / (jnp.var(batch.target) + 1e-8),
        learning_rate=learning_rate(config)(steps_taken(learner.optimiser)),
        skipped=jnp.sum(~applied),
    )
    return after, metrics


def _batch(config: PPOConfig, rollout: Rollout) -> Batch:
    """The rollout's transitions as rows [T * B]."""
    trajectory = trajectory_of(rollout)
    advantage = generalized_advantage(trajectory, discount=config.discount, gae_lambda=config.gae_lambda)
    steps = rollout.transitions
    batch = Batch(
        observation=steps.observation,
        legal_actions=steps.legal_actions,
        action=steps.action,
        log_probability=steps.log_probability,
        value=steps.value,
        advantage=normalised_advantage(advantage, steps.legal_actions),
        target=advantage + steps.value,
    )
    rows: Batch = jax.tree.map(lambda column: column.reshape(config.batch_size, *column.shape[2:]), batch)
    return rows


def _learn(
    config: PPOConfig, learner: Learner, batch: Batch, key: jax.Array
) -> tuple[Learner, tuple[Losses, jax.Array]]:
    """Epochs x minibatches optimiser steps; also each step's losses and whether it was applied [E * M]."""
    optimiser = make_optimiser(config)

    def loss(parameters: Parameters, rows: Batch) -> tuple[jax.Array, Losses]:
        losses = ppo_loss(forward(config, parameters, rows.observation), rows, config)
        return losses.total, losses

    def one_step(learner: Learner, picked: jax.Array) -> tuple[Learner, tuple[Losses, jax.Array]]:
        rows = jax.tree.map(lambda column: column[picked], batch)
        gradients, losses = jax.grad(loss, has_aux=True)(learner.parameters, rows)
        changes, stepped = optimiser.update(gradients, learner.optimiser, learner.parameters)
        parameters = optax.apply_updates(learner.parameters, changes)
        finite = jnp.isfinite(losses.total) & jnp.isfinite(optax.tree.norm(gradients))
        after = Learner(parameters, stepped, jnp.int32(0))
        stayed = learner._replace(skipped=learner.skipped + 1)
        kept: Learner = jax.tree.map(partial(jnp.where, finite), after, stayed)
        return kept, (losses, finite)

    order = jax.vmap(lambda key: jax.random.permutation(key, config.batch_size))(jax.random.split(key, config.epochs))
    return jax.lax.scan(one_step, learner, order.reshape(config.steps_per_update, -1))


def _next_normaliser(config: PPOConfig, known: Normaliser, seen: Normaliser) -> Normaliser:
    """``known`` with what the last rollout saw, from the next update on; a non-finite observation teaches nothing."""
    if not config.normalise_observations:
        return known
    merged = norm.merge(known, seen)
    finite = jnp.all(jnp.isfinite(merged.mean) & jnp.isfinite(merged.variance))
    kept: Normaliser = jax.tree.map(partial(jnp.where, finite), merged, known)
    return kept
