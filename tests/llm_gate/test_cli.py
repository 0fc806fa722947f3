"""The command as a user runs it: exit codes, one line of error, results on standard output only."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal, Resize, Reviewed, parse_message
from llm_gate.prompts.prompt_files import load_prompt, prompts_folder
from tests.llm_gate.serving.stub_http import served
from tests.processes.commands import call_here


def run(*arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """``llm-gate`` with these arguments."""
    return call_here("llm-gate", *arguments, stdin=stdin)


def test_a_proposal_is_judged_by_the_rules(make_proposal: Callable[..., EntryProposal]) -> None:
    ended = run("review", "-", "--engine", "rules", stdin=make_proposal(minutes_to_flat=20).model_dump_json())

    assert ended.returncode == 0
    assert isinstance(parse_message(Reviewed, ended.stdout).outcome, Resize)


def test_a_proposal_is_judged_with_a_prompt_of_a_persons_own(
    make_proposal: Callable[..., EntryProposal], tmp_path: Path
) -> None:
    text = (prompts_folder() / "entry_facts.v1.md").read_text(encoding="utf-8")
    (tmp_path / "mine.v1.md").write_text(text.replace("one letter", "one capital letter"), encoding="utf-8")

    own = ("--prompt", "mine.v1", "--prompts", str(tmp_path))
    ended = run("review", "-", *own, stdin=make_proposal().model_dump_json())

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["prompt_digest"] == load_prompt(tmp_path / "mine.v1.md").digest


def test_a_server_that_is_not_there_ends_with_5_and_no_verdict(
    make_proposal: Callable[..., EntryProposal], unused_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_port}"

    ended = run("review", "-", "--engine", "vllm", "--url", url, stdin=make_proposal().model_dump_json())

    assert ended.returncode == 5
    assert json.loads(ended.stdout)["outcome"] == {"kind": "gate_failed", "cause": "unavailable"}
    refused = f"{url}/v1/chat/completions: cannot connect: Connection refused"
    assert ended.stderr == f"llm-gate: no verdict: unavailable: {refused} (asked twice)\n"


def test_a_server_that_is_not_there_is_asked_one_question_and_named_once(unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"

    ended = run("check", url)

    refused = f"{url}/v1/chat/completions: cannot connect: Connection refused"
    assert re.fullmatch(rf"FAIL probe \d\.\d\d s {re.escape(refused)}\n", ended.stdout)
    assert ended.stderr == f"llm-gate: {url}: probe: {refused}\n"


def test_what_several_questions_failed_of_is_said_once() -> None:
    with served(lambda request_id, asked: (503, {"error": {"message": "overloaded"}})) as url:
        ended = run("check", url)

    assert ended.stderr.count("overloaded") == 1
    assert "probe, canary choice, canary json, prompt entry_review.v1 in choice, prompt" in ended.stderr
    assert ended.stdout.count("FAIL") == 5


@pytest.mark.parametrize(
    ("arguments", "code", "fault"),
    [
        (["review", "no-such-file.json"], 2, "no-such-file.json"),
        (["review", "-"], 2, "not JSON"),
        (["review", "-", "--engine", "oracle"], 2, "not JSON"),
        (["prompts", "show", "nothing.v9"], 2, "there are: entry_examples.v1"),
        (["prompts", "lint", "no-such.v1.md"], 2, "cannot be read"),
        (["model", "no-such-folder"], 2, "config.json"),
        (["check", "http://192.0.2.1:80"], 2, "loopback"),
        (["check", "http://127.0.0.1:1", "--json"], 5, "probe: http"),
        (["check", "http://127.0.0.1:1", "--mode", "prose"], 2, "no mode"),
        (["check", "http://127.0.0.1:1", "--prompt", "none.v1", "--prompts", "docs"], 2, "(looked in docs, "),
        (["serve", "--prompt", "none.v1", "--prompts", "docs"], 2, "(looked in docs, "),
        (["doctor", "--model", "no-such-folder"], 2, "config.json"),
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
    assert ended.stdout == "" or arguments[-1] == "--json"


def test_nothing_but_the_launcher_needs_vllm_torch_or_jax() -> None:
    """Imports every module in a process where those packages cannot be found."""
    program = """
import importlib, pkgutil, sys
for name in ("vllm", "torch", "transformers", "jax", "zmq", "tokenizers"):
    sys.modules[name] = None
import llm_gate
found = pkgutil.walk_packages(llm_gate.__path__, "llm_gate.")
names = [m.name for m in found if m.name != "llm_gate.serving.launch_vllm"]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )

    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) >= 15


FREE_SERVER = """
import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Free(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": "The sea, the sea"}
        request_id = self.headers["X-Request-Id"]
        choice = {"message": message, "finish_reason": "stop", "logprobs": None}
        reply = {"id": f"chatcmpl-{request_id}", "object": "chat.completion", "choices": [choice]}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = HTTPServer(("127.0.0.1", 0), Free)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def test_a_server_that_ignores_its_constraint_is_refused_by_name_for_each_question() -> None:
    server = subprocess.Popen([sys.executable, "-c", FREE_SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        ended = run("check", f"http://127.0.0.1:{int(server.stdout.readline())}")
    finally:
        server.kill()
        server.communicate()

    assert ended.returncode == 5
    assert [" ".join(line.split()[:2]) for line in ended.stdout.splitlines()] == [
        "FAIL probe",
        "FAIL canary",
        "FAIL canary",
        "FAIL prompt",
        "FAIL prompt",
    ]
    assert "canary choice: the server ignores structured_outputs in choice mode" in ended.stderr
    assert "canary json: the server ignores structured_outputs in json mode" in ended.stderr


def test_the_doctor_says_who_takes_what(tmp_path: Path) -> None:
    """A made-up model of 1 MB fits everywhere; one of 40 TB nowhere."""
    heads = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(heads))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(1_000_000))

    plan = json.loads(run("doctor", "--model", str(tmp_path), "--jax-share", "0", "--json").stdout)
    os.truncate(weights, 10 * 1 << 40)
    ended = run("doctor", "--model", str(tmp_path), "--jax-share", "0")

    assert plan["need"]["weights"] == 1_000_000
    assert plan["left"] == plan["device"]["free"] - sum(plan["need"].values())
    assert (ended.returncode, "does not fit" in ended.stderr) == (2, True)
    assert "overhead" in ended.stdout
