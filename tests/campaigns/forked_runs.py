"""Runs as processes for a fraction of their price: forked, workers included, from one that has imported everything.

A run and its workers spend nearly all of their time on imports. Here a worker is not executed anew: a spare that was
forked from this process takes its module, and from there on does what a new one does (its session, its pipe, its
bootstrap, its death watch). Runner, journal, sockets, supervision and files are those of `orchestrator run`.
"""

import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, NoReturn

from orchestrator.workers import processes

LAUNCHER = "orchestrator.workers.launch"
GONE_WITHIN_S = 1.0
PATIENCE_S = 300.0
SPARE = "spare"


class ForkedWorker:
    """A worker's process as `orchestrator.workers.processes.Worker` uses a `subprocess.Popen`."""

    def __init__(self, pid: int, stdin: BinaryIO) -> None:
        """``stdin`` is our end of its pipe."""
        self.pid = pid
        self.stdin: BinaryIO | _Tapped = stdin
        self.returncode: int | None = None

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


class _Tapped:
    """A worker's pipe of which a copy is kept."""

    def __init__(self, pipe: "BinaryIO | _Tapped", copy: Path) -> None:
        self._pipe, self._copy = pipe, copy

    def write(self, line: bytes) -> int:
        """To both."""
        with self._copy.open("ab") as file:
            file.write(line)
        return self._pipe.write(line)

    def close(self) -> None:
        """The pipe."""
        self._pipe.close()


class Begun(NamedTuple):
    """A forked process that waits to be let go."""

    pid: int
    gate: int
    """Descriptor: a byte lets it go."""

    def let_go(self) -> None:
        """It may begin."""
        os.write(self.gate, b"!")
        os.close(self.gate)

    def ended(self) -> bool:
        """Whether it has ended; not reaped yet."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self) -> int:
        """Its exit code, negative for a signal.

        Raises:
            TimeoutError: it had to be killed.
        """
        end_s = time.monotonic() + PATIENCE_S
        while not self.ended():
            if time.monotonic() > end_s:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"process {self.pid} hung for {PATIENCE_S:g} s")
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def begin(play: Callable[[], None], *, spares: int, log: Path, pids: Path, tap: Path | None = None) -> Begun:
    """Fork a process that waits, then plays; its workers will be ``spares`` that were forked before it has a thread.

    Args:
        play: what it does; what it raises is exit code 70, and in the log.
        spares: workers that it can start, restarts included.
        log: gets what it says.
        pids: gets a line ``MODULE PID`` for each worker that it starts, and before them one for each `SPARE`, of which
            the last is taken first.
        tap: gets the first line of each worker, its secret keys among it.
    """
    (ready, told), (gate, go) = os.pipe(), os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        _be_runner(play, spares, (log, pids, tap), (told, gate))
    os.close(told)
    os.close(gate)
    assert os.read(ready, 1) == b"!", f"it ended before it began: {log.read_text()}"
    os.close(ready)
    return Begun(pid, go)


def workers_in(pids: Path, module: str) -> list[int]:
    """The workers of ``module`` that were started so far, the latest last."""
    lines = pids.read_text().splitlines() if pids.exists() else []
    return [int(pid) for name, _, pid in (line.partition(" ") for line in lines) if name == module]


def left_alive(within_s: float = GONE_WITHIN_S, *, beside: frozenset[int] = frozenset()) -> int:
    """How many of our descendants still live after ``within_s``; all are ended and reaped then.

    For a process that has adopted orphans (`trigate.process_control`), so that what a dead process leaves is its child.

    Args:
        within_s: how long they have.
        beside: children that have nothing to do with it.
    """
    end_s = time.monotonic() + within_s
    while (left := _living(beside)) and time.monotonic() < end_s:
        time.sleep(0.005)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while _living(beside):
        time.sleep(0.005)
    return len(left)


def _living(beside: frozenset[int]) -> list[int]:
    """Our other children that live; those that have ended are reaped."""
    children = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return [pid for pid in children if pid not in beside and os.waitpid(pid, os.WNOHANG)[0] == 0]


def _be_runner(
    play: Callable[[], None], spares: int, files: tuple[Path, Path, Path | None], gates: tuple[int, int]
) -> NoReturn:
    (log, pids, tap), (told, gate) = files, gates
    os.setsid()
    _write_to(log)
    waiting = [_spare() for _ in range(spares)]
    pids.write_text("".join(f"{SPARE} {worker.pid}\n" for worker in waiting))

    def spawned(module: str, log: Path) -> ForkedWorker:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        worker = waiting.pop()
        worker.stdin.write(json.dumps([module, str(log)]).encode() + b"\n")
        with pids.open("a") as file:
            file.write(f"{module} {worker.pid}\n")
        if tap is not None:
            worker.stdin = _Tapped(worker.stdin, tap)
        return worker

    processes._spawned = spawned  # type: ignore[assignment]
    os.write(told, b"!")
    os.close(told)
    os.read(gate, 1)
    _ended_by(play)


def _spare() -> ForkedWorker:
    """A process in a session of its own that waits on its pipe for what it is to be."""
    (reader, writer), (ready, told) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(reader, 0)
        os.write(told, b"!")
        os.closerange(3, 1 << 16)  # the pipes of the others too: their ends must be seen
        _ended_by(_be_worker)
    os.close(reader)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    return ForkedWorker(pid, os.fdopen(writer, "wb", buffering=0))


def _be_worker() -> None:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return  # nobody needs it any more
        line += byte
    module, log = json.loads(line)
    _write_to(Path(log))
    sys.argv = [LAUNCHER, module]
    runpy.run_module(LAUNCHER, run_name="__main__", alter_sys=True)


def _ended_by(play: Callable[[], None]) -> NoReturn:
    """Play, and end this process without anything that its parent has set up to happen at its end."""
    code: object = 70
    try:
        play()
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _write_to(log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
