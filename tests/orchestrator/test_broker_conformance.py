"""The simulated broker, in this process and behind a socket, conforms; every planted defect is caught by a check."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.messaging.broker import (
    BrokerAdapter,
    Execution,
    ExecutionGapError,
    Executions,
    new_executions,
)
from orchestrator.messaging.runner_end import NoReplyError, WorkerConnections
from orchestrator.messaging.wire import Received
from orchestrator.workers.adapter_bench import WorkerBench
from orchestrator.workers.broker_bench import Account, bar_of, refused
from orchestrator.workers.broker_checks import CHECKS, check, faults
from orchestrator.workers.remote_broker import RemoteBroker
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.broker_defects import PLANTED
from trigate.errors import ProcessNotReadyError

TRADING = TradingConfig.model_validate({"rules": "plain_static"})
COMPILED = compile_trading(TRADING, instrument("NQ"))


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


def behind(folder: Path, connections: type[WorkerConnections] = WorkerConnections) -> WorkerBench:
    """The broker worker: a process, a socket, and a journal that outlives both."""
    config = {"trading": TRADING.model_dump(mode="json"), "market": "NQ", "parts": [1, 0]}
    return WorkerBench({**config, "journal": str(folder / "broker" / "journal.jsonl")}, folder / "logs", connections)


@pytest.fixture(scope="module")
def account_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """One account for every check."""
    with behind(tmp_path_factory.mktemp("behind")) as bench:
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
    with behind(tmp_path, SaysOneIdAgain) as bench, pytest.raises((AssertionError, ProcessNotReadyError)):
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
