"""The simulated broker, in this process and behind a socket, conforms; every planted defect is caught by a check."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.messaging.broker import (
    BROKER_CATALOGUE,
    Bracket,
    BrokerAdapter,
    Execution,
    ExecutionGapError,
    Executions,
    Holdings,
    OrderState,
    new_executions,
)
from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.runner_end import NoReplyError, WorkerConnections
from orchestrator.messaging.wire import Received
from orchestrator.workers.processes import Bootstrap, Worker
from orchestrator.workers.remote_broker import BROKER, RemoteBroker
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.exchange.instruments import instrument
from rl_core.market.types import Order
from rl_core.trading.hours import MINUTE_NS
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.broker_conformance import CHECKS, PRICE, Account, check, faults, refused
from trigate.errors import ProcessNotReadyError

TRADING = TradingConfig.model_validate({"rules": "plain_static"})
COMPILED = compile_trading(TRADING, instrument("NQ"))
START_NS = 1_704_200_000_000_000_000
READY_S = 60.0


def bar_of(seq: int, low: int, high: int, volume: int) -> Bar:
    prices = {"open": PRICE, "high": max(high, PRICE), "low": min(low, PRICE), "close": PRICE}
    return Bar(seq=seq, ts_event_ns=START_NS + seq * MINUTE_NS, volume=volume, **prices)


class Restarted:
    """An adapter over whichever broker lives now, whose next answer can be lost after it was made."""

    def __init__(self, opened: Callable[[], SimulatedBroker]) -> None:
        """``opened`` reads the broker's journal again."""
        self._opened, self.now, self.lost = opened, opened(), False

    def __getattr__(self, name: str) -> Any:
        def asked(*arguments: Any) -> Any:
            answer = getattr(self.now, name)(*arguments)
            if self.lost:
                self.lost = False
                raise ProcessNotReadyError("no answer in time")
            return answer

        return asked

    def restart(self) -> None:
        """As after a kill."""
        self.now.close()
        self.now = self._opened()


class Here:
    """A bench over a broker in this process, with its journal."""

    def __init__(self, folder: Path, kind: type[SimulatedBroker] = SimulatedBroker) -> None:
        """``kind`` may have a defect."""
        path = folder / "broker" / "journal.jsonl"
        most = COMPILED.limits.max_quantity
        self._living = Restarted(lambda: kind.open(COMPILED.venue, most, path))
        self.broker: BrokerAdapter = self._living
        self._seq = -1

    def trade(self, low: int, high: int, *, volume: int = 1000) -> None:
        """One bar."""
        self._seq += 1
        self._living.now.trade(bar_of(self._seq, low, high, volume))

    def kill(self) -> None:
        """And have it back."""
        self._living.restart()

    def lose_the_answer(self, ask: Callable[[], object]) -> None:
        """After it was made."""
        self._living.lost = True
        refused(ask)


class Behind:
    """A bench over the broker worker: a process, a socket, and a journal that outlives both."""

    def __init__(self, folder: Path, connections: WorkerConnections) -> None:
        """Start the worker, whose ``connections`` may have a defect."""
        self._folder, self._connections, self._seq = folder, connections, -1
        self._remote = RemoteBroker(connections, deadline_s=READY_S)
        self.broker: BrokerAdapter = self._remote
        self.worker = self._started()

    def _started(self) -> Worker:
        config: dict[str, Any] = {"trading": TRADING.model_dump(mode="json"), "market": "NQ"}
        config |= {"journal": str(self._folder / "broker" / "journal.jsonl"), "parts": [1, 0]}
        bootstrap = Bootstrap(name=BROKER, credentials=self._connections.add_worker(BROKER), config=config)
        worker = Worker.start("orchestrator.workers.broker", bootstrap, self._folder / "logs")
        self._connections.wait_ready([BROKER], deadline_s=READY_S)
        return worker

    def trade(self, low: int, high: int, *, volume: int = 1000) -> None:
        """One bar."""
        self._seq += 1
        self._remote.trade(bar_of(self._seq, low, high, volume))

    def kill(self) -> None:
        """And have it back."""
        os.kill(self.worker.pid, signal.SIGKILL)
        self.worker.wait(READY_S)
        self.worker = self._started()

    def lose_the_answer(self, ask: Callable[[], object]) -> None:
        """The broker sleeps while it is asked, and answers once it wakes: after the deadline."""
        os.kill(self.worker.pid, signal.SIGSTOP)
        self._remote._deadline_s = 0.2
        try:
            refused(ask)
        finally:
            self._remote._deadline_s = READY_S
            os.kill(self.worker.pid, signal.SIGCONT)


def behind(folder: Path, connections: type[WorkerConnections] = WorkerConnections) -> Iterator[Behind]:
    with connections("conformance", BROKER_CATALOGUE) as open_connections:
        bench = Behind(folder, open_connections)
        yield bench
        bench.worker.stop(grace_s=0.0)


@pytest.fixture(scope="module")
def account_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One account for every check."""
    for bench in behind(tmp_path_factory.mktemp("behind")):
        yield Account(bench)


@pytest.mark.parametrize("holds", CHECKS, ids=lambda holds: holds.__name__)
def test_the_simulated_broker_conforms(tmp_path: Path, holds: Callable[..., None]) -> None:
    check(Account(Here(tmp_path)), holds)


def test_one_account_serves_all_checks(tmp_path: Path) -> None:
    assert faults(Account(Here(tmp_path))) == {}


@pytest.mark.process
@pytest.mark.parametrize("holds", CHECKS, ids=lambda holds: holds.__name__)
def test_the_same_broker_behind_a_socket_conforms(account_behind: Account, holds: Callable[..., None]) -> None:
    check(account_behind, holds)


class AnswersBeforeItWrites(SimulatedBroker):
    """What is asked reaches the journal with the next question only."""

    _late: tuple[str, dict[str, Any]] | None = None

    def _take(self, type: str, payload: dict[str, Any]) -> None:
        after, journal = self._after(type, payload), self._journal
        if self._late is not None and journal is not None:
            journal.append(*self._late, sync=True)
        self._late, self._book = (type, payload), after


class ForgetsIds(SimulatedBroker):
    """An id that came before is a new order once the old one is done."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With the defect."""
        if bracket.order_id != self._book.live:
            self._take("submit", bracket.model_dump())
        return self.state(bracket.order_id)


class NumbersWithGaps(SimulatedBroker):
    """Every exit takes two numbers."""

    def _after(self, type: str, payload: Any) -> Any:
        book = super()._after(type, payload)
        if len(book.kept) > len(self._book.kept) and book.kept[-1].leg != "entry":
            moved = book.kept[-1].model_copy(update={"number": book.kept[-1].number + 1})
            held = book.held._replace(executions=book.held.executions + 1)
            book = book._replace(held=held, kept=(*book.kept[:-1], moved))
        return book


class TellsOnce(SimulatedBroker):
    """An execution is forgotten once it was told."""

    def executions(self, after: int) -> tuple[Execution, ...]:
        """With the defect."""
        found = super().executions(after)
        self._book = self._book._replace(kept=())
        return found


class TakesNakedEntries(SimulatedBroker):
    """A stop that is none is made one, far away."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With the defect."""
        fixed = {"stop_ticks": max(1, bracket.stop_ticks), "target_ticks": max(1, bracket.target_ticks)}
        return super().submit(bracket.model_copy(update=fixed))


class CancelsInWords(SimulatedBroker):
    """A cancelled order is told to be, and works on."""

    def cancel(self, order_id: str) -> OrderState:
        """With the defect."""
        state = self.state(order_id)
        return state if state.status != "working" else state.model_copy(update={"status": "cancelled"})


class FillsTheRestLater(SimulatedBroker):
    """A thin market fills an order whole."""

    def trade(self, bar: Bar) -> None:
        """With the defect."""
        super().trade(bar.model_copy(update={"volume": 10_000}))


class HoldsWhatItSubmitted(SimulatedBroker):
    """What works is counted as held."""

    def holdings(self) -> Holdings:
        """With the defect."""
        held = super().holdings()
        return held.model_copy(update={"quantity": held.quantity + self._book.held.order.quantity})


class ClosesTwice(SimulatedBroker):
    """A position that was closed by its bracket while it was to be flattened is closed once more."""

    def _after(self, type: str, payload: Any) -> Any:
        book, before = super()._after(type, payload), self._book
        if type == "bar" and before.held.order == Order(0, 0, 0, True) and book.kept != before.kept:
            again = book.kept[-1].model_copy(update={"number": book.kept[-1].number + 1})
            held = book.held._replace(executions=book.held.executions + 1)
            book = book._replace(held=held, kept=(*book.kept, again))
        return book


class StopsForTheWhole(SimulatedBroker):
    """A stop closes what had entered, also where a part of it has left meanwhile."""

    def _after(self, type: str, payload: Any) -> Any:
        book, before = super()._after(type, payload), self._book
        entered = before.brackets[before.live].quantity if before.live else 0
        if type == "bar" and 0 < before.held.position.quantity < entered and book.kept and book.kept[-1].leg == "stop":
            more = book.kept[-1].model_copy(update={"quantity": -entered})
            book = book._replace(kept=(*book.kept[:-1], more))
        return book


class ForgetsWhatStaysOpen(SimulatedBroker):
    """What a part of an exit leaves open has no stop."""

    def _after(self, type: str, payload: Any) -> Any:
        book, before = super()._after(type, payload), self._book
        held = book.held.position
        if type == "bar" and 0 < held.quantity < before.held.position.quantity:
            book = book._replace(held=book.held._replace(position=held._replace(stop=-(10**6))))
        return book


class MovesInWords(SimulatedBroker):
    """A stop is told to stand elsewhere, and works where it stood."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        return self.state(order_id).model_copy(update={"stop": stop})


class TakesMovesAsTheyCome(SimulatedBroker):
    """The last move that came is the one that counts, whatever its number."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        self._book = self._book._replace(revision=0)
        return super().move_stop(order_id, revision, stop)


class OpensTheStopAgain(SimulatedBroker):
    """A stop is told to stand though nothing is open any more."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        return super().move_stop(order_id, revision, stop).model_copy(update={"stop": stop})


class DropsARefusedStop(SimulatedBroker):
    """The old stop is cancelled before the new one is looked at."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        told, held = super().move_stop(order_id, revision, stop), self._book.held
        if told.reason:
            naked = held._replace(position=held.position._replace(stop=0))
            self._book = self._book._replace(held=naked)
        return self.state(order_id)


class MovesWithoutARecord(SimulatedBroker):
    """Where a stop was moved to is forgotten with the process."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        journal, self._journal = self._journal, None
        try:
            return super().move_stop(order_id, revision, stop)
        finally:
            self._journal = journal


PLANTED: dict[type[SimulatedBroker], str] = {
    AnswersBeforeItWrites: "what_was_answered_outlives_a_kill",
    ForgetsIds: "the_same_id_is_the_same_order",
    NumbersWithGaps: "executions_are_dense_and_kept_until_they_are_acknowledged",
    TellsOnce: "executions_are_dense_and_kept_until_they_are_acknowledged",
    TakesNakedEntries: "a_bracket_with_a_bad_leg_is_rejected_whole",
    CancelsInWords: "nothing_fills_after_a_cancel",
    FillsTheRestLater: "what_a_thin_market_leaves_is_protected_as_far_as_it_filled",
    HoldsWhatItSubmitted: "what_is_held_and_works_is_told",
    StopsForTheWhole: "a_part_of_an_exit_leaves_the_rest_with_its_stop",
    ForgetsWhatStaysOpen: "a_part_of_an_exit_leaves_the_rest_with_its_stop",
    ClosesTwice: "stop_and_flatten_never_both_fill",
    MovesInWords: "a_stop_stands_where_it_was_moved_to",
    TakesMovesAsTheyCome: "a_move_counts_once_and_an_older_one_not_at_all",
    OpensTheStopAgain: "a_move_that_comes_after_the_stop_filled_changes_nothing",
    DropsARefusedStop: "a_move_that_is_refused_leaves_the_stop_that_was",
    MovesWithoutARecord: "a_stop_that_was_moved_outlives_a_kill",
}


@pytest.mark.parametrize("defect", PLANTED, ids=lambda defect: defect.__name__)
def test_a_planted_defect_is_caught(tmp_path: Path, defect: type[SimulatedBroker]) -> None:
    (holds,) = [each for each in CHECKS if each.__name__ == PLANTED[defect]]

    with pytest.raises((AssertionError, ExecutionGapError)):
        check(Account(Here(tmp_path, defect)), holds)


class SaysOneIdAgain(WorkerConnections):
    """Every question has the same name, so that a late answer to one fits the next."""

    def send(self, worker: str, message: Any, arrays: Any = ()) -> str:
        """With the defect."""
        self._sent = 0
        return super().send(worker, message, arrays)


@pytest.mark.process
def test_a_late_reply_that_is_accepted_is_caught(tmp_path: Path) -> None:
    for bench in behind(tmp_path, SaysOneIdAgain):
        with pytest.raises((AssertionError, ProcessNotReadyError)):
            check(Account(bench), CHECKS[-1])


class Scripted:
    """Tells executions as a test wants them."""

    def __init__(self, *told: tuple[int, ...]) -> None:
        self._told = list(told)

    def executions(self, after: int) -> list[Execution]:
        """The next that were scripted."""
        named = {"order_id": "a", "leg": "entry", "quantity": 1, "price": 1, "ts_event_ns": 0}
        return [Execution.model_validate({"number": number, **named}) for number in self._told.pop(0)]


@pytest.mark.parametrize(
    ("told", "taken"),
    [(((5, 6),), [5, 6]), (((6, 5, 5, 4),), [5, 6]), (((6,), (5, 6)), [5, 6]), (((),), [])],
    ids=["in order", "shuffled and twice", "asked again", "none"],
)
def test_executions_are_taken_once_each_and_in_order(told: tuple[tuple[int, ...], ...], taken: list[int]) -> None:
    broker: Any = Scripted(*told)

    assert [each.number for each in new_executions(broker, 4)] == taken


def test_a_second_gap_stops_everything() -> None:
    broker: Any = Scripted((5, 7), (5, 7))

    with pytest.raises(ExecutionGapError, match="execution 6, and told 7"):
        new_executions(broker, 4)


class SaysTheSame:
    """A broker that answers every question for executions with its first one."""

    def request(self, worker: str, message: Any, *, deadline_s: float) -> Received:
        """Whatever is asked."""
        return Received(worker, "1", Executions(executions=tuple(Scripted((1,)).executions(0))))


def test_a_broker_that_tells_the_same_executions_again_and_again_is_refused() -> None:
    """It would otherwise be asked for ever."""
    connections: Any = SaysTheSame()

    with pytest.raises(NoReplyError, match="asked for executions above 1 it told 1 last"):
        RemoteBroker(connections).executions(0)
