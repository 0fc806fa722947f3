"""Chooses who does the jobs of a command, and tells how far all of them are."""

import time
from collections.abc import Callable, Iterator, Sequence

from rl_core.jobs.in_turn import InTurn
from rl_core.jobs.job import WORKED, Executor, Job, JobContext, Result
from rl_core.jobs.processes import Processes
from rl_core.jobs.ray_cluster import RayCluster
from trigate.errors import ConfigError

EXECUTORS = ("local", "ray")


def executor_of(name: str, *, jobs: int, address: str | None) -> Executor:
    """Who does the jobs.

    Args:
        name: of `EXECUTORS`.
        jobs: processes at once, of ``local``; 1: in this process, in turn.
        address: of the Ray cluster.

    Raises:
        ConfigError: there is no such executor, or it does not take what was given.
        ProcessNotReadyError: no cluster answers.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"--executor {name}: there are {' and '.join(EXECUTORS)}")
    if name == "ray":
        if jobs != 1:
            raise ConfigError("--jobs is for --executor local: how much a Ray cluster does at once, its nodes say")
        return RayCluster(address or "auto")
    if address is not None:
        raise ConfigError("--address is for --executor ray")
    return InTurn() if jobs == 1 else Processes(jobs)


class Pace:
    """Says how many of a command's jobs are done, and about how long the rest takes."""

    def __init__(self, total: int, what: str, say: Callable[[str], None]) -> None:
        """Begin to count.

        Args:
            total: jobs.
            what: their common name, in the plural.
            say: takes a line for a person.
        """
        self._total, self._what, self._say = total, what, say
        self._began, self._done, self._worked = time.monotonic(), 0, 0

    def found_done(self, count: int) -> None:
        """Count jobs that another call of the command did: they say nothing of the time that is left."""
        self._done += count

    def done(self, *, worked: bool) -> None:
        """Count a job, and say the line; ``worked``: there was something to do."""
        self._done += 1
        self._worked += worked
        if self._done < self._total:
            left_s = (time.monotonic() - self._began) / max(1, self._worked) * (self._total - self._done)
            self._say(f"{self._done} of {self._total} {self._what} done, about {_duration(left_s)} left")


def done_in_order(executor: Executor, jobs: Sequence[Job], context: JobContext, what: str) -> Iterator[Result]:
    """As `Executor.run`, with a line of `Pace` after each job; ``what`` is their common name."""
    pace = Pace(len(jobs), what, context.say)
    for result in executor.run(jobs, context):
        pace.done(worked=bool(result.get(WORKED, True)))
        yield result


def _duration(seconds: float) -> str:
    """Whole seconds, minutes or hours, as a person plans by them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
