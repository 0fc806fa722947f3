"""The folder of a training run: locked by one process, resumed by the same run, refused to others (DECISIONS 9)."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.checkpoints.manifest import CHECKPOINT_NAME, MANIFEST, installed_versions, is_final, read_manifest
from rl_core.errors import DamagedCheckpointError, FitError
from trigate.locks import lock_in_our_name
from trigate.whole_files import disk_faults, write_whole

RUN, LOCK, CHECKPOINTS = "run.json", ".lock", "checkpoints"
RUN_FILES = (
    RUN,
    CHECKPOINTS,
    "*metrics*.json*",
    "metadata.json",
    "adjustment_history.json",
    "config.toml",
    "source.json",
    "tb",
)
"""What a run leaves in its folder; setting a run aside moves these and touches nothing else."""
SEED_PREFIX = "seed-"  # of the folder of one seed's run, in that of several
USE_ANOTHER_FOLDER = "give another --out, or --new-run to set it aside"

Say = Callable[[str], None]


class TrainingInputs(BaseModel):
    """Everything that the numbers of a run depend on; two runs with equal inputs are the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: dict[str, Any]
    market: str
    bars_digest: str
    seconds_digest: str
    fingerprint: str
    parent_digest: str
    code_version: str


class RunCard(BaseModel):
    """The file `run.json`: what the folder's run was given."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    inputs: TrainingInputs
    versions: dict[str, str]
    transfer: dict[str, Any] | None = None


def run_of(checkpoint: Path) -> Path:
    """The run that holds ``checkpoint``, or the folder of several seeds that holds the run."""
    run = checkpoint.resolve().parent.parent if checkpoint.resolve().parent.name == CHECKPOINTS else checkpoint
    return run.parent if run.name.startswith(SEED_PREFIX) else run


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
    """Lock ``out`` against every other process while the block runs; the folder is made if missing.

    Raises:
        ResourceError: another process holds it, or it cannot be made.
    """
    with disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        with disk_faults(out):
            lock_in_our_name(handle, out, remedy="wait for it, or give another --out")
        yield
    finally:
        os.close(handle)


def run_found_in(out: Path, inputs: TrainingInputs, *, new_run: bool, say: Say) -> RunCard | None:
    """The card of the run in ``out``, if that run has the same ``inputs``; None if there is no run.

    Args:
        out: the folder, locked by this process.
        inputs: of the run that wants to use it.
        new_run: set another run aside instead of refusing.
        say: called with a line for the user where another run was set aside.

    Raises:
        FitError: another run is there; the message names every difference.
    """
    if not (out / RUN).exists() and not (out / CHECKPOINTS).exists():
        return None
    card = _card(out)
    differences = [f"it has no readable {RUN}"] if card is None else _differences(card.inputs, inputs)
    if not differences:
        return card
    if not new_run:
        raise FitError(f"{out} holds another run: {'; '.join(differences)}; {USE_ANOTHER_FOLDER}")
    say(f"the other run in {out} is now in {_set_aside(out)} ({'; '.join(differences)})")
    return None


def write_card(out: Path, inputs: TrainingInputs, transfer: dict[str, Any] | None) -> RunCard:
    """Write `run.json` into ``out``; the parent's transfer report is part of it."""
    card = RunCard(inputs=inputs, versions=installed_versions(), transfer=transfer)
    write_whole(out / RUN, card.model_dump_json(indent=1) + "\n")
    return card


def remove_partial_saves(out: Path, say: Say) -> None:
    """Remove what an interrupted save left, and rename back a checkpoint whose replacement did not come."""
    with disk_faults(out):
        for path in sorted((out / CHECKPOINTS).glob(".phase*")):
            whole = path.with_name(path.name.removesuffix(".old").removeprefix("."))
            if path.suffix == ".old" and not whole.exists():
                path.rename(whole)
                say(f"{path.name} is {whole.name} again: its replacement was interrupted")
            else:
                shutil.rmtree(path)
                say(f"{path.name} was half written or half removed: cleaned up")
        for path in out.glob(".*.tmp"):
            path.unlink()
            say(f"{path.name} was half written: cleaned up")


def newest_undamaged(out: Path, say: Say) -> Path | None:
    """The checkpoint in ``out`` with most steps among those that are undamaged; None if there is no checkpoint.

    Raises:
        DamagedCheckpointError: every checkpoint is damaged.
    """
    candidates = _by_step(out)
    for path in reversed(candidates):
        try:
            if not (path / MANIFEST).is_file():
                raise DamagedCheckpointError(
                    f"checkpoint {path}: {MANIFEST} is missing; restore the folder from a copy"
                )
            read_manifest(path)
        except DamagedCheckpointError as error:
            if path == candidates[0]:
                raise
            say(f"{error}: going back to the one before")
        else:
            return path
    return None


def prune(out: Path, kept: int) -> None:
    """Remove all but the last ``kept`` checkpoints and the final one."""
    on_the_way = [path for path in _by_step(out) if not is_final(path)]
    with disk_faults(out):
        for path in on_the_way[:-kept]:
            gone = path.with_name(f".{path.name}.gone")
            path.rename(gone)
            shutil.rmtree(gone)


def _by_step(out: Path) -> list[Path]:
    """The checkpoints by step, fewest first; at the same step a final one comes last."""
    folder = out / CHECKPOINTS
    names = [(int(match[2]), path) for path in folder.glob("phase*") if (match := CHECKPOINT_NAME.match(path.name))]
    return [path for _, path in sorted(names, key=lambda step_and_path: (step_and_path[0], is_final(step_and_path[1])))]


def _card(out: Path) -> RunCard | None:
    try:
        return RunCard.model_validate_json((out / RUN).read_bytes())
    except (OSError, ValidationError):
        return None


def _set_aside(out: Path) -> Path:
    aside = next(path for number in count(1) if not (path := out / f"before-{number}").exists())
    with disk_faults(aside):
        aside.mkdir()
        for path in [path for pattern in RUN_FILES for path in out.glob(pattern)]:
            path.rename(aside / path.name)
    return aside


def _differences(was: TrainingInputs, now: TrainingInputs) -> list[str]:
    known, here = (_flattened(inputs.model_dump(mode="json")) for inputs in (was, now))
    names = sorted(name for name in known.keys() | here.keys() if known.get(name) != here.get(name))
    return [f"{name} is {_shortened(known.get(name))} there, {_shortened(here.get(name))} here" for name in names]


def _flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= _flattened(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else f'{text[:10]}..."'
