"""Processes of a run that outlived it, found in `/proc`: there should be none, as they end with their runner."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OURS = ("orchestrator.workers.", "llm_gate.serving.launch_vllm")
INIT = 1


class LeftOver(NamedTuple):
    """A worker, or the launcher of a model server, whose runner is gone."""

    pid: int
    name: str


def left_over(proc: Path = Path("/proc")) -> tuple[LeftOver, ...]:
    """Those of this user; the parent that a process is left to when its own has ended is process 1."""
    # In a container the runner itself may be process 1, and its workers are then no orphans.
    if any(word.endswith("orchestrator") for word in _words(proc / str(INIT))):
        return ()
    return tuple(sorted(_orphans(proc)))


def _orphans(proc: Path) -> Iterator[LeftOver]:
    for entry in proc.glob("[0-9]*"):
        modules = [word for word in _words(entry) if word.startswith(OURS)]
        if modules and _parent(entry) == INIT and entry.stat().st_uid == os.geteuid():
            yield LeftOver(int(entry.name), modules[-1].rpartition(".")[2])


def _words(entry: Path) -> list[str]:
    """The command line of a process; [] of one that is gone."""
    try:
        return (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _parent(entry: Path) -> int:
    """The parent of a process that has not ended; 0 of one that has."""
    try:
        state, parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return 0 if state == b"Z" else int(parent)
