"""A process at its system calls, by strace: which it makes, and its death at one of them."""

import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

WRITE, SYNC, SEND = "write", "fdatasync", "sendto"
"""What is told of a process: a record handed to its journal, one made durable, and a message handed to a socket."""
_LINE = re.compile(r"^(\d+) +(\w+)\((?:\d+<([^>]*)>)?")


def listed(pid: int, out: Path) -> "subprocess.Popen[bytes]":
    """An strace that writes the calls of ``pid`` to the file ``out``."""
    return _attached(pid, "-y", "-o", str(out), "-e", f"trace={WRITE},{SYNC},{SEND}")


def killed_at(pid: int, call: str, number: int, journal: Path) -> "subprocess.Popen[bytes]":
    """An strace that kills ``pid`` at its ``number``-th ``call``; of writes and syncs those of ``journal`` count."""
    fault = f"inject={call}:signal=SIGKILL:when={number}"
    only = [] if call == SEND else ["-P", str(journal)]
    return _attached(pid, "-o", os.devnull, *only, "-e", f"trace={call}", "-e", fault)


def points_in(out: Path, journal: Path) -> list[tuple[str, int]]:
    """Every call of a listed process that `killed_at` can kill it at, in order.

    strace counts the calls of each thread by itself: one thread writes the journal, another sends.
    """
    counts, found = Counter[tuple[str, str]](), []
    for line in out.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None or (match[2] != SEND and match[3] != str(journal)):
            continue
        thread, call = match[1], match[2]
        counts[thread, call] += 1
        found.append((call, counts[thread, call]))
    return found


def _attached(pid: int, *options: str) -> "subprocess.Popen[bytes]":
    # Without --seccomp-bpf, under which strace 6.1 loses signals.
    tracer = subprocess.Popen(["strace", "-f", "-qq", *options, "-p", str(pid)])
    while b"TracerPid:\t0" in Path(f"/proc/{pid}/status").read_bytes():
        assert tracer.poll() is None, "strace could not attach"
        time.sleep(0.002)
    return tracer
