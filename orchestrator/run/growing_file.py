"""The complete lines of a text file that somebody else writes on; says when it was cut or replaced."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

Again = Literal["", "truncated", "replaced"]
_AT_ONCE = 1 << 22
_REMEMBERED = 256  # bytes before the place reached: they must still stand there


class Grown(NamedTuple):
    """What was added since the last look."""

    lines: list[bytes]
    """Complete ones, without their line ends."""
    first: int
    """Line of the file, from 1, that the first of them is."""
    again: Again
    """The file is not the one that was read so far, and is read from its start."""
    known: bool
    """Whether these lines stood there when the file was opened, so that an earlier look may have seen them."""


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
        return Grown(lines, first, again, known)

    def _what_happened(self, handle: int) -> Again:
        status = os.fstat(handle)
        before, self._inode = self._inode, status.st_ino
        if before is not None and before != status.st_ino:
            return "replaced"
        if status.st_size < self._offset:
            return "truncated"
        there = os.pread(handle, len(self._before), self._offset - len(self._before))
        return "" if there == self._before else "replaced"
