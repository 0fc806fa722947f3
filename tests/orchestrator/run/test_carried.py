"""A broker that closes nothing by itself where a session ends: asked to, waited for over the edge, and booked whole."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from orchestrator.journal.journal import read_journal
from orchestrator.messaging.broker import MarketMoves, MarketOver
from orchestrator.report.account_book import account_book, trades_of
from orchestrator.report.interventions import interventions
from orchestrator.report.reconciliation import reconcile
from orchestrator.report.status import status_of
from orchestrator.run.folder import RunFolder
from orchestrator.trader.sending import UnexplainedError
from orchestrator.trader.state import Standing
from orchestrator.workers.filled_in_parts import WHOLE, Parts
from orchestrator.workers.simulated_broker import SimulatedBroker
from tests.orchestrator.paper_market import MORNING, Market, ReadyCrew, play_paper, replays
from tests.orchestrator.paper_market import records as records_of
from tests.orchestrator.played_files import FileWorld
from tests.orchestrator.played_runs import walk
from tests.orchestrator.sent_runs import (
    SentWorld,
    broker_killed_at_every_question,
    few_bars,
    killed_at_every_step,
    ours,
    play_sent,
    records,
    wild,
    written,
)

GOES_ON = {"rules": "configs/rules/plain_static.toml", "at_target": "trade_on", "risk_dollars": 200}
NEXT_DAY = 2 * 1380
"""Number of the first bar of the session after that which is traded."""
DAYS = ("2024-06-03", "2024-06-04", "2024-06-05")


class Real(SimulatedBroker):
    """Knows of no session: what is open stays open and what works works on, until it is told otherwise."""

    def move(self, by: MarketMoves) -> None:
        """A minute at a time, and no end."""
        if not isinstance(by, MarketOver):
            super().move(by)


class RealWorld(SentWorld):
    """Whose account is at such a broker."""

    def broker(self, folder: Path, kind: type[SimulatedBroker] = Real) -> SimulatedBroker:
        """As its journal says it stands."""
        return super().broker(folder, kind)


def edges(parts: Parts = WHOLE) -> RealWorld:
    """Days that break off an hour and a half after noon, with orders that work and positions that are open."""
    left = [bar for bar in wild(walk(DAYS), 2) if bar.seq % 450 <= 279]
    return RealWorld([bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(left)], parts=parts, **GOES_ON)


def flat_at_last(bars: int, last_bar: int) -> Standing:
    """Everything closes before the bars end, so that a run can."""
    return "flat" if last_bar >= bars - 8 else "trading"


@pytest.mark.parametrize("parts", [WHOLE, Parts(3, 1)], ids=["whole", "over bars"])
def test_what_is_open_at_a_sessions_end_is_closed_at_the_next_open_and_the_books_agree(
    memory: Path, parts: Parts
) -> None:
    """Every edge with something open is carried over; nothing is decided until it has left, then the session ends."""
    world = edges(parts)

    assert play_sent(world, memory, operator=partial(flat_at_last, len(world.bars))).complete

    found = records(memory)
    book = account_book(found)
    assert [check.fault for check in reconcile(book, world.trading.venue.terms.tick_value)] == [""] * 4
    carried = [number for number, record in enumerate(found) if record.type == "still_open"]
    assert len(carried) == 2
    for number in carried:
        after = [record.type for record in found[number + 1 :]]
        closed, ended = after.index("trade"), after.index("session_closed")
        assert closed < ended and not {"acted", "proposed", "intent"} & set(after[:ended])
        trade = found[number + 1 + closed].payload
        first = next(record.payload for record in reversed(found[:number]) if record.type == "bar")
        assert trade["exit_ns"] == first["ts_event_ns"] or parts != WHOLE, "it leaves at the first open there is"
        assert (trade["reason"] == "flatten" or parts != WHOLE) and trade["order_id"] == found[number].payload["order"]
    assert len({record.payload["session"] for record in found if record.type == "session_closed"}) == 3


def test_days_that_end_flat_are_the_same_at_both_brokers(memory: Path) -> None:
    """A working entry that has no bar left to meet is taken back by an order, where the simulated market ends it."""
    bars = [bar for bar in wild(walk(DAYS[:2]), 2)]
    flat = [bar for bar in bars if bar.seq % 450 <= 266]
    world = RealWorld([bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(flat)])

    def standing(last_bar: int) -> Standing:
        return "flat" if last_bar % 267 > 258 else "trading"

    play_sent(world, memory / "real", operator=standing)
    play_sent(world, memory / "computed", sends=False, operator=standing)

    assert ours(memory / "real") == ours(memory / "computed")


def few(last_bar: int) -> Standing:
    """A position is open over the night, and nothing when the bars end."""
    return "flat" if last_bar >= 8 else "trading"


WORLD = RealWorld([bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(few_bars()[10:22])])
play_few = partial(play_sent, WORLD, operator=few)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    play_few(folder)
    return folder


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(memory: Path, whole: Path) -> None:
    kinds = killed_at_every_step(play_few, memory, written(whole))

    told = Counter(record.type for record in records(whole))
    assert told["still_open"] == 1 and kinds >= {"still_open", "OrderSent", "ExecutionsAsked", "session_closed"}


@pytest.mark.parametrize("done", [False, True], ids=["before its work", "after its work"])
def test_a_broker_killed_at_any_question_changes_no_byte(memory: Path, whole: Path, done: bool) -> None:
    assert broker_killed_at_every_question(WORLD, play_few, memory, written(whole), done=done) > 10


def test_what_is_open_when_there_are_no_more_bars_stops_the_run_until_it_is_closed(memory: Path, whole: Path) -> None:
    """A run cannot end with a position: the same command does once the broker has closed it."""
    held = [record.payload["bar"] for record in records(whole) if record.type == "mark" and record.payload["quantity"]]
    world = RealWorld(WORLD.bars[: held[-1] + 1])
    with pytest.raises(UnexplainedError, match="that it was asked to close, and there are no more bars") as stopped:
        play_sent(world, memory, operator=few)
    assert stopped.value.exit_code == 3 and [record.type for record in records(memory)][-2:] == ["executions", "order"]

    broker, last = world.broker(memory), world.bars[-1]
    broker.trade(last.model_copy(update={"seq": last.seq + 1, "ts_event_ns": last.ts_event_ns + 60 * 10**9}))
    broker.close()

    assert play_sent(world, memory, operator=few).complete
    book = account_book(records(memory))
    assert [check.fault for check in reconcile(book, world.trading.venue.terms.tick_value)] == [""] * 4
    assert trades_of(book)[-1].trade.reason == "flatten"


def test_on_paper_the_clock_asks_once_and_the_first_bar_that_comes_tells(file_world: FileWorld, memory: Path) -> None:
    """Nothing comes at the flat time: the broker is asked to close, and an alarm says what is open until it has."""

    def silent(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        while not sum(fill["quantity"] for fill in records_of(folder, "fill")):
            yield from market.trade(1)
        market.set_ns(int(market.bars.ts_event_ns[market.next]), 8 * 3600.0)
        yield
        yield
        alarms = status_of(folder).alarms
        assert any("the broker has not closed" in alarm and "orchestrator flatten" not in alarm for alarm in alarms)
        market.next = NEXT_DAY
        yield from market.trade(3)

    market = Market(file_world, memory, MORNING - 1380)
    run, _ = play_paper(file_world, market, memory / "runs", silent, broker_kind=Real, broker="simulated")

    kinds = [note["t"] for note in records_of(run, "flat_time", "still_open", "trade", "session_closed")]
    assert kinds == ["flat_time", "still_open", "trade", "session_closed"]
    assert records_of(run, "trade")[0]["reason"] == "flatten" and replays(run)
    assert not any("has not closed" in alarm for alarm in status_of(run).alarms)
    said = interventions(account_book(read_journal(run.journal))).sentences
    assert any("had not closed everything: once" in sentence for sentence in said)
