"""Starts a vLLM server on the loopback address, makes it prove itself, and leaves nothing of it behind."""

import contextlib
import importlib.metadata
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from llm_gate.engines.base import SERVED_NAME, TemplateValue
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import EXTRAS, NotInstalledError, RequestError, ServerNotReadyError
from llm_gate.serving.canaries import Proof
from llm_gate.serving.model_folders import check_model, default_cache, longest_text, model_id
from llm_gate.serving.processes import (
    END_DEADLINE_S,
    HOST,
    Process,
    await_port,
    checked_port,
    end_session,
    ended_within,
    start_session,
)
from llm_gate.serving.readiness import Progress, Readiness, WarmUp, wait_until_proven
from trigate.errors import ResourceError
from trigate.process_control import library_fault

log = structlog.get_logger(__name__)

READY_DEADLINE_S = 180.0
MAX_MODEL_LEN = 4096

WARM_UP_LIMIT_S = 30.0
WARM_UP_LIMIT_CPU_S = 120.0
"""For one answer: the first structured ones took 11 to 36 s on two busy cores."""

_LAUNCHER = "llm_gate.serving.launch_vllm"
_DEATH_PIPE = "TRIGATE_DEATH_PIPE"
_LOG_TAIL_LINES = 12
_LOG_TAIL_BYTES = 8192
# Blocks of 32 tokens: the prefix cache keeps whole ones, and with the 128 of this platform a case of 60 tokens made it
# compute up to 188 again; one letter took 1.8 times as long.
# The model runs within the engine's process. By itself this platform starts a worker, which waits busily for a second
# after each answer, on one of two cores; it does so for OpenMP's threads, of which there is one here.
_EXECUTOR = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_CPU_FLAGS = (
    *("--dtype", "float32", "--enforce-eager", "--block-size", "32"),
    *("--distributed-executor-backend", _EXECUTOR),
)
_CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
_CPU_LIBRARY = "libnuma.so.1"
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_MAX_N_SEQUENCES": "1"}
_FLAGS = (
    "--served-model-name",
    SERVED_NAME,
    "--host",
    HOST,
    "--enable-prefix-caching",
    "--disable-uvicorn-access-log",
    # Else vLLM takes defaults of sampling, such as a penalty on repetition, from the model's generation_config.json.
    "--generation-config",
    "vllm",
    "--structured-outputs-config",
    json.dumps({"backend": "xgrammar", "disable_any_whitespace": True}),
)


class VllmServer:
    """One vLLM server over one model folder; a context manager that stops it.

    The server dies with this process, even at SIGKILL: its supervisor reads a pipe that only we hold open.
    A process forked from this one without exec would hold it open too: start others by exec.
    """

    def __init__(
        self,
        model: Path,
        *,
        log_path: Path,
        port: int | None = None,
        key: str | None = None,
        gpu_memory: float | None = None,
        template_kwargs: Mapping[str, TemplateValue] | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            model: a folder with a model.
            log_path: where the server writes, readable by its owner only; a folder that is missing is made.
            port: None takes a free one.
            key: its API key; None makes a random one.
            gpu_memory: the share of a GPU that vLLM may take; None is its own default.
            template_kwargs: what the model's chat template is told beside each chat.

        Raises:
            RequestError: ``model`` is no model folder, or no vLLM is installed.
        """
        check_model(model)
        self._on_cpu = _is_cpu_build()
        self._model = model
        self._log_path = log_path
        self._gpu_memory = gpu_memory
        self._port = port
        self._process: Process | None = None
        self._death_pipe: int | None = None
        self._ready = (READY_DEADLINE_S, Proof())
        self._template_kwargs = template_kwargs or {}
        self.end_within_s = END_DEADLINE_S
        """It is killed if it has not ended so long after it was asked to."""
        self.warm_up: WarmUp | None = None
        """Known once the server is ready."""
        self.key = key or secrets.token_urlsafe(32)
        self.model_id = model_id(model)

    @property
    def url(self) -> str:
        """The server's root; known from ``start`` on."""
        return f"http://{HOST}:{self._port}"

    remedy = "starting it again"
    served = SERVED_NAME

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
        self._port = checked_port(self._port)
        hears, holds = os.pipe()
        try:
            self._log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._process = self._spawned(hears)
        except OSError as error:
            os.close(holds)
            raise ResourceError(
                f"the model server cannot be started: {error}; let {sys.executable} run and its log be written"
            ) from None
        finally:
            os.close(hears)
        self._death_pipe = holds
        log.info("server_started", url=self.url, model=self.model_id, log=str(self._log_path))

    def engine(self) -> VllmEngine:
        """An engine that asks this server; from ``start`` on."""
        return VllmEngine(self.url, self.key, model_id=self.model_id, template_kwargs=self._template_kwargs)

    def wait_ready(
        self,
        deadline_s: float = READY_DEADLINE_S,
        *,
        proof: Proof = Proof(),  # noqa: B008 - a tuple, never changed
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Return once the server gave a real constrained answer and the questions of ``proof`` were answered.

        Blocks, with its own event loop; inside a running loop call it in a thread. ``check`` is called a few times
        a second and may raise, say because the user wants to stop.

        Raises:
            ServerNotReadyError: no progress for ``deadline_s``, an answer took too long, the server ended, refused a
                question, or ignores the constraint.
            ResourceError: another process took the port first.
        """
        self._ready = (deadline_s, proof)
        started_s = time.monotonic()
        limit_s = WARM_UP_LIMIT_CPU_S if self._on_cpu else WARM_UP_LIMIT_S

        def watch() -> None:
            check()
            self._check_running()

        try:
            readiness = Readiness(proof, deadline_s, limit_s)
            warm_up = wait_until_proven(self.engine(), readiness, Progress(self._log_path), watch)
        except ServerNotReadyError as error:
            raise ServerNotReadyError(f"{error}; {self._log_tail()}") from None
        self.warm_up = warm_up
        seconds = round(time.monotonic() - started_s, 1)
        spent = {"warm_up_calls": warm_up.calls, "warm_up_s": round(warm_up.seconds, 1)}
        log.info("server_ready", url=self.url, seconds=seconds, **spent)

    def alive(self) -> bool:
        """Whether the server's supervisor runs; an answer is the only proof of more."""
        process = self._process  # the thread that replaces the server sets it to None in between
        return process is not None and process.poll() is None

    def stop(self) -> None:
        """End every process of the server and wait until none is left; safe to call twice.

        Raises:
            ResourceError: some process outlived even a kill.
        """
        if self._process is not None:
            self._process.terminate()
            ended_within(self._process, self.end_within_s)
            self.kill()

    def kill(self) -> None:
        """The same at once, without asking first: an engine that hangs does not hear."""
        if self._process is None:
            return
        session = self._process.pid
        end_session(session)
        self._process.wait()
        self._process = None
        if self._death_pipe is not None:
            os.close(self._death_pipe)
            self._death_pipe = None
        log.info("server_stopped", session=session)

    def replace(self, check: Callable[[], None] = lambda: None) -> None:
        """Kill the server, start it on the same port with the same key, and wait until it is ready as it was before.

        Raises:
            ServerNotReadyError, ResourceError: as for ``start`` and ``wait_ready``.
        """
        self.kill()
        if self._port is not None:
            await_port(self._port)
        self.start()
        deadline_s, proof = self._ready
        self.wait_ready(deadline_s, proof=proof, check=check)

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    def _spawned(self, death_pipe: int) -> Process:
        return start_session(
            [sys.executable, "-m", _LAUNCHER, *self._arguments()],
            log_path=self._log_path,
            environment=self._environment(death_pipe),
            inherits=death_pipe,
        )

    def _arguments(self) -> list[str]:
        share = () if self._gpu_memory is None else ("--gpu-memory-utilization", str(self._gpu_memory))
        hardware = _CPU_FLAGS if self._on_cpu else share
        length = str(min(MAX_MODEL_LEN, longest_text(self._model)))
        return ["serve", str(self._model), "--port", str(self._port), "--max-model-len", length, *_FLAGS, *hardware]

    def _environment(self, death_pipe: int) -> dict[str, str]:
        cache = default_cache().parent / "vllm"
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache.chmod(0o700)  # it may be older than this rule
        inherited = {name: value for name, value in os.environ.items() if name != "VLLM_SERVER_DEV_MODE"}
        of_this_server = {"VLLM_API_KEY": self.key, "VLLM_CACHE_ROOT": str(cache), _DEATH_PIPE: str(death_pipe)}
        return inherited | _ENVIRONMENT | (_cpu_environment() if self._on_cpu else {}) | of_this_server

    def _check_running(self) -> None:
        if self.alive():
            return
        tail = self._log_tail()
        if "ddress already in use" in tail:
            raise ResourceError(f"port {self._port} on {HOST} is in use; name another --port")
        raise ServerNotReadyError("the model server ended while starting")

    def _log_tail(self) -> str:
        try:
            with self._log_path.open("rb") as file:
                file.seek(max(0, self._log_path.stat().st_size - _LOG_TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return "\n".join([f"the last lines of {self._log_path}:", *lines[-_LOG_TAIL_LINES:]])


def _cpu_environment() -> dict[str, str]:
    """The CPU build's; where no C++ compiler is, a few operations run as they are written instead of compiled."""
    uncompiled = {} if shutil.which(os.environ.get("CXX", "g++")) else {"TORCHDYNAMO_DISABLE": "1"}
    return _CPU_ENVIRONMENT | uncompiled


def _refuse_missing_library() -> None:
    """Tell at once what the CPU build says only in its log, and fails of a minute later."""
    if fault := library_fault(_CPU_LIBRARY):
        raise RequestError(
            f"vLLM's CPU build needs {_CPU_LIBRARY}, a library of the system: {fault}; install libnuma1 (Debian, "
            f"Ubuntu) or numactl-libs (Fedora), or use another engine"
        )


def _is_cpu_build() -> bool:
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            if name == "vllm-cpu":
                _refuse_missing_library()
            return name == "vllm-cpu"
    raise NotInstalledError(f"vLLM is not installed: {EXTRAS}")
