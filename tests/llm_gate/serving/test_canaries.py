"""A model server that ignores the constraint is refused, whatever it answers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from llm_gate.contract import Mode
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import ServerNotReadyError
from llm_gate.serving.canaries import prove
from tests.llm_gate.completions import json_completion, letter_completion


@pytest.mark.parametrize("mode", ["choice", "json"])
@pytest.mark.parametrize(("content", "status"), [("The", 200), ("A sea of", 200), ("A", 500)])
def test_the_canary_refuses_a_server_that_answers_freely(content: str, status: int, mode: Mode) -> None:
    """A server that ignores structured_outputs answers 200 with prose, as vLLM does for guided_json."""

    async def free(request: web.Request) -> web.StreamResponse:
        make = letter_completion if mode == "choice" else json_completion
        return web.json_response(make(request.headers["X-Request-Id"], content), status=status)

    with pytest.raises(ServerNotReadyError, match="canary") as caught:
        asyncio.run(proven_against(free, mode))

    assert caught.value.exit_code == 5


async def proven_against(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], mode: Mode) -> None:
    """The canary against ``handler``."""
    application = web.Application()
    application.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await prove(VllmEngine(f"http://127.0.0.1:{runner.addresses[0][1]}", "key"), mode)
    finally:
        await runner.cleanup()
