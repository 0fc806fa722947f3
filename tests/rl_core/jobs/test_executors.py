"""Whoever does the jobs returns the same in the same order, names the job that failed, and leaves no process behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rl_core.jobs.choose import Pace, done_in_order, executor_of
from rl_core.jobs.in_turn import InTurn
from rl_core.jobs.job import Executor, Job, JobContext, JobFailedError
from rl_core.jobs.processes import Processes
from tests.import_graph import ROOT
from tests.processes.commands import wait_until
from tests.rl_core.jobs.some_work import job
from trigate.errors import ConfigError, ExitCode

BOTH = pytest.mark.parametrize("executor", [InTurn(), Processes(2)], ids=["in turn", "processes"])


@BOTH
def test_results_come_in_the_order_of_the_jobs(executor: Executor) -> None:
    """Although the first takes longest."""
    jobs = [job(f"job {number}", number=number, takes_s=0.4 if number == 0 else 0) for number in range(3)]

    assert [result["square"] for result in executor.run(jobs, JobContext())] == [0, 1, 4]


@BOTH
def test_a_fault_is_told_with_the_jobs_name_and_its_exit_code(executor: Executor) -> None:
    jobs = [job("fold 1"), job("fold 2", fault="no bar is left")]

    with pytest.raises(JobFailedError, match="fold 2: no bar is left") as failed:
        list(executor.run(jobs, JobContext()))

    assert failed.value.exit_code == ExitCode.DATA


@pytest.mark.parametrize(
    ("given", "said"), [({"dies": True}, "ended by signal 9"), ({"mistake": "of ours"}, "what it said is above")]
)
def test_a_process_that_dies_is_told_with_its_jobs_name(
    given: dict[str, object], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(JobFailedError, match=f"fold 7: its process .*{said}"):
        list(Processes(1).run([job("fold 7", **given)], JobContext()))

    assert ("ZeroDivisionError: of ours" in capfd.readouterr().err) == ("mistake" in given)


@pytest.mark.parametrize("executor", [InTurn(), Processes(1)], ids=["in turn", "processes"])
def test_who_is_asked_to_stop_saves_and_no_further_job_begins(executor: Executor, tmp_path: Path) -> None:
    """Asked as soon as the first works."""
    begun = tmp_path / "begun"
    jobs = [job(name, waits=True, begun=str(begun)) for name in ("works", "never begins")]

    results = list(executor.run(jobs, JobContext(begun.exists)))

    assert [result["stop"] for result in results] == ["asked"] and len(begun.read_text().splitlines()) <= 1


def test_processes_end_with_whoever_started_them(tmp_path: Path) -> None:
    """Killed without a word, as by the kernel where memory runs out."""
    begun = tmp_path / "begun"
    text = f"""
from rl_core.jobs.job import JobContext
from rl_core.jobs.processes import Processes
from tests.rl_core.jobs.some_work import job
list(Processes(1).run([job("waits", waits=True, begun={str(begun)!r})], JobContext()))
"""
    parent = subprocess.Popen([sys.executable, "-c", text], cwd=ROOT)
    wait_until(lambda: begun.exists() and begun.read_text().endswith("\n"))
    child = Path("/proc") / begun.read_text().strip()

    parent.kill()
    parent.wait()

    wait_until(lambda: not child.exists() or "Z" in (child / "stat").read_text().split()[2])
    assert not child.exists() or "Z" in (child / "stat").read_text().split()[2]


def test_a_line_says_how_many_are_done_and_how_long_the_rest_takes() -> None:
    said: list[str] = []

    results = list(done_in_order(InTurn(), [job("a"), job("b"), job("c")], JobContext(say=said.append), "folds"))

    assert len(results) == 3 and [line.split(", about ")[0] for line in said] == [
        "1 of 3 folds done",
        "2 of 3 folds done",
    ]
    assert all(line.endswith(" s left") for line in said)


def test_what_was_found_done_says_nothing_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four were there; the fifth took a minute; so do the five that are left."""
    now = [100.0]
    monkeypatch.setattr("rl_core.jobs.choose.time.monotonic", lambda: now[0])
    said: list[str] = []
    pace = Pace(10, "members", said.append)
    pace.found_done(4)

    now[0] += 60
    pace.done(worked=True)

    assert said == ["5 of 10 members done, about 5 min left"]


@pytest.mark.parametrize(
    ("name", "jobs", "address", "said"),
    [
        ("slurm", 1, None, "there are local and ray"),
        ("local", 2, "auto", "--address is for --executor ray"),
        ("ray", 2, None, "--jobs is for --executor local"),
    ],
)
def test_what_no_executor_takes_is_refused(name: str, jobs: int, address: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        executor_of(name, jobs=jobs, address=address)


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(ConfigError, match="needs Ray on every machine"):
        executor_of("ray", jobs=1, address=None)


def test_one_job_at_once_is_done_in_this_process(tmp_path: Path) -> None:
    jobs = [Job("here", "tests.rl_core.jobs.some_work:work", {"begun": str(tmp_path / "pid")})]

    list(executor_of("local", jobs=1, address=None).run(jobs, JobContext()))

    assert (tmp_path / "pid").read_text() == f"{os.getpid()}\n"
