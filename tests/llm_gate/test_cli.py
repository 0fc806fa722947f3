"""The command as a user runs it: exit codes, one line of error, results on standard output only."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal, Resize, Reviewed, parse_message
from llm_gate.prompts import find_prompt


def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """``llm-gate`` with these arguments."""
    command = [sys.executable, "-c", "from llm_gate.cli import main; main()", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


def test_a_proposal_is_judged_by_the_rules(make_proposal: Callable[..., EntryProposal]) -> None:
    ended = run("review", "-", "--engine", "rules", stdin=make_proposal(minutes_to_flat=20).model_dump_json())

    assert ended.returncode == 0
    assert isinstance(parse_message(Reviewed, ended.stdout).outcome, Resize)


def test_a_server_that_is_not_there_ends_with_5_and_no_verdict(
    make_proposal: Callable[..., EntryProposal], unused_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_port}"

    ended = run("review", "-", "--engine", "vllm", "--url", url, stdin=make_proposal().model_dump_json())

    assert ended.returncode == 5
    assert json.loads(ended.stdout)["outcome"] == {"kind": "gate_failed", "cause": "unavailable"}
    assert ended.stderr.splitlines()[-1] == "llm-gate: no verdict: unavailable"


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (["review", "no-such-file.json"], 2, "no-such-file.json"),
        (["review", "-"], 2, "not JSON"),
        (["review", "-", "--engine", "oracle"], 2, "not JSON"),
        (["prompts", "show", "nothing.v9"], 2, "there are: entry_review.v1"),
        (["prompts", "lint", "no-such.v1.md"], 2, "cannot be read"),
        (["model", "no-such-folder"], 2, "config.json"),
        (["check", "http://192.0.2.1:80"], 2, "loopback"),
        (["check", "http://127.0.0.1:1"], 5, "canary"),
        (["serve", "--port", "0"], 2, "port"),
        (["serve", "--model", "no-such-folder"], 2, "config.json"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_a_fault_has_its_exit_code_and_no_traceback(arguments: list[str], code: int, fault: str) -> None:
    ended = run(*arguments)

    assert ended.returncode == code
    assert fault in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_prompts_are_listed_and_linted() -> None:
    digest = find_prompt("entry_review.v1").digest

    listed = json.loads(run("prompts", "list", "--json").stdout)
    linted = run("prompts", "lint")

    assert {"entry_review.v1": digest}.items() <= {row["name"]: row["digest"] for row in listed}.items()
    assert f"ok entry_review.v1 {digest}" in linted.stdout.splitlines()


def test_a_prompt_is_shown_as_the_model_reads_it(make_proposal: Callable[..., EntryProposal], tmp_path: Path) -> None:
    path = tmp_path / "proposal.json"
    path.write_text(make_proposal(side="sell").model_dump_json())

    shown = run("prompts", "show", "entry_review.v1", "--proposal", str(path)).stdout

    assert shown.splitlines()[-1].startswith("60-minute trend: AGAINST")
    assert "{{" not in shown


def test_nothing_but_the_launcher_needs_vllm_torch_or_jax() -> None:
    """Imports every module in a process where those packages cannot be found."""
    program = """
import importlib, pkgutil, sys
for name in ("vllm", "torch", "transformers", "jax", "zmq", "tokenizers"):
    sys.modules[name] = None
import llm_gate
names = [m.name for m in pkgutil.walk_packages(llm_gate.__path__, "llm_gate.") if m.name != "llm_gate.vllm_server"]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )

    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 15
