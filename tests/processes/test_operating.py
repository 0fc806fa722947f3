"""A living run is halted, watched, resumed and stopped, with every worker hung; what it leaves is replayed."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from tests.processes.commands import Started, journal_bytes, manifest, only_run, records
from tests.processes.conftest import Start

pytestmark = pytest.mark.process

UNDER_WAY = 100_000
A_FEW_BARS_S = 0.002
WORKERS = ("feed", "policy", "gate")
WITHIN_S = 10.0
"""A run promises five seconds, and a machine under load gets ten; three hung workers in turn would take over thirty."""


def said(*line: object) -> str:
    """What a command of `orchestrator` prints, run in this process, so that it comes while the run still plays."""
    ended = CliRunner().invoke(app, list(map(str, line)))
    assert ended.exit_code == 0, ended.exception
    return ended.stdout


def hang(run: Started, runs: Path) -> None:
    """Freeze every worker of a run that plays."""
    run.until(lambda: journal_bytes(runs) > UNDER_WAY)
    for name in WORKERS:
        os.kill(run.worker(name), signal.SIGSTOP)


def test_a_run_whose_workers_hang_is_halted_watched_resumed_and_stopped(start: Start, tmp_path: Path) -> None:
    """The word is taken before the next bar; hung workers are started again and asked again meanwhile."""
    run = start(sessions=4)
    hang(run, tmp_path / "runs")
    folder = only_run(tmp_path / "runs")

    halted = said("halt", folder, "--wait", 120)
    os.kill(run.pid, signal.SIGSTOP)  # a halted run plays what is left in a moment, and would have ended
    told = json.loads(said("status", folder, "--json"))
    asked = threading.Timer(0.5, os.kill, (run.pid, signal.SIGCONT))
    asked.start()
    resumed = said("resume", folder, "--wait", 120)
    asked.join()

    assert (halted, resumed) == (f"{folder}: is halted\n", f"{folder}: is trading\n")
    assert (told["state"], told["pid"], told["standing"]) == ("running", run.pid, "halted")
    hang(run, tmp_path / "runs")
    began_s = time.monotonic()
    assert run.ask_to_stop(signal.SIGTERM) == 143
    assert time.monotonic() - began_s < WITHIN_S
    assert run.family() == {}
    assert manifest(folder)["status"] == "stopped"
    words = [(record["standing"], record["n"]) for record in records(folder, "operator")]
    assert [standing for standing, _ in words] == ["halted", "trading"]
    between = [record for record in records(folder, "intent") if words[0][1] < record["n"] < words[1][1]]
    assert between == []
    listed = json.loads(said("list", tmp_path / "runs", "--json"))["runs"]
    assert [(row["run"], row["state"]) for row in listed] == [(folder.name, "stopped")]


@pytest.fixture
def service_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Who listens to what runs that start from now on tell of themselves."""
    name = f"@trigate-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:])
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def words_told(listener: socket.socket) -> list[str]:
    """The first line of every word so far."""
    words = []
    with contextlib.suppress(BlockingIOError):
        while True:
            words.append(listener.recv(4096).decode().split("\n")[0])
    return words


def test_a_run_that_flattens_at_a_signal_is_flat_when_it_has_stopped(
    start: Start, tmp_path: Path, service_manager: socket.socket
) -> None:
    """Asked for while a position is open, or right after it was closed; systemd hears when it is ready and stops."""
    run = start("--set", "on_shutdown=flatten", sessions=4, gate="off")

    seen = []

    def held() -> bool:
        """Looked at between steps of a few bars: the whole run takes no longer than some readings of its journal."""
        for journal in (tmp_path / "runs").glob("*/journal.jsonl"):
            while not seen and run.process.poll() is None:
                os.kill(run.pid, signal.SIGSTOP)
                seen.extend([1] if sum(fill["quantity"] for fill in records(journal.parent, "fill")) else [])
                os.kill(run.pid, signal.SIGCONT)
                time.sleep(A_FEW_BARS_S)
        return bool(seen)

    run.until(held)
    assert run.ask_to_stop(signal.SIGTERM) == 143

    folder = only_run(tmp_path / "runs")
    assert sum(fill["quantity"] for fill in records(folder, "fill")) == 0
    assert records(folder, "intent")
    told = [word for word in words_told(service_manager) if not word.startswith("STATUS=")]
    assert told == ["READY=1", "STOPPING=1"]
