"""Repeats the update until training is finished, is asked to stop, or meets numbers that are not finite."""

import time
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import REPLICATED, put_on_devices
from rl_core.ppo.environment import EnvArrays, Environment
from rl_core.ppo.metrics import MetricRow, UpdateMetrics, summarise
from rl_core.ppo.train import STATE_SHARDING, TrainState, update

StopReason: TypeAlias = Literal["finished", "asked", "not_finite"]


class TrainResult(NamedTuple):
    """Where training ended, and why; the state is finite whatever the reason."""

    state: TrainState
    stop: StopReason


def train(
    config: PPOConfig,
    env: Environment,
    env_arrays: EnvArrays,
    initial: TrainState,
    on_update: Callable[[TrainState, MetricRow], bool],
) -> TrainResult:
    """Run the updates that ``initial`` still lacks of ``config.num_updates``.

    Args:
        config: the learner's settings.
        env: the environment to play.
        env_arrays: its market and parameters.
        initial: where to start; its buffers are donated and must not be used again.
        on_update: called every ``config.updates_per_sync`` updates with the last finite state and the metrics
            since the last call; returns True to stop.
    """
    state, env_arrays = (
        put_on_devices(initial, config.devices, STATE_SHARDING),
        put_on_devices(env_arrays, config.devices, REPLICATED),
    )
    # The seed is in the state's key; left in the settings it would compile the same program again for every seed.
    unseeded = config.model_copy(update={"seed": 0})
    done, kept = int(initial.updates), jax.tree.map(jnp.copy, state)
    while done < config.num_updates:
        began, block = time.perf_counter(), []
        for _ in range(_to_the_next_sync(config, done)):
            state, metrics = update(state, env_arrays, config=unseeded, env=env)
            block.append(metrics)
        kept, finite = _last_finite(state, kept)
        fetched: list[UpdateMetrics] = jax.device_get(block)
        done += len(block)
        asked = on_update(kept, _row(config, done, fetched, time.perf_counter() - began))
        if not finite or gave_up(config, state):
            return TrainResult(kept, "not_finite")
        if asked and done < config.num_updates:
            return TrainResult(kept, "asked")
    return TrainResult(kept, "finished")


def gave_up(config: PPOConfig, state: TrainState) -> bool:
    """Whether more optimiser steps in a row were skipped than ``config`` allows."""
    return int(state.learner.skipped) > config.max_skipped


def _to_the_next_sync(config: PPOConfig, done: int) -> int:
    """Updates until the metrics are looked at; a run that goes on looks where the unbroken one does."""
    sync = config.updates_per_sync
    return min(sync - done % sync, config.num_updates - done)


@partial(jax.jit, donate_argnames=("kept",))
def _last_finite(state: TrainState, kept: TrainState) -> tuple[TrainState, jax.Array]:
    """A copy of ``state`` if every number in it is finite, else ``kept``; and whether it is."""
    numbers = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    finite = jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in numbers]))
    last: TrainState = jax.tree.map(partial(jnp.where, finite), state, kept)
    return last, finite


def _row(config: PPOConfig, done: int, metrics: list[UpdateMetrics], elapsed: float) -> MetricRow:
    speed = len(metrics) * config.batch_size / elapsed
    return {"step": done * config.batch_size, "update": done, "steps_per_s": speed} | summarise(metrics)
