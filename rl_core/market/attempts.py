"""Attempts: one account after another, each opened, traded day by day and ended once; plain integers.

The trader of a run and `rl_core.evaluation.carried` call these functions at the same moments, so that both end, replace
and pass accounts alike.
"""

from typing import Literal, NamedTuple

from rl_core.market.account import after_session, opened_day, opening_account
from rl_core.market.days import Days, attempt_passed, day_closed, day_opened
from rl_core.market.types import Account, Cents, PlainIntegers, Position, Rules

XP = PlainIntegers()
NARROW_BUDGETS = 2
"""Under so many trades' budgets of room a gate may have reason to refuse every entry."""
REFUSED_SESSIONS = 3
"""After so many sessions in a row of nothing but vetoes an account near its floor counts as stranded by its gate."""
Status = Literal["active", "failed", "passed", "stranded", "expired"]


class Refusals(NamedTuple):
    """How long the gate has let nothing through of an account that is near its floor."""

    vetoes: int = 0  # of this session, that acted
    sessions: int = 0  # in a row whose every entry was vetoed while the room was narrow


class AccountDay(NamedTuple):
    """An account and the days of its attempt, at the edge of a trading day."""

    account: Account
    days: Days


def new_attempt(session: int, rules: Rules) -> AccountDay:
    """A new account whose first trading day is ``session``, days since 1970-01-01."""
    account = opening_account(XP, rules)
    return AccountDay(account, day_opened(Days(), session, account.cash))


def next_day(account: Account, days: Days, session: int, rules: Rules) -> AccountDay:
    """The same account as trading day ``session`` opens: its limits of the day are set."""
    opened = opened_day(XP, account, rules)
    return AccountDay(opened, day_opened(days, session, opened.cash))


def closed_day(account: Account, days: Days, rules: Rules) -> AccountDay:
    """The account, flat, after its trading day: an end-of-day floor has moved, and the day counts."""
    closed = after_session(XP, account, rules)
    return AccountDay(closed, day_closed(days, closed.cash, rules))


def stranded(account: Account, risk_budget: Cents) -> bool:
    """Whether the room to the floor is within one trade's budget: every entry would be denied for ever after."""
    return bool(account.cash - account.floor <= risk_budget)


def refusals_after(refusals: Refusals, account: Account, entries: int, risk_budget: Cents) -> Refusals:
    """The refusals once a session of so many ``entries`` has ended; one without a proposal says nothing."""
    if refusals.vetoes == 0 and entries == 0:
        return refusals
    narrow = account.cash - account.floor < NARROW_BUDGETS * risk_budget
    return Refusals(sessions=refusals.sessions + 1 if narrow and entries == 0 else 0)


def judged(days: Days, account: Account, position: Position, rules: Rules, *, failed: bool) -> Status:
    """Where an active attempt stands after a bar; a floor that was touched goes before a target that is banked."""
    if failed:
        return "failed"
    return "passed" if attempt_passed(days, account, position, rules) else "active"


def losing_streak_after(streak: int, pnl: Cents) -> int:
    """Trades in a row that lost money, after one that came to ``pnl``; one that broke even ends the row."""
    return streak + 1 if pnl < 0 else 0
