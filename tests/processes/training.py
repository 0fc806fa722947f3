"""Training as a process on a small world: started, killed at a known row or system call, continued, compared."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "train_share=0.8",
    "checkpoint_every_updates=8",
    "ppo.num_envs=8",
    "ppo.rollout_length=16",
    "ppo.total_steps=10240",
    "ppo.minibatches=2",
    "ppo.epochs=2",
    "ppo.hidden=[16]",
    "ppo.updates_per_sync=2",
)
UPDATES, UPDATES_PER_ROW = 80, 2
ROWS = UPDATES // UPDATES_PER_ROW


class Ended(NamedTuple):
    """What a training run left that a wall clock does not change."""

    arrays: str  # SHA-256 over every array of the final checkpoint
    rows: str  # SHA-256 over the rows of metrics


def arguments(bars: Path, out: Path, *more: str) -> list[str]:
    """Of ``rl-core``."""
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return ["train", "--config", os.devnull, "--bars", str(bars), "--out", str(out), *settings, *more]


def command(bars: Path, out: Path, *more: str) -> list[str]:
    """The whole line."""
    return [str(Path(sys.executable).with_name("rl-core")), *arguments(bars, out, *more)]


def rows_in(out: Path) -> int:
    """Whole rows of metrics so far."""
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def ended(out: Path) -> Ended:
    """What the finished run in ``out`` came to.

    Raises:
        AssertionError: it has not finished, or something of an interrupted save is left.
    """
    from rl_core.checkpoints.checkpoint import digest_of, read_arrays
    from rl_core.checkpoints.manifest import Expected, find_checkpoint

    checkpoint = find_checkpoint(out)
    assert "final" in checkpoint.name, checkpoint
    left = [path.name for path in out.rglob(".*") if path.name != ".lock"]
    assert left == [], left
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [{name: value for name, value in json.loads(line).items() if name != "steps_per_s"} for line in lines]
    assert len(rows) == ROWS, len(rows)
    _, arrays = read_arrays(checkpoint, Expected())
    return Ended(digest_of(arrays), hashlib.sha256(json.dumps(rows).encode()).hexdigest())


def strace() -> str | None:
    """Where strace is, if it may trace here."""
    found = shutil.which("strace")
    if found is None:
        return None
    tried = subprocess.run([found, "-f", "-o", os.devnull, "true"], capture_output=True)
    return found if tried.returncode == 0 else None


def injected(fault: str, line: list[str]) -> list[str]:
    """``line`` under strace with ``fault``, such as ``fsync:error=ENOSPC:when=3+``."""
    tool = strace()
    assert tool is not None
    calls = fault.partition(":")[0]
    # Under --seccomp-bpf strace 6.1 injects errors, but loses signals.
    quick = [] if "signal=" in fault else ["--seccomp-bpf"]
    return [tool, "-f", *quick, "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={fault}", *line]


def was_killed(code: int) -> bool:
    """Whether an exit code is that of SIGKILL."""
    return code in (-signal.SIGKILL, 128 + signal.SIGKILL)
