"""The days of one attempt: how many traded, which was best, and what that allows; plain integers, once a session."""

from typing import NamedTuple

from rl_core.market.account import passed
from rl_core.market.types import ANY_PERCENT, Account, Cents, DayCount, Position, Rules


class Days(NamedTuple):
    """The trading days of one account so far."""

    first: int = -1  # trading day of the opening, days since 1970-01-01
    opening: Cents = 0  # balance as today opened
    trades_today: int = 0
    traded: DayCount = 0  # earlier days with a trade
    winning: DayCount = 0  # earlier days that earned at least the pack's winning day
    best: Cents = 0  # result of the best earlier day, 0 if none won


def day_opened(days: Days, day: int, cash: Cents) -> Days:
    """The days as trading day ``day`` opens at a balance of ``cash``."""
    return days._replace(first=day if days.first < 0 else days.first, opening=cash, trades_today=0)


def day_closed(days: Days, cash: Cents, rules: Rules) -> Days:
    """The days once the open one has ended at a balance of ``cash`` and counts."""
    result = cash - days.opening
    return days._replace(
        opening=cash,
        trades_today=0,
        traded=days.traded + (days.trades_today > 0),
        winning=days.winning + (days.trades_today > 0 and result >= rules.winning_day),
        best=max(days.best, result),
    )


def expired(days: Days, day: int, rules: Rules) -> bool:
    """Whether the attempt's calendar days are over as trading day ``day`` opens."""
    return days.first >= 0 and day - days.first >= rules.max_days


def best_day_percent(days: Days, cash: Cents, rules: Rules) -> float | None:
    """The best day in percent of the whole profit, today included; None without a profit."""
    profit = cash - rules.start
    return 100 * max(days.best, cash - days.opening) / profit if profit > 0 else None


def consistent(days: Days, cash: Cents, rules: Rules) -> bool:
    """Whether no day, today included, earned more of the whole profit than the pack allows."""
    if rules.best_day_percent >= ANY_PERCENT:
        return True
    profit, best = cash - rules.start, max(days.best, cash - days.opening)
    allowed, got = rules.best_day_percent * profit, 100 * best
    return bool(profit > 0 and (got <= allowed if rules.best_day_inclusive else got < allowed))


def attempt_passed(days: Days, account: Account, position: Position, rules: Rules) -> bool:
    """Whether the target is banked on enough days, and consistently where the pack asks for it."""
    enough = days.traded + (days.trades_today > 0) >= rules.min_days
    steady = not rules.best_day_blocks_pass or consistent(days, account.cash, rules)
    return bool(passed(account, position, rules)) and enough and steady


def payout_open(days: Days, cash: Cents, rules: Rules) -> bool:
    """Whether days and consistency would allow a payout at a day's end; amounts are not simulated."""
    enough = days.traded >= rules.payout_days and days.winning >= rules.payout_winning_days
    return enough and cash > rules.start and consistent(days, cash, rules)
