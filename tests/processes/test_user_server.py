"""A run that asks a model server of the user's own, over a real HTTP server in the place of a model."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.llm_gate.completions import letter_completion
from tests.llm_gate.serving.stub_http import served
from tests.processes.commands import ROOT, call, decided, manifest, only_run, records
from tests.processes.conftest import RunCommand, Start

pytestmark = pytest.mark.process


def asking(url: str) -> tuple[str, ...]:
    """The options of a run whose gate is the server at ``url``."""
    return ("--gate", "vllm", f"--set=gate.url={url}", "--set=gate.model=gate", "--set=gate.review.deadline_s=2")


@pytest.fixture
def stub_server() -> Iterator[tuple[int, str]]:
    """The process id and the address of a server that approves of everything."""
    line = [sys.executable, "-m", "bench.stub_server"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.pid, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def test_every_verdict_is_the_servers_and_acts(run_command: RunCommand, tmp_path: Path) -> None:
    """It approves, shrinks and vetoes by turns; each proposal has the letter that it was answered with, by its id."""
    letters: dict[str, str] = {}

    def by_turns(request_id: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        letter = letters.setdefault(request_id.partition("-")[0], "ABC"[len(letters) % 3])
        return 200, letter_completion(request_id, letter, {letter: 0.8, **dict.fromkeys({*"ABC"} - {letter}, 0.1)})

    with served(by_turns) as url:
        ended = call("orchestrator", *run_command("--json", *asking(url)))

    assert ended.returncode == 0, ended.stderr
    run = only_run(tmp_path / "runs")
    answered = {record["proposal"]: record for record in decided(tmp_path / "runs")}
    kinds = {"A": "approve", "B": "resize", "C": "veto"}
    assert len(answered) > 10
    assert {proposal: record["outcome"]["kind"] for proposal, record in answered.items()} == {
        proposal: kinds[letters[proposal]] for proposal in answered
    }
    assert {record["outcome"]["kind"] for record in answered.values()} == set(kinds.values())
    assert {(record["engine"], record["model"].partition("+")[0]) for record in answered.values()} == {
        ("vllm", f"gate@{url}")
    }
    let_through = [record["n"] for record in answered.values() if record["outcome"]["kind"] != "veto"]
    last_before = [max(n for n in let_through if n < record["n"]) for record in records(run, "intent")]
    assert last_before == let_through, "an order follows each that was let through, and no other"
    assert json.loads(ended.stdout)["gate"].endswith(f"0 without a verdict, of {len(answered)} proposals")


def test_a_server_that_freezes_is_waited_for_and_changes_nothing(
    start: Start, run_command: RunCommand, tmp_path: Path, stub_server: tuple[int, str]
) -> None:
    """It is not ours to restart: the run says how long it waits, and goes on when the server answers again."""
    process, url = stub_server
    control = call("orchestrator", *run_command(*asking(url), runs="control"))
    assert control.returncode == 0, control.stderr
    run = start(*asking(url))
    run.until(lambda: bool(decided(tmp_path / "runs")))

    os.kill(process, signal.SIGSTOP)
    try:
        run.until(lambda: "waiting until it is back" in run.stderr)
    finally:
        os.kill(process, signal.SIGCONT)

    assert run.wait() == 0, run.stderr
    assert re.search(r"the run waits for the model server \(probing\): 0 s", run.stderr), run.stderr
    assert re.search(r"the model server answers again after \d+ s", run.stderr), run.stderr
    journals = [(only_run(tmp_path / name) / "journal.jsonl").read_bytes() for name in ("control", "runs")]
    assert journals[0] == journals[1]
    assert len(decided(tmp_path / "runs")) > 1


def test_a_server_that_is_gone_stops_the_run_which_can_be_continued(
    start: Start, tmp_path: Path, stub_server: tuple[int, str]
) -> None:
    process, url = stub_server
    run = start(*asking(url), "--set=gate.ready_deadline_s=1")
    run.until(lambda: bool(decided(tmp_path / "runs")))

    os.kill(process, signal.SIGKILL)

    assert run.wait() == 5, run.stderr
    assert run.stderr.splitlines()[-1].endswith("the model server was given up; the same command continues the run")
    assert manifest(only_run(tmp_path / "runs"))["status"] == "failed"
