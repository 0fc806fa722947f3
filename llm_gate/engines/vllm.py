"""Asks a vLLM server over HTTP for one constrained letter with the probability of each, or for a constrained object."""

import hashlib
import ipaddress
import json
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from llm_gate.contract import Label, Mode
from llm_gate.engines.base import SERVED_NAME, Answer, Question, TemplateValue, Turn
from llm_gate.engines.replies import JSON_EXAMPLES, JSON_SCHEMA, ExpectedReply, parse_completion, parse_json_completion
from llm_gate.errors import RequestError

MAX_REPLY_BYTES = 16 * 1024
TOKEN_COUNTERS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")
"""What moves while the engine works."""

# What a model's own generation_config.json would set is set here: a penalty on repetition changes the letter behind
# temperature 0, and a server that somebody else started may have read that file.
_COMMON: dict[str, object] = {"temperature": 0, "seed": 0, "n": 1, "repetition_penalty": 1.0}
_SAMPLING: dict[Mode, dict[str, object]] = {
    "choice": {**_COMMON, "max_tokens": 1, "logprobs": True},
    "json": {**_COMMON, "max_tokens": 128, "structured_outputs": {"json": JSON_SCHEMA}},
}
_IN_JSON = "Instead of a letter, answer with one JSON object: " + ", ".join(JSON_EXAMPLES.values())
_MAX_METRICS_BYTES = 1024 * 1024
_NUMBER = re.compile(r"[0-9.]+(e[+-]?[0-9]+)?")


class VllmEngine:
    """One chat completion a question, on a connection of its own: no pool that could hold a dead one."""

    name = "vllm"
    by_case = True

    def __init__(
        self,
        url: str,
        key: str,
        *,
        model_id: str = SERVED_NAME,
        served: str = SERVED_NAME,
        template_kwargs: Mapping[str, TemplateValue] = MappingProxyType({}),
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: the server's root.
            key: its API key, "" for none.
            model_id: the name that journals and logs give the model.
            served: the name under which the server serves it.
            template_kwargs: what the model's chat template is told beside the chat.
            max_reply_bytes: a longer reply is refused.

        Raises:
            RequestError: the server is neither on the loopback address nor speaks TLS and asks for a key.
        """
        # Here and not above: it takes longer to import than all else, and a gate without a server needs none of it.
        from llm_gate.engines import http_exchange

        _check_address(url, key)
        self._http = http_exchange
        self._root = url.rstrip("/")
        self._key = key
        self._served = served
        self._max_reply_bytes = max_reply_bytes
        self._template = {"chat_template_kwargs": dict(template_kwargs)} if template_kwargs else {}
        self.model = f"{model_id}+sampling@{_sampling_digest(self._template)}"

    async def decide(self, question: Question) -> Answer:
        """What the server chose. Has no deadline of its own: the gate's covers it."""
        proposal_id = question.proposal.proposal_id
        # A second attempt has another name: the server may still be busy with the first.
        request_id = f"{proposal_id}-{secrets.token_hex(4)}"
        ask = self.ask_json if question.mode == "json" else self.ask
        return (await ask(question.prompt, question.letters, request_id))._replace(proposal_id=proposal_id)

    async def ask(self, chat: tuple[Turn, ...], letters: dict[str, Label], request_id: str) -> Answer:
        """The letter that the server chooses for any chat; a server is probed with it too."""
        # ``guided_choice`` and ``guided_json`` are ignored without a word; this name is not.
        constraint = {"structured_outputs": {"choice": list(letters)}, "top_logprobs": len(letters)}
        body = await self._post(_body(chat, "choice") | constraint, request_id)
        return parse_completion(body, ExpectedReply(request_id, self._served, letters))

    async def ask_json(self, chat: tuple[Turn, ...], letters: dict[str, Label], request_id: str) -> Answer:
        """The decision that the server gives for any chat, as an object of `JSON_SCHEMA`."""
        body = await self._post(_body(_in_json(chat, letters), "json"), request_id)
        return parse_json_completion(body, ExpectedReply(request_id, self._served, letters))

    async def metrics(self) -> dict[str, float]:
        """The server's counters by name, those of one name added up; HttpError where it shows none."""
        http, url = self._http, self._root + "/metrics"
        page = await http.exchange(http.HttpRequest("GET", url, "text/plain", _MAX_METRICS_BYTES), self._key)
        return _counters(page.decode("utf-8", "replace"))

    async def _post(self, body: dict[str, object], request_id: str) -> bytes:
        url = self._root + "/v1/chat/completions"
        headers = {"X-Request-Id": request_id}
        asked = {**body, **self._template, "model": self._served}
        request = self._http.HttpRequest("POST", url, "application/json", self._max_reply_bytes, asked, headers)
        return await self._http.exchange(request, self._key)


def _counters(page: str) -> dict[str, float]:
    """Prometheus' text form, without the labels."""
    totals: dict[str, float] = {}
    for line in page.splitlines():
        name, _, value = line.partition(" ") if "{" not in line else (line.split("{")[0], "", line.rpartition(" ")[2])
        if not line.startswith("#") and _NUMBER.fullmatch(value):
            totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def _body(chat: tuple[Turn, ...], mode: Mode) -> dict[str, object]:
    messages = [{"role": turn.role, "content": turn.text} for turn in chat]
    return {"messages": messages, **_SAMPLING[mode]}


def _in_json(chat: tuple[Turn, ...], letters: dict[str, Label]) -> tuple[Turn, ...]:
    """The chat with the form of the object said first, and each example's letter as such an object."""
    answers = {letter: JSON_EXAMPLES[label] for letter, label in letters.items()}
    turns = [Turn(t.role, answers.get(t.text, t.text)) if t.role == "assistant" else t for t in chat]
    if turns[0].role == "system":
        return Turn("system", f"{turns[0].text}\n{_IN_JSON}"), *turns[1:]
    return Turn("system", _IN_JSON), *turns


def _sampling_digest(template: Mapping[str, object]) -> str:
    settings = [_SAMPLING, _IN_JSON, *([template] if template else [])]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def _check_address(url: str, key: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # ValueError for none that can be
    except ValueError as error:
        raise RequestError(f"{url}: is no address: {error}") from None
    if "@" in parts.netloc:
        raise RequestError(f"{parts.hostname}: the address holds a name or password; the key goes into VLLM_API_KEY")
    if parts.scheme == "https" and key:
        return
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise RequestError(f"{url}: the model server must be on the loopback address, or speak TLS and ask for a key")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
