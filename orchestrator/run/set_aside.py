"""Takes a run with a damaged journal out of service: the damage into a file of its own, a word in the manifest."""

from contextlib import ExitStack
from pathlib import Path

from orchestrator.journal.journal import hold_journal
from orchestrator.journal.quarantine import quarantine
from orchestrator.run.folder import RunFolder


def set_aside(folder: RunFolder) -> Path | None:
    """Move what follows the journal's last whole record into a file beside it; None where nothing follows.

    A torn tail is what a kill leaves, and the run goes on without it. Where records that were on disk are among what
    is moved, the run is marked ``quarantined`` and is not continued: the same command makes a new one.

    Raises:
        DamagedJournalError: whole records are missing at the journal's end, so that there is nothing to move.
        ResourceError: the run is alive, or the disk fails.
    """
    with ExitStack() as undo:
        hold_journal(folder.journal, undo)
        moved = quarantine(folder.journal, folder.manifest().known_head)
        if moved is None:
            return None
        if moved.found.fault:
            head = moved.found.verified.chain.head
            folder.mark("quarantined", cause=f"{moved.found.fault}; set aside in {moved.file.name}", journal_head=head)
    return moved.file
