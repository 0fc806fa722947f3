"""The HTTP engine against a small real server that misbehaves in every way a server can."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from aiohttp import web

from llm_gate.contract import Approve, EntryProposal, GateFailed, Mode, Resize, Reviewed
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import RequestError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from tests.llm_gate.completions import json_completion, letter_completion

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MakeProposal = Callable[..., EntryProposal]
DEADLINE_S = 0.4


async def good(request: web.Request) -> web.StreamResponse:
    """A letter for the request that asked, if it asked as we mean to."""
    asked = await request.json()
    assert asked["structured_outputs"] == {"choice": ["A", "B", "C"]}
    assert asked["messages"][-1]["role"] == "user"
    assert request.headers["Authorization"] == "Bearer secret"
    return web.json_response(letter_completion(request.headers["X-Request-Id"]))


async def silent(request: web.Request) -> web.StreamResponse:
    """No answer."""
    await asyncio.sleep(30)
    return web.Response()


async def dripping(request: web.Request) -> web.StreamResponse:
    """A byte now and then: no single read is ever late."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for byte in json.dumps(letter_completion(request.headers["X-Request-Id"])).encode():
        await response.write(bytes([byte]))
        await asyncio.sleep(0.05)
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    """A body without end, as fast as it goes."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


async def closing(request: web.Request) -> web.StreamResponse:
    """The connection is cut before any answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    """The connection is cut in the middle of the answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "5000"})
    await response.prepare(request)
    await response.write(b'{"id":')
    assert request.transport is not None
    request.transport.close()
    return response


async def page(request: web.Request) -> web.StreamResponse:
    """HTML, with status 200."""
    return web.Response(text="<html>welcome</html>", content_type="text/html")


async def garbage(request: web.Request) -> web.StreamResponse:
    """Bytes that claim to be JSON."""
    return web.Response(body=b"\xff\xfe{{{", content_type="application/json")


async def prose(request: web.Request) -> web.StreamResponse:
    """A server that ignores the constraint."""
    return web.json_response(letter_completion(request.headers["X-Request-Id"], letter="The"))


async def foreign(request: web.Request) -> web.StreamResponse:
    """The answer to another proposal."""
    return web.json_response(letter_completion("f" * 32))


async def busy(request: web.Request) -> web.StreamResponse:
    """Overloaded."""
    return web.json_response({"error": "busy"}, status=503)


async def elsewhere(request: web.Request) -> web.StreamResponse:
    """A redirect to a host we never meant to talk to."""
    raise web.HTTPTemporaryRedirect("http://192.0.2.1/v1/chat/completions")


async def heavy_header(request: web.Request) -> web.StreamResponse:
    """A header of 200 KB."""
    return web.json_response({}, headers={"X-Weight": "x" * 200_000})


async def good_in_json(request: web.Request) -> web.StreamResponse:
    """A whole object, if it was asked for as we mean to: flat, bounded, with the examples in the same form."""
    asked = await request.json()
    forms = asked["structured_outputs"]["json"]["anyOf"]
    assert [form["properties"]["decision"]["const"] for form in forms] == ["approve", "shrink", "veto"]
    assert asked["max_tokens"] <= 128 and "logprobs" not in asked
    examples = [json.loads(turn["content"]) for turn in asked["messages"] if turn["role"] == "assistant"]
    assert {example["decision"] for example in examples} == {"approve", "shrink", "veto"}
    content = '{"decision":"shrink","size_percent":37,"reason":"a thin room"}'
    return web.json_response(json_completion(request.headers["X-Request-Id"], content))


def review_against(handler: Handler, proposal: EntryProposal, mode: Mode = "choice") -> Reviewed:
    """One review by an engine that talks to ``handler``."""

    async def review() -> Reviewed:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", handler)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        gate = Gate(
            VllmEngine(f"http://127.0.0.1:{port}", "secret"),
            find_prompt(DEFAULT_PROMPT),
            GateConfig(deadline_s=DEADLINE_S, mode=mode),
        )
        try:
            return await gate.review(proposal)
        finally:
            await runner.cleanup()

    return asyncio.run(review())


def test_a_good_server_gives_a_verdict_with_probabilities(make_proposal: MakeProposal) -> None:
    reviewed = review_against(good, make_proposal())

    assert reviewed.outcome == Approve()
    assert reviewed.probabilities == pytest.approx({"approve": 0.6, "shrink": 0.3, "veto": 0.1})


def test_in_json_the_model_says_size_and_reason_itself(make_proposal: MakeProposal) -> None:
    reviewed = review_against(good_in_json, make_proposal(), "json")

    assert reviewed.outcome == Resize(size_factor=Decimal("0.37"), reason="a thin room")
    assert (reviewed.mode, reviewed.reason_source, reviewed.probabilities) == ("json", "model", None)
    assert (reviewed.prompt_tokens, reviewed.completion_tokens) == (700, 21)


@pytest.mark.parametrize(
    ("handler", "cause"),
    [
        (silent, "timeout"),
        (dripping, "timeout"),
        (endless, "http"),
        (closing, "unavailable"),
        (cut, "http"),
        (page, "http"),
        (garbage, "malformed"),
        (prose, "malformed"),
        (foreign, "foreign"),
        (busy, "http"),
        (elsewhere, "http"),
        (heavy_header, "http"),
    ],
)
def test_a_bad_server_is_a_failure_within_the_deadline(
    make_proposal: MakeProposal, handler: Handler, cause: str
) -> None:
    reviewed = review_against(handler, make_proposal())

    assert reviewed.outcome == GateFailed.model_validate({"cause": cause})
    assert reviewed.latency_s < DEADLINE_S + 0.4


def test_nobody_listening_is_unavailable_at_once(make_proposal: MakeProposal, unused_port: int) -> None:
    gate = Gate(VllmEngine(f"http://127.0.0.1:{unused_port}", ""), find_prompt(DEFAULT_PROMPT), GateConfig())
    started_s = time.monotonic()

    reviewed = asyncio.run(gate.review(make_proposal()))

    assert reviewed.outcome == GateFailed(cause="unavailable")
    assert time.monotonic() - started_s < 2.0


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:8000", "http://example.org", "ftp://127.0.0.1", "127.0.0.1:8000", "http://127.0.0.1.evil"]
)
def test_a_server_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="loopback"):
        VllmEngine(url, "key")


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:http"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="is no address"):
        VllmEngine(url, "key")


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(RequestError, match="VLLM_API_KEY") as raised:
        VllmEngine("http://user:secret@127.0.0.1:8000", "key")

    assert "secret" not in str(raised.value)


def test_tls_needs_a_key() -> None:
    with pytest.raises(RequestError):
        VllmEngine("https://gate.example", "")

    assert VllmEngine("https://gate.example", "key").name == "vllm"
