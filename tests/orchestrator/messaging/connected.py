"""Workers in threads and bare sockets, connected to a runner's end, for the tests of both ends."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.messaging.sockets import ClientSocket, Credentials
from orchestrator.messaging.wire import (
    Envelope,
    Message,
    Ready,
    Shutdown,
    encode,
)
from orchestrator.messaging.worker_end import RunnerConnection
from tests.orchestrator.echo_worker import CATALOGUE, Ask, echo

BEAT_S = 0.05


def serve(credentials: Credentials) -> None:
    """Be an echo worker until Shutdown."""
    with RunnerConnection(credentials, CATALOGUE) as runner:
        runner.ready({"model": "m1"})
        runner.serve({Ask: echo})


@contextmanager
def serving(connections: WorkerConnections, name: str = "echo") -> Iterator[threading.Thread]:
    """A worker in a thread, which Shutdown ends."""
    thread = threading.Thread(target=serve, args=(connections.add_worker(name),))
    thread.start()
    try:
        connections.wait_ready([name], deadline_s=5)
        yield thread
    finally:
        if thread.is_alive():
            connections.send(name, Shutdown())
        thread.join(5)
        assert not thread.is_alive()


@contextmanager
def connected(connections: WorkerConnections, credentials: Credentials, name: str = "raw") -> Iterator[ClientSocket]:
    """A connected socket under the test's own control, after its Ready."""
    client = ClientSocket(credentials)
    try:
        client.send(frames(Ready()), within_s=5)
        connections.wait_ready([name], deadline_s=5)
        yield client
    finally:
        client.close()


def frames(message: Message, *, run: str = "run1", re: str | None = None) -> list[bytes]:
    """A message as a worker would send it."""
    return encode(Envelope(run, "t-1", re, message), CATALOGUE)


def eventually(condition: Callable[[], bool], within_s: float = 3.0) -> bool:
    """Whether the condition came true in time."""
    until = time.monotonic() + within_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()
