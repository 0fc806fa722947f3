"""Counting an attempt's days: when it passes, runs out, and may be paid."""

import pytest

from rl_core.market.days import Days, attempt_passed, best_day_percent, consistent, day_closed, day_opened, expired
from rl_core.market.days import payout_open as pays
from rl_core.market.types import FLAT, NEVER_LOCKS, STATIC, Account, Rules

RULES = Rules(5_000_000, 300_000, 250_000, STATIC, NEVER_LOCKS)


def after(results: list[int | None], rules: Rules = RULES) -> tuple[Days, int]:
    """Days with these results in cents (None: no trade), and the balance they lead to."""
    days, cash = Days(), rules.start
    for day, result in enumerate(results):
        days = day_opened(days, day, cash)
        if result is not None:
            days, cash = days._replace(trades_today=2), cash + result
        days = day_closed(days, cash, rules)
    return days, cash


def test_days_with_a_trade_days_won_and_the_best_day_are_counted() -> None:
    days, cash = after([5_000, None, 4_999, -20_000, 30_000], RULES._replace(winning_day=5_000))

    assert (days.first, days.traded, days.winning, days.best) == (0, 4, 2, 30_000)
    assert cash == 5_019_999


def test_the_target_passes_once_enough_days_were_traded_today_included() -> None:
    rules = RULES._replace(min_days=3)
    banked = Account(5_300_000, 4_750_000)
    two, _ = after([200_000, 100_000], rules)
    today = day_opened(two, 2, banked.cash)

    assert not attempt_passed(two, banked, FLAT, rules)
    assert not attempt_passed(today, banked, FLAT, rules)
    assert attempt_passed(today._replace(trades_today=1), banked, FLAT, rules)
    assert attempt_passed(two, banked, FLAT, rules._replace(min_days=2))
    assert not attempt_passed(two, banked._replace(cash=5_299_999), FLAT, rules._replace(min_days=2))


def test_an_inconsistent_attempt_does_not_pass_where_the_pack_says_so() -> None:
    """1,600 of 3,000 is 53 %; with 200 more it is exactly 50 % of 3,200."""
    rules = RULES._replace(best_day_percent=50, best_day_blocks_pass=1)
    days, cash = after([160_000, 140_000], rules)
    more, richer = after([160_000, 140_000, 20_000], rules)

    assert not attempt_passed(days, Account(cash, 0), FLAT, rules)
    assert attempt_passed(days, Account(cash, 0), FLAT, rules._replace(best_day_blocks_pass=0))
    assert attempt_passed(more, Account(richer, 0), FLAT, rules)
    assert not attempt_passed(more, Account(richer, 0), FLAT, rules._replace(best_day_inclusive=0))


def test_todays_profit_counts_as_a_day() -> None:
    """100 from yesterday and 900 today: the best day is 90 % of 1,000."""
    days, cash = after([10_000])
    today = day_opened(days, 1, cash)

    assert best_day_percent(today, cash + 90_000, RULES) == 90
    assert not consistent(today, cash + 90_000, RULES._replace(best_day_percent=89))
    assert consistent(today, cash + 90_000, RULES._replace(best_day_percent=90))


def test_nothing_is_consistent_without_a_profit_and_everything_is_without_the_rule() -> None:
    days, cash = after([-10_000])

    assert best_day_percent(days, cash, RULES) is None
    assert not consistent(days, cash, RULES._replace(best_day_percent=50))
    assert consistent(days, cash, RULES)


@pytest.mark.parametrize(("day", "over"), [(100, False), (129, False), (130, True)])
def test_thirty_calendar_days_are_the_opening_day_and_29_more(day: int, over: bool) -> None:
    days = day_opened(Days(), 100, RULES.start)

    assert expired(days, day, RULES._replace(max_days=30)) is over
    assert not expired(Days(), day, RULES._replace(max_days=30))
    assert not expired(days, day, RULES)


def test_a_payout_needs_its_days_its_winning_days_and_a_profit() -> None:
    """8 days with a trade, of which 5 won at least 50 dollars."""
    rules = RULES._replace(payout_days=8, payout_winning_days=5, winning_day=5_000)
    won, small, lost = 5_000, 4_999, -1_000

    assert pays(*after([won] * 5 + [small] * 3, rules), rules)
    assert not pays(*after([won] * 4 + [small] * 4, rules), rules)
    assert not pays(*after([won] * 5 + [small] * 2 + [None], rules), rules)
    assert not pays(*after([won] * 5 + [lost] * 2 + [-23_000], rules), rules)
