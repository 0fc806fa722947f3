"""The manifest of a checkpoint: identity, package versions and the SHA-256 of every file; read without JAX."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rl_core.errors import DamagedCheckpointError, FitError
from rl_core.features.fingerprint import Fingerprint
from trigate.errors import ConfigError
from trigate.versions import version_of
from trigate.whole_files import read_faults

MANIFEST = "manifest.json"
PACKAGES = ("trigate", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy")


CHECKPOINT_NAME = re.compile(r"phase([12])_jax_(?:final_)?(\d+)\Z")


class Identity(BaseModel):
    """What a checkpoint is: its phase, step, inputs, actions, features, settings and training bars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Literal[1, 2]
    market: str
    step: int = Field(ge=0, description="bars played over all environments")
    observation_size: int = Field(gt=0)
    actions: tuple[str, ...] = Field(min_length=3)
    fingerprint: str = Field(description="digest of `features`")
    features: dict[str, Any]
    config: dict[str, Any] = Field(description="the run's resolved settings")
    data_digest: str = Field(description="SHA-256 of the bars")


class CheckpointManifest(BaseModel):
    """The file `manifest.json`, less the digest of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    identity: Identity
    versions: dict[str, str]
    files: dict[str, str] = Field(description="path inside the folder -> SHA-256")


class Expected(NamedTuple):
    """What the reader of a checkpoint needs it to be; None = not compared."""

    phase: int | None = None
    observation_size: int | None = None
    actions: Sequence[str] | None = None
    fingerprint: Fingerprint | None = None


def find_checkpoint(path: Path, *, phase: int | None = None) -> Path:
    """``path`` if it is a checkpoint, else the one with most steps in it or in its ``checkpoints`` folder.

    Half-written folders carry other names and are not considered.

    Raises:
        ConfigError: there is none, or ``path`` is a pickle.
        ResourceError: a folder cannot be read.
    """
    refuse_pickle(path)
    if (path / MANIFEST).is_file() and CHECKPOINT_NAME.match(path.name):
        return path
    with read_faults(path):
        entries = [
            entry for folder in (path, path / "checkpoints") if folder.is_dir() for entry in sorted(folder.iterdir())
        ]
    named = [(match, entry) for entry in entries if (match := CHECKPOINT_NAME.match(entry.name))]
    candidates = [(int(m[1]), int(m[2]), entry) for m, entry in named if phase is None or int(m[1]) == phase]
    if not candidates:
        kind = "checkpoint" if phase is None else f"checkpoint of phase {phase}"
        raise ConfigError(f"no {kind} in {path}; train one with rl-core train")
    return max(candidates)[2]


def checkpoint_digest(checkpoint: Path) -> str:
    """SHA-256 of a checkpoint's manifest, which holds that of every other file of it.

    Raises:
        ConfigError: it cannot be read.
    """
    path = checkpoint / MANIFEST
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def is_final(path: Path) -> bool:
    """Whether the name says that training had ended."""
    return "_final_" in path.name


def unfinished_note(path: Path, identity: Identity) -> str | None:
    """A warning where training had not ended at the checkpoint in ``path``; None if it had."""
    if is_final(path):
        return None
    total = identity.config.get("ppo", {}).get("total_steps", "?")
    return f"{path} was saved on the way, at step {identity.step} of {total}: its training has not ended"


def installed_versions() -> dict[str, str]:
    """Versions of the packages that a run's numbers come from, by name."""
    return {name: version_of(name) for name in PACKAGES}


def write_manifest(folder: Path, identity: Identity) -> None:
    """Write the manifest of the files that are now in ``folder``."""
    files = {name: _sha256(folder / name) for name in _files_in(folder)}
    manifest = CheckpointManifest(identity=identity, versions=installed_versions(), files=files)
    (folder / MANIFEST).write_bytes(_encoded(manifest.model_dump(mode="json")))


def read_manifest(folder: Path) -> CheckpointManifest:
    """Read the manifest of ``folder``, and check every file against its SHA-256.

    Raises:
        ConfigError: there is no such checkpoint, or it is a pickle.
        DamagedCheckpointError: a file was changed, is missing or is not in the manifest; the message names it.
        ResourceError: a file cannot be read.
    """
    refuse_pickle(folder)
    with read_faults(folder):
        return _verified(folder)


def _verified(folder: Path) -> CheckpointManifest:
    if not (folder / MANIFEST).is_file():
        what = "holds no manifest.json, so it is no whole checkpoint" if folder.exists() else "does not exist"
        raise ConfigError(f"checkpoint {folder} {what}; give the folder that training printed")
    manifest = _parsed_manifest(folder)
    present = set(_files_in(folder))
    for name, digest in manifest.files.items():
        if name not in present:
            raise DamagedCheckpointError(f"checkpoint {folder}: {name} is missing; restore the folder from a copy")
        if _sha256(folder / name) != digest:
            raise DamagedCheckpointError(f"checkpoint {folder}: {name} is damaged (SHA-256 differs); restore a copy")
    if strange := present - set(manifest.files):
        raise DamagedCheckpointError(f"checkpoint {folder}: {min(strange)} is not in the manifest; remove it")
    return manifest


def check_fit(folder: Path, identity: Identity, expected: Expected) -> None:
    """Refuse a checkpoint that was made for something else.

    Raises:
        FitError: names every difference.
    """
    pairs = (
        ("phase", identity.phase, expected.phase),
        ("observation size", identity.observation_size, expected.observation_size),
        ("actions", list(identity.actions), None if expected.actions is None else list(expected.actions)),
    )
    differences = [_difference(name, was, now) for name, was, now in pairs if now is not None and was != now]
    if expected.fingerprint is not None and expected.fingerprint.digest != identity.fingerprint:
        differences += _feature_differences(identity.features, expected.fingerprint.parts)
        differences.append("give the settings that it was trained with, or train again")
    if differences:
        raise FitError(f"checkpoint {folder} does not fit: {'; '.join(differences)}")


def refuse_pickle(path: Path) -> None:
    """Raise ConfigError if ``path`` is named like a pickle file."""
    if path.suffix.lower() in PICKLES:
        raise ConfigError(f"{path}: pickle files execute code; convert it in a sandbox, or train a checkpoint here")


def _parsed_manifest(folder: Path) -> CheckpointManifest:
    content = (folder / MANIFEST).read_bytes()
    try:
        body = json.loads(content)
        body.pop("sha256")
        manifest = CheckpointManifest.model_validate(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise DamagedCheckpointError(f"checkpoint {folder}: {MANIFEST} cannot be read; restore a copy") from error
    # Bytes are compared, not values: JSON has many spellings of one value, and a flipped bit may be one of them.
    if _encoded(body) != content:
        raise DamagedCheckpointError(f"checkpoint {folder}: {MANIFEST} is damaged (SHA-256 differs); restore a copy")
    return manifest


def _encoded(body: dict[str, Any]) -> bytes:
    """Canonical JSON of ``body`` with its own digest."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()
    return (json.dumps(body | {"sha256": digest}, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _files_in(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for path in paths if (name := path.relative_to(folder).as_posix()) != MANIFEST)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(name: str, was: object, now: object) -> str:
    was, now = ("usual" if value is None else value for value in (was, now))  # a usual bracket is not named
    return f"{name} {was} in the checkpoint, {now} here"


def _feature_differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted(was.keys() | now.keys())
    return [_part_difference(name, was.get(name), now.get(name)) for name in names if was.get(name) != now.get(name)]


def _part_difference(name: str, was: object, now: object) -> str:
    if not (isinstance(was, list | tuple) and isinstance(now, list | tuple)):
        return _difference(f"feature {name}", was, now)
    changes = [f"-{item}" for item in was if item not in now] + [f"+{item}" for item in now if item not in was]
    return f"feature {name}: {', '.join(changes) if changes else 'another order'} (checkpoint to here)"
