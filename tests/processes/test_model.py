"""The whole stack with a real vLLM server on a tiny random model: a verdict, and nothing left of it."""

import os
import re
import signal
from pathlib import Path

import pytest

from llm_gate.serving.processes import session_members
from tests.optional import skip_module_without
from tests.processes.commands import call, decided, journal_bytes, manifest, only_run, wait_until
from tests.processes.conftest import RunCommand, Start

pytestmark = [pytest.mark.process, pytest.mark.model, pytest.mark.timeout(900)]
skip_module_without("torch")

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


def test_what_befalls_run_and_model_server_changes_no_byte(start: Start, tmp_path: Path) -> None:
    """One misfortune after another, each of which costs a start of the server, against a run that had none.

    First the run is killed: none of its vLLM is left, and the verdicts so far are replayed, not asked for again. The
    run that continues it loses the processes of its server: it stands still, says so and asks again. Then the engine
    core is frozen behind an API that answers on, so that only a missing answer tells; it never goes on and is replaced.
    Both runs are asked to stop once that is seen; to its end a run under a server plays in `test_user_server.py`.
    """
    quick, runs = (*TINY, "--set=gate.review.deadline_s=5"), tmp_path / "runs"
    run = start(*quick)
    run.until(lambda: bool(decided(runs)))
    assert serving(run.family())
    run.kill()
    wait_until(lambda: not run.family())
    assert run.family() == {}
    before = decided(runs)

    again = start(*quick)
    again.until(lambda: len(decided(runs)) > len(before))
    for pid, line in again.family().items():
        if serving({pid: line}):
            os.kill(pid, signal.SIGKILL)
    again.until(lambda: "model server: ready again" in again.stderr)
    assert "the run waits for the model server (" in again.stderr
    killed, known = again.stderr, len(decided(runs))

    again.until(lambda: len(decided(runs)) > known)
    (session,) = again.model_sessions()
    (core,) = (pid for pid in session_members(session) if b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(core, signal.SIGSTOP)
    again.until(lambda: "(restart 2)" in again.stderr)
    known = len(decided(runs))
    again.until(lambda: len(decided(runs)) > known)
    assert again.ask_to_stop(signal.SIGTERM) == 143
    control = start(*quick, runs="control")
    control.until(lambda: journal_bytes(tmp_path / "control") >= journal_bytes(runs))
    assert control.ask_to_stop(signal.SIGTERM) == 143

    frozen = again.stderr.removeprefix(killed)
    waits = [int(seconds) for seconds in re.findall(r"waits for the model server \(\w+\): (\d+) s", frozen)]
    assert waits[:2] == [0, 10] and waits == sorted(waits), again.stderr
    assert "no answer to 2 probes; starting it again (restart 2)" in frozen
    assert re.search(r"the model server answers again after \d+ s", frozen), again.stderr
    assert "passed the canary" in again.stderr
    assert again.family() == control.family() == {}
    found = decided(runs)
    assert found[: len(before)] == before
    for verdict in found:
        assert verdict["outcome"]["kind"] != "gate_failed"
        assert (verdict["engine"], verdict["model"].partition("@")[0]) == ("vllm", "tiny-v2")
        assert verdict["odds_milli"] is not None
    disturbed, whole = ((only_run(tmp_path / name) / "journal.jsonl").read_bytes() for name in ("runs", "control"))
    assert whole.startswith(disturbed)
    assert manifest(only_run(runs))["status"] == "stopped"


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
