"""Bars as they come, and orders that go to a broker: the trades of the run without one, and it is waited for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.report.account_book import account_book
from orchestrator.report.reconciliation import reconcile
from orchestrator.report.status import status_of
from orchestrator.run.folder import RunFolder
from rl_core.bars.read import read_bars
from rl_core.exchange.instruments import instrument
from tests.orchestrator.paper_market import (
    MORNING,
    Market,
    ReadyCrew,
    morning,
    play_paper,
    records,
    replays,
)
from tests.orchestrator.played_files import FileWorld
from tests.processes.conftest import untrained
from trigate.errors import ProcessNotReadyError

NAMED = ("entry_ns", "entry", "exit_ns", "exit", "reason", "quantity", "pnl", "risk", "attempt")
BARS = 200


def busy(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
    """Bars of a busy morning."""
    yield from market.trade(BARS)


def two_halves(folder: Path) -> tuple[Path, Path]:
    """Places of two markets."""
    (folder / "sent").mkdir()
    (folder / "computed").mkdir()
    return folder / "sent", folder / "computed"


def traded(run: RunFolder) -> list[tuple[object, ...]]:
    """Its trades, without the run's own names."""
    return [tuple(trade[name] for name in NAMED) for trade in records(run, "trade")]


def test_trades_are_those_of_the_run_without_a_broker(file_world: FileWorld, tmp_path: Path) -> None:
    """Stopped on the way and gone on with, too; and every byte comes out again without the broker."""
    places = two_halves(tmp_path)

    def half(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(BARS // 2)

    market = morning(file_world, places[0])
    play_paper(file_world, market, places[0] / "runs", half, broker="simulated")
    sent, _ = play_paper(file_world, market, places[0] / "runs", half, broker="simulated")
    computed, _ = play_paper(file_world, morning(file_world, places[1]), places[1] / "runs", busy)

    assert traded(sent) == traded(computed) and len(traded(sent)) > 5
    assert [each["ts_event_ns"] for each in records(sent, "bar")] == [
        int(ts) for ts in market.bars.ts_event_ns[MORNING : MORNING + BARS]
    ]
    assert replays(sent)


@pytest.fixture(scope="module")
def managed_world(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> FileWorld:
    """The same bars, and an untrained policy of phase 2."""
    minutes = read_bars(file_world.bars)
    folder = tmp_path_factory.mktemp("managed_world")
    return file_world._replace(checkpoint=untrained(folder, 2, minutes, int(minutes.ts_event_ns[0])))


def test_stops_that_a_policy_moves_are_moved_at_the_broker(managed_world: FileWorld, tmp_path: Path) -> None:
    """Some answers are lost on the way, though the broker did what it was asked; each move counts once."""
    places = two_halves(tmp_path)

    def losing(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        for _ in range(BARS):
            crew.broker_misses = 1
            yield from market.trade(1)

    sent, _ = play_paper(
        managed_world, morning(managed_world, places[0]), places[0] / "runs", losing, broker="simulated"
    )
    computed, _ = play_paper(managed_world, morning(managed_world, places[1]), places[1] / "runs", busy)

    assert traded(sent) == traded(computed) and len(traded(sent)) > 5
    at_broker = [record.payload for record in read_journal(sent.path / "broker" / "journal.jsonl")]
    moves = [(each["order"], each["revision"], each["stop"]) for each in records(sent, "stop_move")]
    taken = [(each["order_id"], each["revision"], each["stop"]) for each in at_broker if "revision" in each]
    assert taken == moves and len(moves) > 10
    assert replays(sent)


def test_exits_that_go_on_over_bars_are_trades_whose_books_agree(managed_world: FileWorld, tmp_path: Path) -> None:
    """As bars come, with some answers lost on the way; stopped while a part is open, and gone on with."""
    market = morning(managed_world, tmp_path)

    def until_a_part_is_open(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        while not (held(folder) and records(folder, "fill")[-1]["reason"] != "entry"):
            crew.broker_misses = 1
            yield from market.trade(1)

    def a_while(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(60)

    in_parts = {"broker": "simulated", "broker_parts": 4, "broker_parts_a_bar": 2}
    run, _ = play_paper(managed_world, market, tmp_path / "runs", until_a_part_is_open, **in_parts)
    told = status_of(run).now
    run, _ = play_paper(managed_world, market, tmp_path / "runs", a_while, **in_parts)

    assert 0 < abs(told.quantity) < abs(told.entered)
    book = account_book(read_journal(run.journal))
    assert len(book.of("fill")) > 3 * len(book.of("trade")) > 6
    assert [check.fault for check in reconcile(book, instrument("MNQ").tick_value)] == [""] * 4
    assert replays(run)


def test_what_the_clock_closes_leaves_at_the_broker(file_world: FileWorld, tmp_path: Path) -> None:
    """No bar comes any more, and the flat time passes: the broker's execution is at the last price."""
    places = two_halves(tmp_path)

    def silent(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        while not held(folder):
            yield from market.trade(1)
        market.set_ns(int(market.bars.ts_event_ns[-1]), 3600.0)
        yield

    sent, _ = play_paper(file_world, morning(file_world, places[0]), places[0] / "runs", silent, broker="simulated")
    computed, _ = play_paper(file_world, morning(file_world, places[1]), places[1] / "runs", silent)

    assert traded(sent) == traded(computed)
    assert [trade["reason"] for trade in records(sent, "trade")][-1] == "session_end"
    assert replays(sent)


def held(run: RunFolder) -> int:
    """Contracts that are open by the record."""
    return sum(fill["quantity"] for fill in records(run, "fill"))


def test_a_broker_whose_answers_are_lost_is_asked_again_and_trades_once(file_world: FileWorld, tmp_path: Path) -> None:
    places = two_halves(tmp_path)

    def losing(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        for _ in range(BARS):
            crew.broker_misses = 2
            yield from market.trade(1)

    sent, _ = play_paper(file_world, morning(file_world, places[0]), places[0] / "runs", losing, broker="simulated")
    computed, _ = play_paper(file_world, morning(file_world, places[1]), places[1] / "runs", busy)

    assert traded(sent) == traded(computed)
    assert b"broker_missed" in sent.telemetry.read_bytes()


def test_a_broker_that_is_given_up_stops_the_run_at_once(file_world: FileWorld, tmp_path: Path) -> None:
    """Nothing can be closed without it: stop and target work there. The same command goes on once it is back."""
    market = morning(file_world, tmp_path)

    def lost(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        while not held(folder):
            yield from market.trade(1)
        crew.given_up, crew.silent = True, None
        yield from market.trade(5)

    with pytest.raises(ProcessNotReadyError, match="broker: a test says so"):
        play_paper(file_world, market, tmp_path / "runs", lost, broker="simulated")
    again, _ = play_paper(file_world, market, tmp_path / "runs", busy, broker="simulated")

    assert len(traded(again)) > 3 and replays(again)
