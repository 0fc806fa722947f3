"""Rows that somebody else adds to, as lines of text; here those of a file, which says when it was cut or replaced."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from orchestrator.clock import Deadline

Again = Literal["", "truncated", "replaced"]
_AT_ONCE = 1 << 22
GONE_S = 2.0
"""A file that cannot be read for so long is told of: one that is replaced is away for a moment."""
_REMEMBERED = 256  # bytes before the place reached: they must still stand there


class Grown(NamedTuple):
    """What was added since the last look."""

    lines: list[bytes]
    """Complete ones, without their line ends."""
    first: int
    """Number of the first of them: in a file its line, from 1; in a feed its row, from 1, after a header numbered 0."""
    again: Again
    """The rows are not those that were read so far, and are read from their start."""
    known: bool
    """Whether these lines were there before the first look, so that an earlier run may have seen them."""
    begins: bool = False
    """Whether the first of the lines is the first of all, which tells how they are written."""
    current: bool = False
    """Whether whoever writes was there, and had no further row."""
    lost: int = 0
    """Rows before the first of these that nobody has any more, though the ones before them were read."""


class RowSource(Protocol):
    """Where rows come from as they happen."""

    def read(self) -> Grown:
        """What was added since the last call; it waits for nobody for longer than a moment."""

    def close(self) -> None:
        """Let go of it."""


class GrowingFile:
    """Reads on where it stopped; a line counts once its line end is there."""

    def __init__(self, path: Path, told: Callable[[str], None] = lambda text: None) -> None:
        """Read ``path`` from its start; it need not exist yet.

        Args:
            path: of the file.
            told: hears once that it cannot be read, and when it can be again.
        """
        self._path, self._told = path, told
        self._gone: Deadline | None = None  # since it could not be read
        self._trouble = False
        self._inode: int | None = None
        self._offset, self._line, self._catching_up, self._before = 0, 1, True, b""

    def read(self) -> Grown:
        """The complete lines since the last call, at most some megabytes of them; none where it cannot be read."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                grown = self._read(handle)
            finally:
                os.close(handle)
        except OSError as error:
            self._tell(error)
            return Grown([], self._line, "", known=False)
        self._tell(None)
        return grown

    def close(self) -> None:
        """Nothing is held between two looks."""

    def _tell(self, fault: OSError | None) -> None:
        """Say that the file cannot be read, once it has been so for a while, and when it can be again."""
        if fault is None:
            if self._trouble:
                self._told(f"feed {self._path}: is read again")
            self._gone, self._trouble = None, False
            return
        self._gone = self._gone or Deadline(GONE_S)
        if self._gone.expired and not self._trouble:
            self._trouble = True
            self._told(f"feed {self._path}: cannot be read: {fault.strerror}; it is looked at again until it can")

    def _read(self, handle: int) -> Grown:
        again = self._what_happened(handle)
        if again:
            self._offset, self._line, self._catching_up, self._before = 0, 1, True, b""
        data, first, known = os.pread(handle, _AT_ONCE, self._offset), self._line, self._catching_up
        # A line that never ends is no bar: it is handed over as it stands, and refused with a fault.
        whole = data[: data.rfind(b"\n") + 1] or (data if len(data) == _AT_ONCE else b"")
        lines = [line.removesuffix(b"\r") for line in whole.removesuffix(b"\n").split(b"\n")] if whole else []
        self._catching_up = known and len(data) == _AT_ONCE
        self._offset, self._line = self._offset + len(whole), self._line + len(lines)
        self._before = (self._before + whole)[-_REMEMBERED:]
        current = len(data) < _AT_ONCE
        return Grown(lines, first, again, known, begins=first == 1 and bool(lines), current=current)

    def _what_happened(self, handle: int) -> Again:
        status = os.fstat(handle)
        before, self._inode = self._inode, status.st_ino
        if before is not None and before != status.st_ino:
            return "replaced"
        if status.st_size < self._offset:
            return "truncated"
        there = os.pread(handle, len(self._before), self._offset - len(self._before))
        return "" if there == self._before else "replaced"
