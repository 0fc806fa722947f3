"""The project's commands as a user starts them, and everything that they leave in the process table."""

import contextlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
"""Far above what anything takes: a test that fails by time would say nothing."""
_MARK = "TRIGATE_TEST_MARK"


def without_age(told: str) -> str:
    """What a command told, less the warning of a shipped rule pack that was read more than 90 days ago."""
    return "".join(line for line in told.splitlines(keepends=True) if "days ago (more than 90)" not in line)


def call(tool: str, *arguments: object, stdin: str = "", cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """``tool`` (rl-core, llm-gate, orchestrator) run to its end."""
    return subprocess.run(
        _line(tool, arguments), input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, cwd=cwd
    )


def call_here(tool: str, *arguments: object, stdin: str = "", cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """The same within this process: what it prints and its exit code, without the seconds that its imports take."""
    main = importlib.import_module(f"{tool.replace('-', '_')}.cli").main
    line, out, err = _line(tool, arguments), io.StringIO(), io.StringIO()
    with _as_started(line, stdin, cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main()
        except SystemExit as ended:
            code = ended.code
    assert code is None or isinstance(code, int), code
    return subprocess.CompletedProcess(line, code or 0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _as_started(line: list[str], stdin: str, cwd: Path) -> Iterator[None]:
    """What a command finds when it begins; and what it changes for its whole process is put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    arguments, before = sys.argv, sys.stdin
    sys.argv, sys.stdin = line, io.TextIOWrapper(io.BytesIO(stdin.encode()))
    try:
        with contextlib.chdir(cwd):
            yield
    finally:
        sys.argv, sys.stdin = arguments, before
        structlog.reset_defaults()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Started:
    """A command in a session of its own, marked so that every descendant can be found; a context manager."""

    def __init__(self, output: Path, tool: str, *arguments: object, cwd: Path = ROOT) -> None:
        """Start it in ``cwd``; what it prints goes to files in the folder ``output``."""
        output.mkdir(parents=True, exist_ok=True)
        self._mark = uuid.uuid4().hex
        self._out, self._err = output / f"{self._mark}.out", output / f"{self._mark}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                _line(tool, arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env={**os.environ, _MARK: self._mark},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the command itself."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """So far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """So far."""
        return self._err.read_text()

    def family(self) -> dict[int, str]:
        """Its living processes, with their command lines; a zombie has ended."""
        mark = f"{_MARK}={self._mark}".encode()
        return {pid: line for pid, line in _living() if mark in _read(pid, "environ").split(b"\0")}

    def worker(self, name: str) -> int:
        """The process id of the worker ``name``."""
        (pid,) = (pid for pid, line in self.family().items() if f"orchestrator.workers.{name}" in line)
        return pid

    def model_sessions(self) -> set[int]:
        """The sessions of its model servers: a process of vLLM that renames itself may lose our mark, but not these."""
        launchers = [pid for pid, line in self.family().items() if "llm_gate.serving.launch_vllm" in line]
        return {os.getsid(pid) for pid in launchers}

    def wait(self) -> int:
        """The exit code; 128 + number for a signal, as a shell has it."""
        code = self.process.wait(PATIENCE_S)
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """SIGKILL to the command alone."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def ask_to_stop(self, number: signal.Signals) -> int:
        """Signal the command alone; returns its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for ``condition``; the command must not end before."""
        wait_until(lambda: condition() or self.process.poll() is not None)
        assert condition(), f"it ended with {self.process.returncode}: {self.stderr}"

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*self.family(), self.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(PATIENCE_S)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds, or after a very long time."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.02)


def only_run(runs: Path) -> Path:
    """The one run folder in ``runs``."""
    (folder,) = [path for path in runs.iterdir() if path.is_dir()]
    return folder


def journal_bytes(runs: Path) -> int:
    """Size of the journal of the one run in ``runs``; 0 before there is one."""
    return sum(path.stat().st_size for path in runs.glob("*/journal.jsonl"))


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    """The whole records of one type in a run's journal."""
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    bodies = (json.loads(line.partition(" ")[2]) for line in lines if line.endswith("\n"))
    return [body for body in bodies if body["t"] == kind]


def decided(runs: Path) -> list[dict[str, Any]]:
    """What the gate has said in the one run under ``runs``; nothing before there is a journal."""
    return [record for journal in runs.glob("*/journal.jsonl") for record in records(journal.parent, "decided")]


def manifest(run: Path) -> dict[str, Any]:
    """A run's manifest."""
    found: dict[str, Any] = json.loads((run / "manifest.json").read_bytes())
    return found


def _line(tool: str, arguments: tuple[object, ...]) -> list[str]:
    return [str(Path(sys.executable).with_name(tool)), *map(str, arguments)]


def _living() -> list[tuple[int, str]]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [(pid, _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace")) for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"], [b"X"])


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
