"""Which version of a package is at work, also in a bare source tree that was never installed; and which code."""

import hashlib
import tomllib
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path

OURS = "trigate"
PACKAGES = (OURS, "rl_core", "llm_gate", "orchestrator")
UNKNOWN = "unknown"


@cache  # every save of a training says the versions, and a distribution's metadata takes 10 ms to parse
def version_of(distribution: str) -> str:
    """Its version when first asked for; `UNKNOWN` where it is not installed, ours then read from the source tree."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return _of_source_tree() if distribution == OURS else UNKNOWN


@cache
def code_digest() -> str:
    """SHA-256 of every module of ours, as they lay on disk when this process first asked."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        folder = Path(str(files(package)))
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _of_source_tree() -> str:
    project = Path(str(files(OURS))).parent / "pyproject.toml"
    if not project.is_file():
        return UNKNOWN
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
