"""Starts a vLLM server on the loopback address, makes it prove itself, and leaves nothing of it behind.

The only module of this package that starts a process.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from llm_gate.contract import Label
from llm_gate.engines.base import Turn
from llm_gate.engines.vllm import SERVED_NAME, VllmEngine
from llm_gate.errors import (
    EngineError,
    HttpError,
    MalformedVerdictError,
    NotReadyError,
    RequestError,
    ResourceError,
    UnavailableError,
)
from llm_gate.models import check_model, default_cache, longest_text, model_id

log = structlog.get_logger(__name__)

HOST = "127.0.0.1"
READY_DEADLINE_S = 180.0
STOP_DEADLINE_S = 20.0
MAX_MODEL_LEN = 4096

LETTERS: dict[str, Label] = {"A": "approve", "B": "shrink", "C": "veto"}
WARM_UP = "Answer with one letter."
CANARY = "Write a long poem about the sea, at least four stanzas. Begin at once and never answer with a single letter."

_LAUNCHER = "llm_gate.vllm_server"
_DEATH_PIPE = "TRIGATE_DEATH_PIPE"
_POLL_S = 0.25
_LOG_TAIL_LINES = 12
_LOG_TAIL_BYTES = 8192
_CPU_FLAGS = ("--dtype", "float32", "--enforce-eager")
_CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_MAX_N_SEQUENCES": "1"}
_FLAGS = (
    "--served-model-name",
    SERVED_NAME,
    "--host",
    HOST,
    "--enable-prefix-caching",
    "--disable-uvicorn-access-log",
    "--structured-outputs-config",
    json.dumps({"backend": "xgrammar", "disable_any_whitespace": True}),
)


class VllmServer:
    """One vLLM server over one model folder; a context manager that stops it.

    The server dies with this process, even at SIGKILL: its supervisor reads a pipe that only we hold open.
    A process forked from this one without exec would hold it open too: start others by exec.
    """

    def __init__(self, model: Path, *, log_path: Path, port: int | None = None, key: str | None = None) -> None:
        """Nothing is started yet. Without ``port`` a free one is taken, without ``key`` a random one made.

        Raises:
            RequestError: ``model`` is no model folder, or no vLLM is installed.
        """
        check_model(model)
        self._on_cpu = _is_cpu_build()
        self._model = model
        self._log_path = log_path
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._death_pipe: int | None = None
        self.key = key or secrets.token_urlsafe(32)
        self.model_id = model_id(model)

    @property
    def url(self) -> str:
        """The server's root; known from ``start`` on."""
        return f"http://{HOST}:{self._port}"

    @property
    def session(self) -> int:
        """The session id that every process of the server shares."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the server in a session of its own and return at once.

        Raises:
            ResourceError: the port is in use, or the log cannot be written.
        """
        assert self._process is None, "started twice"
        self._port = _checked_port(self._port)
        hears, holds = os.pipe()
        try:
            self._process = self._spawned(hears)
        except OSError as error:
            os.close(holds)
            raise ResourceError(f"the model server cannot be started: {error}") from None
        finally:
            os.close(hears)
        self._death_pipe = holds
        log.info("server_started", url=self.url, model=self.model_id, log=str(self._log_path))

    def wait_ready(self, deadline_s: float = READY_DEADLINE_S, *, check: Callable[[], None] = lambda: None) -> None:
        """Return once the server gave a real constrained answer and the canary found that the constraint holds.

        Blocks, with its own event loop; inside a running loop call it in a thread. ``check`` is called a few times
        a second and may raise, say because the user wants to stop.

        Raises:
            NotReadyError: not within ``deadline_s`` in all, the server ended, or it ignores the constraint.
            ResourceError: another process took the port first.
        """
        started_s = time.monotonic()
        try:
            asyncio.run(asyncio.wait_for(self._watched(check), deadline_s))
        except TimeoutError:
            raise NotReadyError(f"no answer within {deadline_s:g} s; {self._log_tail()}") from None
        log.info("server_ready", url=self.url, seconds=round(time.monotonic() - started_s, 1))

    def alive(self) -> bool:
        """Whether the server's supervisor runs; an answer is the only proof of more."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End every process of the server and wait until none is left; safe to call twice.

        Raises:
            ResourceError: some process outlived even a kill.
        """
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_DEADLINE_S)
        session = self._process.pid
        _end_session(session)
        self._process.wait()
        self._process = None
        if self._death_pipe is not None:
            os.close(self._death_pipe)
            self._death_pipe = None
        log.info("server_stopped", session=session)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _spawned(self, death_pipe: int) -> "subprocess.Popen[bytes]":
        with self._log_path.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", _LAUNCHER, *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(death_pipe),
                pass_fds=(death_pipe,),
                start_new_session=True,
            )

    def _arguments(self) -> list[str]:
        hardware = _CPU_FLAGS if self._on_cpu else ()
        length = str(min(MAX_MODEL_LEN, longest_text(self._model)))
        return ["serve", str(self._model), "--port", str(self._port), "--max-model-len", length, *_FLAGS, *hardware]

    def _environment(self, death_pipe: int) -> dict[str, str]:
        cache = default_cache().parent / "vllm"
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        inherited = {name: value for name, value in os.environ.items() if name != "VLLM_SERVER_DEV_MODE"}
        own = {"VLLM_API_KEY": self.key, "VLLM_CACHE_ROOT": str(cache), _DEATH_PIPE: str(death_pipe)}
        return inherited | _ENVIRONMENT | (_CPU_ENVIRONMENT if self._on_cpu else {}) | own

    async def _watched(self, check: Callable[[], None]) -> None:
        proof = asyncio.ensure_future(self._proven())
        try:
            while not proof.done():
                check()
                await asyncio.wait({proof}, timeout=_POLL_S)
            await proof
        finally:
            proof.cancel()

    async def _proven(self) -> None:
        engine = VllmEngine(self.url, self.key)
        while not await self._answers(engine):
            self._check_running()
            await asyncio.sleep(_POLL_S)
        await prove(engine)

    async def _answers(self, engine: VllmEngine) -> bool:
        """Whether the server gave a constrained answer; a server that is still loading refuses or answers 503."""
        try:
            await engine.ask((Turn("user", WARM_UP),), LETTERS, _request_id())
        except (UnavailableError, HttpError):
            return False
        except MalformedVerdictError as error:
            raise NotReadyError(f"{self.url} does not keep to the letters: {error}") from None
        return True

    def _check_running(self) -> None:
        if self.alive():
            return
        tail = self._log_tail()
        if "ddress already in use" in tail:
            raise ResourceError(f"port {self._port} on {HOST} is in use")
        raise NotReadyError(f"the model server ended while starting; {tail}")

    def _log_tail(self) -> str:
        try:
            with self._log_path.open("rb") as file:
                file.seek(max(0, self._log_path.stat().st_size - _LOG_TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return "\n".join([f"the last lines of {self._log_path}:", *lines[-_LOG_TAIL_LINES:]])


async def prove(engine: VllmEngine) -> None:
    """Return if a prompt that begs for prose still gets one of the letters.

    Raises:
        NotReadyError: the server ignores the constraint, or gave no answer.
    """
    try:
        answer = await engine.ask((Turn("user", CANARY),), LETTERS, _request_id())
    except MalformedVerdictError as error:
        raise NotReadyError(f"canary: the server ignores structured_outputs and answers freely ({error})") from None
    except EngineError as error:
        raise NotReadyError(f"canary: {error}") from None
    if answer.letter not in LETTERS:
        raise NotReadyError(f"canary: the server ignores structured_outputs and said {answer.letter[:40]!r}")


def session_members(session: int) -> list[int]:
    """The ids of the living processes in a session; zombies have ended and do not count."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_in(entry, session)]


def _is_in(process: Path, session: int) -> bool:
    try:
        # The command, in parentheses, may hold anything; state, parent, group and session follow the last one.
        state, _parent, _group, its_session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return False
    return int(its_session) == session and state not in ("Z", "X")


def _end_session(session: int) -> None:
    deadline_s = time.monotonic() + STOP_DEADLINE_S
    while members := session_members(session):
        if time.monotonic() > deadline_s:
            raise ResourceError(f"processes {members} of the model server do not end")
        for process in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def _checked_port(port: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise ResourceError(f"port {port} on {HOST} cannot be used: {error.strerror}") from None
        return int(probe.getsockname()[1])


def _is_cpu_build() -> bool:
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            return name == "vllm-cpu"
    raise RequestError("vLLM is not installed: install the extra 'cpu' or 'cuda', or use another engine")


def _request_id() -> str:
    return secrets.token_hex(16)
