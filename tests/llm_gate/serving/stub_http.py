"""A real HTTP server for tests: it answers each completion as a function says."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from tests.llm_gate.completions import json_completion, letter_completion

Answer = Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]]]
"""Request id and what was asked, to the status and the reply."""


REFUSAL = {"error": {"message": "System role not supported\x1b[31m\n" + "y" * 400, "type": "BadRequestError"}}


def good(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """What a good server answers."""
    if "json" in asked["structured_outputs"]:
        return 200, json_completion(request_id, '{"decision":"veto","reason":"near the floor"}')
    return 200, letter_completion(request_id)


def without_system_role(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """As Gemma 1 and early Mistral do: the template raises, and vLLM answers 400 with what it says."""
    if any(turn["role"] == "system" for turn in asked["messages"]):
        return 400, REFUSAL
    return good(request_id, asked)


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """The address of a server that answers as ``answer`` says."""
    loop, ready, address = asyncio.new_event_loop(), threading.Event(), []

    async def complete(request: web.Request) -> web.Response:
        status, reply = answer(request.headers["X-Request-Id"], await request.json())
        return web.json_response(reply, status=status)

    async def listen() -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", complete)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(listen())
        ready.set()
        loop.run_forever()

    threading.Thread(target=serve, daemon=True).start()
    assert ready.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(loop.stop)
