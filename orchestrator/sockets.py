"""Our only ZeroMQ: the runner's hub, and the link of a worker to it. Encrypted, allow-listed, never waiting for ever."""

import secrets
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Literal, NamedTuple, Self

import zmq
from pydantic import BaseModel, Field
from zmq.auth.thread import ThreadAuthenticator

from orchestrator.clock import Deadline
from orchestrator.wire import (
    MAX_FRAME,
    Array,
    Catalogue,
    Envelope,
    Heartbeat,
    Message,
    Ready,
    Refused,
    Shutdown,
    WireError,
    WorkerFailed,
    decode,
    encode,
)
from rl_core.errors import NotReadyError, ResourceError

HEARTBEAT_S = 0.5
_DOMAIN = "trigate"
_HANDSHAKE_MS = 2000
_QUEUE = 64
"""Messages that wait on either side of a connection."""
_MAX_REPORTS = 1024
_MAX_SOCKET_PATH = 107
_SEND_MS = 5000
_FAREWELL_MS = 500

Missed = Literal["timeout", "unreachable", "failed", "malformed", "refused"]


class NoReplyError(NotReadyError):
    """A request that got no usable answer; ``cause`` says how."""

    def __init__(self, worker: str, cause: Missed, detail: str) -> None:
        super().__init__(f"{worker}: {cause}: {detail}")
        self.worker = worker
        self.cause: Missed = cause


class LinkBoot(Message):
    """What a worker needs to connect: secret, so it travels over a pipe and never in arguments or logs."""

    endpoint: str
    identity: str
    run: str
    hub_key: str
    public_key: str
    secret_key: str = Field(repr=False)
    heartbeat_s: float = Field(gt=0)


class Received(NamedTuple):
    """A message of a worker, or to one."""

    worker: str
    """Name of the sender on the hub's side, of the receiver on the worker's."""
    id: str
    message: BaseModel
    arrays: tuple[Array, ...] = ()


class Reply(NamedTuple):
    """What a worker answers."""

    message: BaseModel
    arrays: tuple[Array, ...] = ()


Handlers = Mapping[type[BaseModel], Callable[[Received], Reply]]


class _AllowList:
    """Which public keys may connect, each for one worker."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.refused = 0

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether ``key`` may connect; called by the authenticator's thread."""
        allowed = key.decode("ascii") in self.keys
        self.refused += not allowed
        return allowed


class Hub:
    """The runner's end: one request at a time to each worker, and what the workers report in between.

    ``dropped`` counts the messages that were ignored: late, foreign, stale, malformed, overflow.
    """

    def __init__(self, run: str, catalogue: Catalogue, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        """Listen in a fresh folder that only we can enter.

        Raises:
            ResourceError: the socket cannot be made, or the temporary folder's path is too long for one.
        """
        self.run = run
        self.heartbeat_s = heartbeat_s
        self.dropped: Counter[str] = Counter()
        self._catalogue = catalogue
        self._session = secrets.token_hex(4)
        self._sent = 0
        self._boots: dict[str, LinkBoot] = {}
        self._heard_s: dict[str, float] = {}
        self._ready: dict[str, Received] = {}
        self._reports: deque[Received] = deque(maxlen=_MAX_REPORTS)
        self._allowed = _AllowList()
        self._context = zmq.Context()
        self.folder = Path(tempfile.mkdtemp(prefix="trigate-"))
        self.endpoint = f"ipc://{self.folder / 'hub'}"
        try:
            self._authenticator = _authenticator(self._context, self._allowed)
            public, secret = zmq.curve_keypair()
            self._public = public.decode("ascii")
            self._socket = _listening(self._context, self.endpoint, (public, secret))
        except BaseException:
            self._context.destroy(linger=0)
            shutil.rmtree(self.folder)
            raise

    def add_worker(self, name: str) -> LinkBoot:
        """Let a new start of worker ``name`` connect, with keys of its own; an earlier start of it no longer counts."""
        if old := self._boots.get(name):
            self._allowed.keys.discard(old.public_key)
        public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
        boot = LinkBoot(
            endpoint=self.endpoint,
            identity=f"{name}.{secrets.token_hex(4)}",
            run=self.run,
            hub_key=self._public,
            public_key=public,
            secret_key=secret,
            heartbeat_s=self.heartbeat_s,
        )
        self._boots[name] = boot
        self._ready.pop(name, None)
        self._heard_s[name] = monotonic()
        self._allowed.keys.add(public)
        return boot

    def request(
        self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float
    ) -> Received:
        """The worker's answer to ``message``; answers to anything else are dropped and counted.

        Raises:
            NoReplyError: none within ``deadline_s``, or not reachable, failed, malformed or refused.
            WireError: ``message`` itself cannot travel.
        """
        deadline = Deadline(deadline_s)
        self._heard_s[worker] = monotonic() + deadline_s  # it owes nothing before that
        request_id = self.send(worker, message, arrays)
        while self._wait(deadline.remaining()):
            envelope = self._receive()
            if envelope is None or envelope.worker != worker:
                continue
            if isinstance(envelope.message, WorkerFailed):
                raise NoReplyError(worker, "failed", envelope.message.cause)
            if envelope.re == request_id:
                return _answer(worker, envelope)
        raise NoReplyError(worker, "timeout", f"no answer to {type(message).__name__} within {deadline_s:g} s")
