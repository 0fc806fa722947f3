"""A file of hidden states, one record a case, so that what was computed is never computed again.

A record is the key (32 bytes), the state (float32, little endian) and a CRC-32 of both. A kill leaves at most a torn
last record, which is cut off; any other fault is a damaged file, which is refused.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm_gate.errors import RequestError
from trigate.errors import ResourceError
from trigate.locks import locked_at_once
from trigate.whole_files import disk_faults

KEY_BYTES, CHECK_BYTES = 32, 4

State = npt.NDArray[np.float32]


class StatesFile:
    """An open file of states [width] that only one process writes; a context manager."""

    def __init__(self, path: Path, width: int) -> None:
        """Open, lock and read ``path``, cutting off a record that a kill left torn.

        Raises:
            RequestError: a record that is whole but damaged, or of another width.
            ResourceError: another process writes it, or the disk refuses.
        """
        self._path, self._width = path, width
        self.known: dict[bytes, State] = {}
        """Every state in the file by its key."""
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+", buffering=0)
        if not locked_at_once(self._file.fileno()):
            self._file.close()
            raise ResourceError(f"{path}: another command teaches with it; wait for it, or give another --out")
        self._read()

    def append(self, key: bytes, state: State) -> None:
        """Keep one state; it is in the kernel's hands when this returns, so that a kill of this process keeps it."""
        assert len(key) == KEY_BYTES and state.shape == (self._width,)
        body = key + state.astype("<f4").tobytes()
        record = body + zlib.crc32(body).to_bytes(CHECK_BYTES, "little")
        with disk_faults(self._path):
            written = self._file.write(record)
        if written != len(record):
            raise ResourceError(f"{self._path}: the disk took only a part of a record; free some space")
        self.known[key] = state

    def _read(self) -> None:
        size = KEY_BYTES + 4 * self._width + CHECK_BYTES
        self._file.seek(0)
        content = self._file.readall()
        whole = len(content) // size * size
        for start in range(0, whole, size):
            record = content[start : start + size]
            body = record[:-CHECK_BYTES]
            if zlib.crc32(body).to_bytes(CHECK_BYTES, "little") != record[-CHECK_BYTES:]:
                raise RequestError(
                    f"{self._path}: record {start // size + 1} is damaged, or of another model; remove the file, and "
                    "the states are computed again"
                )
            self.known[body[:KEY_BYTES]] = np.frombuffer(body[KEY_BYTES:], "<f4").astype(np.float32)
        if whole < len(content):
            os.truncate(self._path, whole)

    def __enter__(self) -> "StatesFile":
        """The open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._file.close()
