"""A row, and what it was measured with."""

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One measurement."""

    name: str
    value: float
    unit: str
    ratio_to: dict[str, float]
    settings: dict[str, Any]


def versions(*packages: str) -> dict[str, str]:
    """Of Python, of the ``packages`` that are installed, and the commit."""
    found = {"python": platform.python_version(), "commit": commit()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that was measured; "" outside a clone or where there is no git."""
    if shutil.which("git") is None:
        return ""
    return subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
