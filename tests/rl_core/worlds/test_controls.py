"""Control worlds: nothing to earn without an edge, and the computed expectancy is what trades earn."""

from functools import cache

import jax
import numpy as np
import pytest

from rl_core.envs.env import Env
from rl_core.envs.market_arrays import make_market
from rl_core.market.costs import size, stop_distance
from rl_core.market.types import EXIT_NAMES
from rl_core.worlds.controls import no_edge_world, optimum, planted_world, world_of
from rl_core.worlds.demo import World, demo_world
from rl_core.worlds.planted_edge import rule_expectancy
from tests.rl_core.envs.episodes import params_for, random_episodes
from tests.rl_core.markets import seen
from trigate.errors import ConfigError

pytestmark = pytest.mark.usefixtures("optimised")


@cache
def no_edge() -> World:
    return no_edge_world(21, 150)


def test_random_entries_in_a_world_without_an_edge_lose_their_costs() -> None:
    """Some 14,000 trades over 150 sessions: 0 before costs, within 0.06 R; after them less by what they cost.

    Costs are two commissions, a tick at the entry, and a tick at every exit but a target.
    """
    params = params_for(least_room=1.0)
    market = make_market(seen(no_edge().minutes))
    steps = jax.device_get(random_episodes(Env(1), market, params, jax.random.key(3), 3000, 400))
    trade, counted = steps.result.trade, steps.live & steps.result.trade.closed
    pnl, risk, reason = (x[counted].astype(float) for x in (trade.pnl_cents, trade.risk_cents, trade.reason))
    terms, held = params.venue.terms, np.abs(steps.state.position.quantity[counted])
    total = np.asarray(market.true_range_sum)[steps.state.bar[counted]]
    entered = size(np, stop_distance(np, total), terms, params.limits)  # a trade may end in the bar of its entry
    slipped = 1 + (reason != EXIT_NAMES.index("target"))
    costs = np.where(held > 0, held, entered) * (2 * terms.commission + slipped * terms.tick_value)

    before, after = ((x / risk).mean() for x in (pnl + costs, pnl))

    assert len(pnl) > 10_000
    assert before == pytest.approx(0.0, abs=0.06)
    assert after < 0 and after == pytest.approx(-(costs / risk).mean(), abs=0.06)


def test_the_rule_of_the_planted_world_earns_nothing_without_a_drift() -> None:
    found = rule_expectancy(no_edge().minutes, no_edge().edge.signals)

    assert abs(found.mean_r) < 4 * found.standard_error and no_edge().edge.expectancy_r == 0


@pytest.mark.parametrize("drift_atr", [0.5, 1.0, -0.7])
def test_the_computed_expectancy_is_what_the_rule_earns(drift_atr: float) -> None:
    """Within three standard errors and 0.04 R, which the grid leaves to ticks and to volatility that changes."""
    world = planted_world(5, 250, drift_atr=drift_atr)

    found = rule_expectancy(world.minutes, world.edge.signals)

    assert found.mean_r == pytest.approx(world.edge.expectancy_r, abs=3 * found.standard_error + 0.04)
    assert found.win_rate == pytest.approx(optimum(drift_atr).win_share, abs=0.05)


def test_without_a_drift_the_target_is_reached_one_time_in_four_and_more_drift_earns_more() -> None:
    """A martingale from 0 between -1 and 3 ends at 3 with chance 1/4."""
    none = optimum(0.0)
    earned = [optimum(drift).bracket_r for drift in (0.2, 0.4, 0.8)]

    assert (
        none.bracket_r == pytest.approx(0, abs=1e-9)
        and none.most_r == 0
        and none.win_share == pytest.approx(0.25, abs=1e-6)
    )
    assert earned == sorted(earned) and earned[0] > 0
    assert all(optimum(drift).bracket_r < optimum(drift).most_r for drift in (0.2, 0.8))


def test_the_declaration_prints_what_was_computed() -> None:
    edge = planted_world(1, 2, drift_atr=0.6).edge

    assert f"{optimum(0.6).bracket_r:+.3f} R a trade" in edge.text and "0.60 ATR in all" in edge.text


def test_kinds_are_worlds_and_anything_else_is_refused() -> None:
    assert world_of("demo", 3, 2).minutes.digest == demo_world(3, 2).minutes.digest
    assert world_of("no_edge", 3, 2).minutes.digest == no_edge_world(3, 2).minutes.digest
    assert world_of("planted", 3, 2, drift_atr=0.3).edge.expectancy_r == optimum(0.3).bracket_r
    with pytest.raises(ConfigError, match="unknown kind of world 'best'"):
        world_of("best", 3, 2)
    with pytest.raises(ConfigError, match="not for demo"):
        world_of("demo", 3, 2, drift_atr=1.0)
