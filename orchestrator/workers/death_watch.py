"""A worker's standard input: one line from its parent, and the end of it when the parent dies.

It imports the standard library only, so that a worker watches its parent before it imports anything that takes time.
"""

import os
import signal
import threading
import time

MAX_BOOTSTRAP = 32 * 1024
"""Bytes; a pipe takes that much without a reader."""
UNTOLD_S = 0.3
"""A process that its parent never told what to do has so long to say so itself, once the parent is gone."""


class ParentPipe:
    """The pipe on standard input, which from the first use on is closed to everyone else."""

    def __init__(self) -> None:
        self._line = b""
        self._come = threading.Event()
        self._watched = False
        self._pipe = -1

    def line(self) -> bytes:
        """The first line of standard input, waited for; without a newline if the runner died while writing it."""
        if self._watched:
            self._come.wait()
        else:
            self._take_line()
        return self._line

    def die_with_parent(self) -> None:
        """From now on, kill this process and its group when the parent is gone, however it went, told or not."""
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, name="death-watch", daemon=True).start()

    def _take_line(self) -> None:
        if self._come.is_set():
            return
        self._pipe = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._line = self._read()
        self._come.set()

    def _read(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < MAX_BOOTSTRAP and (byte := os.read(self._pipe, 1)):
            line += byte
        return bytes(line)

    def _watch(self) -> None:
        self._take_line()
        if not self._line.endswith(b"\n"):
            time.sleep(UNTOLD_S)
        while os.read(self._pipe, 4096):
            pass
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


PARENT = ParentPipe()
"""Of this process; there is one standard input."""
