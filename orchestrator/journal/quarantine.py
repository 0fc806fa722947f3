"""Sets a damaged tail of a journal aside: into a file beside it, byte for byte. Nothing is ever repaired."""

import os
from pathlib import Path
from typing import NamedTuple

from orchestrator.journal.journal import Examined, KnownHead, examine_journal, refuse_damaged
from trigate.errors import ResourceError
from trigate.whole_files import sync, write_whole


class SetAside(NamedTuple):
    """A tail that was moved out of a journal."""

    file: Path
    first: int
    """Number that its first record has or had."""
    size: int
    """Bytes."""
    found: Examined
    """The journal before."""


def quarantine(path: Path, known: KnownHead | None = None) -> SetAside | None:
    """Move what follows the last whole record into a file beside the journal; None where nothing follows it.

    Only for the one who holds the journal. The file is on disk before the journal is cut, so a crash in between leaves
    both, and the same call ends it.

    Raises:
        DamagedJournalError: nothing follows, and yet the ``known`` record is not there: whole records are missing.
        ResourceError: the disk fails.
    """
    found = examine_journal(path, known)
    end, first = found.verified.end, found.verified.chain.length + 1
    file = path.with_name(f"{path.name}.from-record-{first}")
    try:
        with path.open("rb") as journal:
            journal.seek(end)
            tail = journal.read()
        if not tail:
            refuse_damaged(path, found)
            return None
        if file.exists() and file.read_bytes() != tail:
            raise ResourceError(f"{file}: holds another tail that was set aside before; move it away first")
        write_whole(file, tail, mode=0o600)
        os.truncate(path, end)
        sync(path)
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror or error}; allow to write it, or make room") from error
    return SetAside(file, first, len(tail), found)
