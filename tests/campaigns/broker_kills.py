"""The broker worker, killed at every system call: started again and asked again, it answers as if it never died."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.messaging.broker import BROKER_CATALOGUE, Bracket, Execution, new_executions
from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.workers.processes import Bootstrap, Worker
from orchestrator.workers.remote_broker import BROKER, RemoteBroker
from rl_core.trading.hours import MINUTE_NS
from rl_core.trading.setup import TradingConfig
from tests.campaigns.forked_runs import SPARE, begin, left_alive, workers_in
from tests.campaigns.traced import killed_at, listed, points_in
from trigate.errors import ProcessNotReadyError

TRADING = TradingConfig.model_validate({"rules": "plain_static"})
START_NS, PRICE, STOP, TARGET = 1_704_200_000_000_000_000, 80_000, 40, 80
ORDERS = 16
DEADLINE_S, READY_S, QUIET_S = 0.5, 60.0, 3600.0
RESTARTS = 2
MOST_ASKS = 50
Answer = TypeVar("Answer")


class BrokerCase:
    """An account of `ORDERS` orders behind a socket."""

    name = "broker"

    def __init__(self, slot: Path) -> None:
        """Trade it unbroken and listed, so that its points are known."""
        self._unbroken = self._traded(slot, lambda pid: listed(pid, slot / "trace"))
        assert self._unbroken["code"] == 0, (slot / "log").read_text()
        self.points = points_in(slot / "trace", _journal(slot))
        self.whole = blake2b(self._unbroken["journal"], digest_size=16).hexdigest()

    def kill(self, call: str, number: int, slot: Path) -> dict[str, Any]:
        """Kill the broker there; whoever trades through it starts it again and goes on."""
        found = self._traded(slot, lambda pid: killed_at(pid, call, number, _journal(slot)))
        same = all(found[key] == self._unbroken[key] for key in ("code", "journal", "seen"))
        told = {"killed": found["restarts"] > 0, "alive": found["alive"], "records": found["journal"].count(b"\n")}
        return told | {"results": True, "same": same} | ({} if same else {"said": (slot / "log").read_text()[-2000:]})

    def _traded(self, slot: Path, traced: Callable[[int], Any]) -> dict[str, Any]:
        """Trade the account from its first order to its last; the first broker is ``traced``."""
        shutil.rmtree(slot, ignore_errors=True)
        slot.mkdir(parents=True)
        begun = begin(lambda: _trade(slot), spares=RESTARTS + 1, log=slot / "log", pids=slot / "pids")
        tracer = traced(workers_in(slot / "pids", SPARE)[-1])
        begun.let_go()
        code = begun.wait()
        tracer.wait()
        alive = left_alive()
        seen = json.loads((slot / "seen.json").read_text()) if code == 0 else {}
        return {
            "code": code,
            "alive": alive,
            "restarts": seen.pop("restarts", 0),
            "seen": seen,
            "journal": _journal(slot).read_bytes(),
        }


def _journal(slot: Path) -> Path:
    return slot / "broker" / "journal.jsonl"


def _trade(slot: Path) -> None:
    """Trade, and write down what was seen."""
    with WorkerConnections("kills", BROKER_CATALOGUE, heartbeat_s=QUIET_S) as connections:
        desk = _Desk(slot, connections)
        try:
            for number in range(ORDERS):
                desk.order(number)
        finally:
            desk.worker.stop(grace_s=0.0)
    seen = {"executions": [each.model_dump() for each in desk.taken], "states": desk.states, "restarts": desk.restarts}
    (slot / "seen.json").write_text(json.dumps(seen))


class _Desk:
    """Whoever trades through the broker: what is not answered is asked again, of a new broker if the old one died."""

    def __init__(self, slot: Path, connections: WorkerConnections) -> None:
        self._slot, self._connections = slot, connections
        self._broker = RemoteBroker(connections, deadline_s=DEADLINE_S)
        self._bars, self.restarts = 0, 0
        self.taken: list[Execution] = []
        self.states: list[str] = []
        self.worker = self._started()

    def order(self, number: int) -> None:
        """One order from its submission to flat: closed by its stop, by its target, by us, or cancelled before."""
        bracket = Bracket(
            order_id=f"order.{number}",
            quantity=1 + number % 3 if number % 2 else -1 - number % 3,
            stop_ticks=STOP,
            target_ticks=TARGET,
        )
        self._ask(lambda: self._broker.submit(bracket))
        if number % 5 == 4:
            self._ask(lambda: self._broker.cancel(bracket.order_id))
        self._bar(PRICE - 1, PRICE + 1)
        self._take()
        if number % 3 == 0:
            self._ask(lambda: self._broker.flatten(bracket.order_id))
        down, up = (STOP + 10, 0) if number % 4 < 2 else (0, TARGET + 10)
        self._bar(PRICE - down - 1, PRICE + up + 1)
        self._bar(PRICE - STOP - TARGET, PRICE + STOP + TARGET)
        self._take()
        state = self._ask(lambda: self._broker.state(bracket.order_id))
        self.states.append(f"{state.order_id} {state.status} {state.filled}")

    def _take(self) -> None:
        last = self.taken[-1].number if self.taken else 0
        self.taken += self._ask(lambda: new_executions(self._broker, last))
        through = self.taken[-1].number if self.taken else 0
        self._ask(lambda: self._broker.acknowledge(through))

    def _bar(self, low: int, high: int) -> None:
        seq, self._bars = self._bars, self._bars + 1
        at_ns = START_NS + seq * MINUTE_NS
        bar = Bar(seq=seq, ts_event_ns=at_ns, open=PRICE, high=high, low=low, close=PRICE, volume=1000)
        self._ask(lambda: self._broker.trade(bar))

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        for _ in range(MOST_ASKS):
            try:
                return question()
            except ProcessNotReadyError:
                if not self.worker.alive():
                    self.restarts += 1
                    self.worker = self._started()
        raise AssertionError(f"no answer to {MOST_ASKS} asks")

    def _started(self) -> Worker:
        config = {"trading": TRADING.model_dump(mode="json"), "market": "NQ", "parts": [1, 0]}
        config["journal"] = str(_journal(self._slot))
        for _ in range(RESTARTS + 1):
            bootstrap = Bootstrap(name=BROKER, credentials=self._connections.add_worker(BROKER), config=config)
            worker = Worker.start("orchestrator.workers.broker", bootstrap, self._slot / "logs")
            try:
                self._connections.wait_ready([BROKER], deadline_s=READY_S, check=partial(_check, worker))
                return worker
            except ProcessNotReadyError:
                self.restarts += 1
        raise AssertionError("the broker never became ready")


def _check(worker: Worker) -> None:
    if not worker.alive():
        raise ProcessNotReadyError("it died at its start")
