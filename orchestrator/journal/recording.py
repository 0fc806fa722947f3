"""A recorded journal that is derived again: compared line by line, and never written."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.journal.journal import JournalMismatch, Verified, whole_lines
from orchestrator.journal.lines import Chain, Record, difference, record_of


class Recording:
    """The whole records of a journal, as a runner meets them that continues it; needs no lock and changes nothing.

    ``append`` compares what is derived with what was recorded. What is derived beyond the record's end, as after a
    kill between two records of one bar, is left out: a continued run writes it.
    """

    def __init__(self, path: Path, verified: Verified) -> None:
        """Read the records that were ``verified`` in the journal at ``path``."""
        self.path = path
        self.derived = bytearray()
        """Every line as it came out again."""
        self._lines: Iterator[bytes] = whole_lines(path, verified)
        self._next_line = next(self._lines, b"")
        self._chain = Chain()

    @property
    def head(self) -> str:
        """Digest of the record last derived."""
        return self._chain.head

    @property
    def length(self) -> int:
        """Number of the record last derived, 0 before the first."""
        return self._chain.length

    def next_recorded(self) -> Record | None:
        """The record that the next ``append`` has to match, None where the recording ends."""
        return record_of(self._next_line) if self._next_line else None

    def append(self, type: str, payload: Mapping[str, Any], *, sync: bool = False) -> Record | None:
        """Compare one record with the recorded one; None beyond the recording's end.

        Raises:
            JournalMismatch: they differ; the record and the first field that does are named.
        """
        if not self._next_line:
            return None
        line = self._chain.line(type, payload, sync=sync)
        if line != self._next_line:
            raise JournalMismatch(difference(line, self._next_line))
        self.derived += line
        self._chain = self._chain.after(line, sync=sync)
        self._next_line = next(self._lines, b"")
        return Record(self.length, type, dict(payload), sync, self.head)
