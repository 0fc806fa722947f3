"""One update (play, estimate, learn) as one compiled function."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_core.ppo import normaliser as norm
from rl_core.ppo.advantages import generalized_advantage
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import PARTS, WHOLE, Shards, on_devices
from rl_core.ppo.entropy import adjusted, first_coefficient
from rl_core.ppo.environment import EnvArrays, Environment
from rl_core.ppo.losses import Batch, Losses, normalised_advantage, ppo_loss
from rl_core.ppo.metrics import UpdateMetrics, deepest_fall
from rl_core.ppo.networks import Parameters, forward, initial_parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.optimiser import learning_rate, make_optimiser, steps_taken
from rl_core.ppo.rollout import Actor, Playing, Rollout, Stage, recall, roll_out, trajectory_of


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
    entropy_coefficient: jax.Array  # float32

    @property
    def parameters(self) -> Parameters:
        """The network's."""
        return self.learner.parameters


SPLIT = TrainState(*(PARTS if field == "playing" else WHOLE for field in TrainState._fields))
"""Which of the state is split over several devices: the environments."""


def initial_state(
    config: PPOConfig, env: Environment, world: EnvArrays, *, start: tuple[Parameters, Normaliser] | None = None
) -> TrainState:
    """The state before the first update, from ``config.seed`` alone.

    Args:
        config: the learner's settings.
        env: the environment to play.
        world: its market and parameters.
        start: parameters and normaliser to go on from (phase 2); fresh ones if None.
    """
    # The seed stays out of what is compiled: another one is the same program.
    unseeded = config.model_copy(update={"seed": 0})
    state: TrainState = _fresh_state(world, jax.random.key(config.seed), config=unseeded, env=env)
    if start is None:
        return state
    # The first update takes its buffers over; the caller's stay whole.
    parameters, normaliser = jax.tree.map(jnp.copy, start)
    return state._replace(learner=state.learner._replace(parameters=parameters), normaliser=normaliser)


@partial(jax.jit, static_argnames=("config", "env"))
def _fresh_state(world: EnvArrays, key: jax.Array, *, config: PPOConfig, env: Environment) -> TrainState:
    key, parameter_key, reset_key = jax.random.split(key, 3)
    world = world._replace(params=env.scheduled(world.params, jnp.int32(0)))
    parameters = initial_parameters(config, env.observation_size, env.num_actions, parameter_key)
    return TrainState(
        learner=Learner(parameters, make_optimiser(config).init(parameters), jnp.int32(0)),
        normaliser=norm.fresh(env.observation_size, recency=config.recency),
        playing=Playing(env.reset(*world, reset_key, config.num_envs), jnp.zeros(config.num_envs)),
        key=key,
        updates=jnp.int32(0),
        entropy_coefficient=first_coefficient(config),
    )


@partial(jax.jit, static_argnames=("config", "env"), donate_argnames=("state",))
def update(
    state: TrainState, world: EnvArrays, *, config: PPOConfig, env: Environment
) -> tuple[TrainState, UpdateMetrics]:
    """Play one rollout and learn from it. Only ``config`` and ``env`` shape the compiled code."""
    part = partial(_one_update, config=config, env=env, shards=Shards(config.devices))
    return part(state, world) if config.devices == 1 else on_devices(part, config.devices, SPLIT)(state, world)


def _one_update(
    state: TrainState, world: EnvArrays, *, config: PPOConfig, env: Environment, shards: Shards
) -> tuple[TrainState, UpdateMetrics]:
    """`update` of one part of the environments; every part learns the same."""
    key, play_key, learn_key = jax.random.split(state.key, 3)
    world = world._replace(params=env.scheduled(world.params, state.updates))
    actor = Actor(state.learner.parameters, state.normaliser)
    stage = Stage(config, env, world, actor, shards)
    playing, rollout = roll_out(stage, state.playing, play_key)
    batch = batch_of(config, rollout, shards)
    learner, (each, applied) = _learn(stage, state, batch, learn_key)
    losses = shards.mean(jax.tree.map(jnp.mean, each))
    entropy = adjusted(config, state.entropy_coefficient, losses.entropy, batch.legal_actions, shards)
    after = TrainState(
        learner=learner,
        normaliser=_next_normaliser(config, state.normaliser, rollout.seen),
        playing=playing,
        key=key,
        updates=state.updates + 1,
        entropy_coefficient=entropy.coefficient,
    )
    metrics = UpdateMetrics(
        counts=rollout.counts,
        losses=losses,
        explained_variance=_explained_variance(batch, shards),
        learning_rate=learning_rate(config)(steps_taken(learner.optimiser)),
        skipped=jnp.sum(~applied),
        entropy=entropy,
        drawdown=shards.mean(deepest_fall(rollout.transitions.reward)),
    )
    return after, metrics


def batch_of(config: PPOConfig, rollout: Rollout, shards: Shards) -> Batch:
    """What is learned from the rollout [T, B, ...]."""
    trajectory = trajectory_of(rollout)
    advantage = generalized_advantage(trajectory, discount=config.discount, gae_lambda=config.gae_lambda)
    steps = rollout.transitions
    return Batch(
        memory=steps.memory,
        legal_actions=steps.legal_actions,
        action=steps.action,
        log_probability=steps.log_probability,
        value=steps.value,
        advantage=normalised_advantage(advantage, steps.legal_actions, shards),
        target=advantage + steps.value,
    )


def _learn(stage: Stage, state: TrainState, batch: Batch, key: jax.Array) -> tuple[Learner, tuple[Losses, jax.Array]]:
    """Epochs x minibatches optimiser steps; also each step's losses and whether it was applied [E * M]."""
    config, shards, optimiser = stage.config, stage.shards, make_optimiser(stage.config)
    # On a GPU the condition would be a wait, and on several devices it could hold a collective.
    turns = not config.shared_torso and shards.count == 1 and jax.default_backend() == "cpu"

    def loss(parameters: Parameters, rows: Batch, *, judge: bool = True) -> tuple[jax.Array, Losses]:
        observation = recall(config, stage.env, stage.world, stage.actor.normaliser, rows.memory)
        output, coefficient = forward(config, parameters, observation, shards), state.entropy_coefficient
        judged = output if judge else output._replace(value=rows.value)
        losses = ppo_loss(judged, rows, config, shards, entropy_coefficient=coefficient)
        return losses.total, losses

    def one_step(learner: Learner, picked: jax.Array) -> tuple[Learner, tuple[Losses, jax.Array]]:
        rows = minibatch(batch, picked, config.minibatches)
        gradients, losses = (in_turn if turns else together)(config, loss, learner.parameters, rows)
        gradients, total = shards.mean((gradients, losses.total))
        changes, stepped = optimiser.update(gradients, learner.optimiser, learner.parameters)
        parameters = optax.apply_updates(learner.parameters, changes)
        finite = jnp.isfinite(total) & jnp.isfinite(optax.tree.norm(gradients))
        # Once too many were skipped in a row nothing more is learnt: the loop stops at its next look.
        finite &= learner.skipped <= config.max_skipped
        after = Learner(parameters, stepped, jnp.int32(0))
        stayed = learner._replace(skipped=learner.skipped + 1)
        kept: Learner = jax.tree.map(partial(jnp.where, finite), after, stayed)
        return kept, (losses, finite)

    return jax.lax.scan(one_step, state.learner, shuffled(config, key))


def together(
    config: PPOConfig, loss: Callable[..., Any], parameters: Parameters, rows: Batch
) -> tuple[Parameters, Losses]:
    """Gradients and losses of both heads at once."""
    del config
    found: tuple[Parameters, Losses] = jax.grad(loss, has_aux=True)(parameters, rows)
    return found


def in_turn(
    config: PPOConfig, loss: Callable[..., Any], parameters: Parameters, rows: Batch
) -> tuple[Parameters, Losses]:
    """`together`, but first the actor's and then the critic's, which share nothing: half the activations at a time."""
    gradients, losses = jax.grad(partial(loss, judge=False), has_aux=True)(parameters, rows)
    actor = gradients["actor"]

    def judged() -> tuple[Parameters, jax.Array]:
        gradients, found = jax.grad(loss, has_aux=True)(parameters, rows)
        return gradients["critic"], found.value

    nothing = jax.tree.map(jnp.zeros_like, parameters["critic"]), losses.value
    # XLA overlaps the two unless one decides about the other; a step that is not finite is skipped in any case.
    critic, value = jax.lax.cond(jnp.isfinite(optax.tree.norm(actor)), judged, lambda: nothing)
    total = losses.total + config.value_coefficient * (value - losses.value)
    return {"actor": actor, "critic": critic}, losses._replace(total=total, value=value)


def shuffled(config: PPOConfig, key: jax.Array) -> jax.Array:
    """Which of M groups of environments each minibatch takes at each bar, [E * M, T]; an epoch takes every one once.

    Group g holds the environments g, g + M, g + 2M, ... The groups go round by a new random number at every bar of
    every epoch. Sorting 32,768 random numbers an epoch costs a fifth of an update on a CPU; this costs nothing,
    spreads each episode over all minibatches, and takes equal parts of environments split over devices (DECISIONS 8).
    """
    turns = jax.random.randint(key, (config.epochs, 1, config.rollout_length), 0, config.minibatches)
    groups = (turns + jnp.arange(config.minibatches)[:, None]) % config.minibatches
    return groups.reshape(config.steps_per_update, config.rollout_length)


def minibatch(batch: Batch, groups: jax.Array, count: int) -> Batch:
    """The rows [T * B / count, ...] that one of ``groups`` [T] of ``count`` takes of ``batch`` [T, B, ...]."""

    def of_bar(column: jax.Array, group: jax.Array) -> jax.Array:
        rows: jax.Array = jax.lax.dynamic_index_in_dim(column, group, 1, keepdims=False)
        return rows

    def taken(column: jax.Array) -> jax.Array:
        steps, envs, *rest = column.shape
        rows: jax.Array = jax.vmap(of_bar)(column.reshape(steps, envs // count, count, *rest), groups)
        return rows.reshape(steps * envs // count, *rest)

    rows: Batch = jax.tree.map(taken, batch)
    return rows


def _explained_variance(batch: Batch, shards: Shards) -> jax.Array:
    """1 - Var(target - value) / Var(target) over all parts."""

    def variance(values: jax.Array) -> jax.Array:
        mean = shards.mean(jnp.mean(values))
        return shards.mean(jnp.mean(jnp.square(values - mean)))

    return 1 - variance(batch.target - batch.value) / (variance(batch.target) + 1e-8)


def _next_normaliser(config: PPOConfig, known: Normaliser, seen: Normaliser) -> Normaliser:
    """``known`` with what the last rollout saw, from the next update on; a non-finite observation teaches nothing."""
    if not config.normalise_observations:
        return known
    merged = norm.merge(known, seen)
    finite = jnp.all(jnp.isfinite(merged.mean) & jnp.isfinite(merged.variance))
    kept: Normaliser = jax.tree.map(partial(jnp.where, finite), merged, known)
    return kept
