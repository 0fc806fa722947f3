"""Waiting for what other processes do, and whether they still run."""

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Whether the condition came true in time."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.1)
    return True


def still_runs(process: int) -> bool:
    """Whether a process that is not our child runs; a zombie that waits for its new parent has ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
