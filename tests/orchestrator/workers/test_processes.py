"""Real worker processes: they start with a secret nobody sees, and nothing of them outlives its time."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from echo_worker import CATALOGUE, Answer, Ask

from orchestrator.messaging.runner_end import NoReplyError, WorkerConnections
from orchestrator.messaging.sockets import Credentials
from orchestrator.messaging.wire import Ready, Shutdown, WorkerFailed
from orchestrator.workers.processes import Bootstrap, Worker
from trigate.errors import ConfigError, ProcessNotReadyError

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("importable_workers")]
Start = Callable[..., Worker]


@pytest.fixture
def connections() -> Iterator[WorkerConnections]:
    with WorkerConnections("run1", CATALOGUE, heartbeat_s=0.05) as connections:
        yield connections


@pytest.fixture
def start(connections: WorkerConnections, tmp_path: Path) -> Iterator[Start]:
    """Starts echo workers; at the end none of their groups may have a process left."""
    started: list[Worker] = []

    def start_one(name: str = "echo", module: str = "echo_worker", **config: Any) -> Worker:
        bootstrap = Bootstrap(name=name, credentials=connections.add_worker(name), config=config)
        started.append(Worker.start(module, bootstrap, tmp_path / "logs"))
        return started[-1]

    yield start_one
    for worker in started:
        worker.stop(grace_s=2)
        assert processes_of_session(worker.pid) == []


def processes_of_session(session: int) -> list[int]:
    """The processes of a session, zombies too."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                found.append(int(entry.name))
    return found


def gone_within(pid: int, seconds: float) -> bool:
    """Whether a process that is not our child ends; a zombie that waits for its new parent has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_worker_answers_and_shutdown_ends_it_with_0(connections: WorkerConnections, start: Start) -> None:
    worker = start()
    connections.wait_ready(["echo"], deadline_s=20)

    answer = connections.request("echo", Ask(number=3), deadline_s=5)
    was_alive = worker.alive()
    connections.send("echo", Shutdown())

    assert (answer.message, was_alive) == (Answer(number=3), True)
    assert worker.wait(5) == 0
    assert not worker.alive()


def test_keys_are_in_neither_arguments_nor_environment_nor_log(
    connections: WorkerConnections, start: Start, tmp_path: Path
) -> None:
    worker = start()
    connections.wait_ready(["echo"], deadline_s=20)
    proc = Path(f"/proc/{worker.pid}")
    seen = (proc / "cmdline").read_bytes(), (proc / "environ").read_bytes()
    worker.stop()
    log = (tmp_path / "logs" / "echo.log").read_bytes()

    secret = connections._credentials["echo"].secret_key.encode()
    assert seen[0].split(b"\0")[1:4] == [b"-m", b"orchestrator.workers.launch", b"echo_worker"]
    assert all(secret not in text for text in (*seen, log))


def test_the_log_is_json_lines_for_its_owner_alone(
    connections: WorkerConnections, start: Start, tmp_path: Path
) -> None:
    worker = start()
    connections.wait_ready(["echo"], deadline_s=20)
    connections.send("echo", Shutdown())
    worker.wait(5)
    log = tmp_path / "logs" / "echo.log"

    assert json.loads(log.read_text().splitlines()[-1])["event"] == "worker_ended"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_sigterm_ends_it_with_0(connections: WorkerConnections, start: Start) -> None:
    worker = start()
    connections.wait_ready(["echo"], deadline_s=20)

    assert worker.stop() == 0


def test_ctrl_c_is_not_for_workers(connections: WorkerConnections, start: Start) -> None:
    worker = start()
    connections.wait_ready(["echo"], deadline_s=20)
    os.kill(worker.pid, signal.SIGINT)

    assert connections.request("echo", Ask(number=1), deadline_s=5).message == Answer(number=1)
    assert os.getsid(worker.pid) == worker.pid != os.getsid(0)


@pytest.mark.parametrize("how", ["deaf", "stopped"])
def test_who_does_not_hear_sigterm_is_killed_after_the_grace(
    connections: WorkerConnections, start: Start, how: str
) -> None:
    worker = start(deaf=how == "deaf")
    connections.wait_ready(["echo"], deadline_s=20)
    if how == "stopped":
        os.kill(worker.pid, signal.SIGSTOP)

    start_s = time.monotonic()
    status = worker.stop(grace_s=0.3)

    assert status == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - start_s < 3


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_a_worker_started_goes_with_it(connections: WorkerConnections, start: Start, end: str) -> None:
    worker = start(child=True)
    ready = connections.wait_ready(["echo"], deadline_s=20)
    child = int(ready["echo"].serves["child"])
    before = processes_of_session(worker.pid)

    if end == "stop":
        worker.stop()
    else:
        os.kill(worker.pid, signal.SIGKILL)
        assert worker.wait(5) == -signal.SIGKILL

    assert sorted(before) == sorted([worker.pid, child])
    assert gone_within(child, 2)


def test_an_exception_is_told_once_logged_and_ends_it_with_1(
    connections: WorkerConnections, start: Start, tmp_path: Path
) -> None:
    worker = start()
    connections.wait_ready(["echo"], deadline_s=20)
    connections.poll()

    with pytest.raises(NoReplyError, match="failed: ValueError: only numbers from 0 up"):
        connections.request("echo", Ask(number=-1), deadline_s=5)

    assert worker.wait(5) == 1
    assert [r.message for r in connections.poll()] == [WorkerFailed(cause="ValueError: only numbers from 0 up")]
    logged = [json.loads(line) for line in (tmp_path / "logs" / "echo.log").read_text().splitlines()]
    assert [(line["event"], "Traceback" in line["exception"]) for line in logged] == [("worker_failed", True)]


def test_a_failure_before_ready_is_told(connections: WorkerConnections, start: Start) -> None:
    worker = start(fail="no checkpoint")

    with pytest.raises(ProcessNotReadyError, match="echo failed at start: RuntimeError: no checkpoint"):
        connections.wait_ready(["echo"], deadline_s=20)

    assert worker.wait(5) == 1


def test_a_worker_that_cannot_even_be_imported_has_ended(start: Start, tmp_path: Path) -> None:
    worker = start(module="no_such_worker")

    assert worker.wait(20) == 1
    assert "no_such_worker" in (tmp_path / "logs" / "echo.log").read_text()


def test_a_restarted_worker_answers_under_its_old_name(connections: WorkerConnections, start: Start) -> None:
    first = start()
    connections.wait_ready(["echo"], deadline_s=20)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(5)
    start()

    assert connections.wait_ready(["echo"], deadline_s=20) == {"echo": Ready(serves={"code": "as it was"})}
    assert connections.request("echo", Ask(number=9), deadline_s=5).message == Answer(number=9)


def test_without_a_bootstrap_it_says_who_starts_it() -> None:
    run = subprocess.run([sys.executable, "-m", "echo_worker"], input=b"hello\n", capture_output=True, timeout=30)

    assert run.returncode == 2
    assert run.stderr == b"a worker is started by the orchestrator, which tells it what to do on standard input\n"


@pytest.mark.parametrize("name", ["", "../x", "A", "a\n", "a" * 65, ".hidden"])
def test_a_name_that_could_leave_the_log_folder_is_refused(tmp_path: Path, name: str) -> None:
    credentials = Credentials(
        endpoint="ipc://x", run="r", runner_key="k", public_key="k", secret_key="k", heartbeat_s=1.0
    )

    with pytest.raises(ConfigError, match="worker name"):
        Worker.start("echo_worker", Bootstrap(name=name, credentials=credentials, config={}), tmp_path)


def test_a_bootstrap_that_a_pipe_cannot_hold_is_refused(start: Start) -> None:
    with pytest.raises(ConfigError, match="the limit is 32768"):
        start(long="x" * 40_000)


PARENT = """
import os, signal, sys, time
from pathlib import Path
from echo_worker import CATALOGUE
from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.workers.processes import Bootstrap, Worker

connections = WorkerConnections("run1", CATALOGUE)
workers = []
for name in "ab":
    config = {"child": name == "b", "deaf": name == "a"}
    bootstrap = Bootstrap(name=name, credentials=connections.add_worker(name), config=config)
    workers.append(Worker.start("echo_worker", bootstrap, Path(sys.argv[1])))
ready = connections.wait_ready(["a", "b"], deadline_s=20)
print(*(worker.pid for worker in workers), ready["b"].serves["child"], connections.folder, flush=True)
time.sleep(600)
"""


def test_when_the_parent_is_killed_its_workers_and_theirs_are_gone_at_once(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    line = parent.stdout.readline()
    assert re.match(r"\d+ \d+ \d+ /", line)
    pids = [int(pid) for pid in line.split()[:3]]

    parent.kill()
    parent.wait()

    assert all(gone_within(pid, 2.0) for pid in pids)
    parent.stdout.close()
    socket_folder = Path(line.split()[3])
    (socket_folder / "runner").unlink()
    (socket_folder / "lock").unlink()
    socket_folder.rmdir()


def test_a_worker_that_is_still_importing_goes_with_its_parent(tmp_path: Path) -> None:
    parent = """
import sys, time
from pathlib import Path
from echo_worker import CATALOGUE
from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.workers.processes import Bootstrap, Worker

with WorkerConnections("run1", CATALOGUE) as connections:
    bootstrap = Bootstrap(name="slow", credentials=connections.add_worker("slow"), config={})
    print(Worker.start("slow_worker", bootstrap, Path(sys.argv[1])).pid, flush=True)
    time.sleep(600)
"""
    started = subprocess.Popen([sys.executable, "-c", parent, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    pid = int(started.stdout.readline())
    importing = Path("/proc", str(pid), "task")
    end_s = time.monotonic() + 20
    while len(list(importing.iterdir())) < 2 and time.monotonic() < end_s:
        time.sleep(0.01)  # its death watch is a thread of its own

    started.kill()
    started.wait()

    assert gone_within(pid, 1.0)
    started.stdout.close()
