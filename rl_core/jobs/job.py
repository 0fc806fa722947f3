"""What a job is, what it may ask while it works, and what comes back: JSON, so that any process can do it."""

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

from trigate.errors import ExitCode, TrigateError

Row = Mapping[str, Any]
Result = dict[str, Any]
STOP = "stop"
"""In a result: why the job ended; ``finished``, or ``asked`` where it was asked to stop before."""
WORKED = "worked"
"""In a result: whether there was anything left to do; what was found done says nothing of the time that is left."""


class Job(NamedTuple):
    """Work that any process can do which sees the same files."""

    name: str
    """What a person calls it: ``fold 2, seed 1``."""
    work: str
    """The function that does it, as ``package.module:function``; it takes what is ``given`` and a `JobContext`."""
    given: dict[str, Any]
    """JSON, with paths as text; two jobs may not write to the same folder."""


def _silent(total: int, phase: int) -> AbstractContextManager[Callable[[Row], None]]:
    del total, phase
    return nullcontext(lambda row: None)


class JobContext(NamedTuple):
    """How a job, and whoever waits for it, speaks with the world."""

    asked: Callable[[], bool] = lambda: False
    """Whether somebody has asked to stop: the job then saves what it has and returns."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for a person."""
    progress: Callable[[int, int], AbstractContextManager[Callable[[Row], None]]] = _silent
    """Shows how far one training is, of so many bars in this phase: yields what takes its rows of metrics."""


class Executor(Protocol):
    """Does jobs, somewhere."""

    def run(self, jobs: Sequence[Job], context: JobContext) -> Iterator[Result]:
        """Yield the result of each job in the order of ``jobs``, as soon as it and all before it are there.

        It ends early where somebody has asked to stop. A job that has been done before finds what it left and goes on
        from there, so whoever calls again with the same jobs gets the same results.

        Raises:
            JobFailedError: a job met a fault; the others are asked to stop.
        """
        ...


class JobFailedError(TrigateError):
    """A fault of one job, which the message names; it ends a command with the exit code that the fault has."""

    def __init__(self, name: str, said: str, exit_code: int) -> None:
        super().__init__(f"{name}: {said}")
        self.exit_code = exit_code


def do(job: Job, context: JobContext) -> Result:
    """Do ``job`` in this process.

    The result passes through JSON here too, so that every executor returns the same.

    Raises:
        JobFailedError: it met a fault of the world. A mistake of ours comes through as it is.
    """
    module, _, function = job.work.partition(":")
    work = getattr(importlib.import_module(module), function)
    try:
        result = work(json.loads(json.dumps(job.given)), context)
    except TrigateError as error:
        raise JobFailedError(job.name, str(error), error.exit_code) from error
    read: Result = json.loads(json.dumps(result))
    return read


def outcome_of(text: str, context: JobContext | None = None) -> str:
    """The outcome of the job in ``text``, as text for `result_in`; a fault of the world is an outcome too."""
    job = Job(**json.loads(text))
    try:
        return json.dumps({"result": do(job, context or JobContext())})
    except JobFailedError as error:
        said = str(error).removeprefix(f"{job.name}: ")
        return json.dumps({"fault": said, "exit_code": int(error.exit_code)})


def result_in(job: Job, outcome: str) -> Result:
    """The result that `outcome_of` wrote.

    Raises:
        JobFailedError: it wrote a fault, or nothing that can be read.
    """
    try:
        told = json.loads(outcome)
    except ValueError as error:
        raise JobFailedError(job.name, f"it answered no JSON: {outcome[:80]!r}", ExitCode.INTERNAL) from error
    if "fault" in told:
        raise JobFailedError(job.name, told["fault"], told["exit_code"])
    result: Result = told["result"]
    return result


def was_asked(result: Result) -> bool:
    """Whether the job ended because it was asked to stop."""
    return result.get(STOP) == "asked"
