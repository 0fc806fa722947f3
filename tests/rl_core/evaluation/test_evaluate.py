"""Out-of-sample play: sessions and trades counted right, and failures told from successes."""

from functools import cache

import numpy as np
import pytest

from rl_core.checkpoints.policy import Policy
from rl_core.evaluation.by_regime import by_regime, regime_table_lines
from rl_core.evaluation.evaluate import Evaluation, evaluate
from rl_core.features.market_view import MarketView
from rl_core.market.types import EXIT_NAMES, INTRADAY, LIQUIDATION, NEVER_LOCKS, STATIC, Rules
from rl_core.regimes.fitted import UNFITTED, Frozen, fit_regimes, wild_percents
from rl_core.regimes.labels import compute_regimes
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.markets import (
    MNQ,
    closing_at,
    legacy_pack,
    mnq_limits,
    mnq_venue,
    quiet_bars,
    seen,
    small_view,
    with_bar,
)
from trigate.errors import DataError


def always(action: int, actions: int = 3) -> Policy:
    """The same action wherever it is legal."""
    size = 225 if actions == 3 else 228
    zeros = np.zeros(size, np.float32)
    preferred = np.eye(actions, dtype=np.float32)[action]
    return Policy(zeros, np.ones(size, np.float32), 5.0, (np.zeros((size, actions), np.float32),), (preferred,))


def trading(rules: Rules | None = None) -> Trading:
    """MNQ, $500 a trade."""
    return Trading(legacy_pack(), MNQ, mnq_venue(rules=rules), mnq_limits(), EntryHours())


@cache
def bought() -> Evaluation:
    """Always in, two warm sessions."""
    return evaluate(always(1), small_view(), trading(), 0, len(small_view().bars))


def test_a_policy_that_waits_trades_nothing() -> None:
    found = evaluate(always(0), small_view(), trading(), 0, len(small_view().bars))

    assert (found.sessions, found.failed_sessions, found.expectancy, len(found.trades.r)) == (2, 0, None, 0)
    assert found.summary()["win_rate"] is None and found.summary()["session_r"] == 0.0


def test_a_policy_that_always_buys_is_long_in_every_trade() -> None:
    trades, summary = bought().trades, bought().summary()

    assert len(trades.r) > 4 and set(trades.side) == {1} and summary["long_share"] == 1.0
    assert set(trades.session) == set(np.unique(small_view().located.session)[1:])
    assert sum(summary[f"exits_{name}"] or 0 for name in EXIT_NAMES[1:]) == len(trades.r)
    assert summary["pnl_dollars"] == trades.pnl_cents.sum() / 100
    np.testing.assert_allclose(trades.r, trades.pnl_cents / trades.risk_cents)


def test_both_phases_enter_alike_where_neither_manages() -> None:
    again = evaluate(always(1, actions=6), small_view(), trading(), 0, len(small_view().bars))

    for one, other in zip(bought().trades, again.trades, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_sessions_asked_for_are_played() -> None:
    view = small_view()
    last = int(np.searchsorted(view.located.session, view.located.session[-1]))

    found = evaluate(always(1), view, trading(), last, len(view.bars))

    own = bought().trades.session == view.located.session[-1]
    assert found.sessions == 1
    np.testing.assert_array_equal(found.trades.pnl_cents, bought().trades.pnl_cents[own])


def test_a_range_without_an_entry_minute_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(always(1), small_view(), trading(), 0, 500)


def spiked() -> MarketView:
    """The first trade rises for two bars, and comes back in the third to an intraday floor that followed it.

    $600 of room are 41 ticks, more than either rise.
    """
    bars = quiet_bars(2)
    entry = closing_at(seen(bars), "09:30") + 1
    for t, prices in enumerate(((0, 35, 0, 35), (35, 75, 35, 75), (75, 80, -5, 0)), start=entry):
        bars = with_bar(bars, t, prices)
    return seen(bars)


def targeted() -> MarketView:
    """The first trade's bar goes far through its target."""
    bars = quiet_bars(2)
    return seen(with_bar(bars, closing_at(seen(bars), "09:30") + 1, (0, 200, -5, 0)))


def test_an_account_that_fails_above_its_start_has_failed() -> None:
    """The floor trails the best equity: $600 below it may still be more than the start."""
    rules = Rules(5_000_000, 10**7, 60_000, INTRADAY, NEVER_LOCKS)

    found = evaluate(always(1), spiked(), trading(rules), 0, len(spiked().bars))

    assert found.trades.reason[-1] == LIQUIDATION and found.trades.pnl_cents.sum() > 0
    assert (found.sessions, found.failed_sessions) == (1, 1)


def test_an_account_that_passes_has_not_failed() -> None:
    rules = Rules(5_000_000, 100_000, 60_000, STATIC, NEVER_LOCKS)

    found = evaluate(always(1), targeted(), trading(rules), 0, len(targeted().bars))

    assert (len(found.trades.r), found.failed_sessions) == (1, 0)


def test_an_account_that_touches_its_floor_above_its_target_has_failed() -> None:
    """As above at a profit, of which the target asks for less."""
    rules = Rules(5_000_000, 10_000, 60_000, INTRADAY, NEVER_LOCKS)

    evaluation = evaluate(always(1), spiked(), trading(rules), 0, len(spiked().bars))

    assert evaluation.trades.reason.tolist() == [LIQUIDATION] and evaluation.trades.pnl_cents.sum() > 10_000
    assert (evaluation.sessions, evaluation.failed_sessions) == (1, 1)


def test_a_trade_is_decided_at_the_close_before_its_entry() -> None:
    """Always in: the first at the session's first entry minute, each later one when the last one has closed."""
    view, trades = small_view(), bought().trades
    open_to_us = view.hours.entry_open & view.features.warm

    for day in np.unique(trades.session):
        own = trades.session == day
        decided, held = trades.decided[own], trades.bars_held[own]
        assert decided[0] == np.flatnonzero(open_to_us & (view.located.session == day))[0]
        assert open_to_us[decided].all() and (view.located.session[decided] == day).all()
        later = np.diff(decided) - held[:-1]
        assert (later >= 0).all() and np.median(later) == 0


def test_trades_are_broken_down_by_the_regime_they_were_decided_in() -> None:
    """Every trade once by each kind, with the label that the view has at its decision."""
    view, trades = small_view(), bought().trades
    model = fit_regimes(view, len(view.bars))
    regimes, wild = compute_regimes(view, model.thresholds), wild_percents(model.states(view))

    rows = [group.row() for group in by_regime(trades, view, Frozen(model, "d" * 64, ""))]

    by_name = {(row["kind"], row["name"]): row for row in rows}
    labels = [regimes.at(t).label for t in trades.decided]
    for kind, names in (
        ("regime", labels),
        ("hidden state", ["wild" if wild[t] >= 50 else "calm" for t in trades.decided]),
        ("part of the session", [regimes.at(t).session_part for t in trades.decided]),
    ):
        assert {name for k, name in by_name if k == kind} == set(names)
        for name in set(names):
            own = np.array(names) == name
            row = by_name[kind, name]
            assert row["trades"] == own.sum() and row["mean_r"] == pytest.approx(trades.r[own].mean())
            assert row["low"] is None, "two sessions are too few"
            assert row["level"] == pytest.approx(1 - 0.05 / len(rows))


def test_without_fitted_regimes_trades_are_broken_down_by_the_usual_ones() -> None:
    groups = by_regime(bought().trades, small_view(), UNFITTED)

    assert {group.kind for group in groups} == {"regime", "part of the session"}
    lines = regime_table_lines(groups, UNFITTED)
    assert lines[0] == "by regime (thresholds the usual ones, none were fitted: 2.5 ATR an hour, percentiles 33 and 67)"
    assert lines[1].startswith(f"exploratory: {len(groups)} groups at once") and len(lines) == 4 + len(groups)
    assert lines[2] == "an interval needs 10 sessions with trades, and 20 where all of them ended alike"
    assert all("   none: " in line and " session" in line and len(line) <= 80 for line in lines[4:])
