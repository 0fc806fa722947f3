"""The environment's contract: finite, reproducible, legal, reconciled to the cent, and blind to the future."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.envs.env import Env, EnvParams, EnvState
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.market.costs import stop_distance
from rl_core.market.fills import Venue
from rl_core.market.types import (
    ADAPTIVE,
    EXIT_NAMES,
    LIQUIDATION,
    PESSIMISTIC,
    STATIC,
    PlainIntegers,
    Terms,
)
from tests.rl_core.envs.episodes import ENVS, STEPS, Steps, observe, params_for, random_episodes, replayed, step
from tests.rl_core.markets import (
    closing_at,
    mnq_venue,
    random_bars,
    seen,
    session_minutes,
    small_view,
    with_noise_after,
)

XP = PlainIntegers()
PHASES = (Env(1), Env(2))


@pytest.fixture(scope="module")
def market() -> MarketArrays:
    return make_market(small_view())


@pytest.fixture(scope="module", params=[(1, PESSIMISTIC), (2, PESSIMISTIC), (2, ADAPTIVE)], ids=str)
def episodes(request: pytest.FixtureRequest, market: MarketArrays) -> Iterator[tuple[Env, EnvParams, Steps]]:
    phase, resolution = request.param
    env, params = Env(phase), params_for(mnq_venue(resolution))
    yield env, params, jax.device_get(random_episodes(env, market, params, jax.random.key(phase)))


Episodes = tuple[Env, EnvParams, Steps]


def test_every_episode_ends_and_random_play_meets_every_kind_of_exit(episodes: Episodes) -> None:
    _, _, steps = episodes
    trade = steps.result.trade
    reasons = {EXIT_NAMES[r] for r in np.unique(trade.reason[steps.live & trade.closed])}

    assert not steps.live[-1].any()
    assert {"stop", "target", "liquidation", "flatten"} <= reasons


def test_everything_seen_and_earned_is_finite_and_of_the_declared_shape(episodes: Episodes) -> None:
    env, _, steps = episodes

    assert steps.seen.values.shape == (STEPS, ENVS, env.observation_size)
    assert steps.seen.legal_actions.shape == (STEPS, ENVS, env.num_actions)
    assert steps.seen.values.dtype == steps.result.reward.dtype == np.float32
    assert np.isfinite(steps.seen.values[steps.live]).all() and np.abs(steps.seen.values).max() <= 10
    assert np.isfinite(steps.result.reward[steps.live]).all()


def test_cash_and_open_profit_reconcile_with_the_trades_to_the_cent(episodes: Episodes) -> None:
    """The balance is start + closed profits - the entry commission of what is open; equity adds the open profit."""
    _, params, steps = episodes
    terms, live = params.venue.terms, steps.live
    profit = np.where(live & steps.result.trade.closed, steps.result.trade.pnl_cents, 0).cumsum(axis=0)
    held = np.abs(steps.result.state.position.quantity)

    cash = steps.result.state.account.cash

    np.testing.assert_array_equal(cash[live], (5_000_000 + profit - held * terms.commission)[live])
    assert (profit != 0).any()


def test_every_trade_is_its_own_fills_and_two_commissions(episodes: Episodes) -> None:
    """Walk each account: the trade's profit is what equity changed from the close before it to its exit."""
    _, _, steps = episodes
    state, result, closed = steps.state, steps.result, steps.live & steps.result.trade.closed
    for k, b in np.argwhere(closed)[::5]:
        entered = k - int(state.position.bars_held[k, b])
        assert state.position.quantity[entered, b] == 0
        change = int(result.state.account.cash[k, b]) - int(state.account.cash[entered, b])
        assert change == result.trade.pnl_cents[k, b]
        assert result.trade.bars_held[k, b] == k - entered + 1


def test_rewards_of_a_trade_add_up_to_its_profit_over_its_risk(episodes: Episodes) -> None:
    """The last bar's reward included, forced exits and liquidations too; no reward without a trade."""
    _, _, steps = episodes
    trade, live = steps.result.trade, steps.live
    running, checked = np.zeros(ENVS), 0
    for k in range(STEPS):
        running += np.where(live[k], steps.result.reward[k], 0)
        done = live[k] & trade.closed[k]
        np.testing.assert_allclose(running[done], trade.pnl_cents[k][done] / trade.risk_cents[k][done], atol=2e-5)
        idle = live[k] & ~trade.closed[k] & (steps.result.state.position.quantity[k] == 0)
        assert np.all(steps.result.reward[k][idle] == 0)
        running = np.where(done, 0, running)
        checked += int(done.sum())
    assert checked > ENVS


def test_forced_exits_are_trades_like_any_other(episodes: Episodes) -> None:
    _, _, steps = episodes
    forced = steps.live & np.isin(steps.result.trade.reason, [EXIT_NAMES.index("flatten"), LIQUIDATION])

    assert forced.any()
    assert steps.result.trade.closed[forced].all()
    assert np.all(steps.result.reward[forced] != 0)


def test_at_the_flat_time_nothing_but_hold_is_legal(episodes: Episodes) -> None:
    _, _, steps = episodes
    due = steps.live & small_view().hours.flatten_due[steps.state.bar]

    assert not steps.seen.legal_actions[due][:, 1:].any()
    assert steps.seen.legal_actions[..., 0].all()


def test_entries_are_masked_out_of_hours_and_while_a_position_is_open(episodes: Episodes) -> None:
    _, _, steps = episodes
    may_enter = steps.seen.legal_actions[..., 1]
    hours = small_view().hours.entry_open[steps.state.bar]

    assert not np.any(may_enter & ~hours)
    assert not np.any(may_enter & (steps.state.position.quantity != 0))
    np.testing.assert_array_equal(may_enter, steps.seen.legal_actions[..., 2])
    assert may_enter.any()


def test_an_entry_is_legal_only_if_the_room_is_larger_than_its_whole_loss(episodes: Episodes) -> None:
    _, _, steps = episodes
    stop = stop_distance(np, small_view().features.true_range_sum[steps.state.bar].astype(np.int64))
    loss = stop * 50 + 2 * 60 + 50
    room = steps.state.account.cash.astype(np.int64) - steps.state.account.floor
    flat = steps.state.position.quantity == 0
    affordable = (room > np.minimum(50_000 // loss, 100) * loss) & (50_000 // loss > 0)
    hours = small_view().hours.entry_open[steps.state.bar]

    np.testing.assert_array_equal(steps.seen.legal_actions[..., 1][flat], (affordable & hours)[flat])
    assert (flat & hours & ~affordable).any()


def test_no_position_survives_a_session_and_no_episode_leaves_it(episodes: Episodes) -> None:
    _, _, steps = episodes
    session = small_view().located.session
    ended = steps.live & (steps.result.truncated | steps.result.terminated)

    assert np.all(steps.result.state.position.quantity[ended] == 0)
    assert np.all((session[steps.state.bar] == session[steps.result.state.bar])[steps.live])
    assert np.all(small_view().hours.minutes_to_flat[steps.state.bar][steps.live] > 0)


def test_an_episode_is_terminated_by_failure_or_target_and_else_truncated(episodes: Episodes) -> None:
    _, _, steps = episodes
    result, live = steps.result, steps.live
    lost = result.state.account.cash <= result.state.account.floor
    liquidated = result.trade.reason == LIQUIDATION
    banked = result.state.account.cash >= 5_300_000

    assert not np.any(live & result.terminated & result.truncated)
    np.testing.assert_array_equal(result.terminated[live], (lost | liquidated | banked)[live])
    assert (live & result.truncated).any() and (live & liquidated).any()


def test_a_position_is_seen_as_it_is_held(episodes: Episodes) -> None:
    """Side and bars held stand at 220 and 224; in phase 2 225-227 tell entry, trail and room."""
    env, _, steps = episodes
    state, values = steps.state, steps.seen.values

    np.testing.assert_array_equal(values[..., 220], np.sign(state.position.quantity))
    np.testing.assert_allclose(values[..., 224], np.minimum(10, state.position.bars_held / 60), rtol=1e-6)
    np.testing.assert_array_equal(values[..., 209:220], small_view().features.values[state.bar])
    np.testing.assert_array_equal(values[..., :11], small_view().features.values[state.bar - 19])
    if env.phase == 2:
        np.testing.assert_array_equal(values[..., 225], steps.seen.legal_actions[..., 1])
        np.testing.assert_array_equal(values[..., 226], state.position.trailing)


def test_plain_integers_replay_every_position_and_balance(episodes: Episodes) -> None:
    _, params, steps = episodes
    for b in range(0, ENVS, 6):
        for k, position, account in replayed(small_view(), params, steps, b):
            after = steps.result.state
            assert tuple(int(field[k, b]) for field in after.account) == account
            assert tuple(int(field[k, b]) for field in after.position) == position


def test_the_same_key_gives_the_same_run_and_another_key_another(market: MarketArrays) -> None:
    params = params_for()
    first, again, other = (
        jax.device_get(random_episodes(PHASES[1], market, params, jax.random.key(seed))) for seed in (7, 7, 8)
    )

    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.action, other.action)


@pytest.mark.parametrize("clock", ["10:30", "13:00"])
def test_replacing_the_future_by_noise_changes_nothing_up_to_then(clock: str) -> None:
    """Observation, mask and action at bars up to ``last``, and every fill and balance in them, are the same."""
    bars = random_bars(0, session_minutes(3))
    last = closing_at(small_view(), clock)
    env, key = Env(2), jax.random.key(3)
    real, noisy = (
        jax.device_get(random_episodes(env, make_market(seen(b)), params_for(), key))
        for b in (bars, with_noise_after(bars, last))
    )

    known, played = (x.live & (x.state.bar <= last) for x in (real, noisy)), real.live & (real.state.bar + 1 <= last)
    known_real, known_noisy = known

    np.testing.assert_array_equal(known_real, known_noisy)
    np.testing.assert_array_equal(real.seen.values[known_real], noisy.seen.values[known_real])
    np.testing.assert_array_equal(real.seen.legal_actions[known_real], noisy.seen.legal_actions[known_real])
    np.testing.assert_array_equal(real.action[known_real], noisy.action[known_real])
    for a, b in zip(jax.tree.leaves(real.result), jax.tree.leaves(noisy.result), strict=True):
        np.testing.assert_array_equal(a[played], b[played])
    assert not np.array_equal(real.result.reward, noisy.result.reward)


def test_parameters_and_market_values_change_without_a_new_trace(market: MarketArrays) -> None:
    traces: list[str] = []

    @jax.jit
    def traced(market: MarketArrays, params: EnvParams, state: EnvState, action: jax.Array) -> object:
        traces.append("one")
        return PHASES[1].observe(market, params, state), PHASES[1].step(market, params, state, action)

    other = make_market(small_view(5))
    static = mnq_venue(ADAPTIVE, mnq_venue().rules._replace(ratchet=STATIC, max_loss=100_000))
    cheap = params_for()._replace(venue=Venue(Terms(500, 0, 2), *mnq_venue()[1:]))
    state = PHASES[1].reset(market, params_for(), jax.random.key(0), 4)

    for values, params in ((market, params_for()), (other, params_for(static, 0.5)), (market, cheap)):
        traced.trace(values, params, state, jnp.array([0, 1, 2, 1], jnp.int32))

    assert len(traces) == 1


def test_episodes_start_flat_in_hours_with_a_random_room(market: MarketArrays) -> None:
    state = PHASES[0].reset(market, params_for(), jax.random.key(1), 2000)
    view, room = small_view(), np.asarray(state.account.cash - state.account.floor)

    assert not any(np.asarray(field).any() for field in state.position)
    assert view.hours.entry_open[np.asarray(state.bar)].all() and view.features.warm[np.asarray(state.bar)].all()
    assert len(np.unique(np.asarray(state.bar))) > 500
    assert 50_000 <= room.min() < 60_000 and 240_000 < room.max() <= 250_000


def test_the_room_is_drawn_between_the_shares_that_are_set(market: MarketArrays) -> None:
    """A third to half of $2,500."""
    params = params_for(least_room=0.3)._replace(most_room=0.5)
    account = PHASES[0].reset(market, params, jax.random.key(3), 2000).account

    room = np.asarray(account.cash - account.floor)
    assert 75_000 <= room.min() < 77_000 and 123_000 < room.max() <= 125_000


def test_a_range_limits_where_episodes_start_and_an_empty_one_is_refused() -> None:
    view = small_view()
    first, stop = closing_at(view, "11:00"), closing_at(view, "12:00")

    market = make_market(view, first, stop)
    starts = np.asarray(market.starts[: market.start_count])

    assert (starts.min(), starts.max()) == (first, stop - 1)
    with pytest.raises(ValueError, match="no bar can start"):
        make_market(view, 0, 500)


def test_the_batch_size_changes_no_result(market: MarketArrays) -> None:
    params, env = params_for(), Env(2)
    state = env.reset(market, params, jax.random.key(2), 8)
    action = jnp.array([0, 1, 2, 1, 2, 0, 1, 2], jnp.int32)

    whole = step(env, market, params, state, action)
    seen_whole = observe(env, market, params, state)

    for i in (0, 1, 7):
        one = jax.tree.map(lambda x, i=i: x[i : i + 1], state)
        alone = step(env, market, params, one, action[i : i + 1])
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(alone), strict=True):
            np.testing.assert_array_equal(np.asarray(a[i]), np.asarray(b[0]))
        np.testing.assert_array_equal(seen_whole.values[i], observe(env, market, params, one).values[0])
