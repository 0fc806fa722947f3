"""The supervisor of a model server ends everything that the server started, wherever it moved."""

import contextlib
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llm_gate.serving.processes import end_session, session_members
from tests.llm_gate.serving.watched import still_runs, wait_until

ESCAPED = """
import os, sys, time
from llm_gate.serving import launch_vllm as vllm_server
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        os.setsid()
        print(os.getpid(), flush=True)
        time.sleep(600)
    time.sleep(1)
    os._exit(3)
hears, holds = os.pipe()
sys.exit(vllm_server._supervise(child, hears))
"""


def test_the_supervisor_ends_what_moved_to_a_session_of_its_own() -> None:
    process = subprocess.Popen([sys.executable, "-c", ESCAPED], stdout=subprocess.PIPE)
    assert process.stdout is not None
    escaped = int(process.stdout.readline())
    try:
        assert process.wait(20) == 3
        assert not still_runs(escaped)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(escaped, signal.SIGKILL)
        process.kill()
        process.communicate()


THREADED = """
import ctypes, socket, threading, time
port = socket.socket()
port.bind(("127.0.0.1", 0))
threading.Thread(target=time.sleep, args=(600,)).start()
print("up", flush=True)
ctypes.CDLL(None).syscall(60, 0)  # exit of this thread alone, on x86-64
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the number of a system call")
def test_a_process_whose_first_thread_has_ended_still_counts() -> None:
    """It looks like a zombie, and still holds its port."""
    process = subprocess.Popen([sys.executable, "-c", THREADED], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        assert wait_until(lambda: ") Z " in Path(f"/proc/{process.pid}/stat").read_text(), 10.0)

        assert session_members(process.pid) == [process.pid]
        end_session(process.pid)
        assert session_members(process.pid) == []
    finally:
        process.kill()
        process.communicate()
