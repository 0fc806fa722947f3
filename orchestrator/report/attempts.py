"""Where every attempt stands under its rule pack's days and best-day rules, from the journal."""

from typing import NamedTuple

from orchestrator.report.account_book import AccountBook
from rl_core.market.days import Days, best_day_percent, consistent, payout_open
from rl_core.market.types import Rules


class AttemptDays(NamedTuple):
    """One attempt at its last recorded day's end; money in cents."""

    attempt: int
    status: str  # active, or how it ended
    profit: int
    traded: int  # days with a trade
    winning: int  # days that earned the pack's winning day
    best: int  # result of the best day
    best_percent: float | None  # of the profit; None without one
    consistent: bool
    payout_open: bool  # days and consistency would allow one


def attempt_days(book: AccountBook, rules: Rules) -> list[AttemptDays]:
    """Every attempt that has closed a session, in order."""
    ends = {event.payload["attempt"]: event.payload["status"] for event in book.of("account_ended")}
    last = {event.payload["attempt"]: event.payload for event in book.of("session_closed")}
    rows = []
    for attempt, closed in sorted(last.items()):
        cash = closed["cash"]
        days = Days(0, cash, 0, closed["traded_days"], closed["winning_days"], closed["best_day"])
        rows.append(
            AttemptDays(
                attempt=attempt,
                status=ends.get(attempt, "active"),
                profit=cash - rules.start,
                traded=days.traded,
                winning=days.winning,
                best=days.best,
                best_percent=best_day_percent(days, cash, rules),
                consistent=consistent(days, cash, rules),
                payout_open=payout_open(days, cash, rules),
            )
        )
    return rows
