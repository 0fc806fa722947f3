"""Locks between processes, on files; the kernel lets go of them when their holder ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trigate.errors import ResourceError

LOCKED_BY = "locked by pid"
"""In the message of a lock that is held; the pid follows."""


def lock_in_our_name(handle: int, path: Path, *, remedy: str = "") -> None:
    """Lock the open lock file ``handle`` until it is closed, and write our pid into it.

    Args:
        handle: of a file that holds nothing else.
        path: of what is locked, for the message.
        remedy: what a person can do, appended to the message.

    Raises:
        ResourceError: another process holds it; the message has its pid.
        OSError: the disk failed.
    """
    if not locked_at_once(handle):
        holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise ResourceError(f"{path}: {LOCKED_BY} {holder}{remedy and f'; {remedy}'}")
    os.ftruncate(handle, 0)
    os.pwrite(handle, b"%d\n" % os.getpid(), 0)


def locked_at_once(handle: int) -> bool:
    """Whether the open file ``handle`` could be locked without waiting; it stays so until it is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(handle: int) -> None:
    """Lock the open file ``handle`` as soon as its holder lets go; it stays so until it is closed."""
    fcntl.flock(handle, fcntl.LOCK_EX)


def holder_of(path: Path) -> int | None:
    """The process that holds the lock file ``path``, found without opening it to lock; None where nobody does.

    It is the process named in the file, as `lock_in_our_name` wrote it, if it has the file open: the kernel lets go of
    the file with the process, and a number that went to another process does not count.
    """
    try:
        pid = int(path.read_text("ascii"))
        locked = path.stat()
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except (OSError, ValueError):
        return None
    return pid if any(_is_file(handle, locked) for handle in handles) else None


def _is_file(handle: Path, file: os.stat_result) -> bool:
    """Whether a handle of a process, which may be closed meanwhile, is that file."""
    try:
        return os.path.samestat(handle.stat(), file)
    except OSError:
        return False


@contextmanager
def waiting_lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, made if missing, through the block; waits for whoever has it."""
    with path.open("a") as file:
        wait_for_lock(file.fileno())
        yield
