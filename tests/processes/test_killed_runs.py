"""Killing the orchestrator at any moment and running again gives the bytes of a run that was never killed."""

import random
from pathlib import Path

import pytest

from tests.processes.commands import Started, call, journal_bytes, manifest, only_run, records, wait_until
from tests.processes.conftest import RunCommand, Start

pytestmark = pytest.mark.process

KILLS = 3


def kill_at(place: int, run: Started, runs: Path) -> None:
    """Kill the orchestrator once its journal has ``place`` bytes, 0: as soon as it has a worker; its workers follow."""
    run.until(lambda: journal_bytes(runs) > place if place else len(run.family()) > 1 and journals(runs))
    run.kill()
    wait_until(lambda: not run.family())
    assert run.family() == {}


def journals(runs: Path) -> bool:
    """Whether there is a journal, empty or not."""
    return any(runs.glob("*/journal.jsonl"))


def test_a_run_killed_again_and_again_has_the_journal_of_one_that_never_was(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """Once as soon as there is a worker, then at random places of the journal, each later than the one before.

    The runs that never were killed are two: one that has ended is not continued but made anew, with the same journal.
    """
    for _ in range(2):
        control = call("orchestrator", *run_command(runs="control", phase=2))
        assert control.returncode == 0, control.stderr
    first, second = ((run / "journal.jsonl").read_bytes() for run in (tmp_path / "control").iterdir())
    assert first == second
    places = sorted(random.Random(20).sample(range(1, len(first) * 9 // 10), KILLS))

    for place in [0, *places]:
        kill_at(place, start(phase=2), tmp_path / "runs")
        left = (only_run(tmp_path / "runs") / "journal.jsonl").read_bytes()
        assert first.startswith(left[: left.rfind(b"\n") + 1])
        if manifest(only_run(tmp_path / "runs"))["status"] == "ended":
            break  # a busy machine let it end before the kill came
    ended = call("orchestrator", *run_command(phase=2))

    assert ended.returncode == 0, ended.stderr
    for folder in (tmp_path / "runs").iterdir():
        assert (folder / "journal.jsonl").read_bytes() == first
        assert manifest(folder)["status"] == "ended"
        assert {record["source"] for record in records(folder, "acted")} == {"policy"}
    assert manifest(min((tmp_path / "runs").iterdir()))["starts"] > 1
