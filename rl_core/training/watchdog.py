"""A process that watches its child, which a library may end from below, and ends as it does (DECISIONS 10)."""

import os
import signal
import sys
import threading

from trigate.errors import ProcessNotReadyError


def guard() -> None:
    """Go on in a child, which ends with its parent; the parent forwards signals and never returns.

    JAX aborts a process as soon as it hears that another one of the run is gone: that ends with exit code 5 here. What
    libraries below Python print goes to standard error, as standard output is for results. Call it before JAX is
    loaded.
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
        sys.stderr.write(f"rl-core: {GONE}\n")
        code = ProcessNotReadyError.exit_code
    sys.exit(code if code >= 0 else 128 - code)


GONE = "another process of this run is gone or cannot be reached; start all again to go on"


def _end_with_the_parent(reading: int) -> None:
    """The pipe ends when the parent has, however that came."""
    os.read(reading, 1)
    os.kill(os.getpid(), signal.SIGKILL)
