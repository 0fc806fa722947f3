"""A proxy between real sockets that spoils replies.

``python -m tests.llm_gate.fault_proxy UPSTREAM_PORT DEADLINE_MS`` prints its port. Each request goes to the server
behind it and comes back spoiled in the way that its decision's id names: the first byte of the id, modulo the number
of faults. A second attempt thus meets the same fault. With the path of a file as
a third argument what a server is probed with passes, as else it would be given up; and while the file exists everything
does: a gate does not begin with a server that cannot be proven.
"""

import asyncio
import random
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.stub_server import header, read_request, response

Verdicts = frozenset({"approve", "resize", "veto"})
TIMEOUT, HTTP, MALFORMED = frozenset({"timeout"}), frozenset({"http"}), frozenset({"malformed"})
UNAVAILABLE, FOREIGN = frozenset({"unavailable"}), frozenset({"foreign"})

PAUSE = (0.2, 0.7)
"""Every reply is held back for a share of the deadline between the two, as a model would."""

_CHUNK = b" " * 65536


class Spoiling(NamedTuple):
    """One connection whose reply is to be spoiled."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    reply: bytes
    """What the server behind the proxy answered, whole."""
    deadline_s: float

    @property
    def body(self) -> bytes:
        """The reply without its head."""
        return self.reply.partition(b"\r\n\r\n")[2]

    async def send(self, data: bytes) -> None:
        """To the client."""
        self.writer.write(data)
        await self.writer.drain()

    async def held(self, low: float, high: float) -> None:
        """Waits for a share of the deadline between the two."""
        await asyncio.sleep(self.deadline_s * random.uniform(low, high))

    async def hang_up_awaited(self) -> None:
        """Waits until the client has gone."""
        while await self.reader.read(4096):
            pass

    def reset(self) -> None:
        """Ends the connection with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def _passed(s: Spoiling) -> None:
    await s.send(s.reply)


async def _latency(s: Spoiling) -> None:
    await s.held(0.0, 0.2)
    await s.send(s.reply)


async def _jitter(s: Spoiling) -> None:
    await s.held(0.0, 0.6)
    await s.send(s.reply)


async def _late(s: Spoiling) -> None:
    await s.held(1.1, 1.5)
    await s.send(s.reply)


async def _drip(s: Spoiling) -> None:
    for byte in s.reply:
        await s.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def _reset(s: Spoiling) -> None:
    s.reset()


async def _reset_inside(s: Spoiling) -> None:
    await s.send(s.reply[: len(s.reply) * 2 // 3])
    await asyncio.sleep(0.005)
    s.reset()


async def _endless(s: Spoiling) -> None:
    await s.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    while True:
        await s.send(_CHUNK)


async def _huge_header(s: Spoiling) -> None:
    await s.send(response(s.body, extra=b"X-Weight: " + b"x" * 200_000 + b"\r\n"))


async def _half_open(s: Spoiling) -> None:
    await s.hang_up_awaited()


async def _slow_close(s: Spoiling) -> None:
    await s.send(s.reply)
    await s.hang_up_awaited()


async def _garbage(s: Spoiling) -> None:
    await s.send(response(random.randbytes(random.randrange(1, 2000))))


async def _no_http(s: Spoiling) -> None:
    await s.send(b"\x00\xffnot a status line at all\r\n\r\n")


async def _wrong_id(s: Spoiling) -> None:
    await s.send(s.reply.replace(b'"id": "chatcmpl-', b'"id": "chatcmpx-'))


async def _duplicate(s: Spoiling) -> None:
    await s.send(s.reply)
    await asyncio.sleep(0.005)
    await s.send(s.reply)


async def _two_in_one(s: Spoiling) -> None:
    await s.send(s.reply + s.reply)


async def _truncated(s: Spoiling) -> None:
    await s.send(s.reply[:-20])


async def _error(s: Spoiling) -> None:
    await s.send(response(b'{"error": "busy"}', status="500 Internal Server Error"))


async def _page(s: Spoiling) -> None:
    await s.send(response(b"<html>welcome</html>", content_type="text/html"))


async def _fence(s: Spoiling) -> None:
    await s.send(response(b"```json\n" + s.body + b"\n```"))


Fault = tuple[str, Callable[[Spoiling], Awaitable[None]], frozenset[str]]
FAULTS: tuple[Fault, ...] = (
    ("none", _passed, Verdicts | TIMEOUT),
    ("latency", _latency, Verdicts | TIMEOUT),
    ("jitter", _jitter, Verdicts | TIMEOUT),
    ("late", _late, TIMEOUT),
    ("drip", _drip, TIMEOUT),
    ("reset", _reset, UNAVAILABLE | TIMEOUT),
    ("reset inside", _reset_inside, UNAVAILABLE | HTTP | TIMEOUT),
    ("endless body", _endless, HTTP | TIMEOUT),
    ("huge header", _huge_header, HTTP | TIMEOUT),
    ("half-open", _half_open, TIMEOUT),
    ("slow close", _slow_close, Verdicts | TIMEOUT),
    ("garbage", _garbage, MALFORMED | TIMEOUT),
    ("no HTTP", _no_http, HTTP | UNAVAILABLE | TIMEOUT),
    ("wrong id", _wrong_id, FOREIGN | TIMEOUT),
    ("duplicate", _duplicate, Verdicts | HTTP | TIMEOUT),
    ("two in one", _two_in_one, HTTP | TIMEOUT),
    ("truncated", _truncated, HTTP | UNAVAILABLE | TIMEOUT),
    ("500", _error, HTTP | TIMEOUT),
    ("HTML", _page, HTTP | TIMEOUT),
    ("fence", _fence, MALFORMED | TIMEOUT),
)
"""Name, what is done, and how a review may then end; a timeout always may, on a busy machine."""


def fault_of(decision_id: str) -> Fault:
    """The fault that a decision meets."""
    return FAULTS[int(decision_id[:2], 16) % len(FAULTS)]


class Behind(NamedTuple):
    """What the proxy stands before, and how it spoils it."""

    upstream: int
    deadline_s: float
    sound: Path | None

    def fault(self, request_id: str) -> Fault:
        """The one that a request meets now; one for the server's counters meets none, and with ``sound`` no probe does.

        The id of a decision is its proposal's with a dash and more, that of a probe has none.
        """
        sound = not request_id or (self.sound is not None and ("-" not in request_id or self.sound.exists()))
        return FAULTS[0] if sound else fault_of(request_id)


async def spoil(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, behind: Behind) -> None:
    """One connection."""
    upstream, deadline_s, _ = behind
    try:
        head, body = await read_request(reader)
        _, action, _ = behind.fault(header(head, b"x-request-id").decode())
        reply = await _forwarded(head + body, upstream)
        connection = Spoiling(reader, writer, reply, deadline_s)
        await connection.held(*PAUSE)
        await asyncio.wait_for(action(connection), 4 * deadline_s)
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        pass
    finally:
        with suppress(ConnectionError):
            writer.transport.abort() if writer.is_closing() else writer.close()


async def _forwarded(request: bytes, upstream: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


async def main(behind: Behind) -> None:
    """Proxy until killed."""
    server = await asyncio.start_server(
        lambda reader, writer: spoil(reader, writer, behind), "127.0.0.1", 0, backlog=512
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[3:]]
    asyncio.run(main(Behind(int(sys.argv[1]), int(sys.argv[2]) / 1000, given[0] if given else None)))
