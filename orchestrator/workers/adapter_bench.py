"""A bench over a broker worker: a process, a socket, and whatever outlives both; its market is moved by the bench."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.messaging.broker import BROKER_CATALOGUE, BrokerAdapter
from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.workers.broker import MOVED
from orchestrator.workers.broker_bench import bar_of, refused
from orchestrator.workers.processes import Bootstrap, Worker, WorkerConfig
from orchestrator.workers.remote_broker import BROKER, RemoteBroker
from trigate.errors import ConfigError

MODULE = "orchestrator.workers.broker"
READY_S = 60.0
LATE_S = 0.2


class WorkerBench:
    """What the checks of an adapter can do to a broker worker; a context manager that leaves no process behind."""

    def __init__(
        self,
        config: WorkerConfig,
        logs: Path,
        connections: type[WorkerConnections] = WorkerConnections,
    ) -> None:
        """Start the worker.

        Args:
            config: what it is started with.
            logs: the folder of its output.
            connections: to it; those of a test may have a defect.

        Raises:
            ProcessNotReadyError: it does not get ready; its log says why.
            ConfigError: an adapter trades another account than was asked for, or its market moves by itself.
        """
        self._config, self._logs, self._seq = config, logs, -1
        self._connections = connections("conformance", BROKER_CATALOGUE)
        self._remote = RemoteBroker(self._connections, deadline_s=READY_S)
        self.broker: BrokerAdapter = self._remote
        self.worker = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.worker.stop(grace_s=0.0)
        self._connections.close()

    def _started(self) -> Worker:
        bootstrap = Bootstrap(name=BROKER, credentials=self._connections.add_worker(BROKER), config=self._config)
        worker = Worker.start(MODULE, bootstrap, self._logs)
        try:
            ready = self._connections.wait_ready([BROKER], deadline_s=READY_S)[BROKER]
            if "adapter" in self._config:
                self._check(ready.serves.get("account"), ready.serves.get("market"))
        except BaseException:
            worker.stop(grace_s=0.0)
            raise
        return worker

    def _check(self, account: str | None, market: str | None) -> None:
        """Before anything is asked of it: no check may trade an account that counts."""
        name, wanted = self._config["adapter"], self._config["account"]
        if account != wanted:
            raise ConfigError(f"the adapter {name} trades account {account}, and {wanted} was asked for")
        if market != MOVED:
            raise ConfigError(
                f"the market of the adapter {name} moves by itself, so nothing is checked here: write a Bench over a "
                f"simulated account of its broker, and call faults (orchestrator/workers/broker_checks.py)"
            )

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
        self._remote.deadline_s = LATE_S
        try:
            refused(ask)
        finally:
            self._remote.deadline_s = READY_S
            os.kill(self.worker.pid, signal.SIGCONT)
