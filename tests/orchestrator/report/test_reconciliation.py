"""Books that agree, and what is found where one number was changed."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from played_runs import every_tenth_minute, play, walk

from orchestrator.report.account_book import AccountBook, account_book, read_account_book
from orchestrator.report.reconciliation import reconcile
from orchestrator.workers.filled_in_parts import Parts
from tests.orchestrator.sent_runs import SentWorld, play_sent, records, wild

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


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory: pytest.TempPathFactory) -> AccountBook:
    """A run whose broker leaves a part of every exit open for the bars that follow."""
    folder = tmp_path_factory.mktemp("in_parts")
    world = SentWorld(wild(walk(("2024-06-03",)), 2)[:150], parts=Parts(3, 1))
    play_sent(world, folder)
    return account_book(records(folder))


@pytest.mark.parametrize(
    ("type", "field", "failing"),
    [
        ("trade", "exit", [0, 1]),
        ("trade", "costs", [0, 1]),
        ("trade", "exit_ns", [1]),
        ("fill", "price", [1, 2]),
        ("fill", "quantity", [1, 2, 3]),
    ],
)
def test_one_cent_or_tick_is_found_where_exits_go_on_over_bars(
    in_parts: AccountBook, type: str, field: str, failing: list[int]
) -> None:
    """The second fill is a part of an exit; its trade is one, of several fills."""
    broken = changed(in_parts, type, lambda payload: {**payload, field: payload[field] + 1})

    assert faults(in_parts) == [] and len(in_parts.of("fill")) > 3 * len(in_parts.of("trade")) > 3
    assert faults(broken) == failing


def test_an_exit_that_is_not_the_mean_of_its_fills_is_found_where_its_costs_make_up_for_it(
    in_parts: AccountBook,
) -> None:
    """A tick better, and just so much more of costs: the result is the same, and the price is none that was traded."""

    def better(trade: Mapping[str, Any]) -> dict[str, Any]:
        side, worth = (1 if trade["quantity"] > 0 else -1), abs(trade["quantity"]) * TICK_VALUE
        moved = {"exit": trade["exit"] + side, "gross": trade["gross"] + worth, "costs": trade["costs"] + worth}
        return {**trade, **moved}

    broken = changed(in_parts, "trade", better)

    assert faults(broken) == [1] and "is not the mean price" in reconcile(broken, TICK_VALUE)[1].fault


def test_a_position_of_which_a_part_has_left_agrees_too(in_parts: AccountBook) -> None:
    """Cut where a part of the first exit is booked: what it brought is told, and to the cent."""
    second = in_parts.of("fill")[1]
    events = tuple(event for event in in_parts.events if event.bar <= second.bar)
    cut = in_parts._replace(events=events, ended=False)
    marked = [event for event in events if event.type == "mark"][-1].payload

    found = reconcile(cut, TICK_VALUE)

    assert [check.fault for check in found] == [""] * 4 and marked["quantity"] != 0
    assert "the last are of the open position" in found[1].statement and "so far, costs included" in found[3].statement


def test_a_fill_without_a_trade_is_found(book: AccountBook) -> None:
    lost = book.of("trade")[1]

    assert 1 in faults(book._replace(events=tuple(event for event in book.events if event is not lost)))
