"""A small worker for the tests: answers with what it was asked, and misbehaves as its configuration says."""

import signal
import subprocess
import sys
import time
from typing import Literal

from orchestrator.messaging.wire import Message, Received, Reply, catalogue_of
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.processes import WorkerConfig, worker_main


class Ask(Message):
    """A number, to be sent back after a pause."""

    kind: Literal["ask"] = "ask"
    number: int
    pause_ms: int = 0


class Answer(Message):
    """The number that was asked."""

    kind: Literal["answer"] = "answer"
    number: int


CATALOGUE = catalogue_of([Ask, Answer])


def echo(request: Received) -> Reply:
    """The same number and arrays."""
    assert isinstance(request.message, Ask)
    time.sleep(request.message.pause_ms / 1000)
    if request.message.number < 0:
        raise ValueError("only numbers from 0 up")
    return Reply(Answer(number=request.message.number), request.arrays)


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve, or fail first."""
    if "fail" in config:
        raise RuntimeError(config["fail"])
    if config.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    serves = {"code": "as it was"}
    if config.get("child"):
        serves["child"] = str(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)
    runner.ready(serves)
    runner.serve({Ask: echo})


if __name__ == "__main__":
    worker_main(run, CATALOGUE)
