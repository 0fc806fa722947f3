"""The record of a run: one append-only file that a restart replays before it writes on (a line: lines.py)."""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from orchestrator.journal.lines import MAX_LINE, Chain, Record, difference, record_of, whole_body
from trigate.errors import DataError, ResourceError, TrigateError
from trigate.locks import lock_in_our_name


class DamagedJournalError(DataError):
    """A journal that lost records which were already confirmed on disk."""


class ForeignJournalError(DataError):
    """A whole journal that is the record of another run."""


class JournalMismatch(TrigateError):
    """A re-derived record that differs from the recorded one: the run is not a replay of itself."""


class KnownHead(NamedTuple):
    """What is known of a journal from elsewhere: its chain alone cannot tell that whole records are gone."""

    digest: str
    """Of a record that was on disk."""
    last: bool
    """Whether nothing was written after it."""


class Verified(NamedTuple):
    """What a journal file holds."""

    chain: Chain
    """Its length and the digest of its last whole record."""
    end: int
    """Bytes of the whole records; what follows is a torn tail."""


class Examined(NamedTuple):
    """What a journal file holds, and what is wrong with it."""

    verified: Verified
    fault: str
    """What was lost, in words; "" where nothing was."""


class Journal:
    """The journal of one run, held by its only writer; a context manager.

    While recorded records remain (``replaying``), ``append`` compares instead of writing, and ``next_recorded``
    shows what comes next, so that inputs are taken from the record instead of being asked for again::

        recorded = journal.next_recorded()
        bar = recorded.payload if recorded else feed.next_bar()
        journal.append("bar", bar)
    """

    @classmethod
    def open(cls, path: Path, known: KnownHead | None = None) -> Self:
        """Lock and verify the journal at ``path`` and cut its torn tail, or begin it.

        Raises:
            ResourceError: another process holds it, or the folder or file is not ours alone, or the disk fails.
            DamagedJournalError: a record at or below the last one proven to be on disk is damaged, or it does not
                hold the ``known`` one.
        """
        path = path.absolute()
        try:
            with ExitStack() as undo:
                folder = hold_journal(path, undo)
                file = _private_file(folder, path, os.O_RDWR | os.O_APPEND | os.O_CREAT, undo)
                os.fsync(folder)
                verified = verify_journal(path, known)
                os.ftruncate(file, verified.end)
                os.fdatasync(file)  # what a killed writer left in the page cache is on disk from here on
                return cls(path, file, verified, undo.pop_all())
        except OSError as error:
            raise ResourceError(f"{path}: {error.strerror or error}; {_TO_READ}") from error

    def __init__(self, path: Path, file: int, verified: Verified, held: ExitStack) -> None:
        """Use ``Journal.open``."""
        self.path = path
        self.verified = verified
        self._file = file
        self._held = held
        self._failure: str | None = None
        self._chain = Chain()
        self._recorded = held.enter_context(path.open("rb"))
        self._next_line = self._recorded.readline() if verified.chain.length else b""

    @property
    def records(self) -> Iterator[Record]:
        """The records found at open, in order, read anew at every use."""
        return whole_records(self.path, self.verified)

    @property
    def last_type(self) -> str:
        """Type of the last record found at open, "" without any."""
        last = b""
        for line in whole_lines(self.path, self.verified):
            last = line
        return record_of(last).type if last else ""

    @property
    def replaying(self) -> bool:
        """Whether recorded records remain to be re-derived."""
        return bool(self._next_line)

    @property
    def head(self) -> str:
        """Digest of the record last replayed or written: it fixes every byte up to there."""
        return self._chain.head

    @property
    def length(self) -> int:
        """Number of the record last replayed or written, 0 before the first."""
        return self._chain.length

    def next_recorded(self) -> Record | None:
        """The record that the next append has to match, None where the recording ends; does not move on."""
        return record_of(self._next_line) if self._next_line else None

    def append(self, type: str, payload: Mapping[str, Any], *, sync: bool = False) -> Record:
        """Write one record, or check it against the recording.

        On return the record survives the death of this process, and with ``sync`` the loss of power.

        Raises:
            TypeError: the payload holds a float or anything else that is not canonical.
            ValueError: the payload uses one of the keys n, p, d, s, t, or the record is too long.
            JournalMismatch: the recorded record differs.
            ResourceError: the disk failed, now or at an earlier append: nothing is written after a failure.
        """
        if self._failure is not None:
            raise ResourceError(self._failure)
        line = self._chain.line(type, payload, sync=sync)
        if self._next_line:
            self._replay(line)
        else:
            self._write(line, sync=sync)
        self._chain = self._chain.after(line, sync=sync)
        return Record(self.length, type, dict(payload), sync, self.head)

    def sync(self) -> None:
        """Make everything durable that was written so far.

        Raises:
            ResourceError: the disk failed, now or before.
        """
        if self._failure is not None:
            raise ResourceError(self._failure)
        self._sync(f"record {self._chain.length}")

    def close(self) -> None:
        """Make everything durable and let go of the lock; a second call does nothing.

        Raises:
            ResourceError: the disk failed now.
        """
        with self._held:
            if self._failure is None:
                self._sync("close")
                self._failure = f"{self.path}: closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _replay(self, line: bytes) -> None:
        if line != self._next_line:
            raise JournalMismatch(f"{self.path}: {difference(line, self._next_line)}")
        # Lines beyond the verified ones were cut at open; this handle may still show them, buffered.
        more = self._chain.length + 1 < self.verified.chain.length
        self._next_line = self._recorded.readline() if more else b""

    def _write(self, line: bytes, *, sync: bool) -> None:
        name = f"record {self._chain.length + 1}"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise self._failed(name, error.strerror or str(error)) from error
        # A full disk may take a part: the rest is not tried again, as a torn last line is what a restart can cut.
        if written != len(line):
            raise self._failed(name, f"only {written} of {len(line)} bytes were taken")
        if sync:
            self._sync(name)

    def _sync(self, name: str) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise self._failed(name, error.strerror or str(error)) from error

    def _failed(self, name: str, cause: str) -> ResourceError:
        # After a failed fdatasync the kernel may have dropped the pages and will report success: never sync again.
        self._failure = f"{self.path}: {name}: {cause}; nothing is written after it"
        return ResourceError(self._failure)


def check_journal(path: Path, known: KnownHead | None = None) -> Verified:
    """What ``Journal.open`` would find, and refuse; the journal stays as it is, and is let go of at once.

    Raises:
        ResourceError, DamagedJournalError: as ``Journal.open``.
    """
    path = path.absolute()
    try:
        with ExitStack() as undo:
            folder = hold_journal(path, undo)
            _private_file(folder, path, os.O_RDONLY, undo)
            return verify_journal(path, known)
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror or error}; {_TO_READ}") from error


def verify_journal(path: Path, known: KnownHead | None = None) -> Verified:
    """What the journal holds, checked byte for byte without changing it.

    Raises:
        DamagedJournalError: as ``Journal.open``.
        ResourceError: the file cannot be read.
    """
    examined = examine_journal(path, known)
    refuse_damaged(path, examined)
    return examined.verified


def examine_journal(path: Path, known: KnownHead | None = None) -> Examined:
    """What the journal holds, checked byte for byte without changing it, damaged or not.

    Raises:
        ResourceError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            scan = _scan(stream, known)
    except OSError as error:
        raise ResourceError(f"{path}: {error.strerror or error}; {_TO_READ}") from error
    return Examined(scan.verified, _fault(scan, known))


def refuse_damaged(path: Path, examined: Examined) -> None:
    """Raise DamagedJournalError if the journal at ``path`` was found to have lost records that were on disk."""
    if examined.fault:
        raise DamagedJournalError(f"{path}: {examined.fault}; {_REMEDY}")


_TO_READ = "allow to read and write it, or restore the run's folder from a copy"
_REMEDY = (
    "nothing was changed: restore the file from a copy, or move the run's folder away to start anew; "
    "orchestrator replay --quarantine sets a damaged tail aside"
)


def _fault(scan: "_Scan", known: KnownHead | None) -> str:
    chain = scan.verified.chain
    if scan.proven > chain.length:
        return (
            f"record {chain.length + 1} at byte {scan.verified.end} is damaged, though record {scan.proven}"
            " was confirmed on disk"
        )
    if known is not None and not scan.holds_known:
        return (
            f"its {chain.length} whole records do not {'end with' if known.last else 'hold'} the one of digest"
            f" {known.digest} that the run's manifest knows: records were lost or replaced"
        )
    return ""


def read_journal(path: Path, known: KnownHead | None = None) -> Iterator[Record]:
    """The whole records of a journal, without a lock and without changing it; verified before the first comes out.

    Raises:
        DamagedJournalError, ResourceError: as ``verify_journal``, at the call.
    """
    return whole_records(path, verify_journal(path, known))


def whole_records(path: Path, verified: Verified) -> Iterator[Record]:
    """The records that were ``verified`` in the journal at ``path``, which may have grown since."""
    return (record_of(line) for line in whole_lines(path, verified))


def whole_lines(path: Path, verified: Verified) -> Iterator[bytes]:
    """The lines of the records that were ``verified``."""
    with path.open("rb") as stream:
        for _ in range(verified.chain.length):
            yield stream.readline()


def refuse_other_run(path: Path, first: Record | None, run_id: str) -> None:
    """Check that the ``first`` record does not name another run; journals of before name none.

    Raises:
        ForeignJournalError: it does.
    """
    if first is not None and first.type == "run" and first.payload["run"] != run_id:
        raise ForeignJournalError(
            f"{path}: is the record of run {first.payload['run']}, and this folder is of run {run_id}; put its own back"
        )


class _Scan(NamedTuple):
    verified: Verified
    proven: int  # the highest number that any whole line proves to be on disk
    holds_known: bool


def _scan(stream: BinaryIO, known: KnownHead | None) -> _Scan:
    """The undamaged records from the start, and the highest record that a later line proves to have been synced.

    A line that is whole by itself counts as a witness even behind a damaged one: its ``s`` was written after that
    record had reached the disk, so damage at or below it is a loss and not a torn tail.
    """
    chain, end, proven, unbroken, holds_known = Chain(), 0, 0, True, False
    while line := stream.readline(MAX_LINE):
        body = whole_body(line)
        if body is None:
            unbroken = False
            continue
        proven = max(proven, body["s"])
        unbroken = unbroken and chain.accepts(body)
        if unbroken:
            chain, end = chain.after(line, sync=body["d"] == 1), end + len(line)
            is_known = known is not None and chain.head == known.digest
            holds_known = is_known or (holds_known and not (known and known.last))
    return _Scan(Verified(chain, end), proven, holds_known)


def hold_journal(path: Path, undo: ExitStack) -> int:
    """Hold the lock of the journal at ``path`` until ``undo`` closes; returns a descriptor of its folder.

    Raises:
        ResourceError: another process holds it, or folder or lock are not ours alone.
        OSError: the disk failed.
    """
    folder = _private_folder(path.parent, undo)
    _lock(folder, path, undo)
    return folder


def _private_folder(folder: Path, undo: ExitStack) -> int:
    """A descriptor of a folder that only we can enter, made if missing."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    undo.callback(os.close, handle)
    if not _ours_alone(os.fstat(handle)):
        raise ResourceError(f"{folder}: others own it or can enter it; a run's folder needs mode 0700 (chmod 700)")
    return handle


def _private_file(folder: int, path: Path, flags: int, undo: ExitStack) -> int:
    # O_NONBLOCK: a FIFO in the file's place is found out instead of waited for.
    handle = os.open(path.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=folder)
    undo.callback(os.close, handle)
    status = os.fstat(handle)
    if not (stat.S_ISREG(status.st_mode) and _ours_alone(status)):
        raise ResourceError(f"{path}: is no plain file that only its owner can open; chmod 600 it")
    return handle


def _ours_alone(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _lock(folder: int, path: Path, undo: ExitStack) -> None:
    """Hold the journal's lock file, which tells who has it, until ``undo`` closes it."""
    handle = _private_file(folder, path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, undo)
    lock_in_our_name(handle, path)
