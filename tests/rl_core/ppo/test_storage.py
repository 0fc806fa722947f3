"""What a rollout keeps: observations or what they are rebuilt from, to the same bits; and how minibatches take it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import view_of
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.losses import Batch
from rl_core.ppo.rollout import Actor, RolloutContext, roll_out
from rl_core.ppo.train import TrainState, initial_state, minibatch, shuffled, update
from rl_core.trading.setup import TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world

CONFIG = PPOConfig(
    num_envs=16, rollout_length=32, total_steps=16 * 32 * 4, hidden=(8,), window_decay=0.5, hold_bias=0.0
)
PHASE2 = Env(2)


@pytest.fixture(scope="module")
def world() -> EnvArrays:
    """Thirty sessions of the demo market."""
    trading = compile_trading(TradingConfig(), instrument("NQ"))
    view = view_of(demo_world(3, 30).minutes, trading.pack, trading.hours)
    return EnvArrays(make_market(view), EnvParams(trading.venue, trading.limits, 0.2, 1.0))


def with_storage(stored: bool) -> PPOConfig:
    return PPOConfig.model_validate(CONFIG.model_dump() | {"stored_observations": stored})


def after_two_updates(config: PPOConfig, world: EnvArrays) -> TrainState:
    """The second update sees a normaliser that is not the identity."""
    state = initial_state(config, PHASE2, world)
    for _ in range(2):
        state, _ = update(state, world, config=config, env=PHASE2)
    return state


@pytest.mark.usefixtures("newer_generator")
def test_rebuilt_observations_teach_the_same_bits_as_stored_ones(world: EnvArrays) -> None:
    """Windows are looked up again and normalised with the behaviour policy's normaliser, not a later one."""
    stored, rebuilt = (after_two_updates(with_storage(kept), world) for kept in (True, False))

    for a, b in zip(jax.tree.leaves(stored), jax.tree.leaves(rebuilt), strict=True):
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("phase", [1, 2])
def test_a_rollout_keeps_less_than_8_kb_an_environment(world: EnvArrays, phase: int) -> None:
    """128 bars of time index, position and account inputs, mask and scalars; observations would be 117 kB."""
    config, env = PPOConfig(), Env(phase)
    state = jax.eval_shape(lambda: initial_state(config, env, world))

    def play(state: TrainState) -> object:
        stage = RolloutContext(config, env, world, Actor(state.parameters, state.normaliser))
        return roll_out(stage, state.playing, state.key)[1].transitions

    kept = jax.eval_shape(play, state)

    assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(kept)) / config.num_envs <= 8_000


def test_every_epoch_takes_every_transition_once() -> None:
    """32 bars x 16 environments in 4 minibatches of 128, each with 4 environments of every bar."""
    numbers = jnp.arange(32 * 16).reshape(32, 16)
    batch = Batch(*[numbers] * len(Batch._fields))
    order = shuffled(CONFIG, jax.random.key(5))

    epochs = np.array([minibatch(batch, groups, 4).action for groups in order]).reshape(4, 4, 128)

    assert all(sorted(epoch.ravel()) == list(range(512)) for epoch in epochs)
    assert all((np.bincount(rows // 16, minlength=32) == 4).all() for rows in epochs.reshape(16, 128))


def test_no_two_epochs_mix_alike_and_an_episode_is_spread_over_all_minibatches() -> None:
    """Each environment's 32 bars fall into all four minibatches of an epoch."""
    numbers = jnp.arange(32 * 16).reshape(32, 16)
    batch = Batch(*[numbers] * len(Batch._fields))
    order = shuffled(CONFIG, jax.random.key(5))

    owner = np.empty((4, 512), int)
    for step, groups in enumerate(order):
        owner[step // 4, np.asarray(minibatch(batch, groups, 4).action)] = step % 4

    assert len({epoch.tobytes() for epoch in owner}) == 4
    assert all(len(set(epoch[env::16])) == 4 for epoch in owner for env in range(16))
