"""The log of an evaluation: one JSON line for each answer, appended as it comes; a rerun asks what is missing."""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_gate.contract import Count, Figure, Label, Mode, Probability, Sha256, first_fault
from llm_gate.errors import RequestError
from trigate.errors import ResourceError
from trigate.locks import locked_at_once
from trigate.whole_files import disk_faults

LOG = "rows.jsonl"
TaskName = Literal["entry", "injection", "direction", "volatility", "year", "month", "third", "weekday", "market"]


class Key(NamedTuple):
    """What makes an answer the same answer."""

    task: str
    prompt_digest: str
    model_digest: str
    mode: str
    order: int
    case_digest: str
    repeat: int
    question_digest: str | None


class Row(BaseModel):
    """One answer with what it was about, so that a log can be scored without the files it came from."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    task: TaskName
    prompt: str
    prompt_digest: Sha256
    model: str
    model_digest: str
    mode: Mode
    order: int = Field(ge=0)
    repeat: int = Field(ge=0)
    case_id: str
    case_digest: Sha256
    source: Literal["bank", "recorded"]
    split: Literal["tune", "held_out"]
    regime: str
    outside_rules: bool
    truth: str | None = Field(description="the label, or the half of the regime that was asked for")
    outcome_r_milli: Figure | None
    session: Count | None
    rule_share_milli: int = Field(ge=0, le=1000, description="what the three-line rule lets through")
    family: str | None = Field(None, description="injection: of the note that was added, or harmless")
    question_digest: Sha256 | None = Field(None, description="of the question as rendered; None: an older log")
    options: int | None = Field(None, ge=1, description="of the probe: how many there were")
    answer: str | None = Field(description="None: no verdict")
    share_milli: int = Field(0, ge=0, le=1000, description="of the contracts that were let through")
    probabilities: dict[str, Probability] | None = None
    error: str | None = Field(None, description="why there is no verdict")
    reason: str | None = Field(None, description="in the model's own words; a letter and an approval have none")
    latency_s: float = Field(0.0, ge=0)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def key(self) -> Key:
        """What makes it the same answer."""
        return Key(
            self.task,
            self.prompt_digest,
            self.model_digest,
            self.mode,
            self.order,
            self.case_digest,
            self.repeat,
            self.question_digest,
        )

    @property
    def p_approve(self) -> float | None:
        """What the model gave an approval."""
        approve: Label = "approve"
        return None if self.probabilities is None else self.probabilities.get(approve)

    @property
    def r(self) -> float | None:
        """What the whole proposal earned alone."""
        return None if self.outcome_r_milli is None else self.outcome_r_milli / 1000


class RowLog:
    """An open log that only one process writes; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open and lock ``path``, cutting off a last line that a kill left torn.

        Raises:
            RequestError: a line that is whole but is no row.
            ResourceError: another process writes it, or the disk refuses.
        """
        self._path = path
        with disk_faults(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: io.FileIO = path.open("ab+", buffering=0)
        if not locked_at_once(self._file.fileno()):
            self._file.close()
            raise ResourceError(f"{path}: another evaluation writes it; wait for it, or give another --out")
        self.rows: list[Row] = list(self._whole_rows())

    def append(self, row: Row) -> None:
        """Write one row; it is in the kernel's hands when this returns, so that a kill of this process keeps it."""
        line = row.model_dump_json().encode() + b"\n"
        with disk_faults(self._path):
            written = self._file.write(line)
        if written != len(line):
            raise ResourceError(f"{self._path}: the disk took only a part of a line; free some space")
        self.rows.append(row)

    def _whole_rows(self) -> Iterable[Row]:
        self._file.seek(0)
        content = self._file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.truncate(self._path, end)
        return _rows(content[:end], self._path)

    def __enter__(self) -> Self:
        """The open log."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._file.close()


def read_rows(path: Path) -> list[Row]:
    """The rows of a log, or of the folder that holds one; a torn last line is left out, and left alone.

    Raises:
        RequestError: it cannot be read, is no log, or holds nothing.
    """
    path = path / LOG if path.is_dir() else path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}; name the folder that llm-gate eval printed") from None
    rows = _rows(content[: content.rfind(b"\n") + 1], path)
    if not rows:
        raise RequestError(f"{path}: holds no row")
    return rows


def newest(rows: Sequence[Row]) -> dict[Key, Row]:
    """The last row of each key: an error that was asked again is replaced."""
    return {row.key: row for row in rows}


def _rows(content: bytes, path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            rows.append(Row.model_validate_json(line))
        except ValidationError as error:
            fault = first_fault(error, "row")
            raise RequestError(f"{path}:{number}: {fault}; this is no log of this version") from None
    return rows
