"""A worker that is killed, a run that is asked to stop: it goes on or ends in one clear line, and leaves nothing."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.processes.commands import Started, call, journal_bytes, manifest, only_run, records
from tests.processes.conftest import SESSION_BARS, DemoWorld, RunCommand, Start, command_line

pytestmark = pytest.mark.process

UNDER_WAY = 50_000  # bytes of journal: some hundred bars


def under_way(run: Started, runs: Path) -> None:
    """Wait until bars are being played."""
    run.until(lambda: journal_bytes(runs) > UNDER_WAY)


@pytest.fixture(scope="module")
def undisturbed(demo_world: DemoWorld, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a session in which nothing was killed."""
    runs = tmp_path_factory.mktemp("undisturbed") / "runs"
    ended = call("orchestrator", *command_line(demo_world, runs))
    assert ended.returncode == 0, ended.stderr
    return (only_run(runs) / "journal.jsonl").read_bytes()


DISTURBED = (
    ("feed", signal.SIGKILL),
    ("policy", signal.SIGKILL),
    ("gate", signal.SIGKILL),
    ("policy", signal.SIGSTOP),
)


def test_workers_that_are_killed_or_frozen_are_started_again_and_no_byte_changes(
    start: Start, tmp_path: Path, undisturbed: bytes
) -> None:
    """One after the other. What each was asked is asked again: simulated time stands still, so it is not recorded."""
    run = start()
    under_way(run, tmp_path / "runs")

    for number, (worker, sent) in enumerate(DISTURBED, 1):
        os.kill(run.worker(worker), sent)
        run.until(lambda number=number: run.stderr.count(": ready again") == number)

    assert run.wait() == 0, run.stderr
    said = [line for line in run.stderr.splitlines() if "starting it again" in line or "ready again" in line]
    expected = [worker for worker, _ in DISTURBED for _ in range(2)]
    assert [line.partition(": ")[0] for line in said] == expected
    assert "Traceback" not in run.stderr
    folder = only_run(tmp_path / "runs")
    assert (folder / "journal.jsonl").read_bytes() == undisturbed
    assert {record["source"] for record in records(folder, "acted")} == {"policy"}
    assert "agree to the cent" in run.stdout
    assert run.family() == {}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o600}


def test_a_worker_that_cannot_come_back_ends_the_run_with_5_and_its_cause(
    demo_world: DemoWorld, start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """Its checkpoint has gone, so every restart fails; the run can be continued once it is back."""
    checkpoint = tmp_path / "moved" / demo_world.phase1.name
    shutil.copytree(demo_world.phase1, checkpoint)
    run = start("--checkpoint", checkpoint)
    under_way(run, tmp_path / "runs")

    checkpoint.rename(tmp_path / "elsewhere")
    os.kill(run.worker("policy"), signal.SIGKILL)

    assert run.wait() == 5, run.stderr
    last = run.stderr.splitlines()[-1]
    assert last.startswith("orchestrator: policy: ")
    assert "5 restarts in 10 minutes did not help" in last
    assert "Traceback" not in run.stderr
    folder = only_run(tmp_path / "runs")
    assert manifest(folder)["status"] == "failed"
    assert run.family() == {}
    (tmp_path / "elsewhere").rename(checkpoint)
    again = call("orchestrator", *run_command("--checkpoint", checkpoint))
    assert again.returncode == 0, again.stderr
    assert manifest(folder)["status"] == "ended"


def test_a_run_that_is_asked_to_stop_is_continued_by_the_same_command(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """By SIGTERM, then by SIGINT; the folder has a name that a careless terminal library would take for its markup."""
    runs = tmp_path / "runs [" / "red]"
    known = 0
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        run = start(runs="runs [/red]")
        run.until(lambda known=known: journal_bytes(runs) > known + UNDER_WAY)

        assert run.ask_to_stop(number) == code
        folder, known = only_run(runs), journal_bytes(runs)
        assert "the same command continues it" in run.stderr
        assert run.stdout.strip() == str(folder)
        assert manifest(folder)["status"] == "stopped"
        assert run.family() == {}
        assert (folder / "journal.jsonl").read_bytes().endswith(b"\n")
        assert list(folder.glob(".*.tmp")) == []

    again = call("orchestrator", *run_command(runs="runs [/red]"))

    assert again.returncode == 0, again.stderr
    assert f"continuing {folder}: " in again.stderr
    assert only_run(runs) == folder
    assert (manifest(folder)["status"], manifest(folder)["starts"]) == ("ended", 3)
    assert len(records(folder, "bar")) == SESSION_BARS


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_asked_to_stop_before_its_first_bar_leaves_no_process(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = start()
    run.until(lambda: (tmp_path / "runs").is_dir() and any("workers.policy" in line for line in run.family().values()))

    assert run.ask_to_stop(number) == code

    assert run.family() == {}
    assert manifest(only_run(tmp_path / "runs"))["status"] == "stopped"
    assert "Traceback" not in run.stderr


def test_an_ended_run_gets_its_report_though_asked_to_stop(start: Start, tmp_path: Path) -> None:
    """SIGTERM comes when the last bar has been played and the report is being made."""
    run = start()
    run.until(lambda: any('"ended"' in found.read_text() for found in (tmp_path / "runs").glob("*/manifest.json")))

    assert run.ask_to_stop(signal.SIGTERM) == 0

    folder = only_run(tmp_path / "runs")
    assert manifest(folder)["status"] == "ended"
    assert (folder / "report.html").is_file()


def test_ctrl_c_in_the_terminal_reaches_every_process_and_stops_in_order(start: Start, tmp_path: Path) -> None:
    """A terminal signals the whole foreground group; the workers leave it to the runner to end them."""
    run = start()
    under_way(run, tmp_path / "runs")

    for pid in run.family():
        os.kill(pid, signal.SIGINT)

    assert run.wait() == 130
    assert run.family() == {}
    assert manifest(only_run(tmp_path / "runs"))["status"] == "stopped"
