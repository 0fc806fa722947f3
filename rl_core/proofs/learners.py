"""Trains several learners side by side: one compiled update over all seeds, which share the market."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rl_core.checkpoints.checkpoint import served_policy
from rl_core.checkpoints.policy import Decider, Policy
from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market
from rl_core.evaluation.evaluate import Evaluation, evaluate
from rl_core.features.market_view import MarketView, view_of
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.metrics import UpdateMetrics
from rl_core.ppo.networks import Parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.train import TrainState, initial_state, update
from rl_core.ppo.transfer import transfer
from rl_core.trading.setup import Trading, TradingConfig, compile_trading, resolved
from rl_core.worlds.demo import World as SyntheticMarket

TRANSFER_STATES = 1024
LEAST_ROOM, MOST_ROOM = 0.2, 1.0

LearnedArrays = tuple[Parameters, Normaliser]


class TradedWorld(NamedTuple):
    """A synthetic market with the account that trades it."""

    view: MarketView
    trading: Trading
    signals: npt.NDArray[np.int8]  # [T]

    @property
    def env_arrays(self) -> EnvArrays:
        """The arrays that learners play on."""
        params = EnvParams(self.trading.venue, self.trading.limits, LEAST_ROOM, MOST_ROOM)
        return EnvArrays(make_market(self.view), params)

    def judge(self, policy: Decider) -> Evaluation:
        """Evaluate ``policy`` in every session with a fresh account, pessimistic fills and all costs."""
        return evaluate(policy, self.view, self.trading, 0, len(self.view.bars))


class Snapshot(NamedTuple):
    """The learners at one moment of their training."""

    step: int  # bars that each has played
    seconds: float  # since the first update, the compilation not counted; all learners together
    learned: list[LearnedArrays]

    @property
    def policies(self) -> list[Policy]:
        """The policy of each learner."""
        return [served_policy(*learned) for learned in self.learned]


def traded_world(market: SyntheticMarket, trading: TradingConfig) -> TradedWorld:
    """Compile the account's settings for the market."""
    compiled = compile_trading(resolved(trading, seconds=False), market.minutes.instrument)
    view = view_of(market.minutes, compiled.pack, compiled.hours, compiled.yardstick)
    return TradedWorld(view, compiled, market.edge.signals)


def learn(
    config: PPOConfig,
    phase: int,
    traded: TradedWorld,
    seeds: Sequence[int],
    *,
    looks: int,
    start: Snapshot | None = None,
) -> Iterator[Snapshot]:
    """Train one learner a seed on ``traded``, and show them ``looks`` times, the last time at the end.

    Args:
        config: of every learner; its seed is not read.
        phase: 1, or 2 from ``start``.
        traded: to train on.
        seeds: one learner each.
        looks: how many snapshots.
        start: phase 1's learners, one a seed.
    """
    env, env_arrays = Env(phase, traded.trading.yardstick), traded.env_arrays
    if config.known_entries:
        market = with_entry_outcomes(*env_arrays, credit_decay=config.credit_decay, yardstick=env.yardstick)
        env_arrays = env_arrays._replace(market=market)
    starts = [None] * len(seeds) if start is None else _widened(config, env, env_arrays, start.learned)
    states = _stacked(
        [
            initial_state(config.model_copy(update={"seed": seed}), env, env_arrays, start=first)
            for seed, first in zip(seeds, starts, strict=True)
        ]
    )
    wanted = {round(config.num_updates * (look + 1) / looks) for look in range(looks)}
    seconds, playing = 0.0, time.perf_counter()
    for done in range(1, config.num_updates + 1):
        states, _ = update_all(states, env_arrays, config=config, env=env)
        if done == 1:
            states.updates.block_until_ready()
            playing = time.perf_counter()
        if done in wanted:
            states.updates.block_until_ready()
            seconds += time.perf_counter() - playing
            yield Snapshot(done * config.batch_size, seconds, _apart(states, len(seeds)))
            playing = time.perf_counter()


@partial(jax.jit, static_argnames=("config", "env"), donate_argnames=("states",))
def update_all(
    states: TrainState, env_arrays: EnvArrays, *, config: PPOConfig, env: Env
) -> tuple[TrainState, UpdateMetrics]:
    """One update of each of S learners: leaves of ``states`` are [S, ...]."""
    together: tuple[TrainState, UpdateMetrics] = jax.vmap(
        lambda state: update(state, env_arrays, config=config, env=env)
    )(states)
    return together


def r_by_session(evaluation: Evaluation) -> npt.NDArray[np.float64]:
    """R of each of N sessions [N]; sessions without a trade are the zeros at the end."""
    _, row = np.unique(evaluation.trades.session, return_inverse=True)
    return np.asarray(np.bincount(row, weights=evaluation.trades.r, minlength=evaluation.sessions), np.float64)


def _widened(
    config: PPOConfig, env: Env, env_arrays: EnvArrays, learned: Sequence[LearnedArrays]
) -> list[LearnedArrays]:
    """Phase 2's first parameters of every learner from phase 1's last; FitError if one would enter otherwise."""
    key_states, key_new = jax.random.split(jax.random.key(0))
    states_seen = env.observe(*env_arrays, env.reset(*env_arrays, key_states, TRANSFER_STATES))
    started = [transfer(config, jax.tree.map(jnp.asarray, of_seed), states_seen, key=key_new) for of_seed in learned]
    return [(of_seed.parameters, of_seed.normaliser) for of_seed in started]


def _stacked(states: Sequence[TrainState]) -> TrainState:
    together: TrainState = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return together


def _apart(states: TrainState, count: int) -> list[LearnedArrays]:
    held = jax.device_get((states.parameters, states.normaliser))
    return [jax.tree.map(lambda leaf, seed=seed: leaf[seed], held) for seed in range(count)]
