"""The runner's end of every connection: one request at a time to a worker, and what workers report in between."""

import secrets
from collections import Counter, deque
from collections.abc import Callable, Collection
from time import monotonic
from types import TracebackType
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel

from orchestrator.clock import Deadline
from orchestrator.messaging.sockets import Credentials, Incoming, ServerSocket, UnreachableError
from orchestrator.messaging.wire import (
    Array,
    Catalogue,
    Envelope,
    Ready,
    Received,
    Refused,
    WireError,
    WorkerFailed,
    clean_cause,
    decode,
    encode,
)
from trigate.errors import ProcessNotReadyError

HEARTBEAT_S = 0.5
_MAX_REPORTS = 1024
_CHECK_S = 0.1
_MOST_AT_A_LOOK = 64
"""Messages that one look for an answer reads: a flood of others holds nobody up."""

Missed = Literal["timeout", "unreachable", "failed", "refused"]


class NoReplyError(ProcessNotReadyError):
    """A request that got no usable answer; ``cause`` says how it was missed."""

    def __init__(self, worker: str, cause: Missed, detail: str) -> None:
        super().__init__(f"{worker}: {cause}: {detail}")
        self.worker = worker
        self.cause: Missed = cause


class Pending(NamedTuple):
    """A question that was sent and is not answered yet."""

    worker: str
    request_id: str
    asked: str
    """What kind of question, for messages."""
    deadline_s: float
    """In all."""
    deadline: Deadline


def _outcome(received: Received) -> Received | NoReplyError:
    """What a message is to the question that its sender was asked last.

    A failure ends the wait for that worker at once: no answer will come, and its cause beats a timeout's.
    """
    message = received.message
    if isinstance(message, WorkerFailed):
        return NoReplyError(received.sender, "failed", message.cause)
    if isinstance(message, Refused):
        return NoReplyError(received.sender, "refused", message.cause)
    return received


class WorkerConnections:
    """The runner's connections to its workers: one request at a time, and what they report in between.

    ``dropped`` counts the messages that were ignored: late, foreign, stale, malformed, overflow.
    """

    def __init__(self, run: str, catalogue: Catalogue, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        """Listen, letting nobody in yet.

        Raises:
            ResourceError: the socket cannot be made.
        """
        self.run = run
        self.heartbeat_s = heartbeat_s
        self.dropped: Counter[str] = Counter()
        self._catalogue = catalogue
        self._session = secrets.token_hex(4)
        self._sent = 0
        self._credentials: dict[str, Credentials] = {}
        self._routes: dict[str, bytes] = {}
        self._heard_s: dict[str, float] = {}
        self._overdue: set[str] = set()
        self._open: dict[str, str] = {}  # worker -> id of the question that it was asked last and has not answered
        self._answers: dict[str, Received | NoReplyError] = {}  # by the question's id, until they are asked for
        self._ready: dict[str, Ready] = {}
        self._reports: deque[Received] = deque(maxlen=_MAX_REPORTS)
        self._socket = ServerSocket()
        self.folder = self._socket.folder
        self.endpoint = self._socket.endpoint

    def add_worker(self, name: str) -> Credentials:
        """Let a new start of worker ``name`` connect, with keys of its own; an earlier start no longer counts."""
        if earlier := self._credentials.get(name):
            self._socket.revoke(earlier)
        self._credentials[name] = self._socket.issue(run=self.run, heartbeat_s=self.heartbeat_s)
        self._ready.pop(name, None)
        self._routes.pop(name, None)
        self._overdue.discard(name)
        if (question := self._open.pop(name, None)) is not None:
            self._answers.pop(question, None)
        self._reports = deque((r for r in self._reports if r.sender != name), maxlen=_MAX_REPORTS)
        self._heard_s[name] = monotonic()
        return self._credentials[name]

    def request(
        self,
        worker: str,
        message: BaseModel,
        arrays: tuple[Array, ...] = (),
        *,
        deadline_s: float,
        check: Callable[[], None] = lambda: None,
    ) -> Received:
        """The worker's answer to ``message``; answers to anything else are dropped and counted.

        ``check`` is called a few times a second while it waits, and may raise.

        Raises:
            NoReplyError: none within ``deadline_s``, or the worker is unreachable, failed or refused to answer.
            WireError: ``message`` itself cannot travel.
        """
        pending = self.begin(worker, message, arrays, deadline_s=deadline_s)
        while (answer := self.answer(pending, wait_s=_CHECK_S)) is None:
            check()
        return answer

    def begin(self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float) -> Pending:
        """Send ``message`` and do not wait: `answer` tells. One question at a time to a worker.

        Raises:
            NoReplyError, WireError: as ``send``.
        """
        deadline = Deadline(deadline_s)
        request_id = self.send(worker, message, arrays)
        # A worker beats its heart between requests only, so its silence is excused until the deadline. One that is
        # overdue already gets no further excuse: asked again and again, it would never count as silent.
        if worker not in self._overdue:
            self._heard_s[worker] = monotonic() + deadline_s
        self._answers.pop(self._open.get(worker, ""), None)  # of one that nobody waited for to the end
        self._open[worker] = request_id
        return Pending(worker, request_id, type(message).__name__, deadline_s, deadline)

    def answer(self, pending: Pending, *, wait_s: float) -> Received | None:
        """The answer to a question, None if it has not come after ``wait_s``; answers to others are dropped.

        Raises:
            NoReplyError: the question's deadline is over, or the worker failed or refused to answer.
        """
        wait_s = min(wait_s, pending.deadline.remaining())
        for _ in range(_MOST_AT_A_LOOK):
            if (kept := self._answers.pop(pending.request_id, None)) is not None:
                return self._used(pending, kept)
            if not self._socket.wait(wait_s):
                break
            self._receive()
            wait_s = 0.0
        if pending.request_id in self._answers:
            return None  # it came last of many, and is taken at the next look
        if self._open.get(pending.worker) != pending.request_id:
            raise NoReplyError(pending.worker, "unreachable", "it was started again meanwhile")
        if pending.deadline.expired:
            self._open.pop(pending.worker)
            self._overdue.add(pending.worker)
            said = f"no answer to {pending.asked} within {pending.deadline_s:g} s"
            raise NoReplyError(pending.worker, "timeout", said)
        return None

    def _used(self, pending: Pending, kept: "Received | NoReplyError") -> Received:
        self._open.pop(pending.worker, None)
        if isinstance(kept, NoReplyError):
            raise kept
        self._heard_s[pending.worker] = monotonic()
        return kept

    def send(self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = ()) -> str:
        """Send without waiting for anything; returns the message's id.

        Raises:
            NoReplyError: the worker is not connected, or its queue is full.
            WireError: ``message`` cannot travel.
        """
        self._sent += 1
        message_id = f"{self._session}-{self._sent}"
        frames = encode(Envelope(self.run, message_id, None, message, arrays), self._catalogue)
        if worker not in self._routes:
            raise NoReplyError(worker, "unreachable", "it has not said anything yet")
        try:
            self._socket.send(self._routes[worker], frames)
        except UnreachableError as error:
            raise NoReplyError(worker, "unreachable", str(error)) from error
        return message_id

    def poll(self, timeout_s: float = 0.0) -> list[Received]:
        """The Ready and WorkerFailed messages since the last call; waits for one if there is none.

        Heartbeats only count for ``silent_s``.
        """
        deadline = Deadline(timeout_s)
        while not self._reports and not deadline.expired and self._socket.wait(deadline.remaining()):
            self._receive()
        self._drain()
        reports = list(self._reports)
        self._reports.clear()
        return reports

    def wait_ready(
        self, names: Collection[str], *, deadline_s: float, check: Callable[[], None] = lambda: None
    ) -> dict[str, Ready]:
        """Wait until every named worker has said Ready; returns what they said.

        ``check`` is called a few times a second and may raise, say because a process has ended.

        Raises:
            ProcessNotReadyError: one failed, or has not said it within ``deadline_s``.
        """
        deadline = Deadline(deadline_s)
        while missing := [name for name in names if name not in self._ready]:
            for worker, _, message, _ in self._reports:
                if worker in missing and isinstance(message, WorkerFailed):
                    raise ProcessNotReadyError(
                        f"{worker} failed at start: {message.cause}; its log is in the run's folder"
                    )
            if deadline.expired:
                raise ProcessNotReadyError(
                    f"{', '.join(missing)} not ready within {deadline_s:g} s; their logs are in the run's folder"
                )
            check()
            if self._socket.wait(min(_CHECK_S, deadline.remaining())):
                self._receive()
        return {name: self._ready[name] for name in names}

    def silent_s(self, worker: str) -> float:
        """Seconds for which the worker should have said something and has not.

        A worker is silent during a request, so that time counts only past the request's deadline. A sign of life
        counts from when it is read: ask at least once in the time that you allow.
        """
        self._drain()
        return max(0.0, monotonic() - self._heard_s[worker])

    @property
    def strangers(self) -> int:
        """Connections that were refused for an unknown key."""
        return self._socket.refused

    def close(self) -> None:
        """Stop listening and remove the folder; a second call does nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _drain(self) -> None:
        for _ in range(_MAX_REPORTS):  # bounded, so that a flood cannot hold the runner
            if not self._socket.wait(0):
                return
            self._receive()

    def _receive(self) -> None:
        """Take one message: keep a report and the answer to what its sender was asked last, drop the rest."""
        incoming = self._socket.receive()
        sender = self._sender(incoming)
        # What an earlier start of a worker still sends is stale: it may answer a question that was asked again since.
        if sender is None:
            self.dropped["stale"] += 1
            return
        self._routes[sender] = incoming.route  # a worker that lost its connection comes back by another one
        self._overdue.discard(sender)
        self._heard_s[sender] = max(monotonic(), self._heard_s[sender])
        run, message_id, re, message, arrays = self._decoded(incoming.frames)
        if run != self.run:
            self.dropped["foreign"] += 1
            return
        received = Received(sender, message_id, message, arrays)
        if isinstance(message, Ready | WorkerFailed):
            self._report(received)
        question = self._open.get(sender)
        if question is not None and (re == question or isinstance(message, WorkerFailed)):
            self._answers.setdefault(question, _outcome(received))  # the first of two is the answer
        elif re is not None:
            self.dropped["late"] += 1

    def _decoded(self, frames: list[bytes]) -> Envelope:
        """The message; one that cannot be read counts as the failure of its sender."""
        try:
            return decode(frames, self._catalogue)
        except WireError as error:
            self.dropped["malformed"] += 1
            return Envelope(self.run, "malformed", None, WorkerFailed(cause=clean_cause(f"malformed message: {error}")))

    def _report(self, received: Received) -> None:
        if isinstance(received.message, Ready):
            self._ready[received.sender] = received.message
        if len(self._reports) == _MAX_REPORTS:
            self.dropped["overflow"] += 1
        self._reports.append(received)

    def _sender(self, incoming: Incoming) -> str | None:
        """The worker whose current start sent the message. Its key alone is its name: nothing else can be claimed."""
        for name, credentials in self._credentials.items():
            if credentials.public_key == incoming.public_key:
                return name
        return None
