"""Rows that somebody else adds to, as lines of text; here those of a file, which says when it was cut or replaced."""

import os
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

Again = Literal["", "truncated", "replaced"]
_AT_ONCE = 1 << 22
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

    def __init__(self, path: Path) -> None:
        """Read ``path`` from its start; it need not exist yet."""
        self._path = path
        self._inode: int | None = None
        self._offset, self._line, self._catching_up, self._before = 0, 1, True, b""

    def read(self) -> Grown:
        """The complete lines since the last call, at most some megabytes of them; none where it cannot be read."""
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return Grown([], self._line, "", known=False)
        try:
            return self._read(handle)
        except OSError:
            return Grown([], self._line, "", known=False)
        finally:
            os.close(handle)

    def close(self) -> None:
        """Nothing is held between two looks."""

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
