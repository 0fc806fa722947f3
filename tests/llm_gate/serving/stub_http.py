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


class ThreadedServer:
    """An application that serves on a thread of its own until it is closed."""

    def __init__(self, routes: Callable[[web.UrlDispatcher], object]) -> None:
        """Serve from now on; ``routes`` adds the handlers."""
        self.url = ""
        self._routes, self._ready = routes, threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        """End, and wait until nothing of it is left."""
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        self._routes(application.router)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """The address of a server that answers as ``answer`` says."""

    async def complete(request: web.Request) -> web.Response:
        status, reply = answer(request.headers["X-Request-Id"], await request.json())
        return web.json_response(reply, status=status)

    server = ThreadedServer(lambda router: router.add_post("/v1/chat/completions", complete))
    try:
        yield server.url
    finally:
        server.close()
