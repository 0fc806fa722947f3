"""A browser that is driven while a page lives: opened at a width, asked for what it shows, photographed."""

import asyncio
import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.browser import BROWSER

PATIENCE_S = 60.0
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
QUIET_FLAGS = ("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0")


class Tab:
    """One page of a browser, over Chrome's own protocol, on a connection that stays: what is set lasts as long."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse) -> None:
        """``socket`` is connected to the page."""
        self._loop, self._socket, self._sent = loop, socket, 0
        self.complaints: list[str] = []
        """What the page's console said, and what its policy forbade."""
        for method in ("Log.enable", "Runtime.enable"):
            self.ask(method)

    def ask(self, method: str, **values: Any) -> Any:
        """What one call of the protocol gives."""
        return self._loop.run_until_complete(self._ask(method, values))

    async def _ask(self, method: str, values: dict[str, Any]) -> Any:
        self._sent += 1
        await self._socket.send_json({"id": self._sent, "method": method, "params": values})
        while True:
            message = json.loads((await self._socket.receive(PATIENCE_S)).data)
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(str(message["params"]["entry"]["text"]))
            elif message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))
            elif message.get("id") == self._sent:
                assert "error" not in message, message
                return message["result"]

    def open(self, url: str, *, width: int, dark: bool = False) -> None:
        """Show ``url`` so many pixels wide."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=width < 600
        )
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What ``script`` evaluates to in the page."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of ``script`` once it is true."""
        end_s = time.monotonic() + PATIENCE_S
        while not (found := self.value(script)):
            assert time.monotonic() < end_s, f"never true: {script}"
            time.sleep(0.1)
        return found

    def photograph(self, path: Path) -> None:
        """The whole page as a PNG."""
        found = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A browser with a new profile in ``folder``, and its one page."""
    assert BROWSER is not None
    line = [BROWSER, *FLAGS, *QUIET_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    log, loop = folder / "browser.log", asyncio.new_event_loop()
    with log.open("wb") as stream:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        session, socket = loop.run_until_complete(_connected(log))
        try:
            yield Tab(loop, socket)
        finally:
            loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        loop.close()


async def _connected(log: Path) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    """A connection to the browser's one page, once the browser says in its ``log`` where it listens."""
    session, end_s = aiohttp.ClientSession(), time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if found := re.search(r"ws://([\d.:]+)/devtools/browser", log.read_text(errors="replace")):
            async with session.get(f"http://{found[1]}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            if pages:
                return session, await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=1 << 26)
        await asyncio.sleep(0.1)
    await session.close()
    raise AssertionError(log.read_text(errors="replace"))
