"""Does jobs in processes of this machine, several at once, each in a process of its own."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from rl_core.jobs.job import STOP, WORKED, Job, JobContext, JobFailedError, Result, result_in, was_asked
from trigate.errors import ExitCode, ResourceError

LOOK_S = 0.05
"""Between two looks at the processes; a job takes seconds at least."""


class _Working(NamedTuple):
    """A job and the process that does it."""

    job: Job
    process: "subprocess.Popen[str]"
    folder: Path  # of what it says

    @property
    def outcome(self) -> Path:
        """What it answered."""
        return self.folder / "outcome.json"

    @property
    def said(self) -> Path:
        """What it wrote to standard output and standard error."""
        return self.folder / "said.txt"


class Processes:
    """At most ``at_once`` processes; each ends when this one does, whatever ends it."""

    def __init__(self, at_once: int) -> None:
        assert at_once > 0
        self._at_once = at_once

    def run(self, jobs: Sequence[Job], context: JobContext) -> Iterator[Result]:
        """As `Executor.run`. A mistake of ours in a job ends it with what it said on standard error."""
        with tempfile.TemporaryDirectory(prefix="trigate-jobs-") as scratch, ExitStack() as stack:
            crew = _Crew(jobs, self._at_once, Path(scratch))
            stack.callback(crew.end)
            for number in range(len(jobs)):
                result = crew.result(number, context)
                if result is None:
                    return
                yield result
                if was_asked(result):
                    return


class _Crew:
    """The processes of one call."""

    def __init__(self, jobs: Sequence[Job], at_once: int, scratch: Path) -> None:
        self._jobs, self._at_once, self._scratch = jobs, at_once, scratch
        self._working: dict[int, _Working] = {}
        self._done: dict[int, Result] = {}
        self._started, self._stopping = 0, False

    def result(self, number: int, context: JobContext) -> Result | None:
        """The result of one job as soon as it is there; None where it was not begun, as somebody asked to stop."""
        while number not in self._done:
            if context.asked() and not self._stopping:
                self._stopping = True
                self._ask_to_stop()
            if self._stopping and number not in self._working:
                return None
            self._begin_more()
            self._gather()
            time.sleep(LOOK_S)
        return self._done.pop(number)

    def end(self) -> None:
        """End what still works: it saves what it has, and its process is waited for."""
        self._ask_to_stop()
        for each in self._working.values():
            each.process.wait()
            _close(each)

    def _begin_more(self) -> None:
        while not self._stopping and self._started < len(self._jobs) and len(self._working) < self._at_once:
            number, self._started = self._started, self._started + 1
            self._working[number] = _start(self._jobs[number], self._scratch / str(number))

    def _gather(self) -> None:
        for number in [number for number, each in self._working.items() if each.process.poll() is not None]:
            ended = self._working.pop(number)
            _close(ended)
            # One that had not begun to listen, or had ended already, is ended by the signal itself.
            hit = self._stopping and ended.process.returncode == -signal.SIGTERM
            self._done[number] = {STOP: "asked", WORKED: False} if hit else _result_of(ended)

    def _ask_to_stop(self) -> None:
        for each in self._working.values():
            each.process.terminate()


def _start(job: Job, folder: Path) -> _Working:
    """A process of its own session: a terminal's Ctrl-C comes once, from this process, as the wish to save."""
    folder.mkdir()
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "rl_core.jobs.worker", str(folder / "outcome.json")],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(job._asdict()) + "\n")
        process.stdin.flush()  # and stays open: a worker ends when it closes
    except BrokenPipeError as error:
        process.wait()
        raise ResourceError(f"{job.name}: its process ended at once with {process.returncode}") from error
    return _Working(job, process, folder)


def _close(ended: _Working) -> None:
    assert ended.process.stdin is not None
    ended.process.stdin.close()


def _result_of(ended: _Working) -> Result:
    """What an ended process answered.

    Raises:
        JobFailedError: a fault; or the process ended without an answer.
    """
    code = ended.process.returncode
    if code == 0:
        return result_in(ended.job, ended.outcome.read_text("utf-8"))
    said = ended.said.read_text("utf-8", "replace")
    sys.stderr.write(said)
    if code < 0:
        why, ends_with = f"its process was ended by signal {-code}, as where memory runs out", ExitCode.RESOURCE
    else:
        why, ends_with = f"its process ended with {code}; what it said is above", ExitCode.INTERNAL
    raise JobFailedError(ended.job.name, f"{why}; the same command goes on", ends_with)
