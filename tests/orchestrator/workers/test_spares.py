"""Workers that are begun before anybody knows what they are to do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from echo_worker import CATALOGUE, Answer, Ask

from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.messaging.wire import Shutdown
from orchestrator.run.config import RunConfig
from orchestrator.run.worker_modules import worker_modules
from orchestrator.workers.processes import Bootstrap, Spares, Worker
from tests.orchestrator.workers.test_processes import gone_within, processes_of_session
from tests.processes.commands import wait_until
from trigate.toml_config import read_config

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("importable_workers")]


@pytest.fixture
def connections() -> Iterator[WorkerConnections]:
    with WorkerConnections("run1", CATALOGUE) as connections:
        yield connections


def started(module: str, connections: WorkerConnections, folder: Path, spares: Spares) -> Worker:
    """A worker of ``module``, of one of the spares where there is one."""
    bootstrap = Bootstrap(name="echo", credentials=connections.add_worker("echo"), config={})
    return Worker.start(module, bootstrap, folder / "logs", spares)


def test_a_spare_is_told_later_what_it_is_to_do_and_writes_its_own_log(
    connections: WorkerConnections, tmp_path: Path
) -> None:
    """The process is the one that was begun; the next worker of its module is one of its own."""
    with Spares() as spares:
        spares.begin("echo_worker")
        (begun,) = spares._waiting.values()
        worker = started("echo_worker", connections, tmp_path, spares)
        try:
            connections.wait_ready(["echo"], deadline_s=20)
            answered = connections.request("echo", Ask(number=7), deadline_s=5).message
            writes_to = os.readlink(f"/proc/{worker.pid}/fd/2")
            connections.send("echo", Shutdown())
            status = worker.wait(5)
        finally:
            worker.stop(grace_s=2)

    assert worker.pid == begun.process.pid and answered == Answer(number=7)
    assert writes_to == str(tmp_path / "logs" / "echo.log")
    assert status == 0 and '"worker_ended"' in (tmp_path / "logs" / "echo.log").read_text()
    assert spares.take("echo_worker") is None and processes_of_session(worker.pid) == []


def test_a_spare_that_cannot_even_load_says_why_in_the_log_of_its_worker(
    connections: WorkerConnections, tmp_path: Path
) -> None:
    with Spares() as spares:
        spares.begin("there_is_no_such_worker")
        worker = started("there_is_no_such_worker", connections, tmp_path, spares)

        assert worker.wait(20) == 1
    assert "there_is_no_such_worker" in (tmp_path / "logs" / "echo.log").read_text()


def test_one_that_was_not_needed_is_gone_with_whoever_began_it() -> None:
    with Spares() as spares:
        spares.begin("echo_worker", "slow_worker")
        pids = [spare.process.pid for spare in spares._waiting.values()]

    assert len(pids) == 2 and all(processes_of_session(pid) == [] for pid in pids)


def test_one_that_was_told_nothing_dies_with_its_parent_while_it_imports() -> None:
    """Nobody is left to end it, and its import would take ten minutes."""
    parent = (
        "import time\nfrom orchestrator.workers.processes import Spares\n"
        "spares = Spares()\nspares.begin('slow_worker')\n"
        "print(spares._waiting['slow_worker'].process.pid, flush=True)\ntime.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    importing = Path("/proc", str(pid), "task")
    wait_until(lambda: len(list(importing.iterdir())) > 1)  # its death watch is a thread of its own

    process.kill()
    process.wait()

    assert gone_within(pid, 1.0)
    process.stdout.close()


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], "feed policy gate"),
        (['gate.engine="off"', 'broker="simulated"'], "feed policy broker"),
        (['mode="paper"', 'gate.engine="rules"'], "policy gate"),
    ],
)
def test_a_runs_workers_follow_from_its_settings(lines: list[str], wanted: str) -> None:
    modules = worker_modules(read_config(RunConfig, None, lines))

    assert [module.rpartition(".")[2] for module in modules] == wanted.split()
