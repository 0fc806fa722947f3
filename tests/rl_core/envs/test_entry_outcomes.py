"""The outcome of every entry is what plain integers book for it, one entry at a time."""

from fractions import Fraction
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.contract import BUY, HOLD, SELL
from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env, EnvParams, Memory
from rl_core.envs.market_arrays import EntryOutcomes, MarketArrays, make_market
from rl_core.envs.markets import joined, joined_params
from rl_core.features.features import compute_features
from rl_core.features.market_view import MarketView
from rl_core.market.account import equity, limits_today, opening_account
from rl_core.market.decisions import KnownAtClose, order_for
from rl_core.market.fills import closed_at_last_price, play_bar, trailed
from rl_core.market.types import FLAT, BarPrices
from rl_core.market.yardstick import USUAL, Yardstick
from tests.rl_core.envs.episodes import XP, act, at_close, params_for
from tests.rl_core.markets import mnq_limits, small_view

OTHER = Yardstick(5, 7, Fraction(9, 4), Fraction(7, 5))


@cache
def seen_in(yardstick: Yardstick) -> MarketView:
    view = small_view()
    features = compute_features(view.bars, view.located.session, view.located.minute_et, view.hours, yardstick)
    return view._replace(features=features, yardstick=yardstick)


@cache
def tabulated(credit_decay: float = 1.0, yardstick: Yardstick = USUAL) -> MarketArrays:
    market = make_market(seen_in(yardstick))
    return with_entry_outcomes(market, params_for(), credit_decay=credit_decay, yardstick=yardstick)


def outcomes(market: MarketArrays) -> EntryOutcomes:
    assert market.entries is not None
    return EntryOutcomes(*(np.asarray(column) for column in market.entries))


def played_by_hand(view: MarketView, params: EnvParams, t: int, action: int) -> list[float]:
    """The reward of each bar of one entry at the close of bar ``t``, in plain integers as the broker plays it."""
    venue, rewards = params.venue, []
    position, account = FLAT, opening_account(XP, venue.rules)
    while not rewards or position.quantity:
        total, due = int(view.features.true_range_sum[t]), bool(view.hours.flatten_due[t])
        known = KnownAtClose(int(view.bars.close[t]), total, True, due, view.yardstick)
        before = equity(account, position, known.close, venue.terms)
        order = order_for(XP, action, position, known, venue.terms, limits_today(XP, params.limits, account))
        t, action = t + 1, HOLD
        bar = BarPrices(*(int(getattr(view.bars, name)[t]) for name in ("open", "high", "low", "close")))
        played = play_bar(XP, position, account, order, bar, venue)
        if view.last_in_session[t]:
            risk = played.risk
            played = closed_at_last_price(XP, played.position, played.account, bar.close, venue)._replace(risk=risk)
        position = trailed(XP, played.position, bar.close, int(view.features.true_range_sum[t]))
        account = played.account
        rewards.append((equity(account, position, bar.close, venue.terms) - before) / played.risk)
    return rewards


@pytest.mark.parametrize(("yardstick", "longest"), [(USUAL, 30), (OTHER, 20)])
def test_every_entry_earns_what_it_earns_when_it_is_played_alone(yardstick: Yardstick, longest: int) -> None:
    """300 closes over all hours, both sides; among them entries that the flat time ends."""
    view, table = seen_in(yardstick), outcomes(tabulated(yardstick=yardstick))
    closes = np.flatnonzero(table.bars[:, 0] > 0)
    chosen = closes[:: max(1, len(closes) // 150)]

    for t in chosen.tolist():
        for side, action in enumerate((BUY, SELL)):
            rewards = played_by_hand(view, params_for(), t, action)
            assert table.bars[t, side] == len(rewards), (t, side)
            assert table.r[t, side] == pytest.approx(sum(rewards), abs=1e-5)
            credit = sum(reward / k for k, reward in enumerate(rewards, start=1))
            assert table.credit[t, side] == pytest.approx(credit, abs=1e-5)
    assert len(chosen) >= 150 and table.bars[chosen].max() > longest


def test_without_decay_the_credit_is_the_whole_outcome() -> None:
    whole = outcomes(tabulated(0.0))

    np.testing.assert_allclose(whole.credit, whole.r, atol=1e-6)
    assert np.abs(whole.r - outcomes(tabulated()).credit).max() > 1


def test_closes_at_which_nobody_may_enter_have_no_outcome() -> None:
    """Outside entry hours, while features warm up, and behind the training split."""
    market = make_market(small_view(), stop=3000)
    table = outcomes(with_entry_outcomes(market, params_for(), credit_decay=1.0))
    starts = np.asarray(market.starts)[: int(market.start_count)]
    elsewhere = np.setdiff1d(np.arange(len(small_view().bars)), starts)

    assert (table.bars[starts] > 0).mean() > 0.9
    assert not table.bars[elsewhere].any() and not table.r[elsewhere].any() and not table.credit[elsewhere].any()


def test_a_budget_too_small_for_a_contract_allows_no_entry() -> None:
    """The mask of the environment says so at every close."""
    params = EnvParams(params_for().venue, mnq_limits(risk_budget=1), 1.0, 1.0)

    assert not outcomes(with_entry_outcomes(make_market(small_view()), params, credit_decay=1.0)).bars.any()


def test_each_of_several_markets_has_the_outcomes_that_it_has_alone() -> None:
    """The second one's broker takes five times the commission."""
    view, venue = small_view(), params_for().venue
    dear = params_for(venue._replace(terms=venue.terms._replace(commission=5 * venue.terms.commission)))
    alone = [with_entry_outcomes(make_market(view), params, credit_decay=1.0) for params in (params_for(), dear)]

    both = with_entry_outcomes(
        joined([make_market(view), make_market(view)]), joined_params([params_for(), dear]), credit_decay=1.0
    )

    for column, parts in zip(outcomes(both), zip(*map(outcomes, alone), strict=True), strict=True):
        np.testing.assert_array_equal(column, np.concatenate(parts))
    assert not np.array_equal(outcomes(alone[0]).r, outcomes(alone[1]).r)


def test_the_environment_knows_its_entries() -> None:
    """HOLD earns nothing and takes one bar; a held account is shown as one without a position."""
    market, table = tabulated(), outcomes(tabulated())
    t = int(np.flatnonzero(table.bars[:, 0] > 0)[7])
    memory = Memory(jnp.array([t, 0]), jnp.ones((2, 5)))

    known = Env(1).known_actions(market, memory)

    assert known is not None
    assert known.legal_actions.tolist() == [[True, True, True], [True, False, False]]
    assert known.outcome[0].tolist() == [0.0, *table.r[t].tolist()]
    assert known.credit[0].tolist() == [0.0, *table.credit[t].tolist()]
    assert known.bars.tolist() == [[1, *table.bars[t].tolist()], [1, 0, 0]]
    assert known.memory.bar.tolist() == [t, 0] and not known.memory.standing.any()
    assert Env(1).known_actions(make_market(small_view()), memory) is None


def test_phase_2_knows_them_with_the_room_of_the_account() -> None:
    """In its eight inputs beside the window: five of a position, may enter, trailing, room."""
    market, table = tabulated(), outcomes(tabulated())
    t = int(np.flatnonzero(table.bars[:, 0] > 0)[7])
    held = jnp.array([[1.0, 0.3, 2.0, 4.0, 0.1, 0.0, 1.0, 0.7]] * 2)

    known = Env(2).known_actions(market, Memory(jnp.array([t, 0]), held))

    assert known is not None and known.legal_actions.shape == (2, 3)
    assert known.memory.standing[0].tolist() == pytest.approx([0, 0, 0, 0, 0, 1, 0, 0.7])
    assert known.memory.standing[1].tolist() == pytest.approx([0, 0, 0, 0, 0, 0, 0, 0.7])
    alone = act(Env(2), market, at_close(t - 1), HOLD)
    seen = Env(2).glimpse(market, params_for(), alone.state).memory
    again = Env(2).known_actions(market, seen)
    assert again is not None
    np.testing.assert_array_equal(again.memory.standing, seen.standing)
