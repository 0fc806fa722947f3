"""Books that agree, and what is found where one number was changed."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from played_runs import every_tenth_minute, play, walk

from orchestrator.report.account_book import AccountBook, read_account_book
from orchestrator.report.reconciliation import reconcile

TICK_VALUE = 50


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> AccountBook:
    """A run of many trades, in which an account ends."""
    bars = walk(seed=5)
    return read_account_book(play(tmp_path_factory.mktemp("runs"), bars, every_tenth_minute(bars)))


def changed(book: AccountBook, type: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> AccountBook:
    """The book with the second event of a type changed; the only one, if there is one."""
    second = book.of(type)[:2][-1]
    events = [event._replace(payload=change(event.payload)) if event is second else event for event in book.events]
    return book._replace(events=tuple(events))


def faults(book: AccountBook) -> list[int]:
    """Which checks fail."""
    return [number for number, check in enumerate(reconcile(book, TICK_VALUE)) if not check.holds]


def test_the_books_of_a_real_run_agree(book: AccountBook) -> None:
    assert len(book.of("trade")) > 10 and book.of("account_ended")
    assert faults(book) == []


@pytest.mark.parametrize(
    ("type", "field", "failing"),
    [
        ("trade", "pnl", [0, 3]),
        ("trade", "gross", [0]),
        ("trade", "costs", [0, 1]),
        ("trade", "exit", [0, 1]),
        ("fill", "commission", [1, 2]),
        ("fill", "price", [1, 2]),
        ("fill", "execution", [1]),
        ("mark", "equity", [2]),
        ("session_closed", "cash", [2]),
        ("account_ended", "cash", [2, 3]),
    ],
)
def test_one_cent_or_tick_is_found(book: AccountBook, type: str, field: str, failing: list[int]) -> None:
    broken = changed(book, type, lambda payload: {**payload, field: payload[field] + 1})

    assert faults(broken) == failing


def test_a_fill_without_a_trade_is_found(book: AccountBook) -> None:
    lost = book.of("trade")[1]

    assert 1 in faults(book._replace(events=tuple(event for event in book.events if event is not lost)))
