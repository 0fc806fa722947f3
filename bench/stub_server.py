"""A model server that answers at once, so that what a call costs beside it is our own.

``python -m bench.stub_server`` prints its port. It reads a request, constrained or not as ours are, and writes a right
reply; it judges nothing.
"""

import asyncio
import json
import math

JSON_REPLY = '{"decision":"approve","reason":"nothing speaks against it"}'
_TOP = [{"token": letter, "logprob": math.log(p)} for letter, p in (("A", 0.6), ("B", 0.3), ("C", 0.1))]
_LOGPROBS = {"content": [{"token": "A", "logprob": math.log(0.6), "top_logprobs": _TOP}]}
_MOST_BYTES = 256 * 1024


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one request; IncompleteReadError if the client went away."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(header(head, b"content-length") or b"0")
    return head, await reader.readexactly(min(length, _MOST_BYTES))


def header(head: bytes, name: bytes) -> bytes:
    """The value of one header, empty if it is not there."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return next((value.strip() for key, _, value in lines if key.strip().lower() == name), b"")


def completion(request_id: str, *, in_json: bool) -> bytes:
    """The body of a right reply."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": JSON_REPLY if in_json else "A"},
        "logprobs": None if in_json else _LOGPROBS,
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 700, "completion_tokens": 16 if in_json else 1, "total_tokens": 716}
    reply = {"id": f"chatcmpl-{request_id}", "object": "chat.completion", "model": "gate"}
    return json.dumps({**reply, "choices": [choice], "usage": usage}).encode()


def response(
    body: bytes, *, status: str = "200 OK", content_type: str = "application/json", extra: bytes = b""
) -> bytes:
    """A whole HTTP response that ends the connection."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
    return head.encode() + extra + b"\r\n" + body


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, one reply."""
    try:
        head, body = await read_request(reader)
        request_id = header(head, b"x-request-id").decode()
        writer.write(response(completion(request_id, in_json=b'"choice"' not in body)))
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
