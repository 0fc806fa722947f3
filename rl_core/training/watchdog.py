"""Runs the command in a child process and turns the child's abort into an exit code (DECISIONS 10).

JAX aborts a process as soon as it learns that another process of a distributed run is gone. An abort cannot be caught
within the process, so a parent watches it.
"""

import os
import signal
import sys
import threading

from trigate.errors import ProcessNotReadyError


def run_in_watched_child() -> None:
    """Return in a child process; the parent forwards signals to it and ends with its exit code.

    An abort of the child becomes exit code 5. What C++ libraries print to standard output goes to standard error, as
    standard output is for results. Call it before JAX is loaded: a fork would not copy its threads.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.setpgid(0, 0)  # a terminal's Ctrl-C comes once, from the parent
        threading.Thread(target=_end_with_the_parent, args=(reading,), daemon=True).start()
        results = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = os.fdopen(results, "w")
        return
    os.close(reading)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda sent, frame: os.kill(child, sent))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGABRT:
        sys.stderr.write(f"rl-core: {PROCESS_LOST}\n")
        code = ProcessNotReadyError.exit_code
    sys.exit(code if code >= 0 else 128 - code)


PROCESS_LOST = "another process of this run is gone or cannot be reached; start all again to go on"


def _end_with_the_parent(reading: int) -> None:
    """End this process when the parent has ended, for whatever reason: its end of the pipe is closed then."""
    os.read(reading, 1)
    os.kill(os.getpid(), signal.SIGKILL)
