"""The timing contract, line by line, and one trade exactly; in the environment, on bars worked out by hand.

Every quiet bar opens and closes at 80,000 with a range of 20 ticks, so S = 280, ATR 20, stop 30, target 90, trail 20.
$500 buy 50,000 // (30 x 50 + 2 x 60 + 50) = 29 MNQ; prices below are ticks from 80,000.
"""

from datetime import date

import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.contract import BUY, DISABLE_TRAIL, ENABLE_TRAIL, HOLD, MOVE_STOP_TO_BREAKEVEN, SELL
from rl_core.envs.env import Env, EnvState, StepResult
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.features.features import StreamedBar
from rl_core.features.market_view import MarketView
from rl_core.market.types import (
    ADAPTIVE,
    EXIT_NAMES,
    INTRADAY,
    PESSIMISTIC,
    STATIC,
    Account,
    Position,
)
from rl_core.regimes.labels import Regime, RegimeStream
from tests.rl_core.envs.episodes import act, at_close, legal_at, observe, params_for, scalar
from tests.rl_core.markets import (
    closing_at,
    mnq_venue,
    quiet_bars,
    random_bars,
    seen,
    seen_again,
    session_minutes,
    with_bar,
    with_noise_after,
)

LEVEL, SIZE = 80_000, 29
RICH = Account(5_000_000, 4_750_000)
ENV = Env(2)
QUIET = quiet_bars()
VIEW = seen(QUIET)
T = closing_at(VIEW, "11:00")
LONG = Position(SIZE, LEVEL, LEVEL - 30, LEVEL + 90, 30, 0, 5)
SHORT = Position(-SIZE, LEVEL, LEVEL + 30, LEVEL - 90, 30, 0, 5)


def quiet_but(bars: Bars) -> MarketArrays:
    """The market of ``bars``, which share their minutes with the quiet ones."""
    return make_market(seen_again(VIEW, bars))


def next_bar(*prices: int, after: int = T) -> MarketArrays:
    """The quiet market in which the bar after ``after`` has this open, high, low and close."""
    return quiet_but(with_bar(QUIET, after + 1, (prices[0], prices[1], prices[2], prices[3])))


def exit_of(result: StepResult) -> tuple[str, int]:
    """Why the trade was closed, and its profit before costs in ticks."""
    reason = EXIT_NAMES[int(result.trade.reason[0])]
    gross = int(result.trade.pnl_cents[0]) + 2 * SIZE * 60
    return reason, gross // (SIZE * 50)


def position_of(result: StepResult) -> Position:
    return Position(*scalar(result.state.position))


def observed(bars: Bars, t: int) -> np.ndarray:
    return np.asarray(observe(ENV, quiet_but(bars), params_for(), at_close(t)).values[0])


def test_line_1_a_bar_is_stamped_with_its_start_and_known_a_minute_later() -> None:
    """The bar of 09:30 is not in what is decided at 09:30:00, and is in what is decided at 09:31:00."""
    known_at_0930, known_at_0931 = closing_at(VIEW, "09:30"), closing_at(VIEW, "09:31")
    assert VIEW.located.minute_et[known_at_0931] == 9 * 60 + 30
    moved = with_bar(QUIET, known_at_0931, (0, 70, -10, 60))

    np.testing.assert_array_equal(observed(moved, known_at_0930), observed(QUIET, known_at_0930))
    assert not np.array_equal(observed(moved, known_at_0931), observed(QUIET, known_at_0931))


def regimes(view: MarketView) -> list[Regime]:
    stream = RegimeStream()
    columns = (view.bars.high, view.bars.low, view.bars.close, view.bars.volume, view.located.session)
    columns += (view.located.minute_et, view.hours.decision_minute, view.hours.minutes_to_flat)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    totals = view.features.true_range_sum.tolist()
    return [stream.push(StreamedBar(*row), total) for row, total in zip(rows, totals, strict=True)]


def test_line_2_noise_instead_of_the_future_or_no_future_changes_no_feature_regime_action_or_fill() -> None:
    """The view of every bar up to ``T``, the mask and observation at it, and the fill in it, are the same."""
    bars = random_bars(11, session_minutes(3))
    noisy, cut = with_noise_after(bars, T), bars.slice(0, T + 1)
    whole = seen(bars)

    for other in (noisy, cut):
        view = seen(other)
        for a, b in zip((*whole.features, *whole.hours), (*view.features, *view.hours), strict=True):
            np.testing.assert_array_equal(a[: T + 1], b[: T + 1])
        assert regimes(view)[: T + 1] == regimes(whole)[: T + 1]
        state = at_close(T)
        a, b = (observe(ENV, make_market(v), params_for(), state) for v in (whole, view))
        np.testing.assert_array_equal(a.values, b.values)
        np.testing.assert_array_equal(a.legal_actions, b.legal_actions)
    for action in (BUY, SELL, HOLD):
        a, b = (act(ENV, make_market(seen(x)), at_close(T - 1), action) for x in (bars, noisy))
        assert position_of(a) == position_of(b)
        assert scalar(a.state.account) == scalar(b.state.account)


def test_line_3_an_order_fills_at_the_next_open_one_slippage_worse() -> None:
    """The next bar opens at +7 and closes elsewhere: bought at +8, sold at +6."""
    market = next_bar(7, 12, 2, 3)

    assert position_of(act(ENV, market, at_close(T), BUY)).entry == LEVEL + 8
    assert position_of(act(ENV, market, at_close(T), SELL)).entry == LEVEL + 6


def test_line_4_stop_and_target_live_in_the_bar_of_the_fill() -> None:
    """Bought at +1: stop -29, target +91. Low -29 stops at -30, 31 ticks; high +92 pays 90."""
    assert exit_of(act(ENV, next_bar(0, 5, -29, 0), at_close(T), BUY)) == ("stop", -31)
    assert exit_of(act(ENV, next_bar(0, 5, -28, 0), at_close(T), BUY))[0] == "none"
    assert exit_of(act(ENV, next_bar(0, 92, -5, 0), at_close(T), BUY)) == ("target", 90)
    assert exit_of(act(ENV, next_bar(0, 29, -5, 0), at_close(T), SELL)) == ("stop", -31)
    assert exit_of(act(ENV, next_bar(0, 5, -92, 0), at_close(T), SELL)) == ("target", 90)


def test_line_5_a_gap_fills_at_the_open_a_stop_slips_and_a_target_needs_a_tick_through() -> None:
    held = at_close(T, LONG)

    assert exit_of(act(ENV, next_bar(-50, 0, -60, 0), held, HOLD)) == ("stop", -51)
    assert exit_of(act(ENV, next_bar(0, 5, -30, 0), held, HOLD)) == ("stop", -31)
    assert exit_of(act(ENV, next_bar(0, 90, -5, 0), held, HOLD))[0] == "none"
    assert exit_of(act(ENV, next_bar(0, 91, -5, 0), held, HOLD)) == ("target", 90)
    assert exit_of(act(ENV, next_bar(120, 130, 100, 110), held, HOLD)) == ("target", 90)
    assert exit_of(act(ENV, next_bar(50, 60, -5, 0), at_close(T, SHORT), HOLD)) == ("stop", -51)


@pytest.mark.parametrize(
    ("opened", "pessimistic", "adaptive"),
    [(40, ("stop", -31), ("target", 90)), (10, ("stop", -31), ("stop", -31)), (30, ("stop", -31), ("stop", -31))],
)
def test_line_6_the_resolution_says_which_came_first(
    opened: int, pessimistic: tuple[str, int], adaptive: tuple[str, int]
) -> None:
    """High +95, low -35: from +40 the high is nearer (55 to 75), from +10 the low, and from +30 it is a tie."""
    market, held = next_bar(opened, 95, -35, 0), at_close(T, LONG)

    assert exit_of(act(ENV, market, held, HOLD, params_for(mnq_venue(PESSIMISTIC)))) == pessimistic
    assert exit_of(act(ENV, market, held, HOLD, params_for(mnq_venue(ADAPTIVE)))) == adaptive


def test_line_7_a_trailing_stop_moves_at_a_close_and_binds_from_the_next_bar() -> None:
    """The bar runs +0 .. +60, low -5, close +55; S becomes 13 x 20 + 65 = 325, ceil(325 / 14) = 24: stop +31.

    Its own low of -5 is below that and stops nothing; the quiet bar after it opens at 0, beyond: out at -1.
    """
    market = next_bar(0, 60, -5, 55)

    moved = act(ENV, market, at_close(T, LONG._replace(trailing=1)), HOLD)
    stopped = act(ENV, market, moved.state, HOLD)

    assert exit_of(moved)[0] == "none"
    assert position_of(moved).stop == LEVEL + 31
    assert exit_of(stopped) == ("stop", -1)


def test_line_8_everything_is_flat_before_the_rule_packs_time() -> None:
    """Decided at 16:54, filled at the open of the bar of 16:54: five minutes before 16:59, not one later."""
    market, due = make_market(VIEW), closing_at(VIEW, "16:54")

    before = act(ENV, market, at_close(due - 1, LONG), HOLD)
    flat = act(ENV, market, before.state, HOLD)

    assert exit_of(before)[0] == "none"
    assert exit_of(flat) == ("flatten", -1)
    assert VIEW.located.minute_et[int(flat.state.bar[0])] == 16 * 60 + 54
    assert (bool(flat.truncated[0]), bool(flat.terminated[0])) == (True, False)
    assert legal_at(ENV, market, before.state) == [True, False, False, False, False, False]


@pytest.mark.parametrize(("day", "due"), [(date(2024, 11, 28), "12:54"), (date(2024, 11, 29), "13:09")])
def test_line_8_holds_on_half_days(day: date, due: str) -> None:
    """Thanksgiving closes at 13:00, the day after at 13:15: flat a minute before, decided five before that."""
    bars = quiet_bars(5 if day.day == 29 else 4, date(2024, 11, 25))
    view = seen(bars)
    market, t = make_market(view), closing_at(view, due)
    held = at_close(t, LONG)

    flat = act(ENV, market, held, HOLD)

    assert not view.hours.flatten_due[t - 1]
    assert exit_of(flat) == ("flatten", -1)
    assert legal_at(ENV, market, at_close(t)) == [True, False, False, False, False, False]


def test_line_8_without_an_open_before_the_flat_time_the_last_close_ends_it_and_says_so() -> None:
    """Nothing trades from 16:51 to 16:58: the open of 16:59 would be too late, so out at the last close, -1 tick."""
    minute = VIEW.located.minute_et
    keep = (minute < 16 * 60 + 51) | (minute >= 16 * 60 + 59)
    columns = (getattr(QUIET, name)[keep] for name in ("ts_event_ns", "open", "high", "low", "close", "volume"))
    view = seen(Bars(QUIET.instrument, 60, *columns))
    market, last = make_market(view), closing_at(view, "16:51")

    ended = act(ENV, market, at_close(last - 1, LONG), HOLD)

    assert exit_of(ended) == ("session_end", -1)
    assert bool(ended.truncated[0])
    assert position_of(ended).quantity == 0


def test_line_8_no_order_waits_over_a_break_in_the_data() -> None:
    """The day's bars stop at 12:00: what is bought at the last open is closed at that bar's close."""
    day = VIEW.located.session == VIEW.located.session[-1]
    keep = ~day | (VIEW.located.minute_et < 12 * 60) | (VIEW.located.minute_et >= 18 * 60)
    columns = (getattr(QUIET, name)[keep] for name in ("ts_event_ns", "open", "high", "low", "close", "volume"))
    view = seen(Bars(QUIET.instrument, 60, *columns))

    ended = act(ENV, make_market(view), at_close(len(view.bars) - 2), BUY)

    assert exit_of(ended) == ("session_end", -2)
    assert position_of(ended).quantity == 0 and bool(ended.truncated[0])


def test_line_9_the_floor_follows_open_equity_and_the_worst_order_of_the_prices_is_booked() -> None:
    """Room 50,000 under a max loss of 50,000. Best +20 lifts the floor by 29,000: 14.48 ticks below entry remain.

    With a low of -20 the account is at its floor in the order best, worst; on the way up the floor meets -20 itself, so
    it is out at -21. With a low of -35 the stop at -30 may have come first: out at -31, and failed all the same. A
    static floor holds on at -20.
    """
    rules = mnq_venue().rules._replace(max_loss=50_000)
    account, near, far = Account(5_000_000, 4_950_000), next_bar(0, 20, -20, 0), next_bar(0, 20, -35, 0)
    following, still = (params_for(mnq_venue(0, rules._replace(ratchet=r))) for r in (INTRADAY, STATIC))

    lifted, stopped = (act(ENV, market, at_close(T, LONG, account), HOLD, following) for market in (near, far))
    held, fixed = (act(ENV, market, at_close(T, LONG, account), HOLD, still) for market in (near, far))

    assert exit_of(lifted) == ("liquidation", -21)
    assert exit_of(stopped) == exit_of(fixed) == ("stop", -31)
    assert scalar(lifted.state.account)[1] == scalar(stopped.state.account)[1] == 4_979_000
    assert bool(lifted.terminated[0]) and bool(stopped.terminated[0]) and not bool(fixed.terminated[0])
    assert position_of(held).quantity == SIZE
    assert scalar(fixed.state.account)[1] == 4_950_000


@pytest.mark.parametrize(
    ("clock", "legal"), [("09:29", False), ("09:30", True), ("15:45", True), ("15:46", False), ("16:54", False)]
)
def test_entries_are_decided_from_0930_to_1545(clock: str, legal: bool) -> None:
    mask = legal_at(ENV, make_market(VIEW), at_close(closing_at(VIEW, clock)))

    assert mask == [True, legal, legal, False, False, False]


def test_no_entry_is_legal_before_the_features_are_warm() -> None:
    """The first session is inside entry hours at 10:00 but has no past yet."""
    t = int(np.flatnonzero(VIEW.hours.decision_minute == 600)[0])

    assert VIEW.hours.entry_open[t]
    assert legal_at(ENV, make_market(VIEW), at_close(t)) == [True, False, False, False, False, False]


def test_the_bracket_is_an_offset_from_the_fill_and_the_size_pays_for_the_whole_stop() -> None:
    """Open +7: bought 29 at +8, stop -22, target +98; the risk is 30 x 50 x 29 = 43,500 cents."""
    result = act(ENV, next_bar(7, 12, 2, 3), at_close(T), BUY)
    position = position_of(result)

    assert position == Position(SIZE, LEVEL + 8, LEVEL - 22, LEVEL + 98, 30, 0, 1)
    assert float(result.reward[0]) == pytest.approx(((3 - 8) * 50 * SIZE - 60 * SIZE) / 43_500, rel=1e-6)


def test_an_entry_needs_more_room_than_the_stops_loss_and_costs() -> None:
    """29 x (30 x 50 + 170) = 48,430 cents."""
    market = make_market(VIEW)

    assert not legal_at(ENV, market, at_close(T, account=Account(5_000_000, 5_000_000 - 48_430)))[BUY]
    assert legal_at(ENV, market, at_close(T, account=Account(5_000_000, 5_000_000 - 48_431)))[BUY]


def test_breakeven_is_legal_beyond_the_costs_and_binds_in_the_next_bar() -> None:
    """170 cents are 4 ticks rounded against us: legal at a close of +5; hit there, +3 ticks pay the commissions."""
    bars = with_bar(QUIET, T, (0, 10, -10, 5))
    at_four = with_bar(QUIET, T, (0, 10, -10, 4))
    held = at_close(T, LONG)
    falling = with_bar(bars, T + 1, (5, 6, -5, 0))

    result = act(ENV, quiet_but(falling), held, MOVE_STOP_TO_BREAKEVEN)

    assert legal_at(ENV, quiet_but(bars), held)[MOVE_STOP_TO_BREAKEVEN]
    assert not legal_at(ENV, quiet_but(at_four), held)[MOVE_STOP_TO_BREAKEVEN]
    assert exit_of(result) == ("stop", 3)
    assert int(result.trade.pnl_cents[0]) == SIZE * (3 * 50 - 120)


def test_the_trail_follows_both_sides_keeps_the_target_and_stays_where_it_is_once_disabled() -> None:
    """Close 0, ATR 20: enabled, the long's stop is -20 and the short's +20; disabled, it does not move with +20."""
    market = next_bar(0, 25, -5, 20)
    calm = make_market(VIEW)

    long = position_of(act(ENV, calm, at_close(T, LONG), ENABLE_TRAIL))
    short = position_of(act(ENV, calm, at_close(T, SHORT), ENABLE_TRAIL))
    off = position_of(act(ENV, market, at_close(T, LONG._replace(stop=LEVEL - 20, trailing=1)), DISABLE_TRAIL))

    assert (long.stop, long.target, long.trailing) == (LEVEL - 20, LEVEL + 90, 1)
    assert (short.stop, short.target, short.trailing) == (LEVEL + 20, LEVEL - 90, 1)
    assert (off.stop, off.trailing) == (LEVEL - 20, 0)


def test_only_the_actions_of_the_position_are_legal() -> None:
    market = make_market(VIEW)

    assert legal_at(ENV, market, at_close(T)) == [True, True, True, False, False, False]
    assert legal_at(ENV, market, at_close(T, LONG)) == [True, False, False, False, True, False]
    assert legal_at(ENV, market, at_close(T, LONG._replace(trailing=1))) == [True, False, False, False, False, True]
    assert legal_at(Env(1), market, at_close(T, LONG)) == [True, False, False]


def test_the_pessimistic_floor_is_moved_by_a_favourable_extreme_below_the_target_even_if_the_stop_came_first() -> None:
    """High +95 passes the target +90, which a touch need not fill: 90 x 1,450 = 130,500 above the balance; the stop."""
    result = act(ENV, next_bar(0, 95, -35, 0), at_close(T, LONG), HOLD)

    assert exit_of(result) == ("stop", -31)
    assert scalar(result.state.account)[1] == 4_750_000 + 130_500


def test_an_nq_view_is_traded_as_mnq() -> None:
    """One tick of 29 MNQ is 29 x 50 cents, a tenth of NQ's 500."""
    view_symbol, terms = QUIET.instrument.symbol, params_for().venue.terms
    state: EnvState = at_close(T, LONG)

    up = act(ENV, next_bar(0, 10, -10, 10), state, HOLD)

    assert (view_symbol, terms.tick_value, terms.commission) == ("NQ", 50, 60)
    assert float(up.reward[0]) == pytest.approx(10 * 50 * SIZE / (30 * 50 * SIZE))
