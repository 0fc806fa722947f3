"""A table that does not fit on the disk: the command says so in one line, and what was there stays as it was.

A limit on the size of a file stands for the full disk: the system refuses the same write, in the middle of the file.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.commands import PATIENCE_S, call, only_run
from tests.processes.conftest import DemoWorld, RunCommand

pytestmark = pytest.mark.process

KIB = 4
"""Less than any of these tables has."""


def refused_by_the_disk(tool: str, *arguments: object) -> str:
    """The one line with which a command ends that may write no file above ``KIB``."""
    line = [Path(sys.executable).with_name(tool), *arguments]
    limited = ["bash", "-c", f'ulimit -f {KIB}; exec "$@"', "bash", *map(str, line)]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout) == (7, ""), ended.stderr
    return ended.stderr.splitlines()[-1].removeprefix(f"{tool}: ")


def kept(folder: Path) -> dict[str, bytes]:
    """Every file of ``folder`` that is no log."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("what", ["world", "check", "evaluate"])
def test_a_table_that_does_not_fit_leaves_the_old_one(demo_world: DemoWorld, tmp_path: Path, what: str) -> None:
    bars, out = demo_world.minutes, tmp_path / "out"
    out.mkdir()
    table = out / ("trades.parquet" if what == "evaluate" else "NQ_D1M.parquet")
    table.write_bytes(b"what was there")
    commands: dict[str, tuple[object, ...]] = {
        "world": ("data", "demo", "--sessions", "3", "--out", out),
        "check": ("data", "check", bars, "--out", out),
        "evaluate": ("evaluate", demo_world.phase1, "--bars", bars, "--sessions", "2", "--trades", table),
    }

    said = refused_by_the_disk("rl-core", *commands[what])

    assert said == f"cannot write {table}: File too large; make room or choose another folder"
    assert kept(out) == {table.name: b"what was there"}


def test_a_report_that_does_not_fit_leaves_the_old_one(run_command: RunCommand, tmp_path: Path) -> None:
    assert call("orchestrator", *run_command(gate="off")).returncode == 0
    run = only_run(tmp_path / "runs")
    before = kept(run)
    assert len(before["trades.parquet"]) > 1024 * KIB

    said = refused_by_the_disk("orchestrator", "report", run)

    assert said == f"cannot write {run / 'trades.parquet'}: File too large; make room or choose another folder"
    assert kept(run) == before
