"""Where every attempt stands under its rule pack, and whether the first would have passed, from the journal."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from orchestrator.report.account_book import AccountBook, EquityPoint
from rl_core.market.days import Days, best_day_percent, consistent, payout_open
from rl_core.market.types import UNLIMITED, Rules


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


class WouldPass(NamedTuple):
    """What became of the account that a trader would have bought, and where the last one stands; money in cents."""

    word: Literal["yes", "no", "not yet", "nothing to pass"]
    status: str  # of the first attempt: active, how it ended, or refused: stranded by its gate
    to_target: int | None  # of the last attempt; None where its pack has no target
    room: int  # above the floor, of the last attempt


def would_pass(book: AccountBook, points: Sequence[EquityPoint], rules: Rules) -> WouldPass | None:
    """Whether the first attempt passed; None of a journal that holds no account yet."""
    if not points:
        return None
    ends = {event.payload["attempt"]: event.payload for event in book.of("account_ended")}
    status, last, target = _how_it_stands(ends.get(1)), points[-1], rules.start + rules.target
    words: dict[str, Literal["yes", "not yet"]] = {"passed": "yes", "active": "not yet"}
    return WouldPass(
        word="nothing to pass" if rules.target >= UNLIMITED else words.get(status, "no"),
        status=status,
        to_target=None if rules.target >= UNLIMITED else max(0, target - last.equity),
        room=max(0, last.equity - last.floor),
    )


def _how_it_stands(ended: Mapping[str, Any] | None) -> str:
    """What became of an attempt that ended as ``ended`` records; None: it has not."""
    if ended is None:
        return "active"
    return "refused" if "refused_sessions" in ended else str(ended["status"])
