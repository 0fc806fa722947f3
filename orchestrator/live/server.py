"""The live page's server: read-only, on the loopback address alone, for whoever has its token.

It follows the run's files and knows nothing else of the run, so that no page, however slow, can hold up trading. What
is new goes to the page as server-sent events.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from plotly.offline import get_plotlyjs

from orchestrator.live.follower import Follower
from orchestrator.live.metrics import CONTENT_TYPE, metrics_text
from orchestrator.live.told import Cursor, Told, header_told, rows_since, state_told
from trigate.errors import ResourceError
from trigate.pages.render import rendered

HOST = "127.0.0.1"
LOOK_S = 0.25
STATE_EVERY_S = 1.0
"""The state is told so often even where nothing came, so that a page sees that it is still told."""
MOST_PAGES = 16
_ASKED = ("GET", "HEAD")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LivePage:
    """One run's page."""

    def __init__(self, follower: Follower, *, port: int = 0, token: str = "") -> None:
        """Nothing listens yet; ``port`` 0: a free one, ``token`` "": one that is drawn now."""
        self._follower, self._port = follower, port
        self.token = token or secrets.token_urlsafe(24)
        self._pages, self._closing = 0, False
        self._plotly = get_plotlyjs().encode()

    async def serve(self, ready: Callable[[str], None], stop: asyncio.Event) -> None:
        """Listen until ``stop`` is set; ``ready`` is told the address, which holds the token.

        Raises:
            ResourceError: the port is taken.
        """
        app = web.Application(middlewares=[self._let_in])
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        app.router.add_get("/state.json", self._state)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/plotly.js", self._script)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=4 * LOOK_S)
        await runner.setup()
        follows = asyncio.create_task(self._follow())
        try:
            site = web.TCPSite(runner, HOST, self._port)
            try:
                await site.start()
            except OSError as error:
                raise ResourceError(f"{HOST}:{self._port}: {error.strerror}; name another --port") from error
            self._port = runner.addresses[0][1]
            ready(self.address)
            await stop.wait()
        finally:
            self._closing = True
            follows.cancel()
            await runner.cleanup()

    @property
    def address(self) -> str:
        """Of the page, for whoever may see it."""
        return f"http://{HOST}:{self._port}/?token={self.token}"

    async def _follow(self) -> None:
        while True:
            self._follower.read()
            await asyncio.sleep(LOOK_S)

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what does not have the token, came by another name (DNS rebinding), or wants to change something."""
        named = {f"{HOST}:{self._port}", f"localhost:{self._port}"}
        if request.method not in _ASKED or request.host not in named:
            raise web.HTTPForbidden(text="read-only, and by the address that orchestrator watch printed")
        shown = request.query.get("token", "") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), self.token.encode()):
            raise web.HTTPForbidden(text="the address that orchestrator watch printed holds a token; open that one")
        return await handler(request)

    async def _page(self, request: web.Request) -> web.StreamResponse:
        nonce = secrets.token_urlsafe(12)
        values = {"head": header_told(self._follower), "token": self.token, "nonce": nonce}
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; connect-src 'self'; "
            "img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
        )
        return web.Response(
            text=rendered("orchestrator.live", "live.html.j2", values),
            content_type="text/html",
            headers={**_PRIVATE, "Content-Security-Policy": policy},
        )

    async def _script(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._plotly, content_type="text/javascript", headers=_PRIVATE)

    async def _state(self, request: web.Request) -> web.StreamResponse:
        told = {**header_told(self._follower), **state_told(self._follower, self._follower.outside())}
        return web.json_response(told, headers=_PRIVATE)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        text = metrics_text(self._follower, self._follower.outside())
        return web.Response(body=text.encode(), headers={**_PRIVATE, "Content-Type": CONTENT_TYPE})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._pages >= MOST_PAGES:
            raise web.HTTPServiceUnavailable(text=f"{MOST_PAGES} pages are open already; close one")
        response = web.StreamResponse(headers={**_PRIVATE, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        self._pages += 1
        try:
            await self._tell(response)
        except ConnectionError:
            pass  # the page was closed
        finally:
            self._pages -= 1
        return response

    async def _tell(self, response: web.StreamResponse) -> None:
        """Tell a page everything, then what is new; a page that reads slowly waits alone."""
        follower, cursor, since_s, records = self._follower, Cursor(starts=-1), STATE_EVERY_S, -1
        while not self._closing:
            rows, cursor = rows_since(follower, cursor)
            if rows["anew"] or rows["bars"] or rows["marks"] or rows["fills"]:
                await _send(response, "rows", rows)
            if since_s >= STATE_EVERY_S or records != follower.watched.records:
                since_s, records = 0.0, follower.watched.records
                await _send(response, "state", self._told())
            await asyncio.sleep(LOOK_S)
            since_s += LOOK_S

    def _told(self) -> Told:
        try:
            return state_told(self._follower, self._follower.outside())
        except ResourceError as error:
            return {"gone": str(error)}


_PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def _send(response: web.StreamResponse, event: str, told: Told) -> None:
    await response.write(f"event: {event}\ndata: {json.dumps(told)}\n\n".encode())
