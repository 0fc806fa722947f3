"""Several markets end to end: each environment stays in its state, and a mirrored one pays what the market pays."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.mirror import mirrored, mirrored_ladder
from rl_core.bars.rungs import ladder_of
from rl_core.envs.climb import Rungs
from rl_core.envs.env import Env, EnvParams, EnvState, StepResult
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.envs.markets import joined, joined_params
from rl_core.exchange.instruments import instrument
from rl_core.features.features import FEATURE_NAMES, WINDOW
from rl_core.market.fills import Venue
from rl_core.market.types import PESSIMISTIC, Limits
from rl_core.rules.pack import limits_of, read_rule_pack, terms_of
from tests.rl_core.markets import (
    MNQ,
    RULES_FOLDER,
    legacy_pack,
    random_bars,
    random_seconds,
    seen_again,
    session_minutes,
    small_view,
)

ODD = ("return_atr", "sma5_distance_atr", "sma20_distance_atr", "rsi14", "macd_atr", "momentum10_atr")
ENV, LANES, STEPS = Env(2), 64, 400


def other_bars() -> Bars:
    """Other prices at the same times, called ES."""
    view = small_view()
    return replace(random_bars(5, view.bars.ts_event_ns, spread=5.0), instrument=instrument("ES"), digest="")


def es_params() -> EnvParams:
    """MES under another pack, with another budget."""
    mes, pack = instrument("MES"), read_rule_pack(RULES_FOLDER / "plain_static.toml")
    return EnvParams(Venue(terms_of(mes), pack.compiled(), PESSIMISTIC), limits_of(pack, mes, 30_000), 0.2, 1.0)


def nq_params() -> EnvParams:
    """MNQ under the legacy pack."""
    pack = legacy_pack()
    return EnvParams(Venue(terms_of(MNQ), pack.compiled(), PESSIMISTIC), limits_of(pack, MNQ, 50_000), 0.2, 1.0)


@cache
def markets() -> tuple[MarketArrays, MarketArrays, MarketArrays]:
    """NQ, ES, and NQ upside down."""
    view = small_view()
    return (
        make_market(view),
        make_market(seen_again(view, other_bars())),
        make_market(seen_again(view, mirrored(view.bars))),
    )


@partial(jax.jit, static_argnames=("lanes",))
def play(
    market: MarketArrays, params: EnvParams, state: EnvState, noise: jax.Array, swapped: jax.Array, *, lanes: int
) -> tuple[StepResult, jax.Array]:
    """Results [K, B] of the legal actions that noise [K, lanes, A] likes best, one lane a group of accounts.

    Accounts ``swapped`` [B] take BUY for SELL. Those that end stand still. Also whether each step counts.
    """
    mirror = jnp.array([0, 2, 1, 3, 4, 5])

    def one(carry: tuple[EnvState, jax.Array], liked: jax.Array) -> tuple[tuple[EnvState, jax.Array], object]:
        state, live = carry
        legal = ENV.glimpse(market, params, state).legal_actions
        each = jnp.repeat(liked, state.bar.shape[0] // lanes, axis=0)
        each = jnp.where(swapped[:, None], each[:, mirror], each)
        result = ENV.step(market, params, state, jnp.argmax(jnp.where(legal, each, -jnp.inf), axis=-1))
        on = live & ~(result.terminated | result.truncated)
        following = jax.tree.map(lambda a, b: jnp.where(on, a, b), result.state, state)
        return (following, on), (result, live)

    return jax.lax.scan(one, (state, jnp.ones_like(state.bar, bool)), noise)[1]  # type: ignore[return-value]


def noise() -> jax.Array:
    """One lane of likings an account, the same whatever market it plays; HOLD and ENABLE_TRAIL are liked less."""
    return jax.random.normal(jax.random.key(3), (STEPS, LANES, 6)) - jnp.array([0, 0, 0, 1.5, 2.0, 0.0])


@cache
def together() -> tuple[EnvState, StepResult, np.ndarray]:
    """First states [B], results [K, B] and what counts, of the three markets as one; lane by lane the same start."""
    each = joined_params([nq_params(), es_params(), nq_params()])
    whole = joined(markets())
    first = ENV.reset(whole, each, jax.random.key(1), 3 * LANES)
    length = markets()[0].prices.shape[0]
    bar = first.bar[0::3]
    bars = jnp.stack([bar, bar + length, bar + 2 * length], axis=1).reshape(-1)
    first = first._replace(bar=bars)
    room = first.account.cash - first.account.floor
    account = first.account._replace(floor=first.account.cash - jnp.repeat(room[0::3], 3))
    first = first._replace(account=account)
    result, live = play(whole, each, first, noise(), jnp.arange(3 * LANES) % 3 == 2, lanes=LANES)
    return first, result, np.asarray(live)


def alone(number: int, params: EnvParams) -> tuple[StepResult, np.ndarray]:
    """The same accounts of one market, on that market only."""
    first, _, _ = together()
    length = markets()[0].prices.shape[0]
    state = jax.tree.map(lambda leaf: leaf[number::3], first._replace(market_index=None))
    state = state._replace(bar=state.bar - number * length)
    result, live = play(markets()[number], params, state, noise(), jnp.zeros(LANES, bool), lanes=LANES)
    return result, np.asarray(live)


@pytest.mark.parametrize("number", [0, 1])
def test_an_account_among_several_markets_is_one_on_its_market_alone(number: int) -> None:
    """To the cent, step by step: prices, costs, tick value, limits and rules are its state market's."""
    params = (nq_params(), es_params())[number]
    _, result, live = together()

    single, single_live = alone(number, params)

    assert np.array_equal(live[:, number::3], single_live)
    for ours, theirs in zip(result.trade, single.trade, strict=True):
        np.testing.assert_array_equal(np.asarray(ours)[:, number::3][single_live], np.asarray(theirs)[single_live])
    np.testing.assert_array_equal(np.asarray(result.reward)[:, number::3][single_live], single.reward[single_live])
    assert int(np.asarray(single.trade.closed)[single_live].sum()) > LANES


def test_a_mirrored_policy_on_the_mirrored_market_earns_the_same_to_the_cent() -> None:
    """Sides are swapped, everything else is equal: entries, management, gaps, floors and the flat time."""
    _, result, live = together()
    counted = live[:, 0::3]

    assert np.array_equal(counted, live[:, 2::3])
    for name in ("closed", "pnl_cents", "risk_cents", "bars_held", "reason"):
        column = np.asarray(getattr(result.trade, name))
        np.testing.assert_array_equal(column[:, 0::3][counted], column[:, 2::3][counted])
    side = np.asarray(result.trade.side)
    np.testing.assert_array_equal(side[:, 0::3][counted], -side[:, 2::3][counted])
    assert len(set(np.asarray(result.trade.reason)[:, 0::3][counted].tolist())) >= 4


def test_episodes_start_in_their_own_market_and_never_see_another() -> None:
    """Environment b plays market b mod 3; from no start does a window reach over the seam before it."""
    whole, length = joined(markets()), markets()[0].prices.shape[0]

    state = ENV.reset(whole, joined_params([nq_params(), es_params(), nq_params()]), jax.random.key(0), 600)

    assert state.market_index is not None and state.market_index.tolist() == [b % 3 for b in range(600)]
    assert np.array_equal(np.asarray(state.bar) // length, np.arange(600) % 3)
    assert int((np.asarray(state.bar) % length).min()) >= WINDOW - 1
    assert np.asarray(whole.last_in_session)[[length - 1, 2 * length - 1, 3 * length - 1]].all()
    assert len(set(np.asarray(state.bar)[1::3].tolist())) > 100
    fields = {"NQ": nq_params(), "ES": es_params()}
    assert state.account.cash[:2].tolist() == [params.venue.rules.start for params in fields.values()]


def test_odd_features_change_sign_and_even_ones_stay() -> None:
    """On every warm bar; the sums of true ranges are equal to the tick, and so stops and targets."""
    view = small_view(missing=0.02)
    other = seen_again(view, mirrored(view.bars))
    sign = np.array([-1.0 if name in ODD else 1.0 for name in FEATURE_NAMES])

    np.testing.assert_allclose(other.features.values, view.features.values * sign, atol=1e-5)
    np.testing.assert_array_equal(other.features.true_range_sum, view.features.true_range_sum)
    np.testing.assert_array_equal(other.features.warm, view.features.warm)
    assert (np.abs(view.features.values[view.features.warm]).max(axis=0) > 0).all()


def test_mirrored_twice_is_the_market() -> None:
    bars = small_view().bars
    once = mirrored(bars)

    assert mirrored(once).digest == bars.digest
    assert (once.high >= np.maximum(once.open, once.close)).all() and once.digest != bars.digest


def test_the_rungs_of_mirrored_seconds_are_the_mirrored_rungs() -> None:
    """Both files have the same highest and lowest price, so the same level."""
    minutes, seconds = random_seconds(2, session_minutes(1)[:200])

    expected = ladder_of(mirrored(minutes), mirrored(seconds))
    ladder = mirrored_ladder(ladder_of(minutes, seconds))

    np.testing.assert_array_equal(ladder.offsets, expected.offsets)
    np.testing.assert_array_equal(ladder.rungs, expected.rungs)


def test_rungs_follow_their_market() -> None:
    """Two rungs in the first market's second bar, none in another's two, one in the third's first."""
    short = jax.tree.map(lambda leaf: leaf[:2] if jnp.ndim(leaf) else leaf, markets()[0])
    short = short._replace(last_in_session=jnp.array([False, True]), start_count=jnp.int32(1))
    table = jnp.arange(15, dtype=jnp.int16).reshape(3, 5)
    first = short._replace(rungs=Rungs(jnp.array([0, 0, 2], jnp.int32), table[:2]))
    third = short._replace(rungs=Rungs(jnp.array([0, 1, 1], jnp.int32), table[2:]))

    whole = joined([first, short, third]).rungs

    assert whole is not None
    assert whole.offsets.tolist() == [0, 0, 2, 2, 2, 3, 3] and np.array_equal(whole.rungs, table)


def test_limits_of_several_markets_are_one_leaf_a_value() -> None:
    params = joined_params([nq_params(), es_params()])

    assert isinstance(params.limits, Limits) and params.limits.risk_budget.tolist() == [50_000, 30_000]
    assert params.venue.terms.tick_value.tolist() == [50, 125]
