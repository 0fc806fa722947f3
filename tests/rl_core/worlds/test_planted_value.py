"""What a trade is worth in a planted world, against simulated paths and against the engine."""

import numpy as np
import pytest

from rl_core.proofs.learners import r_by_session, traded_world
from rl_core.proofs.untrained_policies import declared_rule, random_entries
from rl_core.trading.setup import TradingConfig
from rl_core.worlds.controls import no_edge_world, planted_world, reverting_drift, reverting_world
from rl_core.worlds.demo import RANGE_TO_SIGMA, fading_drift
from rl_core.worlds.planted_value import ATR14_AT_SIGNAL, STOP_ATR, TRAIL_ATR, bracket_value, managed_value
from tests.rl_core.markets import RULES_FOLDER

ACCOUNT = TradingConfig(rules=RULES_FOLDER / "apex_legacy_50k_eval.toml", risk_dollars=250)  # type: ignore[arg-type]
SUBSTEPS = 100


def trailed_from_the_first_close(drift: np.ndarray, paths: int = 6_000) -> float:
    """Mean R of a trade whose stop trails from its first close on, over simulated paths."""
    generator = np.random.default_rng(0)
    stop = np.full(paths, -STOP_ATR * ATR14_AT_SIGNAL)
    price, ended, result = np.zeros(paths), np.zeros(paths, bool), np.zeros(paths)
    target = 3 * STOP_ATR * ATR14_AT_SIGNAL
    for minute in drift:
        for _ in range(SUBSTEPS):
            step = generator.standard_normal(paths) / (RANGE_TO_SIGMA * SUBSTEPS**0.5) + minute / SUBSTEPS
            price = np.where(ended, price, price + step)
            out = ~ended & ((price <= stop) | (price >= target))
            result[out], ended = price[out], ended | out
        stop = np.maximum(stop, price - TRAIL_ATR * ATR14_AT_SIGNAL)
    return float(np.where(ended, result, price).mean() / (STOP_ATR * ATR14_AT_SIGNAL))


def test_without_a_drift_nothing_is_worth_anything() -> None:
    nothing = np.zeros(6)

    assert bracket_value(nothing).mean_r == pytest.approx(0, abs=1e-9)
    assert managed_value(nothing) == pytest.approx(0, abs=1e-9)


def test_a_drift_that_no_stop_meets_is_earned_whole() -> None:
    """0.2 ATR in one minute, the stop 1.64 ATR away: all but a thousandth of the paths live through it."""
    assert bracket_value(np.array([0.2])).mean_r == pytest.approx(0.2 / (STOP_ATR * ATR14_AT_SIGNAL), rel=0.01)


def test_management_is_worth_nothing_where_the_drift_only_helps_and_much_where_it_turns() -> None:
    """The rule that trails at once is one of the policies: the best is no worse, and that rule's paths say how much."""
    helping, turning = fading_drift(0.6), reverting_drift()
    simulated = trailed_from_the_first_close(turning)

    assert managed_value(helping) == pytest.approx(bracket_value(helping).mean_r, abs=0.005)
    assert managed_value(turning) > simulated - 0.05
    assert managed_value(turning) == pytest.approx(simulated, abs=0.1)
    assert simulated > bracket_value(turning).mean_r + 0.2


def test_the_engine_earns_what_was_computed_and_management_doubles_it() -> None:
    """Over 40 sessions: the rule that trails after two bars against the rule that leaves the bracket alone."""
    ground = traded_world(reverting_world(3, 40), ACCOUNT)

    plain, managed = (ground.judge(declared_rule(trail_after=after)) for after in (None, 2))

    assert managed.trades.r.mean() == pytest.approx(0.69, abs=0.2)
    assert r_by_session(managed).mean() > 1.4 * r_by_session(plain).mean() > 0


def test_the_rule_enters_every_signal_that_it_may_and_nothing_else() -> None:
    ground = traded_world(planted_world(4, 12, drift_atr=1.0), ACCOUNT)
    view = ground.view
    may_enter = view.hours.entry_open & view.features.warm

    window = np.zeros((len(view.bars), 225), np.float32)
    window[:, 209:220] = view.features.values
    says = declared_rule().decide_batch(window, np.ones((len(window), 3), bool))

    assert (np.array([0, 1, -1])[says][may_enter] == ground.signals[may_enter]).all()
    assert np.count_nonzero(says[may_enter]) > 50


def test_the_random_control_trades_and_loses_its_costs() -> None:
    found = traded_world(no_edge_world(4, 30), ACCOUNT).judge(random_entries(0.05, seed=1))

    assert len(found.trades.r) > 100 and found.expectancy is not None
    assert found.expectancy.low < -0.1 < found.expectancy.high
    assert 0.3 < (found.trades.side > 0).mean() < 0.7
