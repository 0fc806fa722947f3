"""Our only subprocess: start, watch and end a worker; and what runs first inside one.

The pipe on a worker's standard input carries one line, the bootstrap with its keys, and then stays open: when the
parent dies, however it dies, the worker reads the end of it and goes too.
"""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from re import compile as pattern
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.clock import Deadline
from orchestrator.messaging.sockets import Credentials
from orchestrator.messaging.wire import Catalogue
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.death_watch import MAX_BOOTSTRAP, PARENT
from trigate.errors import ConfigError, ResourceError
from trigate.process_control import adopt_orphans

STOP_S = 5.0
_LAUNCHER = "orchestrator.workers.launch"
_POLL_S = 0.01
_MOST_EARLY = 1 << 20
_NAME = pattern(r"\A[a-z0-9][a-z0-9_-]{0,63}\Z")

WorkerConfig = dict[str, Any]


class Bootstrap(BaseModel):
    """The first line that a worker reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    credentials: Credentials
    config: WorkerConfig
    """What this worker needs to know, as JSON values."""
    log: str | None = None
    """Where its output goes from now on; None: where it goes already."""


class Spare(NamedTuple):
    """A process that imports what a worker needs before anybody knows what it is to do."""

    process: "subprocess.Popen[bytes]"
    output: int  # a file in memory that its output goes to until it is told where

    def close(self) -> None:
        """End it, if it lives, and forget it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        os.close(self.output)


class Spares:
    """Workers that were begun early, by module; a context manager that leaves none behind that was not taken."""

    def __init__(self) -> None:
        """None yet."""
        self._waiting: dict[str, Spare] = {}

    def begin(self, *modules: str) -> None:
        """Begin one for each of the ``modules``; where the machine lets none, each starts when it is needed."""
        with suppress(OSError):
            adopt_orphans()
            for module in modules:
                output = os.memfd_create(module)
                self._waiting[module] = Spare(_launched(module, output), output)

    def take(self, module: str) -> Spare | None:
        """That which was begun for ``module``; None if none was, or it has ended."""
        spare = self._waiting.pop(module, None)
        if spare is None or spare.process.poll() is None:
            return spare
        spare.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for spare in self._waiting.values():
            spare.close()
        self._waiting.clear()


class Worker:
    """A running worker: its process, and every process that it started in its group."""

    @classmethod
    def start(cls, module: str, bootstrap: Bootstrap, logs: Path, spares: Spares | None = None) -> "Worker":
        """Run ``module`` as a program in a session of its own; its output goes to ``logs/<name>.log``.

        One of the ``spares`` that was begun for the module is used, if there is one.

        Raises:
            ConfigError: the name is no plain name, or the bootstrap is too long.
            ResourceError: the log or the process cannot be made.
        """
        log, spare = logs / f"{bootstrap.name}.log", None if spares is None else spares.take(module)
        if spare is not None:
            bootstrap = bootstrap.model_copy(update={"log": str(log.resolve())})
        line = bootstrap.model_dump_json().encode("utf-8") + b"\n"
        if not _NAME.match(bootstrap.name):
            raise ConfigError(f"worker name {bootstrap.name!r}: small letters, digits, - and _ only, at most 64")
        if len(line) > MAX_BOOTSTRAP:
            raise ConfigError(
                f"{bootstrap.name}: its configuration has {len(line)} bytes, the limit is {MAX_BOOTSTRAP}"
            )
        try:
            adopt_orphans()
            process = _spawned(module, log) if spare is None else spare.process
        except OSError as error:
            raise ResourceError(
                f"{bootstrap.name}: cannot start: {error}; make room, or end other processes, and give the same command"
            ) from error
        worker = cls(bootstrap.name, process, None if spare is None else (spare.output, log))
        worker._tell(line)
        return worker

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", early: tuple[int, Path] | None = None) -> None:
        """Use ``Worker.start``; ``early`` is what a spare's output went to at first, and where it belongs."""
        self.name = name
        self._process, self._early = process, early

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its session and group."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs; one that has ended is swept up."""
        return self.exit_status() is None

    def exit_status(self) -> int | None:
        """Its exit status, negative for a signal, or None while it runs."""
        if self._process.returncode is None and self._ended():
            self._sweep()
        return self._process.returncode

    def wait(self, deadline_s: float) -> int | None:
        """Its exit status as soon as it has ended, or None after ``deadline_s``."""
        deadline = Deadline(deadline_s)
        while (status := self.exit_status()) is None and not deadline.expired:
            time.sleep(_POLL_S)
        return status

    def stop(self, *, grace_s: float = STOP_S) -> int:
        """Ask it to end, end it after ``grace_s``, and leave no process of its group; returns the exit status."""
        if self.exit_status() is None:
            self._process.terminate()
        if self.wait(grace_s) is None:
            self._sweep()
        return self._process.returncode

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: its exit status and its log say why
            self._process.stdin.write(line)

    def _ended(self) -> bool:
        # Not reaped yet, so that the id of its group cannot be given to another before the group is swept.
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _sweep(self) -> None:
        """Kill and reap the whole group."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-self.pid, 0)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._keep_early_output()

    def _keep_early_output(self) -> None:
        """Write what it said before it knew its log into that: of one that did not get so far, why."""
        if self._early is None:
            return
        (output, log), self._early = self._early, None
        said, kept = os.pread(output, _MOST_EARLY, 0), _opened(log)
        os.write(kept, said)
        os.close(kept)
        os.close(output)


def worker_main(run: Callable[[RunnerConnection, WorkerConfig], None], catalogue: Catalogue) -> NoReturn:
    """Be a worker: connect as the bootstrap says, call ``run(runner, config)``, and end with the process.

    Exit status: 0 when ``run`` returns or SIGTERM comes, 1 after an exception, which is logged and sent to the
    runner as WorkerFailed, 2 without a bootstrap. When the parent dies the whole group is killed.
    """
    # Ctrl-C is for the runner alone, which then decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    bootstrap = _inherited()
    gc.freeze()  # what was imported stays: looking through all of it would hold up an answer now and then
    gc.enable()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    log = structlog.get_logger(worker=bootstrap.name)
    with RunnerConnection(bootstrap.credentials, catalogue) as runner:
        try:
            run(runner, bootstrap.config)
        except Exception as error:
            log.exception("worker_failed")
            runner.fail(f"{type(error).__name__}: {error}")
            sys.exit(1)
    log.info("worker_ended")
    sys.exit(0)


def _spawned(module: str, log: Path) -> "subprocess.Popen[bytes]":
    output = _opened(log)
    try:
        return _launched(module, output)
    finally:
        os.close(output)


def _opened(log: Path) -> int:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _launched(module: str, output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", _LAUNCHER, module],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )


def _inherited() -> Bootstrap:
    """The bootstrap from standard input, which from then on is watched."""
    try:
        bootstrap = Bootstrap.model_validate_json(PARENT.line())
    except ValidationError:
        sys.stderr.write("a worker is started by the orchestrator, which tells it what to do on standard input\n")
        sys.exit(2)
    PARENT.die_with_parent()
    if bootstrap.log is not None:
        _write_to(Path(bootstrap.log))
    return bootstrap


def _write_to(log: Path) -> None:
    output = _opened(log)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())
    os.close(output)
