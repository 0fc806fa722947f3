"""Whether there is room for a run: a folder that can be written to, on a disk that is not nearly full."""

import os
import shutil
from pathlib import Path

from trigate.errors import ResourceError

MB = 1_000_000


def check_room(runs: Path, min_free_mb: int) -> int:
    """The free megabytes where ``runs`` is or would be made.

    Raises:
        ResourceError: fewer than ``min_free_mb`` are free, or no folder can be made there.
    """
    there = nearest_there(runs)
    if not there.is_dir():
        raise ResourceError(f"{runs}: {there} is no folder; name another one with --set runs=FOLDER")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ResourceError(f"{runs}: nothing can be written into {there}; allow it, or set runs to another folder")
    free_mb = shutil.disk_usage(there).free // MB
    if free_mb < min_free_mb:
        raise ResourceError(
            f"{runs}: {free_mb} MB are free and a run begins with at least {min_free_mb} (min_free_mb); make room, or "
            f"set runs to another disk"
        )
    return free_mb


def nearest_there(path: Path) -> Path:
    """``path``, or the nearest above it that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
