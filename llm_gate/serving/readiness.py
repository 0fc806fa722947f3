"""Waits until a model server has proven itself, and notices when it no longer gets anywhere."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import EngineError, HttpError, MalformedVerdictError, ServerNotReadyError, UnavailableError
from llm_gate.serving.canaries import Proof, probe, run_watched

LONGEST_START = 5.0
"""No start may take more than so many times its deadline, however much moves: a log can grow for ever."""

_POLL_S = 0.25
_ResultT = TypeVar("_ResultT")


class WarmUp(NamedTuple):
    """What it took from the first request that the server answered until it was proven."""

    calls: int
    seconds: float


class Readiness(NamedTuple):
    """What a server must prove, and how long it may take."""

    proof: Proof
    deadline_s: float
    """Without any sign of progress: a busy machine may load a model slowly, and that is no fault."""
    question_limit_s: float
    """For the answer to one question."""


class Progress:
    """When a server that starts last got further: its log grew, or it answered what it had not answered before."""

    def __init__(self, log_path: Path | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """``log_path`` is where the server writes; None where that is not known. ``clock`` gives seconds."""
        self._log_path, self._clock = log_path, clock
        self._log_size = self._size()
        self._moved_s = clock()
        self.last_words = ""
        """What the server, or the connection to it, said last."""

    def note(self) -> None:
        """The server answered something for the first time."""
        self._moved_s = self._clock()

    def idle_s(self) -> float:
        """Seconds since it last got further."""
        size = self._size()
        if size != self._log_size:
            self._log_size = size
            self.note()
        return self._clock() - self._moved_s

    def _size(self) -> int:
        try:
            return -1 if self._log_path is None else self._log_path.stat().st_size
        except OSError:
            return -1


def wait_until_proven(
    engine: VllmEngine, readiness: Readiness, progress: Progress, check: Callable[[], None] = lambda: None
) -> WarmUp:
    """Return once the server has answered the probe and every question of the proof.

    Blocks, with its own event loop. ``check`` is called a few times a second and may raise, say because the server has
    ended or the user wants to stop.

    Raises:
        ServerNotReadyError: the server got no further for the deadline, took too long for an answer, refused a
            question, or ignores a constraint; with its own words where it said any.
    """

    def watch() -> None:
        check()
        if progress.idle_s() > readiness.deadline_s:
            raise ServerNotReadyError(f"no sign of progress for {readiness.deadline_s:g} s{_words(progress)}")

    longest_s = LONGEST_START * readiness.deadline_s
    try:
        return run_watched(_proven(engine, readiness, progress), longest_s, watch)
    except TimeoutError:
        raise ServerNotReadyError(f"not ready within {longest_s:g} s{_words(progress)}") from None


async def _proven(engine: VllmEngine, readiness: Readiness, progress: Progress) -> WarmUp:
    limit_s = readiness.question_limit_s
    started_s = await _first_answer(engine, limit_s, progress)
    questions = readiness.proof.questions(engine)
    for name, ask in questions:
        progress.note()
        try:
            await _within(limit_s, ask())
        except EngineError as error:
            raise ServerNotReadyError(f"{name}: {error}") from None
    return WarmUp(1 + len(questions), time.monotonic() - started_s)


async def _first_answer(engine: VllmEngine, limit_s: float, progress: Progress) -> float:
    """When the first question that got an answer was asked; a server that loads refuses connections or answers 503."""
    answered_http = False
    while True:
        asked_s = time.monotonic()
        try:
            await _within(limit_s, probe(engine))
            return asked_s
        except MalformedVerdictError as error:
            raise ServerNotReadyError(f"the server does not keep to the letters: {error}") from None
        except HttpError as error:
            if error.refused:
                raise ServerNotReadyError(str(error)) from None
            progress.last_words = str(error)
            if not answered_http:
                answered_http = True
                progress.note()
        except UnavailableError as error:
            progress.last_words = str(error)
        await asyncio.sleep(_POLL_S)


async def _within(limit_s: float, question: Coroutine[Any, Any, _ResultT]) -> _ResultT:
    try:
        async with asyncio.timeout(limit_s):
            return await question
    except TimeoutError:
        raise ServerNotReadyError(f"an answer of the warm-up took more than {limit_s:g} s") from None


def _words(progress: Progress) -> str:
    return f"; last: {progress.last_words}" if progress.last_words else ""
