"""Which version of a package is at work, also in a bare source tree that was never installed."""

import tomllib
from importlib import metadata
from importlib.resources import files
from pathlib import Path

OURS = "trigate"
UNKNOWN = "unknown"


def version_of(distribution: str) -> str:
    """Its version; `UNKNOWN` where it is not installed. Ours is read from the source tree then."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return _of_source_tree() if distribution == OURS else UNKNOWN


def _of_source_tree() -> str:
    project = Path(str(files(OURS))).parent / "pyproject.toml"
    if not project.is_file():
        return UNKNOWN
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
