"""A run's folder: found again if the same run has not ended, else made anew; its manifest is written whole or not.

The same command continues it: DECISIONS 9.
"""

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from llm_gate.contract import first_fault
from orchestrator.clock import wall_time_ns
from orchestrator.journal.journal import KnownHead
from orchestrator.journal.lines import NO_DIGEST
from orchestrator.run.commit import code_commit
from orchestrator.run.config import RunConfig
from trigate.errors import ConfigError, ResourceError
from trigate.versions import version_of
from trigate.whole_files import disk_faults, write_whole

MANIFEST, CONFIG, JOURNAL, TELEMETRY = "manifest.json", "config.toml", "journal.jsonl", "telemetry.jsonl"
REPORT = "report.html"  # written last: a run without it is not done
REGIMES, CALIBRATION, ENTRIES = "regimes.json", "gate_calibration.json", "entries.json"
SIZE = "gate_size.json"
HISTORY = "history.npz"  # of a run in paper mode: the bars before its first, as its file grows on
PACKAGES = ("trigate", "numpy", "pyzmq", "pydantic", "pandas_market_calendars")

PRIVATE = 0o600
"""Permissions of every file of a run: what an account trades is its owner's business."""

Status = Literal["running", "stopped", "failed", "ended", "quarantined"]
"""``quarantined``: records that were on disk are damaged and were set aside; such a run is not continued."""


class RunInputs(BaseModel):
    """What a run's bytes depend on; equal inputs are the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: dict[str, Any]
    bars_digest: str
    seconds_digest: str
    checkpoint_digest: str  # "": a trader's own entries took its place
    prompt_digest: str
    model: str
    rule_pack_digest: str
    code_version: str
    regimes_digest: str = ""  # of what the checkpoint says of regimes; "": nothing, so the usual thresholds hold
    calibration_digest: str = ""  # of the gate's calibration; "": the model's own letters count
    size_digest: str = ""  # of the line under which entries are halved near the floor; "": there is none
    entries_digest: str = ""  # of the kept entries, where a trader's own take the place of a checkpoint

    @property
    def run_id(self) -> str:
        """32 hex digits."""
        # Runs of a checkpoint, and those without a size line, keep the name that they had before there were any.
        left_out = {name for name in ("entries_digest", "size_digest") if not getattr(self, name)}
        text = json.dumps(self.model_dump(mode="json", exclude=left_out), sort_keys=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=16).hexdigest()


class RunManifest(BaseModel):
    """What a run was made of, and how it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run_id: str
    status: Status
    started: str
    starts: int
    inputs: RunInputs
    market: str
    contract: str
    rule_pack: str
    rule_pack_as_of: str
    declaration: str
    rows_left_out: tuple[str, ...] = ()
    in_sample: bool | None = None  # None in these three: a run made before they were recorded
    trained_on_world: bool | None = None
    training_ended: bool | None = None
    trained_until_ns: int | None = None  # the policy's training bars, its phase 1's included; None: an older run
    tried: str = ""  # digest of who trades, by which tries are told apart; "": an older run
    gate_taught: str = ""  # what the gate was taught on, in words; "": it was not, or an older run
    foreign_market: str = ""  # that the policy never saw this market, in words; "": it did, or an older run
    trained_in: str = ""  # the training run's folder, beside which tries are counted; "": an older run
    versions: dict[str, str]
    python: str
    commit: str
    socket_folder: str = ""
    journal_head: str = ""
    cause: str = ""

    @property
    def known_head(self) -> KnownHead | None:
        """The record that the journal must hold, and end with once the run has ended; None before a first stop."""
        if self.journal_head in ("", NO_DIGEST):
            return None
        return KnownHead(self.journal_head, last=self.status == "ended")


class RunFolder(NamedTuple):
    """One run on disk."""

    path: Path

    @property
    def journal(self) -> Path:
        """The record."""
        return self.path / JOURNAL

    @property
    def telemetry(self) -> Path:
        """Wall clock and latencies."""
        return self.path / TELEMETRY

    @property
    def logs(self) -> Path:
        """The workers' output."""
        return self.path / "logs"

    def manifest(self) -> RunManifest:
        """What the run was made of.

        Raises:
            ResourceError: it cannot be read.
        """
        try:
            return RunManifest.model_validate_json((self.path / MANIFEST).read_bytes())
        except OSError as error:
            fault = error.strerror
            raise ResourceError(f"{self.path / MANIFEST}: cannot be read: {fault}; restore it from a copy") from error
        except ValidationError as error:
            fault = first_fault(error, "file")
            raise ResourceError(f"{self.path / MANIFEST}: cannot be read: {fault}; restore it from a copy") from error

    def write_manifest(self, manifest: RunManifest) -> None:
        """Replace the manifest, whole or not at all."""
        write_whole(self.path / MANIFEST, manifest.model_dump_json(indent=1) + "\n", mode=PRIVATE)

    def mark(self, status: Status, *, cause: str = "", **known: str) -> None:
        """Say in the manifest how the run stands, and ``known`` facts; only for the one who holds the journal."""
        update = {"status": status, "cause": cause[:500], **known}
        self.write_manifest(RunManifest.model_validate({**self.manifest().model_dump(), **update}))

    def mark_started(self) -> None:
        """Count one more start in the manifest; only for the one who holds the journal."""
        before = self.manifest()
        self.write_manifest(before.model_copy(update={"status": "running", "starts": before.starts + 1, "cause": ""}))


def run_at(path: Path) -> RunFolder:
    """The run in the folder ``path``.

    Raises:
        ConfigError: the folder is no run's.
    """
    if not (path / MANIFEST).is_file():
        raise ConfigError(f"{path}: holds no {MANIFEST}, so it is no run's folder; give the one that run printed")
    return RunFolder(path)


def open_run(
    config: RunConfig, manifest: RunManifest, *, kept: Mapping[str, str | bytes] = MappingProxyType({})
) -> RunFolder:
    """The newest folder of the same run that can go on, untouched, else a new one with its manifest and journal.

    A run that has ended and has its report is done, and one whose damaged records were set aside does not go on.

    Args:
        config: the run's settings.
        manifest: what it is made of.
        kept: files by name whose content the run keeps, as the checkpoint's regimes; "" for none.

    Raises:
        ResourceError: the folder cannot be made or read.
    """
    folder = run_to_continue(config.runs, manifest.run_id)
    if folder is not None:
        return folder
    name = _free_name(config, manifest)
    folder, made = RunFolder(config.runs / name), RunFolder(config.runs / f".{name}.{os.getpid()}.new")
    with disk_faults(folder.path):
        config.runs.mkdir(parents=True, exist_ok=True)
        _sweep(config.runs)
        made.path.mkdir(mode=0o700)
        try:
            _fill(made, config, manifest, kept)
            # Under its own name only when it is whole: a kill in between leaves nothing that looks like a run.
            made.path.rename(folder.path)
        finally:
            shutil.rmtree(made.path, ignore_errors=True)
    return folder


def _free_name(config: RunConfig, manifest: RunManifest) -> str:
    """Begins with the second in which the run begins, or the first after it that no run of the same id has taken."""
    stamps = (datetime.fromtimestamp(second, UTC) for second in count(wall_time_ns() // 10**9))
    names = (f"{stamp:%Y%m%dT%H%M%SZ}-{config.name}-{manifest.run_id[:8]}" for stamp in stamps)
    return next(name for name in names if not (config.runs / name).exists())


def _sweep(runs: Path) -> None:
    """Remove what processes that are gone left half made."""
    for path in runs.glob(".*.new"):
        pid = path.suffixes[-2].removeprefix(".")
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def _fill(folder: RunFolder, config: RunConfig, manifest: RunManifest, kept: Mapping[str, str | bytes]) -> None:
    """Everything that a run begins with, its empty journal included."""
    write_whole(folder.path / CONFIG, tomli_w.dumps(_written(config)), mode=PRIVATE)
    for name, content in kept.items():
        if content:
            write_whole(folder.path / name, content, mode=PRIVATE)
    folder.write_manifest(manifest)
    os.close(os.open(folder.journal, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE))


def _written(config: RunConfig) -> dict[str, Any]:
    """The settings as their file says them: a checkpoint that took no part is not named."""
    left_out = {"checkpoint"} if config.entries is not None else set()
    return config.model_dump(mode="json", exclude_none=True, exclude=left_out)


def new_manifest(inputs: RunInputs, **facts: str | bool | int | tuple[str, ...] | None) -> RunManifest:
    """A manifest of a run that starts now; ``facts`` are its other fields, such as market, rules and origin."""
    return RunManifest.model_validate(
        {
            "run_id": inputs.run_id,
            "status": "running",
            "started": datetime.fromtimestamp(wall_time_ns() / 1e9, UTC).isoformat(timespec="seconds"),
            "starts": 0,
            "inputs": inputs,
            "versions": {name: version_of(name) for name in PACKAGES},
            "python": platform.python_version(),
            "commit": code_commit(),
            **facts,
        }
    )


def run_to_continue(runs: Path, run_id: str) -> RunFolder | None:
    """The newest run of these inputs below ``runs`` that can go on, None where there is none."""
    return next((folder for folder in unfinished(runs, run_id[:8]) if folder.manifest().run_id == run_id), None)


def unfinished(runs: Path, name: str = "*") -> Iterator[RunFolder]:
    """The runs below ``runs`` that can go on, the newest first; ``name``: the beginning of their run id."""
    for folder, manifest in _all_runs(runs, name):
        ended = manifest.status == "ended" and (folder.path / REPORT).exists()
        if not ended and manifest.status != "quarantined":
            yield folder


def ended_run(runs: Path, run_id: str) -> RunFolder | None:
    """The newest run of these inputs below ``runs`` that has ended, with a report or without."""
    found = _all_runs(runs, run_id[:8])
    return next((one for one, manifest in found if (manifest.run_id, manifest.status) == (run_id, "ended")), None)


def _all_runs(runs: Path, name: str) -> Iterator[tuple[RunFolder, RunManifest]]:
    for path in sorted(runs.glob(f"*-{name}"), reverse=True):
        if (path / MANIFEST).is_file():
            yield RunFolder(path), RunFolder(path).manifest()
