"""Asks a vLLM server for one constrained letter over HTTP, and reads the probability of each letter."""

import hashlib
import ipaddress
import json
from urllib.parse import urlsplit

import aiohttp

from llm_gate.contract import Label
from llm_gate.engines.base import Answer, Question, Turn
from llm_gate.errors import HttpError, RequestError, UnavailableError
from llm_gate.verdicts import parse_completion

SERVED_NAME = "gate"
MAX_REPLY_BYTES = 16 * 1024

_SAMPLING = {"temperature": 0, "seed": 0, "n": 1, "max_tokens": 1, "logprobs": True}
_CHUNK_BYTES = 4096


class VllmEngine:
    """One chat completion a question, on a connection of its own: no pool that could hold a dead one."""

    name = "vllm"

    def __init__(
        self, url: str, key: str, *, model_id: str = SERVED_NAME, max_reply_bytes: int = MAX_REPLY_BYTES
    ) -> None:
        """``url`` is the server's root. RequestError unless it is on the loopback address or TLS with a key."""
        _check_address(url, key)
        self._url = url.rstrip("/") + "/v1/chat/completions"
        self._key = key
        self._max_reply_bytes = max_reply_bytes
        self.model = f"{model_id}+sampling@{_sampling_digest()}"

    async def decide(self, question: Question) -> Answer:
        """The letter the server chose. Has no deadline of its own: the gate's covers it."""
        return await self.ask(question.prompt, question.letters, question.proposal.proposal_id)

    async def ask(self, chat: tuple[Turn, ...], letters: dict[str, Label], request_id: str) -> Answer:
        """The letter for any chat; a server is probed with it too."""
        body = await self._post(_body(chat, letters), request_id)
        return parse_completion(body, proposal_id=request_id, letters=letters)

    async def _post(self, request: dict[str, object], request_id: str) -> bytes:
        headers = {
            "Authorization": f"Bearer {self._key}",
            "X-Request-Id": request_id,
            "Accept-Encoding": "identity",
        }
        connector = aiohttp.TCPConnector(force_close=True)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
                ) as session,
                session.post(self._url, json=request, headers=headers, allow_redirects=False) as response,
            ):
                return await self._checked_body(response)
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise UnavailableError(f"{self._url}: {error or type(error).__name__}") from None
        except aiohttp.ClientError as error:
            raise HttpError(f"{self._url}: {type(error).__name__}") from None

    async def _checked_body(self, response: aiohttp.ClientResponse) -> bytes:
        if response.status != 200:
            raise HttpError(f"{self._url}: status {response.status}")
        if response.content_type != "application/json":
            raise HttpError(f"{self._url}: content type {response.content_type}")
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > self._max_reply_bytes:
                raise HttpError(f"{self._url}: more than {self._max_reply_bytes} bytes")
        return bytes(body)


def _body(chat: tuple[Turn, ...], letters: dict[str, Label]) -> dict[str, object]:
    return {
        "model": SERVED_NAME,
        "messages": [{"role": turn.role, "content": turn.text} for turn in chat],
        # ``guided_choice`` and ``guided_json`` are ignored without a word; this name is not.
        "structured_outputs": {"choice": list(letters)},
        "top_logprobs": len(letters),
        **_SAMPLING,
    }


def _sampling_digest() -> str:
    return hashlib.sha256(json.dumps(_SAMPLING, sort_keys=True).encode()).hexdigest()[:12]


def _check_address(url: str, key: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and key:
        return
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise RequestError(f"{url}: the model server must be on the loopback address, or speak TLS and ask for a key")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
