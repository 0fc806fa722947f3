"""Our only ZeroMQ: bounded sockets that carry frames and wait for nobody for ever.

Those between our own processes are encrypted and let in issued keys alone. The two of a feed of bars (`FeedClient`,
`FeedServer`) speak plainly, because somebody else's program is at the other end, and never leave this machine.
"""

import math
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import zmq
from pydantic import Field
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from orchestrator.messaging.wire import MAX_FRAME, Message
from trigate.errors import ProcessNotReadyError, ResourceError
from trigate.locks import locked_at_once

_DOMAIN = "trigate"
_PREFIX, _LOCK = "trigate-", "lock"
_YOUNG_S = 10.0
_HANDSHAKE_MS = 2000
_QUEUE = 64
"""Messages that wait on either side of a connection."""
FEED_MAX_FRAME = 1 << 20
"""Bytes above which a feed's frame ends the connection; from `MAX_FRAME` on it is refused with a word."""
_RETRY_S = 0.25
"""Within which ZeroMQ begins to connect again, if it does so at all after a connection has ended."""
MAX_PATH = 107
"""Bytes that the path of a Unix socket may have."""


class UnreachableError(ProcessNotReadyError):
    """The other side is not connected, or takes nothing any more."""


class Credentials(Message):
    """What a worker needs to connect: secret, so it travels over a pipe and never in arguments or logs."""

    endpoint: str
    run: str
    runner_key: str
    public_key: str
    secret_key: str = Field(repr=False)
    heartbeat_s: float = Field(gt=0)


class Incoming(NamedTuple):
    """Frames, and who sent them."""

    route: bytes
    """The way back to the connection that it came by."""
    public_key: str
    """As the handshake proved it: the only thing that says who speaks."""
    frames: list[bytes]


class ServerSocket:
    """A ROUTER in a fresh folder that only we can enter; only keys that were issued here may connect."""

    def __init__(self) -> None:
        """Bind and listen.

        Raises:
            ResourceError: the temporary folder's path is too long for a socket, or binding fails.
        """
        self.folder, self._lock = _own_folder()
        self.endpoint = f"ipc://{self.folder / 'runner'}"
        self._allowed = _AllowList()
        self._context = zmq.Context()
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=_DOMAIN, credentials_provider=self._allowed)
        self._socket = _limited(self._context.socket(zmq.ROUTER))
        self._public, self._socket.curve_secretkey = zmq.curve_keypair()
        self._socket.curve_server = True
        # Without an enforced domain a socket whose authenticator has died lets every key in.
        self._socket.zap_domain = _DOMAIN.encode("ascii")
        self._socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._socket.router_mandatory = True
        try:
            self._bind()
        except ResourceError:
            self.close()
            raise

    @property
    def refused(self) -> int:
        """Handshakes with a key that was not issued, or no longer counts."""
        return self._allowed.refused

    def issue(self, *, run: str, heartbeat_s: float) -> Credentials:
        """A new pair of keys, which may connect from now on."""
        public, secret = (key.decode("ascii") for key in zmq.curve_keypair())
        self._allowed.keys.add(public)
        return Credentials(
            endpoint=self.endpoint,
            run=run,
            runner_key=self._public.decode("ascii"),
            public_key=public,
            secret_key=secret,
            heartbeat_s=heartbeat_s,
        )

    def revoke(self, credentials: Credentials) -> None:
        """Let no new connection use these keys."""
        self._allowed.keys.discard(credentials.public_key)

    def send(self, route: bytes, frames: list[bytes]) -> None:
        """Send at once or not at all.

        Raises:
            UnreachableError: the connection is gone, or its queue is full.
        """
        try:
            self._socket.send_multipart([route, *frames], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise UnreachableError(str(error)) from error

    def wait(self, seconds: float) -> bool:
        """Whether a message is there, after waiting for it at most so long."""
        return _wait(self._socket, seconds)

    def receive(self) -> Incoming:
        """The next message; call it when ``wait`` has said that there is one."""
        route = self._socket.recv(copy=False)
        frames = self._socket.recv_multipart() if self._socket.rcvmore else []
        return Incoming(route.bytes, str(route.get("User-Id")), frames)

    def close(self) -> None:
        """Stop listening and remove the folder; a second call does nothing."""
        if not self._socket.closed:
            self._socket.close(linger=0)
            self._authenticator.stop()
            self._context.destroy(linger=0)
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)

    def _bind(self) -> None:
        path = self.endpoint.removeprefix("ipc://")
        if len(path.encode()) > MAX_PATH:
            raise ResourceError(f"{path}: a socket's path has at most {MAX_PATH} bytes; set TMPDIR to a shorter one")
        try:
            self._socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            raise ResourceError(f"{self.endpoint}: {error}; set TMPDIR to a folder that can be written") from error


class ClientSocket:
    """A DEALER that connects as its ``Credentials`` says, and again whenever the connection is lost."""

    def __init__(self, credentials: Credentials) -> None:
        """Begin to connect, without waiting for it."""
        self._context = zmq.Context()
        self._socket = _limited(self._context.socket(zmq.DEALER))
        self._socket.curve_serverkey = credentials.runner_key.encode("ascii")
        self._socket.curve_publickey = credentials.public_key.encode("ascii")
        self._socket.curve_secretkey = credentials.secret_key.encode("ascii")
        self._socket.immediate = True  # nothing is queued for a connection that may never come
        self._socket.connect(credentials.endpoint)

    def send(self, frames: list[bytes], *, within_s: float) -> None:
        """Hand the message to the connection.

        Raises:
            UnreachableError: it could not be within ``within_s``.
        """
        with suppress(zmq.Again):  # nearly always it goes at once
            self._socket.send_multipart(frames, zmq.NOBLOCK)
            return
        if not self._socket.poll(math.ceil(within_s * 1000), zmq.POLLOUT):
            raise UnreachableError(f"the runner took nothing within {within_s:g} s")
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again as error:  # the connection was lost since
            raise UnreachableError("the connection to the runner is gone") from error

    def wait(self, seconds: float) -> bool:
        """Whether a message is there, after waiting for it at most so long."""
        return _wait(self._socket, seconds)

    def receive(self) -> list[bytes]:
        """The next message; call it when ``wait`` has said that there is one."""
        return self._socket.recv_multipart()

    def close(self, *, linger_s: float = 0.0) -> None:
        """Disconnect, after at most ``linger_s`` for what is still to be sent; a second call does nothing."""
        if not self._socket.closed:
            self._socket.close(linger=math.ceil(linger_s * 1000))
            self._context.term()


class FeedClient:
    """A DEALER that connects to a feed of bars on this machine, and again whenever the connection is lost."""

    def __init__(self, address: str) -> None:
        """Begin to connect, without waiting for it; ``address`` is one that ZeroMQ understands."""
        self._context = zmq.Context()
        self._socket = _limited(self._context.socket(zmq.DEALER))
        self._socket.maxmsgsize = FEED_MAX_FRAME
        self._socket.immediate = True  # a question that waits for a connection would be answered twice
        self._address, self._ended_s = address, math.inf
        self._events = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CONNECT_RETRIED)
        self._socket.connect(address)

    def send(self, frames: list[bytes], *, within_s: float) -> bool:
        """Send; False where nobody is connected within so long."""
        if not self._socket.poll(math.ceil(within_s * 1000), zmq.POLLOUT):
            return False
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:  # the connection was lost since
            return False
        return True

    def cut_off(self) -> bool:
        """Whether the connection was ended for good, by a frame over `FEED_MAX_FRAME` or by what is no frame.

        ZeroMQ connects again to a feed that was gone, but not after these: another connection is begun here.
        """
        while _wait(self._events, 0):
            disconnected = recv_monitor_message(self._events)["event"] == zmq.EVENT_DISCONNECTED
            self._ended_s = time.monotonic() if disconnected else math.inf
        if time.monotonic() < self._ended_s + _RETRY_S:
            return False
        self._socket.disconnect(self._address)
        self._socket.connect(self._address)
        self._ended_s = math.inf
        return True

    def wait(self, seconds: float) -> bool:
        """Whether a message is there, after waiting for it at most so long."""
        return _wait(self._socket, seconds)

    def receive(self) -> list[bytes]:
        """The next message; call it when ``wait`` has said that there is one."""
        return self._socket.recv_multipart()

    def close(self) -> None:
        """Disconnect; a second call does nothing."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._events.close(linger=0)
            self._socket.close(linger=0)
            self._context.term()


class FeedServer:
    """A ROUTER on the loopback address, which any program on this machine may ask."""

    def __init__(self, port: int) -> None:
        """Bind; port 0 takes a free one.

        Raises:
            ResourceError: the port is taken.
        """
        self._context = zmq.Context()
        self._socket = _limited(self._context.socket(zmq.ROUTER))
        self.address = f"tcp://127.0.0.1:{port or '*'}"
        try:
            self._socket.bind(self.address)
        except zmq.ZMQError as error:
            self.close()
            raise ResourceError(f"{self.address}: {error}; name another --port") from error
        endpoint = self._socket.last_endpoint
        assert isinstance(endpoint, bytes), "a bound socket has one"
        self.address = endpoint.decode("ascii")

    def send(self, route: bytes, frames: list[bytes]) -> None:
        """Send at once or not at all: who is gone, or reads nothing, asks again."""
        with suppress(zmq.Again):
            self._socket.send_multipart([route, *frames], zmq.NOBLOCK)

    def wait(self, seconds: float) -> bool:
        """Whether a message is there, after waiting for it at most so long."""
        return _wait(self._socket, seconds)

    def receive(self) -> tuple[bytes, list[bytes]]:
        """The way back and the frames of the next message; call it when ``wait`` has said that there is one."""
        route, *frames = self._socket.recv_multipart()
        return route, frames

    def close(self) -> None:
        """Stop listening; a second call does nothing."""
        if not self._socket.closed:
            self._socket.close(linger=0)
            self._context.term()


class _AllowList:
    """Which public keys may connect; an empty list lets nobody in."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.refused = 0

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether ``key`` may connect; the authenticator's thread calls it by this name."""
        allowed = key.decode("ascii") in self.keys
        self.refused += not allowed
        return allowed


def _own_folder() -> tuple[Path, int]:
    """A fresh folder for a socket, and the handle of the lock that it holds while its maker lives."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    assert locked_at_once(lock), "nobody else knows of it yet"
    return folder, lock


def _sweep(temporary: Path) -> None:
    """Remove the socket folders of makers that were killed: the kernel has let go of their locks."""
    for folder in temporary.glob(f"{_PREFIX}*"):
        # One that is as young may be about to be locked by its maker.
        with suppress(OSError):  # another user's, or swept by somebody else meanwhile
            status = folder.stat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _YOUNG_S:
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if locked_at_once(lock):
            shutil.rmtree(folder)
    finally:
        os.close(lock)


def _limited(socket: "zmq.Socket[bytes]") -> "zmq.Socket[bytes]":
    socket.linger = 0
    socket.maxmsgsize = MAX_FRAME
    socket.handshake_ivl = _HANDSHAKE_MS
    socket.sndhwm = socket.rcvhwm = _QUEUE
    return socket


def _wait(socket: "zmq.Socket[bytes]", seconds: float) -> bool:
    return bool(zmq.zmq_poll([(socket, zmq.POLLIN)], math.ceil(seconds * 1000)))  # without the poller of socket.poll
