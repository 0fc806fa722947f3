"""Curricula make the start easier for the learner; trades, profits and returns are reported as without them."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.contract import BUY
from rl_core.envs.curriculum import Curriculum, eased_at
from rl_core.envs.env import Env, EnvParams, StepResult
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.market.types import NEVER_LOCKS, STOP, TARGET
from rl_core.rules.pack import read_rule_pack, relaxed
from tests.rl_core.envs.episodes import ENVS, Steps, at_close, params_for, random_episodes
from tests.rl_core.markets import RULES_FOLDER, mnq_venue, quiet_bars, seen, small_view, with_bar

ALL = Curriculum(250, 8, 0.5, 4, 0.2, 10)
NOTHING = Curriculum(1000, 0, 0.0, 0, 0.0, 0)


def eased(curriculum: Curriculum, updates: int = 0, **rest: Any) -> EnvParams:
    """The usual account in the update after ``updates``."""
    params = params_for()._replace(curriculum=curriculum, **rest)
    return Env(2).scheduled(params, jnp.int32(updates))


def test_schedules_are_straight_lines_that_end() -> None:
    """A quarter of the costs at first, 625 thousandths half-way, all after 8 updates; shares to 0 after 4 and 10."""
    rows = [[float(value) for value in eased_at(ALL, jnp.int32(updates))] for updates in (0, 2, 4, 8, 99)]

    assert rows[0] == pytest.approx([250, 0.5, 0.2])
    assert rows[1] == pytest.approx([438, 0.25, 0.16])
    assert rows[2] == pytest.approx([625, 0.0, 0.12])
    assert rows[3] == pytest.approx([1000, 0.0, 0.04]) and rows[4] == pytest.approx([1000, 0.0, 0.0])
    assert [float(value) for value in eased_at(NOTHING, jnp.int32(0))] == [1000, 0.0, 0.0]


@pytest.fixture(scope="module")
def trades() -> dict[str, list[StepResult]]:
    """Two bars each of a long that is stopped and of one that reaches its target, with a quarter of the costs.

    Every bar opens at 80,000 with a range of 20: stop 30 and target 90 ticks from the fill at 80,001.
    """
    view, step = seen(quiet_bars()), jax.jit(Env.step, static_argnames="self")
    start = int(make_market(view).starts[0])
    last = {"stop": (0, 10, -60, -50), "target": (0, 120, -10, 100)}
    steps: dict[str, list[StepResult]] = {}
    for name, prices in last.items():
        market = make_market(seen(with_bar(view.bars, start + 2, prices)))
        state = at_close(start)._replace(forced=jnp.zeros(1, bool))
        steps[name] = []
        for action in (BUY, 0):
            steps[name].append(step(Env(2), market, eased(ALL), state, jnp.array([action], jnp.int32)))
            state = steps[name][-1].state
    return steps


@pytest.mark.parametrize(("name", "reason"), [("stop", STOP), ("target", TARGET)])
def test_the_reward_bears_a_part_of_the_costs_and_the_trade_all_of_them(
    trades: dict[str, list[StepResult]], name: str, reason: int
) -> None:
    """Q contracts: in for 60 + 50 cents each, out for 60 + 50 or, at the target, 60; and the bonus once, on entry."""
    first, second = trades[name]
    quantity = int(first.state.position.quantity[0])
    risk = quantity * 30 * 50
    costs = [quantity * 110, quantity * (60 if reason == TARGET else 110)]

    waived = [cost - cost * 250 // 1000 for cost in costs]

    assert first.shaping is not None and second.shaping is not None
    assert float(first.shaping[0]) == pytest.approx(waived[0] / risk + 0.2)
    assert float(second.shaping[0]) == pytest.approx(waived[1] / risk)
    ticks = 90 if reason == TARGET else -31
    assert int(second.trade.reason[0]) == reason
    assert int(second.trade.pnl_cents[0]) == quantity * (ticks * 50 - 120)


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    return make_market(small_view())


def random_bars_of(market: MarketArrays) -> Any:
    """Where the episodes of `random_episodes` start without a curriculum."""
    key, _ = jax.random.split(jax.random.key(0))
    return np.asarray(Env(2).reset(market, params_for(), key, ENVS).bar)


def test_a_forced_position_is_one_bar_old_at_its_fill_and_no_report_sees_it(market: MarketArrays) -> None:
    """All that may enter do; what they trade first is not reported, and the learner gets its reward as shaping."""
    always = Curriculum(1000, 0, 1.0, 1_000, 0.0, 0)
    steps = random_episodes(Env(2), market, eased(always), jax.random.key(0))
    bars = random_bars_of(market)

    first = jax.tree.map(lambda leaf: np.asarray(leaf)[0], steps.state)
    forced = first.forced
    assert forced.sum() > 16 and (first.position.quantity[forced] != 0).all()
    assert (first.position.bars_held[forced] == 1).all() and (first.position.quantity[~forced] == 0).all()
    opened = np.asarray(market.prices)[first.bar, 0]
    side = np.sign(first.position.quantity)
    assert (first.position.entry == opened + side)[forced].all() and {-1, 1} <= set(side.tolist())
    assert (first.bar[forced] == bars[forced] + 1).all()

    hidden, live = np.asarray(steps.state.forced), np.asarray(steps.live)
    trade = np.asarray(steps.result.trade.closed)
    assert not trade[hidden].any() and not np.asarray(steps.result.reward)[hidden].any()
    assert np.abs(np.asarray(steps.result.shaping))[hidden & live].sum() > 0
    assert (trade & live).sum() > 0 and not np.asarray(steps.result.shaping)[~hidden & live].any()


def test_without_a_curriculum_nothing_is_drawn_or_shaped(market: MarketArrays) -> None:
    state = jax.eval_shape(lambda: Env(2).reset(market, params_for(), jax.random.key(0), 4))

    assert state.forced is None and state.market_index is None
    assert Env(2).scheduled(params_for(), jnp.int32(3)) == params_for()


@partial(jax.jit, static_argnames="env")
def _reset(env: Env, market: MarketArrays, params: EnvParams, key: jax.Array) -> Any:
    return env.reset(market, params, key, 256)


def test_episodes_may_start_at_a_profit_with_the_floor_no_higher_than_its_lock(market: MarketArrays) -> None:
    """Up to half of the target of $3,000; the legacy pack's floor locks at start + $100, whatever the room drawn."""
    account = _reset(Env(1), market, params_for()._replace(most_profit=0.5), jax.random.key(1)).account

    profit = np.asarray(account.cash) - 5_000_000
    assert profit.min() >= 0 and 140_000 < profit.max() <= 150_000
    assert (np.asarray(account.floor) < np.asarray(account.cash)).all()
    assert np.asarray(account.floor).max() <= int(params_for().venue.rules.floor_cap)


def test_a_start_at_a_profit_keeps_a_floor_that_a_close_would_have_locked(market: MarketArrays) -> None:
    """A legacy PA locks at 50,100 once a day has closed at 52,600; $2,475 of profit less a small room would be more."""
    rules = read_rule_pack(RULES_FOLDER / "apex_legacy.toml#50k-pa").compiled()
    params = params_for(mnq_venue(rules=rules))._replace(most_profit=0.99)

    account = _reset(Env(1), market, params, jax.random.key(1)).account

    floor, drawn = np.asarray(account.floor), np.asarray(account.cash) - 5_010_000
    assert rules.floor_cap == NEVER_LOCKS and rules.lock_at_close == 5_260_000
    assert floor.max() == 5_010_000 and (floor == 5_010_000).sum() > 20
    assert (drawn[floor == 5_010_000] > 50_000).all()


def test_profit_and_room_of_a_start_are_drawn_apart(market: MarketArrays) -> None:
    """No lock caps the floor here, so that the room is as drawn; drawn with one key, the correlation would be 1."""
    free = params_for().venue.rules._replace(floor_cap=NEVER_LOCKS)
    params = params_for(mnq_venue(rules=free))._replace(most_profit=0.5)

    account = _reset(Env(1), market, params, jax.random.key(1)).account

    profit, room = np.asarray(account.cash) - 5_000_000, np.asarray(account.cash) - np.asarray(account.floor)
    assert abs(np.corrcoef(profit, room)[0, 1]) < 0.2


def ended(steps: Steps) -> Any:
    """Whether each step [K, B] ended its account, for good or ill."""
    return np.asarray(steps.result.terminated) & np.asarray(steps.live)


def test_under_relaxed_rules_no_account_fails_and_costs_are_the_same(market: MarketArrays) -> None:
    strict = params_for(least_room=0.05)
    loose = params_for(mnq_venue(rules=relaxed(strict.venue.rules)), least_room=0.05)

    fails = [random_episodes(Env(1), market, params, jax.random.key(2)) for params in (strict, loose)]
    failed = [bool((ended(steps) & (np.asarray(steps.result.state.account.cash) < 5_000_000)).any()) for steps in fails]

    assert failed == [True, False] and loose.venue.terms == strict.venue.terms
    assert int((np.asarray(fails[1].result.trade.closed) & np.asarray(fails[1].live)).sum()) > ENVS


def test_trades_rewards_and_accounts_are_those_without_a_curriculum(market: MarketArrays) -> None:
    """Costs and bonus shape only what the learner gets beside them.

    All start with the whole room: two programs may round a drawn share of it to different cents.
    """
    whole = params_for(least_room=1.0)
    easy = eased(Curriculum(0, 8, 0.0, 0, 0.5, 8), least_room=1.0)
    plain, shaped = (random_episodes(Env(2), market, params, jax.random.key(0)) for params in (whole, easy))

    same = (
        plain.live,
        plain.action,
        plain.result.trade,
        plain.result.reward,
        plain.state.account,
        plain.state.position,
    )
    now = (shaped.live, shaped.action, shaped.result.trade, shaped.result.reward, shaped.state.account)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves((*now, shaped.state.position)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain.result.shaping is None and float(np.asarray(shaped.result.shaping).max()) > 0.5
