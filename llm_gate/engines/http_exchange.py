"""One HTTP request on a connection of its own, its reply checked and capped; only who asks a server loads this."""

import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import aiohttp

from llm_gate.errors import HttpError, UnavailableError

LONGEST_WORDS = 300
"""Characters of a server's own words that an error shows."""
_CHUNK_BYTES = 4096
_MAX_ERROR_BYTES = 4096


class HttpRequest(NamedTuple):
    """What is asked, and what the reply must be."""

    method: str
    url: str
    content_type: str
    """The content type that the reply must have."""
    most_bytes: int
    body: dict[str, object] | None = None
    headers: Mapping[str, str] = MappingProxyType({})


async def exchange(request: HttpRequest, key: str) -> bytes:
    """The body of the reply; ``key`` is the bearer's.

    Raises:
        UnavailableError: nobody answers there.
        HttpError: the reply is another than was asked for.
    """
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity", **request.headers}
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=None)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
            session.request(
                request.method, request.url, json=request.body, headers=headers, allow_redirects=False
            ) as response,
        ):
            return await _checked_body(response, request)
    except (aiohttp.ClientConnectionError, ConnectionError) as error:
        raise UnavailableError(f"{request.url}: {_connection_fault(error)}") from None
    except aiohttp.ClientError as error:
        raise HttpError(f"{request.url}: {type(error).__name__}") from None


def _connection_fault(error: Exception) -> str:
    """What the system says of a connection, without the library's own words; those where it says nothing."""
    number = error.errno if isinstance(error, OSError) else None
    said = os.strerror(number) if number is not None and number > 0 else str(error) or type(error).__name__
    return f"cannot connect: {said}" if isinstance(error, aiohttp.ClientConnectorError) else said


async def _checked_body(response: aiohttp.ClientResponse, request: HttpRequest) -> bytes:
    if response.status != 200:
        words = _words(await response.content.read(_MAX_ERROR_BYTES))
        raise HttpError(f"{request.url}: status {response.status}{words and f': {words}'}", status=response.status)
    if response.content_type != request.content_type:
        raise HttpError(f"{request.url}: content type {response.content_type}")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > request.most_bytes:
            raise HttpError(f"{request.url}: more than {request.most_bytes} bytes")
    return bytes(body)


def _words(body: bytes) -> str:
    """What a server says of its refusal, on one line and capped: in the form of OpenAI's errors, or as it stands."""
    text = body.decode("utf-8", "replace")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        reply = None
    if isinstance(reply, dict):
        fault = reply.get("error", reply)
        text = str(fault.get("message", text)) if isinstance(fault, dict) else str(fault)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:LONGEST_WORDS]
