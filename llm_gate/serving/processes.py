"""Processes and ports of this machine, as a model server needs them: the only module here that starts a process."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trigate.errors import ResourceError

HOST = "127.0.0.1"
END_DEADLINE_S = 20.0
PORTS = range(20_000, 32_768)
"""Below those that Linux gives to whoever asks for any: a server takes its port half a minute after it was chosen."""
PORTS_TRIED = 20
_QUERY_DEADLINE_S = 10.0

Process = subprocess.Popen[bytes]


def start_session(
    arguments: Sequence[str], *, log_path: Path, environment: Mapping[str, str], inherits: int
) -> Process:
    """A process in a session of its own that writes to ``log_path`` and inherits one file descriptor; or OSError.

    The log is its owner's alone: a server writes what it was asked into it when something goes wrong.
    """
    with os.fdopen(os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        os.fchmod(output.fileno(), 0o600)  # it may be older than this rule
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=(inherits,),
            start_new_session=True,
        )


def ended_within(process: Process, deadline_s: float) -> bool:
    """Whether ``process`` ended in time."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(deadline_s)
    return process.returncode is not None


def session_members(session: int) -> list[int]:
    """The ids of the living processes in a session; zombies have ended and do not count."""
    return [process for process, _, its_session in _living() if its_session == session]


def children_of(parent: int) -> list[int]:
    """The ids of the living processes that ``parent`` started or inherited."""
    return [process for process, its_parent, _ in _living() if its_parent == parent]


def end_session(session: int) -> None:
    """Kill every process of a session and wait until none is left; ResourceError if one outlives it."""
    deadline_s = time.monotonic() + END_DEADLINE_S
    while members := session_members(session):
        if time.monotonic() > deadline_s:
            raise ResourceError(f"processes {members} of the model server do not end; kill them by hand")
        for process in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def checked_port(port: int | None) -> int:
    """``port`` on the loopback address, or a free one of `PORTS`; ResourceError if it is in use."""
    tried = [port] if port is not None else secrets.SystemRandom().sample(PORTS, PORTS_TRIED)
    for each in tried:
        fault = _fault_of(each)
        if not fault:
            return each
    remedy = "name another --port" if port is not None else "end what holds the ports, or name a free --port"
    raise ResourceError(f"port {tried[-1]} on {HOST} cannot be used: {fault}; {remedy}")


def _fault_of(port: int) -> str:
    """Why nobody can listen at ``port`` now, "" if one can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return str(error.strerror)
    return ""


def await_port(port: int) -> None:
    """Return once ``port`` can be had again; ResourceError if it is still in use after some seconds."""
    deadline_s = time.monotonic() + END_DEADLINE_S
    while True:
        try:
            checked_port(port)
            return
        except ResourceError:
            if time.monotonic() > deadline_s:
                raise
        time.sleep(0.1)


def nvidia_smi() -> str | None:
    """What nvidia-smi says of each GPU (index, name, total and free MiB, one line each); None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        finished = subprocess.run(query, capture_output=True, text=True, timeout=_QUERY_DEADLINE_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return finished.stdout if finished.returncode == 0 else None


def _living() -> Iterator[tuple[int, int, int]]:
    """Id, parent and session of every process that has not ended."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command, in parentheses, may hold anything; state, parent, group and session follow the last one.
            state, parent, _group, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            # A first thread that has ended is a zombie while others still end, and they hold ports and memory.
            ended = state == "X" or (state == "Z" and len(list((entry / "task").iterdir())) <= 1)
        except OSError:
            continue
        if not ended:
            yield int(entry.name), int(parent), int(session)
