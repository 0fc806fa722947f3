"""`orchestrator run` from the command to the report, over real workers."""

import json
from pathlib import Path

import pytest

from tests.processes.commands import call, manifest, only_run, records
from tests.processes.conftest import DemoWorld, RunCommand

pytestmark = pytest.mark.process


@pytest.mark.parametrize("phase", [1, 2])
def test_a_run_ends_with_a_report_whose_books_agree(run_command: RunCommand, tmp_path: Path, phase: int) -> None:
    ended = call("orchestrator", *run_command("--json", phase=phase))

    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    run = only_run(tmp_path / "runs")
    assert Path(summary["run"]) == run
    assert summary["books"] == "agree to the cent"
    assert summary["status"] == manifest(run)["status"] == "ended"
    assert (run / "report.html").read_text().startswith("<!")
    assert len(records(run, "bar")) == 1380
    assert summary["trades"] > 0
    assert records(run, "decided")
    assert "planted edge" in ended.stderr


def test_without_a_gate_every_proposal_is_an_order(run_command: RunCommand, tmp_path: Path) -> None:
    ended = call("orchestrator", *run_command("--json", gate="off"))

    assert ended.returncode == 0, ended.stderr
    run = only_run(tmp_path / "runs")
    assert records(run, "intent")
    assert records(run, "decided") == []
    assert not (run / "logs" / "gate.log").exists()
    assert json.loads(ended.stdout)["books"] == "agree to the cent"


def test_a_shadow_gate_is_recorded_and_changes_no_trade(run_command: RunCommand, tmp_path: Path) -> None:
    """The fills are those of the run without a gate, though the gate said veto."""
    runs = {"shadow": ("--shadow",), "off": ("--gate", "off")}
    played = {"sessions": 2, "phase": 2}

    codes = [call("orchestrator", *run_command(*more, runs=name, **played)).returncode for name, more in runs.items()]

    assert codes == [0, 0]
    shadow, off = (only_run(tmp_path / name) for name in runs)
    verdicts = {record["outcome"]["kind"] for record in records(shadow, "decided")}
    fills = [[(fill["price"], fill["quantity"]) for fill in records(run, "fill")] for run in (shadow, off)]
    assert "veto" in verdicts
    assert fills[0] == fills[1] != []


def test_seconds_travel_with_their_minute(demo_world: DemoWorld, run_command: RunCommand, tmp_path: Path) -> None:
    """The seconds cover the first session only, so the minutes after it carry an empty frame."""
    ended = call("orchestrator", *run_command("--seconds", demo_world.seconds, sessions=2))

    assert ended.returncode == 0, ended.stderr
    digests = [bar["seconds"] for bar in records(only_run(tmp_path / "runs"), "bar")]
    assert len(set(digests[:1380])) > 1000
    assert len(set(digests[1380:])) == 1


def test_seconds_of_another_market_are_refused(run_command: RunCommand, tmp_path: Path) -> None:
    from rl_core.bars import write_bars
    from rl_core.worlds import demo_world

    other = demo_world(8, 8, seconds=True).seconds
    assert other is not None
    path = tmp_path / "NQ_D1S.parquet"
    write_bars(other.slice(len(other) - 50_000, len(other)), path)

    ended = call("orchestrator", *run_command("--seconds", path))

    assert ended.returncode == 3
    assert ended.stderr.startswith(f"orchestrator: {path}: only ")
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
