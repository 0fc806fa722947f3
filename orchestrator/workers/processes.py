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
from typing import Any, NoReturn

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
_NAME = pattern(r"\A[a-z0-9][a-z0-9_-]{0,63}\Z")

WorkerConfig = dict[str, Any]


class Bootstrap(BaseModel):
    """The first line that a worker reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    credentials: Credentials
    config: WorkerConfig
    """What this worker needs to know, as JSON values."""


class Worker:
    """A running worker: its process, and every process that it started in its group."""

    @classmethod
    def start(cls, module: str, bootstrap: Bootstrap, logs: Path) -> "Worker":
        """Run ``module`` as a program in a session of its own; its output goes to ``logs/<name>.log``.

        Raises:
            ConfigError: the name is no plain name, or the bootstrap is too long.
            ResourceError: the log or the process cannot be made.
        """
        line = bootstrap.model_dump_json().encode("utf-8") + b"\n"
        if not _NAME.match(bootstrap.name):
            raise ConfigError(f"worker name {bootstrap.name!r}: small letters, digits, - and _ only, at most 64")
        if len(line) > MAX_BOOTSTRAP:
            raise ConfigError(
                f"{bootstrap.name}: its configuration has {len(line)} bytes, the limit is {MAX_BOOTSTRAP}"
            )
        try:
            adopt_orphans()
            process = _spawned(module, logs / f"{bootstrap.name}.log")
        except OSError as error:
            raise ResourceError(f"{bootstrap.name}: cannot start: {error}") from error
        worker = cls(bootstrap.name, process)
        worker._tell(line)
        return worker

    def __init__(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        """Use ``Worker.start``."""
        self.name = name
        self._process = process

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


def worker_main(run: Callable[[RunnerConnection, WorkerConfig], None], catalogue: Catalogue) -> NoReturn:
    """Be a worker: connect as the bootstrap says, call ``run(runner, config)``, and end with the process.

    Exit status: 0 when ``run`` returns or SIGTERM comes, 1 after an exception, which is logged and sent to the
    runner as WorkerFailed, 2 without a bootstrap. When the parent dies the whole group is killed.
    """
    # Ctrl-C is for the runner alone, which then decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    bootstrap = _inherited()
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
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", _LAUNCHER, module],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
    finally:
        os.close(output)


def _inherited() -> Bootstrap:
    """The bootstrap from standard input, which from then on is watched."""
    try:
        bootstrap = Bootstrap.model_validate_json(PARENT.line())
    except ValidationError:
        sys.stderr.write("a worker is started by the orchestrator, which tells it what to do on standard input\n")
        sys.exit(2)
    PARENT.die_with_parent()
    return bootstrap
