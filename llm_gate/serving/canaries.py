"""Questions that a model server must answer before it is trusted, and again while it is."""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, TypeVar

from llm_gate.contract import Label, Mode
from llm_gate.engines.base import Answer, Turn
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import (
    EngineError,
    ForeignVerdictError,
    MalformedVerdictError,
    ServerNotReadyError,
    UnavailableError,
)

LETTERS: dict[str, Label] = {"A": "approve", "B": "shrink", "C": "veto"}
PROBE = "Answer with one letter."
CANARY = "Write a long poem about the sea, at least four stanzas. Begin at once and never answer with a single letter."

_POLL_S = 0.25
_ResultT = TypeVar("_ResultT")


class CanaryResult(NamedTuple):
    """How one question was answered."""

    name: str
    fault: str
    """Empty if there is none."""
    seconds: float
    reached: bool = True
    """Whether anybody answered at all."""


class Rehearsal(NamedTuple):
    """Questions as a run will ask them, which a server must be able to answer."""

    name: str
    ask: Callable[[VllmEngine], Coroutine[Any, Any, None]]
    """Raises an EngineError where there is no answer, or one that would be refused."""


class Proof(NamedTuple):
    """What a server must answer, beside the probe, before it is trusted."""

    modes: tuple[Mode, ...] = ("choice",)
    """Of the canaries: each constraint must hold."""
    rehearsals: tuple[Rehearsal, ...] = ()

    def questions(self, engine: VllmEngine) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """The name of each question, and what asks it."""
        canaries = [(f"canary {mode}", partial(prove, engine, mode)) for mode in self.modes]
        return [*canaries, *((one.name, partial(one.ask, engine)) for one in self.rehearsals)]


async def probe(engine: VllmEngine) -> Answer:
    """One constrained letter, the cheapest real answer there is; an EngineError if there is none."""
    return await engine.ask((Turn("user", PROBE),), LETTERS, request_id())


async def prove(engine: VllmEngine, mode: Mode = "choice") -> None:
    """Return if a prompt that begs for prose still gets what ``mode`` constrains it to.

    Raises:
        ServerNotReadyError: the server ignores the constraint, or gave no answer.
    """
    ask = engine.ask_json if mode == "json" else engine.ask
    try:
        answer = await ask((Turn("user", CANARY),), LETTERS, request_id())
    except MalformedVerdictError as error:
        raise ServerNotReadyError(f"canary: the server ignores structured_outputs in {mode} mode ({error})") from None
    except ForeignVerdictError as error:
        raise ServerNotReadyError(f"canary: the server does not name the request that it answers ({error})") from None
    except EngineError as error:
        raise ServerNotReadyError(f"canary: {error}") from None
    if answer.letter not in LETTERS:
        raise ServerNotReadyError(f"canary: the server ignores structured_outputs and said {answer.letter[:40]!r}")


async def canary_results(engine: VllmEngine, proof: Proof, deadline_s: float) -> list[CanaryResult]:
    """How the probe and each question of ``proof`` were answered, each within ``deadline_s``.

    Where nobody is reached the probe is all that is asked.
    """
    results = [await _canary_result("probe", probe(engine), deadline_s)]
    if not results[0].reached:
        return results
    for name, ask in proof.questions(engine):
        results.append(await _canary_result(name, ask(), deadline_s))
    return results


def run_watched(
    work: Coroutine[Any, Any, _ResultT], deadline_s: float, check: Callable[[], None] = lambda: None
) -> _ResultT:
    """The result of ``work`` on an event loop of its own; TimeoutError after ``deadline_s``.

    ``check`` is called a few times a second and may raise, say because the user wants to stop.
    """
    return asyncio.run(asyncio.wait_for(_watched(work, check), deadline_s))


def request_id() -> str:
    """A name that no other request has."""
    return secrets.token_hex(16)


async def _watched(work: Coroutine[Any, Any, _ResultT], check: Callable[[], None]) -> _ResultT:
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            check()
            await asyncio.wait({task}, timeout=_POLL_S)
        return await task
    finally:
        task.cancel()


async def _canary_result(name: str, question: Coroutine[Any, Any, object], deadline_s: float) -> CanaryResult:
    started_s = time.monotonic()
    fault, reached = "", True
    try:
        async with asyncio.timeout(deadline_s):
            await question
    except UnavailableError as error:
        fault, reached = str(error), False
    except TimeoutError:
        fault = f"no answer within {deadline_s:g} s"
    except (EngineError, ServerNotReadyError) as error:
        fault = str(error).removeprefix("canary: ")
    return CanaryResult(name, fault, time.monotonic() - started_s, reached)
