"""The speed benchmark measures what it says: legal actions, a market repeated faithfully, one program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bench.env import ENV, compile_count, market_of, play, random_action, tiled
from rl_core.envs.env import EnvParams
from rl_core.envs.market_arrays import MarketArrays
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world


@pytest.fixture(scope="module")
def trading() -> Trading:
    return compile_trading(TradingConfig(), instrument("NQ"))


@pytest.fixture(scope="module")
def market(trading: Trading) -> MarketArrays:
    return market_of(demo_world(3, 30).minutes, trading.hours, trading)


def test_every_legal_action_is_drawn_equally_often_and_no_other() -> None:
    """Four legal actions of 8,000 draws: 2,000 each, give or take five standard deviations of 39."""
    legal = jnp.tile(jnp.array([True, False, True, True, False, True]), (8000, 1))

    drawn = np.bincount(np.asarray(random_action(jax.random.key(0), legal)), minlength=6)

    assert drawn[[1, 4]].tolist() == [0, 0] and np.abs(drawn[[0, 2, 3, 5]] - 2000).max() < 200


def test_a_repeated_market_starts_episodes_in_every_repetition_and_reads_the_same_bars(market: MarketArrays) -> None:
    bars = market.prices.shape[0]
    twice = tiled(market, 2 * bars + 5)
    starts = np.asarray(twice.starts[: twice.start_count])

    assert int(twice.start_count) == 2 * int(market.start_count) and np.all(np.diff(starts) > 0)
    assert np.array_equal(twice.features[starts], np.asarray(market.features)[starts % bars])
    assert np.array_equal(twice.prices[bars : 2 * bars], market.prices)


def test_other_prices_hours_packs_and_costs_compile_nothing(market: MarketArrays, trading: Trading) -> None:
    params = EnvParams(trading.venue, trading.limits, 0.2, 1.0)

    row = compile_count(tiled(market, 50_000), params, trading, jax.random.key(0))

    assert row.value == 1


def test_the_observations_are_those_of_the_environment_and_change_no_step(
    market: MarketArrays, trading: Trading
) -> None:
    params, key = EnvParams(trading.venue, trading.limits, 0.2, 1.0), jax.random.key(5)

    state, kept, reward = play(market, params, key, num_envs=8, steps=30, observations=True)
    alone, nothing, same = play(market, params, key, num_envs=8, steps=30, observations=False)

    assert kept.shape == (8, ENV.observation_size) and nothing.shape == (0,) and float(reward) == float(same)
    assert np.array_equal(state.bar, alone.bar) and np.array_equal(state.account.cash, alone.account.cash)
    assert float(jnp.abs(kept).sum()) > 0
