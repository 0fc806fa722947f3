"""What each trading day and month came to, and the daily returns as other programs read them."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.report.account_book import AccountBook, BookedTrade
from orchestrator.run.folder import PRIVATE
from rl_core.market.types import Cents
from trigate.whole_files import write_whole

EPOCH = date(1970, 1, 1)


class DayResult(NamedTuple):
    """One trading day; money in cents."""

    day: date
    trades: int
    won: int
    net: Cents
    r: float
    opening: Cents  # balance of the account that traded, as the day opened; 0 where none did

    @property
    def share(self) -> float:
        """Net result as a share of the balance that it was made with."""
        return self.net / self.opening if self.trades else 0.0


class MonthResult(NamedTuple):
    """One calendar month; money in cents."""

    month: str
    days: int
    trades: int
    won: int
    net: Cents
    r: float


def day_results(book: AccountBook, trades: Sequence[BookedTrade], session: npt.NDArray[np.int32]) -> list[DayResult]:
    """Every trading day of the run, those without a trade included; ``session`` [T] is the trading day of each bar.

    A trade belongs to the day on which it was closed.
    """
    balance = {event.payload["attempt"]: int(event.payload["cash"]) for event in book.of("account_opened")}
    closed = book.bars.holding([booked.trade.exit_ns for booked in trades])
    by_day: dict[int, list[BookedTrade]] = defaultdict(list)
    for booked, day in zip(trades, session[closed].tolist(), strict=True):
        by_day[day].append(booked)
    results = []
    for day in np.unique(session).tolist():
        made = by_day[day]
        opening = balance[made[0].attempt] if made else 0
        for booked in made:
            balance[booked.attempt] += booked.trade.pnl
        results.append(
            DayResult(
                day=EPOCH + timedelta(days=day),
                trades=len(made),
                won=sum(booked.trade.pnl > 0 for booked in made),
                net=sum(booked.trade.pnl for booked in made),
                r=sum(booked.r for booked in made),
                opening=opening,
            )
        )
    return results


def month_results(days: Sequence[DayResult]) -> list[MonthResult]:
    """The same by calendar month."""
    months = []
    for name, of_month in groupby(days, key=lambda result: f"{result.day:%Y-%m}"):
        part = list(of_month)
        months.append(
            MonthResult(
                month=name,
                days=len(part),
                trades=sum(result.trades for result in part),
                won=sum(result.won for result in part),
                net=sum(result.net for result in part),
                r=sum(result.r for result in part),
            )
        )
    return months


def write_returns(path: Path, days: Sequence[DayResult]) -> None:
    """Daily returns as a csv with the columns date and return, as quantstats and pandas read them.

    Raises:
        ResourceError: the disk failed.
    """
    rows = [f"{result.day.isoformat()},{result.share:.10f}" for result in days]
    write_whole(path, "\n".join(["date,return", *rows]) + "\n", mode=PRIVATE)
