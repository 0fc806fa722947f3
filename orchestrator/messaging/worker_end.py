"""A worker's end of its connection to the runner."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self

from pydantic import BaseModel

from orchestrator.messaging.sockets import ClientSocket, Credentials, UnreachableError
from orchestrator.messaging.wire import (
    Array,
    Catalogue,
    Envelope,
    Heartbeat,
    Ready,
    Received,
    Refused,
    Reply,
    Shutdown,
    WireError,
    WorkerFailed,
    clean_cause,
    decode,
    encode,
)

_SEND_S = 5.0
_CONNECT_S = 60.0
"""Half of what the runner allows a start: on a machine with too much to do a handshake alone may take seconds."""
_FAREWELL_S = 0.5


Handlers = Mapping[type[BaseModel], Callable[[Received], Reply]]


class RunnerConnection:
    """Says Ready, answers one request after another, and beats its heart in between; a context manager."""

    def __init__(self, credentials: Credentials, catalogue: Catalogue) -> None:
        """Begin to connect, without waiting for it."""
        self._run = credentials.run
        self._heartbeat_s = credentials.heartbeat_s
        self._catalogue = catalogue
        self._sent = 0
        self._socket = ClientSocket(credentials)

    def ready(self, serves: Mapping[str, str]) -> None:
        """Tell the runner that requests can come; ``serves`` names what was loaded (digests, versions).

        Raises:
            UnreachableError: the runner cannot be reached.
        """
        self._send(Ready(serves=dict(serves)), within_s=_CONNECT_S)

    def serve(self, handlers: Handlers) -> None:
        """Answer requests until Shutdown comes; a request that cannot be read or has no handler is refused.

        Raises:
            UnreachableError: the runner takes no answers any more.
            WireError: an answer cannot travel.
            Exception: whatever a handler raises: a worker that cannot answer ends.
        """
        beat_s = monotonic()
        while True:
            if monotonic() >= beat_s:
                with suppress(UnreachableError):  # the runner is behind with reading: the next beat will do
                    self._send(Heartbeat(), within_s=0.0)
                beat_s = monotonic() + self._heartbeat_s
            if not self._socket.wait(max(0.0, beat_s - monotonic())):
                continue
            request = self._request()
            if request is not None and isinstance(request.message, Shutdown):
                return
            if request is not None:
                self._answer(request, handlers)

    def fail(self, cause: str) -> None:
        """Tell the runner why this worker ends, if it can be told at once, and disconnect."""
        with suppress(UnreachableError):  # the exit status tells it as well
            self._send(WorkerFailed(cause=clean_cause(cause)), within_s=_FAREWELL_S)
        self.close(linger_s=_FAREWELL_S)

    def close(self, *, linger_s: float = 0.0) -> None:
        """Disconnect, after at most ``linger_s`` for what is still to be sent; a second call does nothing."""
        self._socket.close(linger_s=linger_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _request(self) -> Received | None:
        try:
            envelope = decode(self._socket.receive(), self._catalogue)
        except WireError as error:
            self._refuse(str(error), error.message_id)
            return None
        if envelope.run != self._run:
            self._refuse("a request of another run", envelope.id)
            return None
        return Received("runner", envelope.id, envelope.message, envelope.arrays)

    def _answer(self, request: Received, handlers: Handlers) -> None:
        handler = handlers.get(type(request.message))
        if handler is None:
            self._refuse(f"{type(request.message).__name__} is not answered here", request.id)
            return
        reply = handler(request)
        self._send(reply.message, reply.arrays, re=request.id)

    def _refuse(self, cause: str, re: str | None) -> None:
        self._send(Refused(cause=clean_cause(cause)), re=re)

    def _send(
        self, message: BaseModel, arrays: tuple[Array, ...] = (), *, re: str | None = None, within_s: float = _SEND_S
    ) -> None:
        self._sent += 1
        envelope = Envelope(self._run, f"w-{self._sent}", re, message, arrays)
        self._socket.send(encode(envelope, self._catalogue), within_s=within_s)
