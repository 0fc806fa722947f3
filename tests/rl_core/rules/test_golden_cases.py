"""The nine worked examples of the rule packs, each in the dollars that firms print, through the real packs."""

import numpy as np
import pandas as pd
import pytest

from rl_core.exchange.calendar import Calendar
from rl_core.market.account import after_session, opened_day, opening_account, rules_in_force
from rl_core.market.days import Days, best_day_percent, consistent, day_closed, day_opened, payout_open
from rl_core.market.fills import Venue, play_bar
from rl_core.market.types import (
    DAILY_LOSS,
    FLAT,
    NO_ORDER,
    PESSIMISTIC,
    UNLIMITED,
    Account,
    BarOutcome,
    BarPrices,
    PlainIntegers,
    Position,
    Rules,
    Terms,
)
from rl_core.rules.examples import next_day
from rl_core.rules.pack import read_rule_pack
from rl_core.trading.hours import EntryHours, hours_of
from tests.rl_core.markets import RULES_FOLDER

XP = PlainIntegers()
NQ = Terms(tick_value=500, commission=0, slippage_ticks=1)  # $5 a tick, so that a move of 4 ticks is $20
LONG = Position(quantity=1, entry=80_000, stop=70_000, target=110_000, stop_ticks=10_000, trailing=0, bars_held=1)


def rules_of(name: str) -> Rules:
    return read_rule_pack(RULES_FOLDER / name).compiled()


def seen(rules: Rules, account: Account, dollars: tuple[int, int, int]) -> BarOutcome:
    """One NQ contract through a bar of this best, worst and last open profit in dollars, opening at none."""
    best, worst, last = (80_000 + amount * 100 // NQ.tick_value for amount in dollars)
    venue = Venue(NQ, rules_in_force(XP, rules, account), PESSIMISTIC)
    return play_bar(XP, LONG, account, NO_ORDER, BarPrices(80_000, best, worst, last), venue)


def floor_after_peak(name: str, peak: int) -> float:
    """Dollars of floor once a bar of a new account has seen ``peak`` dollars of open equity."""
    rules = rules_of(name)
    up = peak - rules.start // 100
    return seen(rules, opening_account(XP, rules), (up, 0, up)).account.floor / 100


def test_1_legacy_50k_with_a_peak_of_50_875_has_its_floor_at_48_375() -> None:
    assert floor_after_peak("apex_legacy_50k_eval.toml", 50_875) == 48_375


def test_2_a_4_0_pa_of_50k_locks_at_50_100_when_the_peak_is_52_100_and_never_at_50_101() -> None:
    peaks = (52_095, 52_100, 52_105, 58_000)

    floors = [floor_after_peak("apex_4_0.toml#50k-intraday-pa", peak) for peak in peaks]

    assert floors == [50_095, 50_100, 50_100, 50_100]
    assert next_day(rules_of("apex_4_0.toml#50k-intraday-pa"), peak=5_210_001).floor == 5_010_000


def test_3_a_4_0_evaluation_locks_at_53_000_on_rithmic_and_keeps_trailing_on_tradovate() -> None:
    rithmic, tradovate = "apex_4_0.toml#50k-intraday-eval-rithmic", "apex_4_0.toml#50k-intraday-eval-tradovate"

    assert [floor_after_peak(rithmic, peak) for peak in (54_995, 55_000, 56_000)] == [52_995, 53_000, 53_000]
    assert [floor_after_peak(tradovate, peak) for peak in (54_995, 55_000, 56_000)] == [52_995, 53_000, 54_000]


def test_4_a_900_spike_given_back_moves_the_intraday_floor_by_900_and_the_eod_floor_not_at_all() -> None:
    moved = {}
    for product in ("intraday", "eod"):
        rules = rules_of(f"apex_4_0.toml#50k-{product}-eval-rithmic")
        account = opening_account(XP, rules)
        played = seen(rules, account, (900, 0, 0))
        moved[product] = after_session(XP, played.account, rules).floor - account.floor

    assert moved == {"intraday": 90_000, "eod": 0}


def test_5_days_of_plus_1000_and_minus_200_are_125_percent_of_the_profit_and_block_what_the_pack_says() -> None:
    """Best day 1,000 of a profit of 800."""
    combine = rules_of("topstep_combine.toml#50k")
    days = day_closed(traded(day_opened(Days(), 1, 5_000_000)), 5_100_000, combine)
    days = day_closed(traded(day_opened(days, 2, 5_100_000)), 5_080_000, combine)

    assert best_day_percent(days, 5_080_000, combine) == 125
    for name in ("topstep_combine.toml#50k", "apex_4_0.toml#50k-eod-pa", "apex_legacy.toml#50k-pa"):
        assert not consistent(days, 5_080_000, rules_of(name))
        assert not payout_open(days, 5_080_000, rules_of(name))
    assert consistent(days, 5_080_000, rules_of("apex_4_0.toml#50k-eod-eval-rithmic"))
    assert (combine.best_day_blocks_pass, rules_of("apex_4_0.toml#50k-eod-pa").best_day_blocks_pass) == (1, 0)


def traded(days: Days) -> Days:
    return days._replace(trades_today=1)


@pytest.mark.parametrize(("name", "kept"), [("topstep_combine.toml#50k", True), ("apex_4_0.toml#50k-eod-pa", False)])
def test_a_best_day_of_exactly_half_is_at_most_50_percent_and_not_below_it(name: str, kept: bool) -> None:
    assert consistent(Days(0, 5_200_000, 0, 2, 2, 100_000), 5_200_000, rules_of(name)) is kept


def test_6_a_daily_loss_touch_pauses_to_1800_with_the_account_alive() -> None:
    """4.0 EOD 50K: 1,000 a day, counted with open profit; the floor at 48,000 is not touched."""
    rules = rules_of("apex_4_0.toml#50k-eod-eval-rithmic")
    account = opening_account(XP, rules)

    spared = seen(rules, account, (0, -995, -500))
    played = seen(rules, account, (0, -1_000, -500))
    evening = opened_day(XP, after_session(XP, played.account, rules), rules)

    assert (spared.position, spared.account.paused) == (LONG._replace(bars_held=2), 0)
    assert (played.position, played.exit_reason, played.failed) == (FLAT, DAILY_LOSS, False)
    assert played.account.cash == 5_000_000 - 100_000 - 500, "out at the touch, one tick worse"
    assert (played.account.paused, evening.paused) == (1, 0)
    assert evening.day_floor == played.account.cash - 100_000


def test_7_the_static_floor_is_99_375_whatever_happens() -> None:
    rules = rules_of("apex_legacy.toml#100k-static-eval")

    opened = opening_account(XP, rules)
    played = seen(rules, opened, (1_500, 0, 1_500))

    assert (opened.floor, played.account.floor) == (9_937_500, 9_937_500)
    assert next_day(rules, peak=10_150_000, close=10_150_000).floor == 9_937_500


def test_8_a_tier_drops_the_session_after_a_losing_close() -> None:
    """4.0 EOD PA 50K: 3 minis at a closing profit of 1,500, and 2 again once a day closes at 1,499."""
    rules = rules_of("apex_4_0.toml#50k-eod-pa")
    account, seen_ = opening_account(XP, rules), []
    for close in (51_500, 53_000, 56_000, 52_999, 51_499):
        account = opened_day(XP, after_session(XP, account._replace(cash=close * 100), rules), rules)
        seen_.append((account.max_minis, (account.cash - account.day_floor) // 100))

    assert seen_ == [(3, 1_000), (4, 2_000), (4, 3_000), (3, 1_000), (2, 1_000)]


@pytest.mark.parametrize("name", ["apex_legacy_50k_eval.toml", "apex_4_0.toml#50k-eod-pa", "topstep_combine.toml#50k"])
def test_9_a_half_day_is_flat_a_minute_before_its_close(name: str) -> None:
    """Thanksgiving 2024 closes at 13:00 ET: flat by 12:59, whatever the pack's usual flat time."""
    closes = pd.DatetimeIndex(["2024-11-28 12:53", "2024-11-28 12:54", "2024-11-28 12:58", "2024-11-28 12:59"])
    stamps = closes.tz_localize("America/New_York").tz_convert("UTC").tz_localize(None)
    starts = np.asarray(stamps, "datetime64[ns]").astype(np.int64) - 60_000_000_000
    located = Calendar.covering(int(starts.min()), int(starts.max())).locate(starts)

    hours = hours_of(starts, located, read_rule_pack(RULES_FOLDER / name), EntryHours())

    assert hours.minutes_to_flat.tolist() == [6, 5, 1, 0]
    assert hours.flatten_due.tolist() == [False, True, True, True]


def test_a_lock_by_closing_balance_waits_for_the_close_and_then_holds_the_floor_where_it_is() -> None:
    """Legacy PA 50K: a peak of 53,000 lifts the floor to 50,500; closing at 52,600 locks it there for good."""
    rules = rules_of("apex_legacy.toml#50k-pa")

    waiting = next_day(rules, peak=5_300_000, close=5_259_900)
    locked = next_day(rules, peak=5_300_000, close=5_260_000)
    later = [seen(rules, account, (900, 0, 900)).account.floor for account in (waiting, locked)]

    assert (waiting.floor, waiting.locked) == (5_050_000, 0)
    assert (locked.floor, locked.locked) == (5_050_000, 1)
    assert later == [5_259_900 + 90_000 - 250_000, 5_050_000]


def test_a_floor_that_looks_at_closed_balances_only_lets_open_equity_pass_below_it() -> None:
    rules = rules_of("plain_static.toml")._replace(kills_open=0)
    account = opening_account(XP, rules)

    below = seen(rules, account, (0, -2_500, -2_400))
    closed = seen(rules, account._replace(cash=account.floor), (0, 0, 0))

    assert (below.failed, below.position.quantity) == (False, 1)
    assert closed.failed


def test_a_daily_loss_of_closed_balances_only_pauses_once_it_is_closed() -> None:
    rules = rules_of("apex_4_0.toml#50k-eod-eval-rithmic")._replace(daily_counts_open=0)
    account = opening_account(XP, rules)

    open_loss = seen(rules, account, (0, -1_500, -1_500))
    closed = seen(rules, account._replace(cash=account.day_floor), (0, 0, 0))

    assert (open_loss.position.quantity, open_loss.account.paused) == (1, 0)
    assert (closed.account.paused, closed.failed) == (1, False)


def test_a_daily_loss_that_fails_ends_the_account() -> None:
    rules = rules_of("apex_4_0.toml#50k-eod-eval-rithmic")._replace(daily_fails=1)

    assert seen(rules, opening_account(XP, rules), (0, -1_000, -1_000)).failed


def test_a_percentage_of_the_days_opening_is_exact_to_the_cent() -> None:
    """2 % of 50,123.45 is 1,002.46; the smaller of it and a tier's amount counts."""
    rules = rules_of("plain_static.toml")._replace(daily_percent=200)

    assert opened_day(XP, Account(5_012_345, 0), rules).day_floor == 5_012_345 - 100_246
    assert opened_day(XP, Account(5_012_345, 0), rules._replace(daily_percent=0)).day_floor == -UNLIMITED


def test_the_open_loss_of_a_legacy_pa_is_a_share_of_profit_or_of_the_drawdown_while_that_is_more() -> None:
    """30 % of 2,500 up to a profit of 2,500; 30 % of 5,199 below twice the safety net's 2,600, 50 % of 5,200 at it."""
    rules = rules_of("apex_legacy.toml#50k-pa")

    allowed = [
        opened_day(XP, Account(5_000_000 + p * 100, 0), rules).max_open_loss for p in (-900, 0, 4_000, 5_199, 5_200)
    ]

    assert allowed == [75_000, 75_000, 120_000, 155_970, 260_000]
    assert opening_account(XP, rules_of("apex_legacy_50k_eval.toml")).max_open_loss == UNLIMITED
