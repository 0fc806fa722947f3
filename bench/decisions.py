"""Decisions a second of one policy worker, asked over its encrypted socket: for many accounts at once, and for one.

python bench/decisions.py [--json] [--checkpoint DIR] [--together 32 1] [--seconds 3] [--repeats 5]

The worker is the process that a run starts, and every question carries an observation for each account, as in
`orchestrator run --accounts`. Sizes take turns; each figure is the median of the turns, with the CPU seconds of both
processes a decision.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions
from orchestrator.messaging.catalogue import POLICY
from orchestrator.run.desks import PolicyTalk
from orchestrator.run.runner import ActionAsked
from orchestrator.run.worker_modules import POLICY_MODULE
from orchestrator.workers.crew import Crew, Job
from rl_core.checkpoints.manifest import checkpoint_digest, find_checkpoint
from rl_core.checkpoints.policy import load_trader
from trigate.process_control import adopt_orphans
from trigate.versions import code_digest

ROOT = Path(__file__).parents[1]


class Turn(NamedTuple):
    """One size, for some seconds."""

    per_s: float
    cpu_us: float  # a decision, of both processes
    p50_us: float  # of a message, there and back


def turn(crew: Crew, questions: list[ActionAsked], seconds: float) -> Turn:
    """Ask for all of ``questions`` in one message, again and again."""
    talk, spent = PolicyTalk(), list[float]()
    began_s, cpu_s = time.perf_counter(), _cpu_s()
    while time.perf_counter() - began_s < seconds:
        asked_s = time.perf_counter()
        message, arrays = talk.message(questions)
        answers = talk.answers(questions, crew.ask(POLICY, message, arrays, deadline_s=talk.deadline_s))
        spent.append(time.perf_counter() - asked_s)
        if answers is None or len(answers) != len(questions):
            raise SystemExit("the worker's answer is none to what it was asked")
    decisions = len(spent) * len(questions)
    took_s = time.perf_counter() - began_s
    return Turn(decisions / took_s, (_cpu_s() - cpu_s) / decisions * 1e6, statistics.median(spent) * 1e6)


def _cpu_s() -> float:
    """Of this process and its worker so far."""
    own = Path("/proc/self/task") / str(os.getpid()) / "children"
    ticks = 0
    for pid in (str(os.getpid()), *own.read_text().split()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rows_of(checkpoint: Path, sizes: list[int], seconds: float, repeats: int) -> list[dict[str, Any]]:
    """One row a size."""
    policy, rng = load_trader(checkpoint), np.random.default_rng(1)
    observations = rng.normal(size=(max(sizes), policy.observation_size)).astype(np.float32)
    legal = (True,) * policy.num_actions
    asked = [ActionAsked(bar, observation, legal) for bar, observation in enumerate(observations)]
    serves = {"code": code_digest(), "checkpoint": checkpoint_digest(checkpoint)}
    job = Job(POLICY_MODULE, {"checkpoint": str(checkpoint.resolve())}, serves)
    found: dict[int, list[Turn]] = {size: [] for size in sizes}
    adopt_orphans()
    with tempfile.TemporaryDirectory() as logs, Crew("bench", {POLICY: job}, Path(logs)) as crew:
        crew.begin()
        crew.wait()
        for size in sizes * repeats:
            found[size].append(turn(crew, asked[:size], seconds))
    return [_row(size, turns, policy.observation_size) for size, turns in found.items()]


def _row(size: int, turns: list[Turn], inputs: int) -> dict[str, Any]:
    per_s, cpu_us, p50_us = (statistics.median(column) for column in zip(*turns, strict=True))
    return {
        "name": "decisions_per_s",
        "value": round(per_s),
        "unit": "decisions/s",
        "ratio_to": {},
        "settings": {"together": size, "inputs": inputs, "repeats": len(turns), "load": os.getloadavg()[0]},
        "cpu_us_a_decision": round(cpu_us, 1),
        "message_p50_us": round(p50_us),
        "device": f"{os.cpu_count()} x {platform.machine()}",
        "versions": versions("pyzmq", "numpy"),
    }


def main() -> None:
    """Measure and print one row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / ".cache/demo/phase2")
    parser.add_argument("--together", type=int, nargs="+", default=[32, 1])
    parser.add_argument("--seconds", type=float, default=3.0, help="a turn")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    for row in rows_of(find_checkpoint(given.checkpoint), given.together, given.seconds, given.repeats):
        print(json.dumps(row) if given.json else f"{row['settings']['together']:>4} at once: {row['value']:,} a second")


if __name__ == "__main__":
    main()
