"""A real vLLM on a tiny random model: it answers within its letters, and nothing of it is left behind."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from llm_gate.contract import EntryProposal, GateFailed, Reviewed
from llm_gate.engines.base import SERVED_NAME, Turn
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import RequestError, ServerNotReadyError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.review.rehearsal import proof_in_modes
from llm_gate.serving.canaries import LETTERS
from llm_gate.serving.processes import children_of, session_members
from llm_gate.serving.server import VllmServer
from llm_gate.serving.watch import Patience, ServerWatch
from tests.llm_gate.serving.watched import still_runs, wait_until
from tests.optional import skip_module_without
from trigate.errors import ResourceError

skip_module_without("torch")

OWNER = """
import sys, time
from pathlib import Path
import structlog
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.rehearsal import proof_in_modes
from llm_gate.serving.server import VllmServer
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
server = VllmServer(Path(sys.argv[1]), log_path=Path(sys.argv[2]))
server.start()
server.wait_ready(400.0, proof=proof_in_modes(find_prompt(DEFAULT_PROMPT), ("choice",)))
print(server.session, server.url, server.key, flush=True)
time.sleep(600)
"""
"""Starts a server, makes it prove itself and says how to reach it."""


OF_THE_MODEL = {"max_new_tokens": 14, "temperature": 1.9, "repetition_penalty": 5.0, "do_sample": True, "top_k": 2}
"""14 tokens are too few for an object, and the penalty moves the logits of every letter that a prompt holds."""


def described(processes: list[int]) -> str:
    """State and command of each, for a test that finds them alive."""
    folders = [Path(f"/proc/{process}") for process in processes]
    return "\n".join(f"{(f / 'stat').read_text()} {(f / 'cmdline').read_bytes()!r}" for f in folders if f.exists())


@pytest.fixture(scope="module")
def server(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    """A server that proved itself."""
    with VllmServer(tiny_folder, log_path=tmp_path_factory.mktemp("logs") / "vllm.log") as server:
        server.wait_ready(240.0, proof=proof_in_modes(find_prompt(DEFAULT_PROMPT), ("choice", "json")))
        yield server


@pytest.mark.model
def test_the_answer_is_one_letter_whose_probabilities_add_up(server: VllmServer) -> None:
    engine = VllmEngine(server.url, server.key, model_id=server.model_id)

    answer = asyncio.run(engine.ask((Turn("user", "Sing."),), LETTERS, "a" * 32))

    assert answer.letter in LETTERS
    assert answer.probabilities is not None
    assert sum(answer.probabilities.values()) == pytest.approx(1.0, abs=1e-4)
    assert answer.letter == max(answer.probabilities, key=answer.probabilities.__getitem__)


@pytest.mark.model
def test_the_gate_reviews_through_a_real_server(
    server: VllmServer, make_proposal: Callable[..., EntryProposal]
) -> None:
    engine = VllmEngine(server.url, server.key, model_id=server.model_id)
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig(deadline_s=30.0))

    reviewed = asyncio.run(gate.review(make_proposal()))

    assert not isinstance(reviewed.outcome, GateFailed)
    assert reviewed.probabilities is not None
    assert sum(reviewed.probabilities.values()) == pytest.approx(1.0)
    assert reviewed.model.startswith("tiny@")


@pytest.mark.model
def test_a_wrong_key_is_refused_by_the_server(server: VllmServer, make_proposal: Callable[..., EntryProposal]) -> None:
    gate = Gate(VllmEngine(server.url, "wrong"), find_prompt(DEFAULT_PROMPT), GateConfig())

    assert asyncio.run(gate.review(make_proposal())).outcome == GateFailed(cause="http")


@pytest.mark.model
def test_the_key_is_in_no_command_line(server: VllmServer) -> None:
    members = session_members(server.session)
    lines = [Path(f"/proc/{member}/cmdline").read_bytes() for member in members]

    assert len(members) >= 3
    assert not any(server.key.encode() in line for line in lines)


@pytest.mark.model
def test_the_cpu_build_imports_vllm_once(server: VllmServer) -> None:
    """The engine core is forked: a fork has its parent's addresses, an interpreter that imports anew has others."""
    if "--enforce-eager" not in Path(f"/proc/{server.session}/cmdline").read_text():
        pytest.skip("on a GPU vLLM chooses")
    (api_server,) = children_of(server.session)

    assert _stack_of(_engine_core(server.session)) == _stack_of(api_server)


def _engine_core(session: int) -> int:
    return next(m for m in session_members(session) if b"EngineCore" in Path(f"/proc/{m}/cmdline").read_bytes())


def _stack_of(process: int) -> str:
    """Where its stack lies, which the kernel draws at random whenever a program is executed."""
    maps = Path(f"/proc/{process}/maps").read_text().splitlines()
    return next(line.split("-")[0] for line in maps if line.endswith("[stack]"))


@pytest.mark.model
def test_its_cache_is_for_its_owner_only(server: VllmServer) -> None:
    (cache,) = {
        value
        for member in session_members(server.session)
        for name, _, value in (
            entry.partition(b"=") for entry in Path(f"/proc/{member}/environ").read_bytes().split(b"\0")
        )
        if name == b"VLLM_CACHE_ROOT"
    }

    assert Path(cache.decode()).stat().st_mode & 0o777 == 0o700


@pytest.mark.model
def test_a_second_server_on_the_port_is_refused_by_name(server: VllmServer, tiny_folder: Path, tmp_path: Path) -> None:
    port = int(server.url.rpartition(":")[2])

    with pytest.raises(ResourceError, match=f"port {port}"):
        VllmServer(tiny_folder, log_path=tmp_path / "log", port=port).start()


@pytest.mark.model
def test_the_warm_up_is_counted(server: VllmServer) -> None:
    """One letter, the canary of each mode and the prompt in each mode."""
    assert server.warm_up is not None
    assert server.warm_up.calls == 5
    assert 0 < server.warm_up.seconds < 120


@pytest.mark.model
def test_in_json_the_reply_is_a_whole_object_with_its_tokens(
    server: VllmServer, make_proposal: Callable[..., EntryProposal]
) -> None:
    config = GateConfig(mode="json", deadline_s=60)
    gate = Gate(VllmEngine(server.url, server.key), find_prompt(DEFAULT_PROMPT), config)

    reviewed = asyncio.run(gate.review(make_proposal()))

    assert not isinstance(reviewed.outcome, GateFailed)
    assert reviewed.completion_tokens is not None and 10 < reviewed.completion_tokens <= 128
    assert reviewed.prompt_tokens is not None and reviewed.prompt_tokens > 100


@pytest.fixture(scope="module")
def with_own_sampling(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a file that would change every answer."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("own") / "own-sampling"))
    (folder / "generation_config.json").write_text(json.dumps(OF_THE_MODEL), encoding="utf-8")
    return folder


class Owned(NamedTuple):
    """A server of another process, and that process."""

    owner: "subprocess.Popen[str]"
    session: int
    url: str
    key: str


@pytest.fixture(scope="module")
def owned(with_own_sampling: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """A server over the model with the file, started by a process of its own."""
    log = tmp_path_factory.mktemp("owned") / "vllm.log"
    arguments = [sys.executable, "-c", OWNER, str(with_own_sampling), str(log)]
    owner = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        session, url, key = owner.stdout.readline().split()
        yield Owned(owner, int(session), url, key)
    finally:
        owner.kill()
        owner.communicate()


@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_models_own_generation_config_changes_nothing(
    server: VllmServer, owned: Owned, make_proposal: Callable[..., EntryProposal]
) -> None:
    """The same weights answer alike, letter for letter and token for token, with such a file and without.

    Both what we send and how the server was started see to that, so a request that says nothing is tried too: it gets
    more tokens than the file would allow.
    """
    plain = asked_of(server.engine(), make_proposal())

    changed = asked_of(VllmEngine(owned.url, owned.key), make_proposal())
    tokens = tokens_by_default(owned)

    assert [reviewed.outcome for reviewed in changed] == [reviewed.outcome for reviewed in plain]
    assert all(not isinstance(reviewed.outcome, GateFailed) for reviewed in plain)
    assert changed[0].probabilities == pytest.approx(plain[0].probabilities, abs=1e-6)
    assert changed[1].completion_tokens == plain[1].completion_tokens
    assert plain[1].completion_tokens is not None and plain[1].completion_tokens > OF_THE_MODEL["max_new_tokens"]
    assert tokens > OF_THE_MODEL["max_new_tokens"]


def asked_of(engine: VllmEngine, proposal: EntryProposal) -> list[Reviewed]:
    """What the gate makes of ``proposal`` in each mode."""
    prompt = find_prompt(DEFAULT_PROMPT)
    ways = [Gate(engine, prompt, GateConfig(mode=mode, deadline_s=60.0)) for mode in ("choice", "json")]
    return [asyncio.run(gate.review(proposal)) for gate in ways]


def tokens_by_default(server: Owned) -> int:
    """How long a reply is where the request leaves the longest to the server."""
    least = OF_THE_MODEL["max_new_tokens"] + 1
    asked = {"model": SERVED_NAME, "messages": [{"role": "user", "content": "Sing."}], "min_tokens": least, "seed": 0}
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as reply:
        return int(json.load(reply)["usage"]["completion_tokens"])


@pytest.mark.model
def test_a_frozen_engine_behind_a_healthy_api_is_replaced_and_none_of_it_survives(
    server: VllmServer, make_proposal: Callable[..., EntryProposal]
) -> None:
    """The engine core is stopped with SIGSTOP: the API still answers /health with 200."""
    old, members = server.session, session_members(server.session)
    core = _engine_core(old)
    gate = Gate(VllmEngine(server.url, server.key), find_prompt(DEFAULT_PROMPT), GateConfig(deadline_s=60))
    told: list[str] = []

    os.kill(core, signal.SIGSTOP)
    with urllib.request.urlopen(f"{server.url}/health", timeout=10) as health:
        assert health.status == 200
    patience = Patience(idle_s=0.5, deadline_s=3.0)
    with ServerWatch(server, patience=patience, notify=told.append):
        assert wait_until(lambda: bool(told) and session_members(old) == [], 60.0)
        meanwhile = asyncio.run(gate.review(make_proposal(proposal_id="a" * 32)))
        assert wait_until(lambda: len(told) == 2, 240.0)
        afterwards = asyncio.run(gate.review(make_proposal(proposal_id="b" * 32)))

    assert meanwhile.outcome == GateFailed(cause="unavailable")
    assert not isinstance(afterwards.outcome, GateFailed)
    assert told == ["model server: no answer to 3 probes; starting it again (restart 1)", "model server: ready again"]
    assert server.session != old
    assert not {member for member in members if still_runs(member)}


@pytest.mark.last
@pytest.mark.model
def test_a_killed_api_server_takes_its_engine_with_it(server: VllmServer) -> None:
    """The engine core would go on without it."""
    session = server.session
    (api_server,) = children_of(session)
    assert len(session_members(session)) >= 3

    os.kill(api_server, signal.SIGKILL)

    assert wait_until(lambda: not session_members(session), 10.0), described(session_members(session))
    assert not server.alive()
    server.stop()


@pytest.mark.last
@pytest.mark.model
def test_a_killed_owner_leaves_no_process(owned: Owned) -> None:
    """It cannot clean up."""
    session = owned.session
    # Supervisor, API server and engine core, which holds the model.
    assert len(session_members(session)) >= 3

    owned.owner.kill()

    assert wait_until(lambda: not session_members(session), 10.0), described(session_members(session))


@pytest.mark.model
def test_stop_leaves_no_process(tiny_folder: Path, tmp_path: Path) -> None:
    """While it loads; safe to call twice."""
    server = VllmServer(tiny_folder, log_path=tmp_path / "vllm.log")
    server.start()
    session = server.session
    assert wait_until(lambda: len(session_members(session)) >= 2, 120.0)

    server.stop()

    assert session_members(session) == []
    assert not server.alive()
    server.stop()


@pytest.mark.model
def test_a_server_that_ends_while_starting_is_not_ready_and_quotes_its_log(tmp_path: Path) -> None:
    model = tmp_path / "broken"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "no such model"}')

    with VllmServer(model, log_path=tmp_path / "vllm.log") as server:
        session = server.session
        with pytest.raises(ServerNotReadyError, match="ended while starting") as caught:
            server.wait_ready(120.0)

    assert "no such model" in str(caught.value)
    assert session_members(session) == []


def test_a_port_in_use_is_a_named_error(tiny_folder: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(ResourceError, match=f"port {port}") as caught:
            VllmServer(tiny_folder, log_path=tmp_path / "log", port=port).start()

    assert caught.value.exit_code == 7


def test_a_log_that_cannot_be_written_is_a_named_error(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ResourceError, match="cannot be started"):
        VllmServer(tiny_folder, log_path=tmp_path / "file" / "log").start()


def test_a_folder_that_is_no_model_is_refused_before_any_start(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        VllmServer(tmp_path, log_path=tmp_path / "log")


def _command_of(session: int) -> list[bytes]:
    """The words that the server was started with; a process has its parent's until it has begun."""
    deadline = time.monotonic() + 20
    while True:
        words = Path(f"/proc/{session}/cmdline").read_bytes().split(b"\0")
        if b"--generation-config" in words or time.monotonic() > deadline:
            return words
        time.sleep(0.02)


def test_it_is_started_without_the_models_own_sampling_and_its_log_is_its_owners(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """A generation_config.json would put a penalty on repetition behind temperature 0."""
    log = tmp_path / "logs" / "vllm.log"
    old = os.umask(0)
    try:
        server = VllmServer(tiny_folder, log_path=log)
        server.start()
    finally:
        os.umask(old)

    try:
        command = _command_of(server.session)
        assert command[command.index(b"--generation-config") + 1] == b"vllm"
        assert (log.stat().st_mode & 0o777, log.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    finally:
        server.kill()
