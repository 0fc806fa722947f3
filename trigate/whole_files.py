"""Files that are the old one or the new one after a crash; a failing disk becomes one clear error."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from trigate.errors import ResourceError


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn an OSError into a ResourceError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {_reason(error, path)}; {_remedy(error)}") from error


@contextmanager
def read_faults(path: Path) -> Iterator[None]:
    """Turn an OSError into a ResourceError that names the file below ``path`` which cannot be read."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"cannot read {error.filename or path}: {error.strerror}; restore it, or allow to read it"
        ) from error


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Replace ``path`` by ``content``, text as UTF-8, whole or not at all; ``mode`` as for ``whole_file``.

    Raises:
        ResourceError: the disk failed; what was there is as it was.
    """
    with whole_file(path, mode=mode) as scratch:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """A scratch file that replaces ``path``, durably, when the block ends well, and is removed when it does not.

    Its permissions are ``mode`` without what the process masks: 0o600 is for its owner alone.

    Raises:
        ResourceError: the disk failed; what was there is as it was.
    """
    # Two writers of the same file each have a scratch of their own.
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_faults(path):
        _sweep(path)
        try:
            os.close(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode))
            yield scratch
            sync(scratch)
            scratch.replace(path)
            sync(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


def _reason(error: OSError, path: Path) -> str:
    """What the system says, without the names that ``path`` says already; Arrow words its errors otherwise."""
    if not error.errno:
        return str(error)
    said = os.strerror(error.errno)
    if not isinstance(error.filename, str) or path.is_relative_to(error.filename) or error.filename.endswith(".tmp"):
        return said
    return f"{said}: {error.filename}"


def _remedy(error: OSError) -> str:
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "allow to write there, or choose another folder"
    return "make room or choose another folder"


def _sweep(path: Path) -> None:
    """Remove what writers of ``path`` left that were killed half way."""
    for scratch in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        pid = scratch.name.split(".")[-2]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            scratch.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file or folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
