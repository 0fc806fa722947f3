"""A run's folder: found again if the same run has not ended, else made anew; its manifest is written whole or not.

The same command continues it: DECISIONS 9.
"""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from llm_gate.contract import first_fault
from orchestrator.clock import wall_time_ns
from orchestrator.run.commit import code_commit
from orchestrator.run.config import RunConfig
from trigate.errors import ResourceError
from trigate.versions import version_of
from trigate.whole_files import write_whole

MANIFEST, CONFIG, JOURNAL, TELEMETRY = "manifest.json", "config.toml", "journal.jsonl", "telemetry.jsonl"
REGIMES, CALIBRATION = "regimes.json", "gate_calibration.json"
PACKAGES = ("trigate", "numpy", "pyzmq", "pydantic", "pandas_market_calendars")

Status = Literal["running", "stopped", "failed", "ended"]


class RunInputs(BaseModel):
    """What a run's bytes depend on; equal inputs are the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: dict[str, Any]
    bars_digest: str
    seconds_digest: str
    checkpoint_digest: str
    prompt_digest: str
    model: str
    rule_pack_digest: str
    code_version: str
    regimes_digest: str = ""  # of what the checkpoint says of regimes; "": nothing, so the usual thresholds hold
    calibration_digest: str = ""  # of the gate's calibration; "": the model's own letters count

    @property
    def run_id(self) -> str:
        """32 hex digits."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
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
    versions: dict[str, str]
    python: str
    commit: str
    socket_folder: str = ""
    journal_head: str = ""
    cause: str = ""


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
            raise ResourceError(f"{self.path / MANIFEST}: cannot be read: {error.strerror}") from error
        except ValidationError as error:
            fault = first_fault(error, "file")
            raise ResourceError(f"{self.path / MANIFEST}: cannot be read: {fault}; restore it from a copy") from error

    def write_manifest(self, manifest: RunManifest) -> None:
        """Replace the manifest, whole or not at all."""
        write_whole(self.path / MANIFEST, manifest.model_dump_json(indent=1) + "\n")

    def mark_started(self) -> None:
        """Count one more start in the manifest; only for the one who holds the journal."""
        before = self.manifest()
        self.write_manifest(before.model_copy(update={"status": "running", "starts": before.starts + 1, "cause": ""}))


def open_run(config: RunConfig, manifest: RunManifest, *, kept: Mapping[str, str] = MappingProxyType({})) -> RunFolder:
    """The newest folder of the same run that has not ended, untouched, else a new one with its manifest.

    Args:
        config: the run's settings.
        manifest: what it is made of.
        kept: files by name whose text the run keeps, as the checkpoint's regimes; "" for none.

    Raises:
        ResourceError: the folder cannot be made or read.
    """
    folder = _unended(config.runs, manifest.run_id)
    if folder is not None:
        return folder
    stamp = datetime.fromtimestamp(wall_time_ns() / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = RunFolder(config.runs / f"{stamp}-{config.name}-{manifest.run_id[:8]}")
    try:
        config.runs.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir(mode=0o700)
    except OSError as error:
        raise ResourceError(f"{folder.path}: {error.strerror}") from error
    write_whole(folder.path / CONFIG, tomli_w.dumps(config.model_dump(mode="json", exclude_none=True)))
    for name, text in kept.items():
        if text:
            write_whole(folder.path / name, text)
    folder.write_manifest(manifest)
    return folder


def new_manifest(inputs: RunInputs, **facts: str | tuple[str, ...]) -> RunManifest:
    """A manifest of a run that starts now; ``facts`` are the fields that name market, contract, rules and bars."""
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


def _unended(runs: Path, run_id: str) -> RunFolder | None:
    for path in sorted(runs.glob(f"*-{run_id[:8]}"), reverse=True):
        folder = RunFolder(path)
        if (path / MANIFEST).is_file():
            manifest = folder.manifest()
            if manifest.run_id == run_id and manifest.status != "ended":
                return folder
    return None
