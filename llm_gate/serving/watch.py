"""Watches a model server that was proven ready, and replaces it when it stops answering.

A healthy API says nothing about the engine behind it: what counts is a real constrained answer. While requests end,
nothing is asked; after some idle seconds, or as soon as a call has failed, one letter is, with a deadline of its own.
After a few misses in a row every process of the server is killed and it is started again on the same address. Whoever
asks meanwhile is refused.
"""

import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self

import structlog

from llm_gate.engines.vllm import TOKEN_COUNTERS, VllmEngine
from llm_gate.errors import EngineError
from llm_gate.serving.canaries import probe, run_watched
from trigate.errors import TrigateError

log = structlog.get_logger(__name__)

ServerState = Literal["healthy", "probing", "restarting", "failed"]


class ReplaceableServer(Protocol):
    """What can be watched and replaced."""

    @property
    def url(self) -> str:
        """The server's root."""
        ...

    @property
    def remedy(self) -> str:
        """What `replace` does, as a person reads it."""
        ...

    def engine(self) -> VllmEngine:
        """What asks the server."""
        ...

    def alive(self) -> bool:
        """Whether its process runs."""
        ...

    def replace(self, check: Callable[[], None]) -> None:
        """Bring it back and return when it is proven; ``check`` may raise in between."""
        ...


class Patience(NamedTuple):
    """When to ask, how long to wait for an answer, and when to give up."""

    idle_s: float = 10.0
    deadline_s: float = 10.0
    """For one look at the server: its counters, and a probe where they stand still."""
    misses: int = 3
    suspect_deadline_s: float = 5.0
    """The same after a call has failed: whoever waits for a verdict waits for this."""
    suspect_misses: int = 2
    restarts: int = 5
    """Within ``restarts_in_s``, or in a row without success; after one more the server is given up."""
    restarts_in_s: float = 600.0
    poll_s: float = 0.5


class ServerWatch:
    """One thread that looks after one server; a context manager."""

    def __init__(
        self,
        server: ReplaceableServer,
        *,
        patience: Patience | None = None,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``notify`` gets a line for every replacement, from the watching thread."""
        self._server = server
        self._patience = patience or Patience()
        self._notify = notify
        self._engine = server.engine()
        self._stop = threading.Event()
        self._suspected = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="server-watch", daemon=True)
        self._restarts_s: list[float] = []
        self._failed_restarts = 0
        self._misses = 0
        self._replacing = False
        self.failed = False

    @property
    def state(self) -> ServerState:
        """What is known of the server, from any thread; ``healthy`` says that nothing speaks against it."""
        if self.failed:
            return "failed"
        if self._replacing or not self._server.alive():
            return "restarting"
        return "probing" if self._misses or self._suspected.is_set() else "healthy"

    @property
    def restarts(self) -> int:
        """How often the server was replaced lately."""
        return len(self._restarts_s)

    def suspect(self) -> None:
        """A call of the server has just failed: look at once, and with less patience than at an idle server."""
        self._suspected.set()

    def __enter__(self) -> Self:
        """Begin to watch the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching, whatever is under way."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            while not self._stop.is_set() and not self.failed:
                self._replace(self._fault())
        except _Stopped:
            pass
        except TrigateError as error:
            self._give_up(str(error))

    def _fault(self) -> str:
        """Wait until something is wrong with the server, and say what."""
        patience, served, quiet_s = self._patience, -1, time.monotonic()
        self._misses, allowed = 0, patience.misses
        while self._misses < allowed:
            self._pause(patience.poll_s)
            if not self._server.alive():
                return "it ended"
            suspected = self._suspected.is_set()
            if not (suspected or self._misses) and time.monotonic() - quiet_s < patience.idle_s:
                continue
            allowed = patience.suspect_misses if suspected else patience.misses
            # Tokens that move are a sign of life of an engine that works; whoever suspects it wants an answer.
            look = self._answered() if suspected else self._working(served)
            tokens = self._within(patience.suspect_deadline_s if suspected else patience.deadline_s, look)
            if tokens is None:
                self._misses += 1
            else:
                # A suspicion stays until the answer, so that nobody who waits for the proof goes on before it.
                served, self._misses = tokens, 0
                self._suspected.clear()
            quiet_s = time.monotonic()
        return f"no answer to {self._misses} probes"

    def _within(self, deadline_s: float, look: Coroutine[Any, Any, int]) -> int | None:
        """What ``look`` found; None where there was no answer in time."""
        try:
            return run_watched(look, deadline_s, self._check)
        except (EngineError, TimeoutError) as error:
            log.warning("server_probe_missed", url=self._server.url, error=str(error) or "no answer in time")
            return None

    async def _working(self, before: int) -> int:
        """The tokens worked through so far; an EngineError where they stand still and there is no answer.

        While they move nothing is asked: a probe would only wait behind the work and seem to be missed.
        """
        served = await self._served()
        if served != before and min(served, before) >= 0:
            return served
        return await self._answered()

    async def _answered(self) -> int:
        """The tokens worked through after one answer; an EngineError where there is none."""
        await probe(self._engine)
        return await self._served()

    async def _served(self) -> int:
        """Tokens the server has worked through so far; -1 where it does not say."""
        try:
            counters = await self._engine.metrics()
        except EngineError:
            return -1
        return round(sum(counters.get(name, -1) for name in TOKEN_COUNTERS))

    def _replace(self, fault: str) -> None:
        now_s = time.monotonic()
        self._restarts_s = [s for s in self._restarts_s if now_s - s < self._patience.restarts_in_s]
        if max(len(self._restarts_s), self._failed_restarts) >= self._patience.restarts:
            self._give_up(fault)
            return
        self._replacing = True
        self._pause(min(32.0, 0.5 * 2 ** len(self._restarts_s)) if self._restarts_s else 0.0)
        self._restarts_s.append(now_s)
        log.warning("server_replaced", url=self._server.url, fault=fault, restart=self.restarts)
        self._notify(f"model server: {fault}; {self._server.remedy} (restart {self.restarts})")
        try:
            self._server.replace(self._check)
        except TrigateError as error:
            self._failed_restarts += 1
            log.warning("server_not_replaced", url=self._server.url, error=str(error))
            return  # and it stays in the state of one that is replaced, until it is or is given up
        self._failed_restarts = self._misses = 0
        self._suspected.clear()
        self._replacing = False
        self._notify("model server: ready again")

    def _give_up(self, fault: str) -> None:
        self.failed = True
        log.error("server_given_up", url=self._server.url, fault=fault)
        self._notify(f"model server: {fault}; given up after {self.restarts} restarts")

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped

    def _check(self) -> None:
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):
    """Raised inside the watching thread when the watch is to end."""
