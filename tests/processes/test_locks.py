"""What another process holds already: a run's folder, a place to write, a port."""

import signal
import socket
from pathlib import Path

import pytest

from tests.processes.commands import call, journal_bytes, manifest, only_run
from tests.processes.conftest import RunCommand, Start

pytestmark = pytest.mark.process


def test_a_second_run_on_the_same_folder_names_who_holds_it(
    start: Start, run_command: RunCommand, tmp_path: Path
) -> None:
    """The first is suspended meanwhile, so that it cannot have ended; afterwards it goes on unharmed."""
    first = start()
    first.until(lambda: journal_bytes(tmp_path / "runs") > 20_000)
    first.process.send_signal(signal.SIGSTOP)
    folder = only_run(tmp_path / "runs")
    before = (folder / "manifest.json").read_bytes()

    second = call("orchestrator", *run_command())

    assert second.returncode == 7
    assert second.stderr.splitlines()[-1] == f"orchestrator: {folder / 'journal.jsonl'}: locked by pid {first.pid}"
    assert "Traceback" not in second.stderr
    assert (folder / "manifest.json").read_bytes() == before
    first.process.send_signal(signal.SIGCONT)
    assert first.wait() == 0, first.stderr
    assert only_run(tmp_path / "runs") == folder
    assert (manifest(folder)["status"], manifest(folder)["starts"]) == ("ended", 1)


@pytest.mark.parametrize("place", ["a file", "/sys/trigate"])
def test_a_runs_folder_that_cannot_be_made_is_named(run_command: RunCommand, tmp_path: Path, place: str) -> None:
    """A file has the name; a file system lets nobody make a folder, root included."""
    runs = tmp_path / place
    if not runs.is_absolute() or tmp_path in runs.parents:
        runs.write_text("taken")

    ended = call("orchestrator", *run_command(f'--set=runs="{runs}"'))

    assert ended.returncode == 7
    assert ended.stderr.splitlines()[-1].startswith(f"orchestrator: {runs}")
    assert "Traceback" not in ended.stderr


def test_a_run_folder_that_others_can_enter_is_refused(start: Start, run_command: RunCommand, tmp_path: Path) -> None:
    run = start()
    run.until(lambda: journal_bytes(tmp_path / "runs") > 20_000)
    assert run.ask_to_stop(signal.SIGTERM) == 143
    folder = only_run(tmp_path / "runs")
    folder.chmod(0o755)

    ended = call("orchestrator", *run_command())

    assert ended.returncode == 7
    assert ended.stderr.splitlines()[-1].startswith(f"orchestrator: {folder}: others own it or can enter it")


def test_a_port_in_use_ends_llm_gate_serve_with_7(tmp_path: Path) -> None:
    """The port is looked at before the model is loaded, so any folder with a config.json will do."""
    pytest.importorskip("torch")
    (tmp_path / "config.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        ended = call("llm-gate", "serve", "--model", tmp_path, "--port", port, "--log-file", tmp_path / "vllm.log")

    assert ended.returncode == 7
    assert (
        ended.stderr
        == f"llm-gate: port {port} on 127.0.0.1 cannot be used: Address already in use; name another --port\n"
    )
    assert ended.stdout == ""
