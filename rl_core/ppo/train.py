"""One PPO update (play a rollout, estimate advantages, learn) as one compiled function."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rl_core.contract import BUY, HOLD, SELL
from rl_core.ppo import normaliser as norm
from rl_core.ppo.advantages import generalized_advantage
from rl_core.ppo.backend import conditions_are_free, turns_at_once
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import REPLICATED, SHARDED, Shards, on_devices
from rl_core.ppo.entropy import adjusted_coefficient, first_coefficient
from rl_core.ppo.environment import EnvArrays, Environment
from rl_core.ppo.known_actions import known_batch
from rl_core.ppo.layout import Shown, layout_of, of_moments
from rl_core.ppo.losses import Batch, KnownBatch, Losses, normalised_advantage, ppo_loss
from rl_core.ppo.metrics import UpdateMetrics, mean_max_drawdown
from rl_core.ppo.networks import Parameters, initial_parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.optimiser import learning_rate, make_optimiser, steps_taken
from rl_core.ppo.rollout import (
    Actor,
    EpisodesInPlay,
    Rollout,
    RolloutContext,
    compact_memory,
    rebuilt_observations,
    roll_out,
    trajectory_of,
)


class Learner(NamedTuple):
    """What an optimiser step changes; it is kept as it was where the step is not finite."""

    parameters: Parameters
    optimiser: Any  # optax state
    skipped: jax.Array  # int32 scalar, non-finite optimiser steps in a row


class TrainState(NamedTuple):
    """Everything that the next update depends on, and so everything that a checkpoint keeps.

    The names of the fields are those of the arrays in a checkpoint: renaming one makes older checkpoints unreadable.
    """

    learner: Learner
    normaliser: Normaliser
    playing: EpisodesInPlay
    key: jax.Array
    updates: jax.Array  # int32, updates done
    entropy_coefficient: jax.Array  # float32

    @property
    def parameters(self) -> Parameters:
        """The network's."""
        return self.learner.parameters


STATE_SHARDING = TrainState(*(SHARDED if field == "playing" else REPLICATED for field in TrainState._fields))
"""Over several devices the environments are split, and everything else is replicated."""


def initial_state(
    config: PPOConfig, env: Environment, env_arrays: EnvArrays, *, start: tuple[Parameters, Normaliser] | None = None
) -> TrainState:
    """The state before the first update, from ``config.seed`` alone.

    Args:
        config: the learner's settings.
        env: the environment to play.
        env_arrays: its market and parameters.
        start: parameters and normaliser to go on from (phase 2); fresh ones if None.
    """
    # The seed stays out of what is compiled: another one is the same program.
    unseeded = config.model_copy(update={"seed": 0})
    state: TrainState = _fresh_state(env_arrays, jax.random.key(config.seed), config=unseeded, env=env)
    if start is None:
        return state
    # The first update donates its buffers to XLA; copying leaves the caller's arrays usable.
    parameters, normaliser = jax.tree.map(jnp.copy, start)
    return state._replace(learner=state.learner._replace(parameters=parameters), normaliser=normaliser)


@partial(jax.jit, static_argnames=("config", "env"))
def _fresh_state(env_arrays: EnvArrays, key: jax.Array, *, config: PPOConfig, env: Environment) -> TrainState:
    key, parameter_key, reset_key = jax.random.split(key, 3)
    env_arrays = env_arrays._replace(params=env.scheduled(env_arrays.params, jnp.int32(0)))
    parameters = initial_parameters(config, env.observation_size, env.num_actions, parameter_key)
    normaliser = norm.initial_normaliser(
        env.observation_size, window_decay=config.window_decay, window=env.window_shape
    )
    if config.asks_the_window:
        normaliser = norm.weighted(normaliser, env.window_weights(env_arrays.market), env.window_shape)
    return TrainState(
        learner=Learner(parameters, make_optimiser(config).init(parameters), jnp.int32(0)),
        normaliser=normaliser,
        playing=EpisodesInPlay(env.reset(*env_arrays, reset_key, config.num_envs), jnp.zeros(config.num_envs)),
        key=key,
        updates=jnp.int32(0),
        entropy_coefficient=first_coefficient(config),
    )


@partial(jax.jit, static_argnames=("config", "env"), donate_argnames=("state",))
def update(
    state: TrainState, env_arrays: EnvArrays, *, config: PPOConfig, env: Environment
) -> tuple[TrainState, UpdateMetrics]:
    """Play one rollout [T, B] and learn from it; ``state`` is donated and must not be used again.

    Only ``config`` and ``env`` are static: another market or other parameters run the same compiled program.
    """
    part: Callable[..., Any] = partial(_one_update, config=config, env=env, shards=Shards(config.devices))
    if config.devices > 1:
        part = on_devices(part, config.devices, STATE_SHARDING)
    state, metrics = part(state, env_arrays)
    return state, metrics


def _one_update(
    state: TrainState, env_arrays: EnvArrays, *, config: PPOConfig, env: Environment, shards: Shards
) -> tuple[TrainState, UpdateMetrics]:
    """Run `update` on one shard of the environments; gradients are averaged, so every shard learns the same."""
    key, play_key, learn_key = jax.random.split(state.key, 3)
    env_arrays = env_arrays._replace(params=env.scheduled(env_arrays.params, state.updates))
    actor = Actor(state.learner.parameters, state.normaliser)
    context = RolloutContext(config, env, env_arrays, actor, shards)
    playing, rollout = roll_out(context, state.playing, play_key)
    steps = rollout.transitions
    known = known_batch(context, compact_memory(config, steps.memory), steps.known_logits)
    batch = batch_of(config, rollout, shards, None if known is None else known.batch)
    learner, (each, applied) = _optimise(context, state, batch, learn_key)
    losses = shards.mean(jax.tree.map(jnp.mean, each))
    entropy = adjusted_coefficient(config, state.entropy_coefficient, losses.entropy, batch.legal_actions, shards)
    after = TrainState(
        learner=learner,
        normaliser=_next_normaliser(config, state.normaliser, rollout.observed),
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
        drawdown=shards.mean(mean_max_drawdown(rollout.transitions.reward)),
        known=None if known is None else known.figures,
    )
    return after, metrics


def batch_of(config: PPOConfig, rollout: Rollout, shards: Shards, known: KnownBatch | None = None) -> Batch:
    """The rollout as transitions to learn from, leaves [T, B, ...], with advantages and value targets.

    Decisions that ``known`` covers are not learned a second time from the actions taken: they count as no choice.
    """
    trajectory = trajectory_of(rollout)
    advantage = generalized_advantage(trajectory, discount=config.discount, gae_lambda=config.gae_lambda)
    steps = rollout.transitions
    legal = steps.legal_actions if known is None else without_entries(steps.legal_actions)
    return Batch(
        memory=steps.memory,
        legal_actions=legal,
        action=steps.action,
        log_probability=steps.log_probability,
        value=steps.value,
        advantage=normalised_advantage(advantage, legal, shards),
        # The target takes the advantage as estimated: normalised ones would teach the critic another scale.
        target=advantage + steps.value,
        known=known,
    )


def without_entries(legal_actions: jax.Array) -> jax.Array:
    """The mask [..., A] in which a state that allows an entry allows HOLD alone."""
    may_enter = legal_actions[..., BUY] | legal_actions[..., SELL]
    only_hold = jnp.arange(legal_actions.shape[-1]) == HOLD
    return jnp.where(may_enter[..., None], only_hold, legal_actions)


def _optimise(
    context: RolloutContext, state: TrainState, batch: Batch, key: jax.Array
) -> tuple[Learner, tuple[Losses, jax.Array]]:
    """Make epochs x minibatches optimiser steps; returns each step's losses and whether it was applied, [E * M]."""
    config, shards, optimiser = context.config, context.shards, make_optimiser(context.config)
    # Taking one head after the other halves the activations in cache, which pays on a CPU only: the condition that
    # orders them costs a GPU a synchronisation, and a collective inside it could hang several devices.
    one_head_at_a_time = not config.shared_torso and shards.count == 1 and conditions_are_free()

    layout = layout_of(config, state.learner.parameters, shards)

    def loss(parameters: Any, rows: Batch, *, value_counts: bool = True) -> tuple[jax.Array, Losses]:
        normaliser, coefficient = context.actor.normaliser, state.entropy_coefficient
        met = rebuilt_observations(config, context.env, context.env_arrays, normaliser, rows.memory)
        shown = Shown(met, None, all_known=False)
        if rows.known is not None:
            known = norm.normalise(normaliser, context.env.shown(context.env_arrays.market, rows.known.memory))
            shown = Shown(met, known, rows.known.legal_actions.shape[-1] == rows.legal_actions.shape[-1])
        output, known_logits = layout.outputs(parameters, shown)
        output = output if value_counts else output._replace(value=rows.value)
        losses = ppo_loss(output, rows, config, shards, known_logits=known_logits, entropy_coefficient=coefficient)
        return losses.total, losses

    def one_step(learner: Learner, picked: jax.Array) -> tuple[Learner, jax.Array]:
        rows = minibatch(batch, picked, config.minibatches)
        gradients_of = separate_gradients if one_head_at_a_time else joint_gradients
        gradients, losses = gradients_of(config, loss, learner.parameters, rows)
        gradients, total = shards.mean((gradients, losses.total))
        changes, stepped = optimiser.update(gradients, learner.optimiser, learner.parameters)
        parameters = optax.apply_updates(learner.parameters, changes)
        finite = jnp.isfinite(total) & jnp.isfinite(optax.tree.norm(gradients))
        # After too many skipped steps in a row nothing more is learned; the loop sees it at its next sync and stops.
        finite &= learner.skipped <= config.max_skipped
        after = Learner(parameters, stepped, jnp.int32(0))
        stayed = learner._replace(skipped=learner.skipped + 1)
        kept: Learner = jax.tree.map(partial(jnp.where, finite), after, stayed)
        return kept, jnp.stack([*losses, finite.astype(jnp.float32)])

    start, order = _moved(layout.laid, state.learner), shuffled(config, key)
    end, each = jax.lax.scan(one_step, start, order, unroll=turns_at_once())
    *losses, applied = each.T
    return _moved(layout.whole, end), (Losses(*losses), applied > 0)


def _moved(change: Callable[[Any], Any], learner: Learner) -> Learner:
    return Learner(change(learner.parameters), of_moments(change, learner.optimiser), learner.skipped)


def joint_gradients(
    config: PPOConfig, loss: Callable[..., Any], parameters: Parameters, rows: Batch
) -> tuple[Parameters, Losses]:
    """Gradients of both heads in one backward pass, and the minibatch's losses."""
    del config
    result: tuple[Parameters, Losses] = jax.grad(loss, has_aux=True)(parameters, rows)
    return result


def separate_gradients(
    config: PPOConfig, loss: Callable[..., Any], parameters: Parameters, rows: Batch
) -> tuple[Parameters, Losses]:
    """The same values as `joint_gradients`, from two backward passes: the actor's, then the critic's.

    Without a shared torso the heads have no parameter in common, and only half of the activations are alive at a time.
    """
    gradients, losses = jax.grad(partial(loss, value_counts=False), has_aux=True)(parameters, rows)
    actor = gradients["actor"]

    def critic_gradients() -> tuple[Parameters, jax.Array]:
        gradients, losses = jax.grad(loss, has_aux=True)(parameters, rows)
        return gradients["critic"], losses.value

    nothing = jax.tree.map(jnp.zeros_like, parameters["critic"]), losses.value
    # XLA would overlap the two passes, and keep both sets of activations, unless the second depends on the first. The
    # condition is such a dependency, and changes nothing: a step with a non-finite gradient is skipped in any case.
    critic, value = jax.lax.cond(jnp.isfinite(optax.tree.norm(actor)), critic_gradients, lambda: nothing)
    total = losses.total + config.value_coefficient * (value - losses.value)
    return {"actor": actor, "critic": critic}, losses._replace(total=total, value=value)


def shuffled(config: PPOConfig, key: jax.Array) -> jax.Array:
    """Choose which of M groups of environments each minibatch takes at each bar, [E * M, T]; an epoch takes all once.

    Group g holds the environments g, g + M, g + 2M, ... At every bar of every epoch the groups are rotated by a new
    random number. A full permutation would sort 32,768 random numbers an epoch, a fifth of an update on a CPU; the
    rotation costs nothing, spreads each episode over all minibatches, and takes equal parts of every device's
    environments (DECISIONS 8).
    """
    offsets = jax.random.randint(key, (config.epochs, 1, config.rollout_length), 0, config.minibatches)
    groups = (offsets + jnp.arange(config.minibatches)[:, None]) % config.minibatches
    return groups.reshape(config.steps_per_update, config.rollout_length)


def minibatch(batch: Batch, groups: jax.Array, count: int) -> Batch:
    """The rows [T * B / count, ...] of ``batch`` [T, B, ...] that one minibatch takes.

    Args:
        batch: leaves [T, B, ...].
        groups: [T], a row of `shuffled`: the group of environments taken at each bar.
        count: minibatches an epoch, and so groups.
    """

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
    """1 - Var(target - value) / Var(target) over all shards: 1 is a perfect critic, 0 one no better than a constant."""

    def variance(values: jax.Array) -> jax.Array:
        mean = shards.mean(jnp.mean(values))
        return shards.mean(jnp.mean(jnp.square(values - mean)))

    return 1 - variance(batch.target - batch.value) / (variance(batch.target) + 1e-8)


def _next_normaliser(config: PPOConfig, current: Normaliser, of_rollout: Normaliser) -> Normaliser:
    """Merge the moments of the last rollout into ``current``; they hold from the next update on.

    Changing them within an update would change the observations under which actions were chosen, and with them every
    probability ratio. A non-finite observation leaves ``current`` as it is.
    """
    if not config.normalise_observations:
        return current
    merged = norm.merge(current, of_rollout)
    finite = jnp.all(jnp.isfinite(merged.mean) & jnp.isfinite(merged.variance))
    kept: Normaliser = jax.tree.map(partial(jnp.where, finite), merged, current)
    return kept
