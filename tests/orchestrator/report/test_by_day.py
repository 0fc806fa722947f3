"""What each day came to: returns on the balance of the day's own account, months that add up, actions by the hour."""

import importlib.util
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from played_runs import every_tenth_minute, play, walk

from orchestrator.report.account_book import read_account_book, trades_of
from orchestrator.report.by_day import DayResult, day_results, month_results
from orchestrator.report.figures import actions_by_hour
from orchestrator.report.report import report_on
from orchestrator.run.folder import RunFolder
from rl_core.exchange.calendar import locate


def test_returns_are_read_as_a_series_of_days(won: RunFolder) -> None:
    """As `quantstats.stats` takes it: a series of floats by date. Twelve sessions, some of them of a new account."""
    report_on(won.path)
    book = read_account_book(won)
    trades = trades_of(book)

    returns = pd.read_csv(won.path / "returns.csv", index_col=0, parse_dates=True)["return"]

    assert isinstance(returns.index, pd.DatetimeIndex) and returns.dtype == np.float64
    assert (
        len(returns) == 12 and returns.index[0] == pd.Timestamp("2024-06-03") and returns.index.is_monotonic_increasing
    )
    attempts = {booked.attempt for booked in trades}
    assert len(attempts) > 1
    first = [booked for booked in trades if booked.attempt == 1]
    grown = (1 + returns[: len({booked.trade.exit_ns // (86_400 * 10**9) for booked in first})]).prod()
    assert grown == pytest.approx(1 + sum(booked.trade.pnl for booked in first) / 5_000_000)


@pytest.mark.skipif(
    importlib.util.find_spec("quantstats") is None, reason="quantstats is not among the locked packages"
)
def test_quantstats_reads_the_returns_and_finds_what_they_hold(won: RunFolder) -> None:
    quantstats = importlib.import_module("quantstats")
    report_on(won.path)

    returns = pd.read_csv(won.path / "returns.csv", index_col=0, parse_dates=True)["return"]

    assert float(quantstats.stats.comp(returns)) == pytest.approx(float((1 + returns).prod() - 1))
    ratio = returns.mean() / returns.std() * np.sqrt(252)
    assert float(quantstats.stats.sharpe(returns)) == pytest.approx(float(ratio))
    assert float(quantstats.stats.max_drawdown(returns)) <= 0


def test_a_day_without_a_trade_returns_nothing_and_a_month_adds_up(tmp_path: Path) -> None:
    bars = walk()
    book = read_account_book(play(tmp_path, bars, {60: 1, 950: 2}))  # none on the second day
    trades = trades_of(book)

    days = day_results(book, trades, locate(book.bars.ts_event_ns, "equity").session)

    assert [result.day for result in days] == [date(2024, 6, day) for day in (3, 4, 5)]
    assert [result.trades for result in days] == [1, 0, 1] and days[1].share == 0.0
    (june,) = month_results(days)
    assert (june.month, june.days, june.trades) == ("2024-06", 3, 2)
    assert june.net == sum(booked.trade.pnl for booked in trades) and june.r == sum(booked.r for booked in trades)
    july = DayResult(date(2024, 7, 1), 0, 0, 0, 0.0, 0)
    assert [month.month for month in month_results([*days, july])] == ["2024-06", "2024-07"]


def test_actions_are_counted_by_the_hour_in_which_they_were_asked(tmp_path: Path) -> None:
    """Bar 29 closes at 10:00 in New York, bar 28 at 09:59."""
    bars = walk(("2024-06-03",))
    book = read_account_book(play(tmp_path, bars, every_tenth_minute(bars)))

    hours = actions_by_hour(book)

    asked = [event for event in book.of("acted") if event.payload["source"] == "policy"]
    assert sum(sum(of_hour.values()) for of_hour in hours.values()) == len(asked)
    assert sum(hours["09:00"].values()) == sum(event.bar <= 28 for event in asked)
    assert {"hold", "buy"} <= hours["10:00"].keys() and "16:00" not in hours
