"""A healthy API over a dead engine is noticed, and the server replaced; a busy or slow one is left alone."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web

from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import ServerNotReadyError
from llm_gate.serving.watch import Patience, ServerWatch
from tests.llm_gate.completions import letter_completion
from tests.llm_gate.serving.stub_http import ThreadedServer

QUICK = Patience(idle_s=0.1, deadline_s=0.2, poll_s=0.02)


class StubServer:
    """A real HTTP server: always healthy; it completes, or not, and its counters move, or not, as the test says."""

    def __init__(self) -> None:
        self.completes = True
        self.tokens_move = False
        self.up = True
        self.probes = 0
        self.replaced = 0
        self.comes_back = True
        self.remedy = "starting it again"
        self.frozen = False
        self._tokens = 0
        self._server = ThreadedServer(self._add_routes)
        self.url = self._server.url

    def engine(self) -> VllmEngine:
        """What asks it."""
        return VllmEngine(self.url, "k")

    def alive(self) -> bool:
        """Whether its process would run."""
        return self.up

    def replace(self, check: Callable[[], None]) -> None:
        """Be whole again, unless it is not to come back."""
        check()
        self.replaced += 1
        if not self.comes_back:
            raise ServerNotReadyError("no")
        self.completes = self.up = True
        self.frozen = False

    def close(self) -> None:
        """End."""
        self._server.close()

    def _add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/health", self._healthy)
        router.add_get("/metrics", self._metrics)
        router.add_post("/v1/chat/completions", self._complete)

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, request: web.Request) -> web.Response:
        if self.frozen:
            await asyncio.sleep(30)
        self._tokens += self.tokens_move
        page = f'vllm:prompt_tokens_total{{engine="0"}} {self._tokens}\nvllm:generation_tokens_total 0.0\n'
        return web.Response(text=page, content_type="text/plain")

    async def _complete(self, request: web.Request) -> web.Response:
        self.probes += 1
        if not self.completes:
            await asyncio.sleep(30)
        return web.json_response(letter_completion(request.headers["X-Request-Id"]))


@pytest.fixture
def stub() -> Iterator[StubServer]:
    server = StubServer()
    yield server
    server.close()


def within(condition: Callable[[], bool], deadline_s: float = 10.0) -> bool:
    """Whether the condition came true in time."""
    end_s = time.monotonic() + deadline_s
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.01)
    return condition()


def test_a_dead_engine_behind_a_healthy_api_is_replaced_after_three_misses(stub: StubServer) -> None:
    stub.completes = False
    told: list[str] = []

    with ServerWatch(stub, patience=QUICK, notify=told.append):
        assert within(lambda: stub.replaced == 1 and len(told) == 2)
        asked = stub.probes

    assert asked >= 3
    assert told == ["model server: no answer to 3 probes; starting it again (restart 1)", "model server: ready again"]


def test_a_server_that_answers_is_probed_when_idle_and_left_alone(stub: StubServer) -> None:
    with ServerWatch(stub, patience=QUICK) as watch:
        assert within(lambda: stub.probes >= 5)

    assert (stub.replaced, watch.restarts) == (0, 0)


def test_a_server_that_works_is_not_probed(stub: StubServer) -> None:
    """While its tokens move, a probe would only wait behind the work and seem to be missed."""
    stub.completes, stub.tokens_move = False, True

    with ServerWatch(stub, patience=QUICK._replace(deadline_s=10.0)):
        time.sleep(1.5)

    assert stub.probes <= 1
    assert stub.replaced == 0


def test_one_miss_is_forgiven(stub: StubServer) -> None:
    stub.completes = False

    with ServerWatch(stub, patience=QUICK._replace(deadline_s=1.0)):
        assert within(lambda: stub.probes >= 1)
        stub.completes = True
        assert within(lambda: stub.probes >= 4)

    assert stub.replaced == 0


def test_a_server_that_ended_is_replaced_at_once(stub: StubServer) -> None:
    stub.up = False

    with ServerWatch(stub, patience=QUICK._replace(idle_s=600)):
        assert within(lambda: stub.replaced == 1)


def test_a_suspicion_is_probed_at_once_and_stands_until_the_answer(stub: StubServer) -> None:
    """Idle for ten minutes, it would not be looked at; its metrics, which may hang too, are not waited for."""
    stub.completes = False

    with ServerWatch(stub, patience=QUICK._replace(idle_s=600, suspect_deadline_s=0.5, suspect_misses=99)) as watch:
        time.sleep(0.1)
        before = (watch.state, stub.probes)
        watch.suspect()
        assert watch.state == "probing"
        assert within(lambda: stub.probes >= 2)
        still = watch.state
        stub.completes = True
        assert within(lambda: watch.state == "healthy")

    assert (before, still, stub.replaced) == (("healthy", 0), "probing", 0)


def test_it_is_never_healthy_between_a_fault_and_the_proof_of_its_successor(stub: StubServer) -> None:
    held, seen = threading.Event(), []

    def replace(check: Callable[[], None]) -> None:
        seen.append(watch.state)
        assert held.wait(10)
        stub.up = True

    stub.replace = replace  # type: ignore[method-assign]
    stub.up = False
    with ServerWatch(stub, patience=QUICK) as watch:
        ended = watch.state
        assert within(lambda: bool(seen))
        held.set()
        assert within(lambda: watch.state == "healthy")

    assert (ended, seen) == ("restarting", ["restarting"])


def test_one_that_never_comes_back_is_given_up_after_its_restarts(stub: StubServer) -> None:
    stub.up = stub.comes_back = False
    told: list[str] = []

    with ServerWatch(stub, patience=QUICK._replace(restarts=2), notify=told.append) as watch:
        assert within(lambda: watch.failed)

    assert stub.replaced == 2
    assert told[-1] == "model server: it ended; given up after 2 restarts"


def test_the_watch_ends_at_once_even_while_a_probe_waits(stub: StubServer) -> None:
    stub.completes = False
    started_s = time.monotonic()

    with ServerWatch(stub, patience=QUICK._replace(deadline_s=60.0)):
        assert within(lambda: stub.probes >= 1)

    assert time.monotonic() - started_s < 5.0


def test_a_frozen_server_is_noticed_within_its_patience_for_one_that_is_suspected(stub: StubServer) -> None:
    """Its API hangs too, so that its counters cannot be read: both count against one deadline of 0.2 s, twice."""
    stub.completes, stub.frozen = False, True
    patience = Patience(idle_s=600.0, suspect_deadline_s=0.2, poll_s=0.02)

    with ServerWatch(stub, patience=patience) as watch:
        watch.suspect()
        seen = watch.state
        started_s = time.monotonic()
        assert within(lambda: stub.replaced == 1, 5.0)
        waited_s = time.monotonic() - started_s
        assert within(lambda: watch.state == "healthy")

    assert seen == "probing", "at once, so that whoever waits for a verdict does not ask meanwhile"
    assert waited_s < 3.0


def test_a_suspicion_that_a_probe_refutes_changes_nothing(stub: StubServer) -> None:
    with ServerWatch(stub, patience=QUICK._replace(idle_s=600.0)) as watch:
        watch.suspect()
        assert within(lambda: watch.state == "healthy")

    assert (stub.probes, stub.replaced) == (1, 0)


def test_while_it_is_replaced_the_state_says_so(stub: StubServer) -> None:
    stub.up = False
    states: list[str] = []
    replace = stub.replace

    def noted(check: Callable[[], None]) -> None:
        states.append(watch.state)
        replace(check)

    stub.replace = noted  # type: ignore[method-assign]
    with ServerWatch(stub, patience=QUICK) as watch:
        assert within(lambda: stub.replaced == 1 and watch.state == "healthy")

    assert states == ["restarting"]


def test_restarts_that_fail_slowly_are_counted_in_a_row(stub: StubServer) -> None:
    """Each took longer than the window of the others, so that the window alone would never be full."""
    stub.up = stub.comes_back = False

    with ServerWatch(stub, patience=QUICK._replace(restarts=2, restarts_in_s=0.0)) as watch:
        assert within(lambda: watch.failed)

    assert (stub.replaced, watch.state) == (2, "failed")
