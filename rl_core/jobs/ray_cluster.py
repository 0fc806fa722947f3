"""Does jobs on the nodes of a Ray cluster (https://docs.ray.io); needs the extra ``ray``.

A node sees the same files under the same paths and has the same versions installed. Where it dies, Ray does its jobs
elsewhere, and they go on from what they had saved.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rl_core.jobs.job import Job, JobContext, JobFailedError, Result, outcome_of, result_in, was_asked
from trigate.errors import ConfigError, ExitCode, ProcessNotReadyError
from trigate.locks import LOCKED_BY

TRIES = 8
"""How often a job is begun again because its node died."""
LOOK_S = 0.5
LET_GO_S = 60.0
"""How long a job waits for the folder that it goes on in: a process outlives its dead node by moments."""


class RayCluster:
    """The cluster at ``address``: ``auto``, ``host:port``, or ``local`` for one that ends with this process."""

    def __init__(self, address: str, cpus: float = 1.0) -> None:
        """Join the cluster.

        Args:
            address: as Ray takes it.
            cpus: of a node that one job occupies.

        Raises:
            ConfigError: Ray is not installed.
            ProcessNotReadyError: no cluster answers there.
        """
        try:
            import ray
        except ImportError as error:
            raise ConfigError("--executor ray needs Ray on every machine: uv pip install ray") from error
        self._ray: Any = ray
        try:
            ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="warning")
        except (ConnectionError, ValueError, RuntimeError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ProcessNotReadyError(f"no Ray cluster at {address}: {first}; start one with ray start") from error
        self._cpus = cpus

    def run(self, jobs: Sequence[Job], context: JobContext) -> Iterator[Result]:
        """As `Executor.run`; a job that is asked to stop is interrupted, and goes on from its last checkpoint."""
        ray = self._ray
        remote, each = ray.remote(outcome_on_a_node), {"num_cpus": self._cpus, "max_retries": TRIES}
        waiting = [remote.options(name=job.name, **each).remote(json.dumps(job._asdict())) for job in jobs]
        try:
            for job, promised in zip(jobs, waiting, strict=True):
                if not self._awaited(promised, context):
                    return
                result = self._result_of(job, promised)
                yield result
                if was_asked(result):
                    return
        finally:
            for promised in waiting:
                ray.cancel(promised)

    def _awaited(self, promised: Any, context: JobContext) -> bool:
        """Whether the outcome is there; False as soon as somebody asks to stop."""
        while not self._ray.wait([promised], timeout=LOOK_S)[0]:
            if context.asked():
                return False
        return True

    def _result_of(self, job: Job, promised: Any) -> Result:
        try:
            outcome = self._ray.get(promised)
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().partition("\n")[0]
            raise JobFailedError(job.name, f"{first}; the same command goes on", ExitCode.NOT_READY) from error
        return result_in(job, outcome)


def outcome_on_a_node(text: str) -> str:
    """The outcome of the job in ``text``; waits while the process of a dead node still holds its folder."""
    end_s = time.monotonic() + LET_GO_S
    while True:
        outcome = outcome_of(text)
        told = json.loads(outcome)
        if LOCKED_BY not in told.get("fault", "") or time.monotonic() > end_s:
            return outcome
        time.sleep(1.0)
