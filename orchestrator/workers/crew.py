"""The workers of a run: started, asked with a deadline, started again as `supervision` says, and stopped."""

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import NamedTuple, Self

import structlog
from pydantic import BaseModel

from orchestrator.clock import Deadline
from orchestrator.messaging.catalogue import CATALOGUE
from orchestrator.messaging.runner_end import NoReplyError, Pending, WorkerConnections
from orchestrator.messaging.wire import Array, Catalogue, Ready, Received, Shutdown, WorkerFailed
from orchestrator.workers import supervision
from orchestrator.workers.processes import Bootstrap, Spares, Worker, WorkerConfig
from orchestrator.workers.supervision import StartWorker, StopRun, StopWorker, SupervisorState
from trigate.errors import ProcessNotReadyError

START_DEADLINE_S = 120.0
SILENCE_S = 10.0
SHUTDOWN_S = 2.0
"""All workers together have so long to end by themselves: they keep nothing that a kill would lose."""
TEND_EVERY_S = 0.25
_PUMP_S = 0.05

log = structlog.get_logger(__name__)


class Job(NamedTuple):
    """What a worker is started with."""

    module: str
    config: WorkerConfig
    serves: Mapping[str, str] = MappingProxyType({})
    """What it must say that it has loaded, by name: digests of code, checkpoint and prompt."""
    speaks: Catalogue = CATALOGUE
    """The messages that it takes and gives."""


class Crew:
    """Every worker of one run; a context manager that leaves no process behind."""

    def __init__(
        self,
        run_id: str,
        jobs: Mapping[str, Job],
        logs: Path,
        *,
        notify: Callable[[str], None] = lambda text: None,
        check: Callable[[], None] = lambda: None,
        spares: Spares | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            run_id: what every message carries.
            jobs: the first workers by name.
            logs: the folder of their output.
            notify: gets one line for every failure and restart.
            check: called while a worker is waited for; it may raise, say because the user wants to stop.
            spares: processes that have been begun for them already, and are whose they are.
        """
        self._spares = spares
        self._jobs, self._logs, self._notify, self._check = dict(jobs), logs, notify, check
        spoken = {kind: model for job in jobs.values() for kind, model in job.speaks.items()}
        self._connections = WorkerConnections(run_id, {**CATALOGUE, **spoken})
        self._workers: dict[str, Worker] = {}
        self._state: SupervisorState = supervision.supervise(self._jobs, time.monotonic())
        self._next_look_s = 0.0

    @property
    def socket_folder(self) -> str:
        """Where the sockets are."""
        return str(self._connections.folder)

    @property
    def refused(self) -> dict[str, int]:
        """What came in and was not used: messages by why they were dropped, and strangers whose key was unknown."""
        return {**self._connections.dropped, "strangers": self._connections.strangers}

    def begin(self) -> None:
        """Start every worker, and wait for none."""
        self._apply(supervision.advance(self._state, supervision.Tick(time.monotonic())))

    def wait(self) -> None:
        """Wait until all that were begun can answer.

        Raises:
            ProcessNotReadyError: one ended, failed or was too slow; its cause or exit status and its log are named.
                Or it has loaded something else than its job says.
        """
        names = list(self._jobs)
        ready = self._connections.wait_ready(names, deadline_s=START_DEADLINE_S, check=self._while_starting)
        for name in names:
            self._check_served(name, ready[name])
        self._connections.poll()
        for name in names:
            self._event(supervision.WorkerReady(name, time.monotonic()))

    def ask(self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float) -> Received:
        """The worker's answer; a worker that is being started again is waited for, as simulated time stands still.

        Raises:
            NoReplyError: none in time; the worker is then started again before its next question.
            ProcessNotReadyError: it cannot be brought back.
        """
        self.tend()
        self._await(worker)

        def check() -> None:
            self._check()
            if not self._workers[worker].alive():  # no answer will come, and the deadline may be long
                raise NoReplyError(worker, "failed", _how_it_ended(self._workers[worker]))

        try:
            return self._connections.request(worker, message, arrays, deadline_s=deadline_s, check=check)
        except NoReplyError as error:
            self._failed(worker, str(error))
            raise

    def ask_within(
        self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float
    ) -> Received:
        """As `ask`, but for ``deadline_s`` in all: where time goes on, no worker that starts again is waited for.

        Raises:
            NoReplyError: none in time, or the worker is being started again.
            ProcessNotReadyError: it cannot be brought back.
        """
        deadline = Deadline(deadline_s)
        self._look_if_ended(worker)
        self.tend()
        if self._state.workers[worker].phase != "ready":
            raise NoReplyError(worker, "unreachable", "it is being started again")
        try:
            return self._connections.request(
                worker, message, arrays, deadline_s=deadline.remaining(), check=self._check
            )
        except NoReplyError as error:
            self._failed(worker, str(error))
            raise

    def can_answer(self, worker: str) -> bool:
        """Whether it is there to be asked, and is not being started again; never waits.

        Raises:
            ProcessNotReadyError: it cannot be brought back.
        """
        self._look_if_ended(worker)
        self.tend()
        return self._state.workers[worker].phase == "ready"

    def begin_asking(
        self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float
    ) -> Pending:
        """Send the question and do not wait; `answer_to` tells the answer.

        Raises:
            NoReplyError, ProcessNotReadyError: as `ask`.
        """
        try:
            return self._connections.begin(worker, message, arrays, deadline_s=deadline_s)
        except NoReplyError as error:
            self._failed(worker, str(error))
            raise

    def answer_to(self, pending: Pending, *, wait_s: float) -> Received | None:
        """The answer, None if it has not come after ``wait_s``.

        Raises:
            NoReplyError, ProcessNotReadyError: as `ask`.
        """
        if self._state.workers[pending.worker].phase != "ready":
            raise NoReplyError(pending.worker, "unreachable", "it is being started again")
        try:
            return self._connections.answer(pending, wait_s=wait_s)
        except NoReplyError as error:
            # Of a worker that was started again meanwhile the failure was counted when it was found.
            if error.cause != "unreachable":
                self._failed(pending.worker, str(error))
            raise

    def refuse_answer(self, worker: str, cause: str) -> None:
        """Count an answer that cannot be used as a failure of its worker, which is started again.

        Raises:
            ProcessNotReadyError: it cannot be brought back.
        """
        self._failed(worker, cause)

    def tend(self) -> None:
        """Look after the workers, at most a few times a second.

        Raises:
            ProcessNotReadyError: one cannot be brought back.
        """
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + TEND_EVERY_S
        self._look()

    def stop(self) -> None:
        """Ask every worker to end, then see to it; safe to call twice."""
        for name, worker in self._workers.items():
            if worker.alive():
                self._tell_to_end(name)
        deadline = Deadline(SHUTDOWN_S)
        for worker in self._workers.values():
            if worker.wait(deadline.remaining()) is None:
                log.info("worker_slow_to_end", worker=worker.name)
            worker.stop(grace_s=deadline.remaining())
        self._workers.clear()
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _tell_to_end(self, name: str) -> None:
        try:
            self._connections.send(name, Shutdown())
        except NoReplyError as error:
            log.info("worker_not_reached", worker=name, cause=str(error))

    def _look(self) -> None:
        """Take in reports, exits, silence and the passing of time."""
        for report in self._connections.poll():
            if isinstance(report.message, WorkerFailed):
                self._failed(report.sender, report.message.cause)
            elif isinstance(report.message, Ready):
                self._check_served(report.sender, report.message)
                self._notify(f"{report.sender}: ready again")
                self._event(supervision.WorkerReady(report.sender, time.monotonic()))
        for name, worker in list(self._workers.items()):
            if not worker.alive():
                self._failed(name, _how_it_ended(worker))
            elif self._state.workers[name].phase == "ready" and self._connections.silent_s(name) > SILENCE_S:
                self._event(supervision.HeartbeatMissed(name, time.monotonic()))
        self._event(supervision.Tick(time.monotonic()))

    def _check_served(self, name: str, ready: Ready) -> None:
        """Refuse a worker that has loaded something else than the run: one of many on old code is how fortunes end."""
        other = [key for key, digest in self._jobs[name].serves.items() if ready.serves.get(key) != digest]
        if other:
            raise ProcessNotReadyError(
                f"{name} worker: has loaded another {' and another '.join(other)} than the run began with; "
                f"the same command goes on with what is there now, or as another run"
            )

    def _await(self, name: str) -> None:
        self._look_if_ended(name)
        while self._state.workers[name].phase != "ready":
            self._check()
            self._look()
            time.sleep(_PUMP_S)

    def _look_if_ended(self, name: str) -> None:
        worker = self._workers.get(name)
        if worker is None or not worker.alive():
            self._look()

    def _failed(self, name: str, cause: str) -> None:
        self._event(supervision.WorkerExited(name, time.monotonic(), cause))

    def _event(self, event: supervision.Event) -> None:
        before = self._state.workers
        self._apply(step := supervision.advance(self._state, event))
        if isinstance(event, supervision.WorkerExited | supervision.HeartbeatMissed) and step.effects:
            name = event.worker
            if before[name].phase != "waiting" and not step.state.stopped:
                cause = event.cause if isinstance(event, supervision.WorkerExited) else "it fell silent"
                count = len(step.state.workers[name].restarts_s)
                self._notify(f"{name}: {cause}; starting it again (restart {count})")

    def _apply(self, step: supervision.SupervisionStep) -> None:
        self._state = step.state
        for effect in step.effects:
            match effect:
                case StartWorker(name):
                    self._start(name)
                case StopWorker(name):
                    self._end(name)
                case StopRun(reason):
                    raise ProcessNotReadyError(f"{reason}; the same command continues the run")

    def _start(self, name: str) -> None:
        job = self._jobs[name]
        bootstrap = Bootstrap(name=name, credentials=self._connections.add_worker(name), config=job.config)
        self._workers[name] = Worker.start(job.module, bootstrap, self._logs, self._spares)

    def _end(self, name: str) -> None:
        worker = self._workers.pop(name, None)
        if worker is not None:
            worker.stop()

    def _while_starting(self) -> None:
        self._check()
        for name, worker in self._workers.items():
            if not worker.alive():
                log_path = self._logs / f"{name}.log"
                raise ProcessNotReadyError(f"{name} worker: {_how_it_ended(worker)} while starting; see {log_path}")


def _how_it_ended(worker: Worker) -> str:
    status = worker.exit_status()
    assert status is not None
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
