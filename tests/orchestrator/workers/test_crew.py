"""A crew takes no worker that has loaded something else than the run, at its start or started again."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from orchestrator.messaging.catalogue import NextBars
from orchestrator.messaging.runner_end import NoReplyError
from orchestrator.workers.crew import Crew, Job
from tests.processes.commands import wait_until
from trigate.errors import ProcessNotReadyError

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("importable_workers")]


@pytest.mark.parametrize(
    ("serves", "other"),
    [({"code": "as it was"}, ""), ({"code": "changed"}, "another code than"), ({"prompt": "p"}, "another prompt than")],
)
def test_a_worker_says_what_it_has_loaded(tmp_path: Path, serves: dict[str, str], other: str) -> None:
    with Crew("run1", {"echo": Job("echo_worker", {}, serves)}, tmp_path) as crew:
        crew.begin()
        if not other:
            crew.wait()
            return
        with pytest.raises(ProcessNotReadyError, match=f"echo worker: has loaded {other}"):
            crew.wait()


def test_one_that_dies_while_it_is_asked_is_not_waited_for_until_the_deadline(tmp_path: Path) -> None:
    """It was frozen, so that it cannot answer first; a deadline of a minute would be the test's own end."""
    with Crew("run1", {"echo": Job("echo_worker", {})}, tmp_path) as crew:
        crew.begin()
        crew.wait()
        pid = crew._workers["echo"].pid
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
        began_s = time.monotonic()

        with pytest.raises(NoReplyError, match="echo: failed: killed by SIGKILL"):
            crew.ask("echo", NextBars(seq=0, most=1), deadline_s=60)

        assert time.monotonic() - began_s < 20


def test_one_that_is_started_again_on_other_code_ends_the_run(tmp_path: Path) -> None:
    jobs = {"echo": Job("echo_worker", {}, {"code": "as it was"})}
    with Crew("run1", jobs, tmp_path) as crew:
        crew.begin()
        crew.wait()
        # As if the code had been replaced meanwhile: from here on the run holds another digest than the new worker.
        crew._jobs["echo"] = Job("echo_worker", {}, {"code": "changed"})
        crew.refuse_answer("echo", "a test says so")

        said: list[str] = []

        def ended() -> bool:
            try:
                crew.tend()
            except ProcessNotReadyError as error:
                said.append(str(error))
            return bool(said)

        wait_until(ended)
    assert said and said[0].startswith("echo worker: has loaded another code than the run began with")
