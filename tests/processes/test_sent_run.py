"""A run whose orders go to a broker in a process of its own: the trades of the run without, whoever is killed."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.processes.commands import Started, call, journal_bytes, only_run, records, wait_until
from tests.processes.conftest import DemoWorld, RunCommand, Start, command_line

pytestmark = pytest.mark.process

SENT = ("--broker", "simulated")
UNDER_WAY = 50_000  # bytes of journal: some hundred bars


@pytest.fixture(scope="module")
def undisturbed(demo_world: DemoWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in which nothing was killed."""
    runs = tmp_path_factory.mktemp("undisturbed") / "runs"
    ended = call("orchestrator", *command_line(demo_world, runs, *SENT))
    assert ended.returncode == 0, ended.stderr
    assert "agree to the cent" in ended.stdout
    return only_run(runs)


def journals(run: Path) -> tuple[bytes, bytes]:
    """The run's own, and its broker's."""
    return (run / "journal.jsonl").read_bytes(), (run / "broker" / "journal.jsonl").read_bytes()


def under_way(run: Started, runs: Path) -> None:
    """Wait until bars are being played."""
    run.until(lambda: journal_bytes(runs) > UNDER_WAY)


def test_its_trades_are_those_of_the_run_without_a_broker(
    run_command: RunCommand, tmp_path: Path, undisturbed: Path
) -> None:
    plain = call("orchestrator", *run_command())

    assert plain.returncode == 0, plain.stderr
    for kind in ("fill", "trade", "mark", "session_closed", "end"):
        assert contents(undisturbed, kind) == contents(only_run(tmp_path / "runs"), kind)
    assert len(contents(undisturbed, "trade")) > 5


OF_THE_RUN = ("n", "p", "d", "s", "order", "order_id")
"""Where a record stands in its journal, and names that begin with the run's own."""


def contents(run: Path, kind: str) -> list[dict[str, Any]]:
    """What its records of a kind say."""
    return [{key: value for key, value in each.items() if key not in OF_THE_RUN} for each in records(run, kind)]


def test_a_broker_that_is_killed_or_frozen_is_started_again_and_no_byte_changes(
    start: Start, tmp_path: Path, undisturbed: Path
) -> None:
    run = start(*SENT)
    under_way(run, tmp_path / "runs")

    for number, sent in enumerate((signal.SIGKILL, signal.SIGSTOP), 1):
        os.kill(run.worker("broker"), sent)
        run.until(lambda number=number: run.stderr.count("broker: ready again") == number)

    assert run.wait() == 0, run.stderr
    assert journals(only_run(tmp_path / "runs")) == journals(undisturbed)
    assert "Traceback" not in run.stderr


def test_a_run_that_is_killed_goes_on_with_its_broker(
    start: Start, run_command: RunCommand, tmp_path: Path, undisturbed: Path
) -> None:
    """The broker ends with the run; both are found again as they stood."""
    run = start(*SENT)
    under_way(run, tmp_path / "runs")
    run.kill()
    wait_until(lambda: not run.family())
    assert run.family() == {}

    again = call("orchestrator", *run_command(*SENT))

    assert again.returncode == 0, again.stderr
    assert journals(only_run(tmp_path / "runs")) == journals(undisturbed)


def test_a_broker_that_lost_its_journal_stops_the_run_by_name(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """It knows of no execution then, and the record does: nothing is written, and what to do is said."""
    run = start(*SENT)
    run.until(lambda: b'"t":"trade"' in written(tmp_path / "runs"))
    assert run.ask_to_stop(signal.SIGTERM) == 143
    folder = only_run(tmp_path / "runs")
    before = journals(folder)[0]
    (folder / "broker" / "journal.jsonl").unlink()

    again = call("orchestrator", *run_command(*SENT))

    assert again.returncode == 3, again.stderr
    assert "it has told 0 executions and the record holds" in again.stderr
    assert "look at the account at the broker" in again.stderr and "Traceback" not in again.stderr
    assert journals(folder)[0] == before


def written(runs: Path) -> bytes:
    """The journal so far."""
    return b"".join(path.read_bytes() for path in runs.glob("*/journal.jsonl"))
