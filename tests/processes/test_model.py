"""The whole stack with a real vLLM server on a tiny random model: a verdict, and nothing left of it."""

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from llm_gate.serving.processes import session_members
from tests.processes.commands import call, manifest, only_run, records, wait_until
from tests.processes.conftest import RunCommand, Start

pytestmark = [pytest.mark.process, pytest.mark.model, pytest.mark.timeout(600)]
pytest.importorskip("torch")

# The probabilities of a model are noise here, and a busy machine answers slowly.
TINY = (
    "--gate",
    "vllm",
    '--set=gate.model="tiny"',
    "--set=gate.review.deadline_s=60",
    "--set=gate.ready_deadline_s=400",
)


def serving(command_lines: dict[int, str]) -> bool:
    """Whether a process of vLLM is among them."""
    return any("llm_gate.serving.launch_vllm" in line or "VLLM" in line for line in command_lines.values())


def test_a_killed_run_leaves_no_vllm_and_continues_to_its_end_with_real_verdicts(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """The verdicts before the kill are replayed, not asked for again; those after it come from a new server."""
    run = start(*TINY)
    run.until(lambda: bool(list((tmp_path / "runs").glob("*/journal.jsonl"))) and bool(verdicts(tmp_path / "runs")))
    assert serving(run.family())
    run.kill()
    wait_until(lambda: not run.family())
    assert run.family() == {}
    before = verdicts(tmp_path / "runs")

    again = start(*TINY)

    assert again.wait() == 0, again.stderr
    assert again.family() == {}
    found = verdicts(tmp_path / "runs")
    assert found[: len(before)] == before
    assert len(found) > len(before)
    answered = [verdict for verdict in found if verdict["outcome"]["kind"] != "gate_failed"]
    assert answered
    for verdict in answered:
        assert (verdict["engine"], verdict["model"].partition("@")[0]) == ("vllm", "tiny-v2")
        assert verdict["odds_milli"] is not None
    assert manifest(only_run(tmp_path / "runs"))["status"] == "ended"
    assert "passed the canary" in again.stderr
    assert "agree to the cent" in again.stdout


def test_a_killed_model_server_is_waited_for_and_changes_nothing(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """Every proposal keeps its verdict: the run stands still, says so, and asks again when the server is back."""
    control = call("orchestrator", *run_command(*TINY, runs="control"))
    assert control.returncode == 0, control.stderr
    run = start(*TINY)
    run.until(lambda: bool(list((tmp_path / "runs").glob("*/journal.jsonl"))) and bool(verdicts(tmp_path / "runs")))

    for pid, line in run.family().items():
        if serving({pid: line}):
            os.kill(pid, signal.SIGKILL)

    assert run.wait() == 0, run.stderr
    assert "the run waits for the model server (" in run.stderr
    assert "model server: ready again" in run.stderr
    found = verdicts(tmp_path / "runs")
    assert [verdict["outcome"] for verdict in found] == [
        verdict["outcome"] for verdict in verdicts(tmp_path / "control")
    ]
    assert all(verdict["outcome"]["kind"] != "gate_failed" for verdict in found)
    journals = [(only_run(tmp_path / name) / "journal.jsonl").read_bytes() for name in ("control", "runs")]
    assert journals[0] == journals[1]


def test_a_frozen_engine_is_waited_for_and_changes_no_byte(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """Its API answers on, so only a missing answer tells; the engine core never goes on and is replaced."""
    quick = (*TINY, "--set=gate.review.deadline_s=5")
    control = call("orchestrator", *run_command(*quick, runs="control"))
    assert control.returncode == 0, control.stderr
    run = start(*quick)
    run.until(lambda: bool(list((tmp_path / "runs").glob("*/journal.jsonl"))) and bool(verdicts(tmp_path / "runs")))
    (session,) = run.model_sessions()
    (core,) = (pid for pid in session_members(session) if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes())

    os.kill(core, signal.SIGSTOP)

    assert run.wait() == 0, run.stderr
    waits = [int(seconds) for seconds in re.findall(r"waits for the model server \(\w+\): (\d+) s", run.stderr)]
    assert waits[:2] == [0, 10] and waits == sorted(waits), run.stderr
    assert "no answer to 2 probes; starting it again (restart 1)" in run.stderr
    assert re.search(r"the model server answers again after \d+ s", run.stderr), run.stderr
    journals = [(only_run(tmp_path / name) / "journal.jsonl").read_bytes() for name in ("control", "runs")]
    assert journals[0] == journals[1]
    assert all(verdict["outcome"]["kind"] != "gate_failed" for verdict in verdicts(tmp_path / "runs"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_can_be_stopped_while_the_model_loads(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    run = start(*TINY)
    run.until(lambda: serving(run.family()))

    assert run.ask_to_stop(number) == code

    assert run.family() == {}
    assert "passed the canary" not in run.stderr
    assert "stopped after 0 bars; the same command continues it" in run.stderr
    assert manifest(only_run(tmp_path / "runs"))["status"] == "stopped"


def test_a_model_folder_without_a_model_is_refused_before_anything_starts(
    run_command: RunCommand, tmp_path: Path
) -> None:
    ended = call("orchestrator", *run_command("--gate", "vllm", f'--set=gate.model="{tmp_path}"'))

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith(f"orchestrator: {tmp_path} is not a model folder")
    assert not (tmp_path / "runs").exists()


def verdicts(runs: Path) -> list[dict[str, Any]]:
    """What the gate said in the one run under ``runs``."""
    return records(only_run(runs), "decided")
