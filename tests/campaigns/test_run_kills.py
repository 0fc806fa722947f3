"""A few points of the campaign of kills, of a run and of the broker: the whole of it is `make crash`."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.small_runs import WORLDS, SmallRun
from tests.processes.training import ROOT, strace

CASES = ("entries-rules", "broker", "sent-rules-broker")


@pytest.mark.process
@pytest.mark.skipif(strace() is None, reason="strace is not installed, or may not trace")
def test_a_run_and_its_broker_killed_at_a_system_call_end_with_the_same_bytes(tmp_path: Path) -> None:
    """A point of each and a kill at random; the file of results is then complete, and nothing is done twice.

    A run by itself, the broker by itself, and the broker of a run that sends its orders.
    """
    out = tmp_path / "kills.jsonl"
    chosen = ["--only", *CASES, "--points", "3", "--random", "1", "--out", str(out)]

    ended = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.run_kills", *chosen], capture_output=True, text=True, cwd=ROOT
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["case"] for row in rows} == set(CASES) and len(rows) == 4
    assert all(row["killed"] and row["same"] and row["alive"] == 0 for row in rows if row["call"] != "random")
    assert ended.stdout.splitlines()[0].endswith("4 wanted, 4 to do")


def test_a_campaign_knows_the_runs_of_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its folder lies: what was done would otherwise be done again."""
    names = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        names.add(SmallRun(WORLDS[0], Path("inputs")).plan.inputs.run_id)
        gc.unfreeze()

    assert len(names) == 1
