"""Decisions a second of one policy worker, asked over its encrypted socket: for many accounts at once, and for one.

python bench/decisions.py [--json] [--checkpoint DIR] [--together 32 1] [--seconds 3] [--repeats 5]

The worker is the process that a run starts, and every question carries an observation for each account, as in
`orchestrator run --accounts`. Beside it stands a bare echo: a process that sends back what it gets, the same frames
over the same kind of encrypted socket, without a word of ours. Sizes and the two take turns; each figure is the median
of the turns, `ratio_to.echo` that of the medians of one message there and back.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions
from orchestrator.messaging.catalogue import CATALOGUE, POLICY
from orchestrator.messaging.wire import Envelope, encode
from orchestrator.run.desks import PolicyTalk
from orchestrator.run.runner import ActionAsked
from orchestrator.run.worker_modules import POLICY_MODULE
from orchestrator.workers.crew import Crew, Job
from rl_core.checkpoints.manifest import checkpoint_digest, find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.contract import PolicyQuery, PolicyReply
from trigate.process_control import adopt_orphans
from trigate.versions import code_digest

ROOT = Path(__file__).parents[1]


class Turn(NamedTuple):
    """One size, for some seconds."""

    per_s: float
    cpu_us: float  # a decision, of this process and those below it
    p50_us: float  # of a message, there and back
    p99_us: float


def turn(ask: Callable[[], None], together: int, seconds: float) -> Turn:
    """Ask for so many ``together``, again and again."""
    spent = list[float]()
    began_s, cpu_s = time.perf_counter(), _cpu_s()
    while time.perf_counter() - began_s < seconds:
        asked_s = time.perf_counter()
        ask()
        spent.append(time.perf_counter() - asked_s)
    decisions, took_s = len(spent) * together, time.perf_counter() - began_s
    cpu_us = (_cpu_s() - cpu_s) / decisions * 1e6
    return Turn(decisions / took_s, cpu_us, *(float(each) * 1e6 for each in np.percentile(spent, (50, 99))))


def decided(crew: Crew, questions: list[ActionAsked]) -> None:
    """Ask the worker for all of them in one message."""
    talk = PolicyTalk()
    message, arrays = talk.message(questions)
    answers = talk.answers(questions, crew.ask(POLICY, message, arrays, deadline_s=talk.deadline_s))
    if answers is None or len(answers) != len(questions):
        raise SystemExit("the worker's answer is none to what it was asked")


def decided_alone(crew: Crew, question: ActionAsked) -> None:
    """Ask the worker as a run of one account does."""
    query = PolicyQuery(bar_seq=question.bar_seq, legal_actions=question.legal)
    received = crew.ask(POLICY, query, (question.observation,), deadline_s=PolicyTalk.deadline_s)
    if not isinstance(received.message, PolicyReply) or received.message.bar_seq != question.bar_seq:
        raise SystemExit("the worker's answer is none to what it was asked")


@contextmanager
def echo(folder: Path) -> Iterator[Callable[[list[bytes]], None]]:
    """Sends frames to a process that sends them back, over a socket encrypted as ours, and waits for them."""
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    public, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_server = True
    address = f"ipc://{folder / 'echo'}"
    socket.bind(address)
    line = [sys.executable, __file__, "--echo", address, public.decode()]
    with subprocess.Popen(line, cwd=ROOT) as process:
        route, *_ = socket.recv_multipart()

        def ask(frames: list[bytes]) -> None:
            socket.send_multipart([route, *frames])
            if socket.recv_multipart()[1:] != frames:
                raise SystemExit("the echo is another one")

        try:
            yield ask
        finally:
            process.kill()
            context.destroy(linger=0)


def echoing(address: str, server_key: str) -> None:
    """Send back whatever comes, until killed."""
    socket = zmq.Context().socket(zmq.DEALER)
    socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
    socket.curve_serverkey = server_key.encode()
    socket.connect(address)
    socket.send(b"ready")
    while True:
        socket.send_multipart(socket.recv_multipart())


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
    found: dict[tuple[int, str], list[Turn]] = {(size, who): [] for size in sizes for who in ("worker", "echo")}
    adopt_orphans()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Crew("bench", {POLICY: job}, Path(scratch)) as crew,
        echo(Path(scratch)) as echoed,
    ):
        crew.begin()
        crew.wait()
        for size in sizes * repeats:
            questions = asked[:size]
            frames = encode(Envelope("bench", "echo-1", None, *PolicyTalk().message(questions)), CATALOGUE)
            ask = partial(decided, crew, questions) if size > 1 else partial(decided_alone, crew, *questions)
            found[size, "worker"].append(turn(ask, size, seconds))
            found[size, "echo"].append(turn(partial(echoed, frames), size, seconds))
    return [_row(size, found[size, "worker"], found[size, "echo"], policy.observation_size) for size in sizes]


def _row(size: int, turns: list[Turn], echoes: list[Turn], inputs: int) -> dict[str, Any]:
    per_s, cpu_us, p50_us, p99_us = (statistics.median(column) for column in zip(*turns, strict=True))
    _, _, echo_p50_us, echo_p99_us = (statistics.median(column) for column in zip(*echoes, strict=True))
    return {
        "name": "decisions_per_s",
        "value": round(per_s),
        "unit": "decisions/s",
        "ratio_to": {"echo": round(p50_us / echo_p50_us, 2)},
        "settings": {"together": size, "inputs": inputs, "repeats": len(turns), "load": os.getloadavg()[0]},
        "cpu_us_a_decision": round(cpu_us, 1),
        "message_us": {"p50": round(p50_us), "p99": round(p99_us)},
        "echo_us": {"p50": round(echo_p50_us), "p99": round(echo_p99_us)},
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
    parser.add_argument("--echo", nargs=2, metavar=("ADDRESS", "KEY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.echo:
        echoing(*given.echo)
    for row in rows_of(find_checkpoint(given.checkpoint), given.together, given.seconds, given.repeats):
        print(json.dumps(row) if given.json else f"{row['settings']['together']:>4} at once: {row['value']:,} a second")


if __name__ == "__main__":
    main()
