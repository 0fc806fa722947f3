"""Files that are the old one or the new one after a crash; a failing disk becomes one clear error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rl_core.errors import ResourceError


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn an OSError into a ResourceError that names ``path``."""
    try:
        yield
    except OSError as error:
        raise ResourceError(f"cannot write {path}: {error}; make room or choose another folder") from error


@contextmanager
def read_faults(path: Path) -> Iterator[None]:
    """Turn an OSError into a ResourceError that names the file below ``path`` which cannot be read."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"cannot read {error.filename or path}: {error.strerror}; restore it, or allow to read it"
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, whole or not at all.

    Raises:
        ResourceError: the disk failed; what was there is as it was.
    """
    scratch = path.with_name(f".{path.name}.tmp")
    with disk_faults(path):
        try:
            scratch.write_bytes(content)
            sync(scratch)
            scratch.replace(path)
            sync(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Make a file or folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
