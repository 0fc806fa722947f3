"""What a person has decided about a bars file: rows to leave out, and where the contract changes."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from trigate.errors import ConfigError, DataError
from trigate.toml_config import read_config


class Choices(NamedTuple):
    """The files in which a person names the contract changes and the rows to leave out."""

    rolls: Path | None = None
    """A file that names the contract changes (`RollSchedule`)."""
    exclude: Path | None = None
    """A file that lists rows to leave out (`ExcludeList`)."""
    layout: str | None = None
    """How the file is written (`rl_core.bars.layouts`); else its first line tells."""


class ExcludedRow(BaseModel):
    """One row that is left out, with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    line: int = Field(ge=1, description="line of a text file (the header is 1), row of a parquet file")
    ts_event: AwareDatetime = Field(description="the row's time, so that a list for another file is noticed")
    reason: str = Field(min_length=1)


class ExcludeList(BaseModel):
    """`--exclude`: rows of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    row: tuple[ExcludedRow, ...] = Field(min_length=1)

    def described(self) -> tuple[str, ...]:
        """Line, time and reason of each row."""
        return tuple(f"{row.line}: {row.ts_event.isoformat()}: {row.reason}" for row in self.row)


class Roll(BaseModel):
    """A change of the contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ts_event: AwareDatetime = Field(description="start of the new contract's first bar")
    contract: str = Field("", description="symbol of the new contract")
    source: str = ""


class RollSchedule(BaseModel):
    """`--rolls`: which contract a file holds, and when it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    first: str = Field("", description="symbol of the contract that the file begins with")
    roll: tuple[Roll, ...] = ()


def read_exclude_list(path: Path) -> ExcludeList:
    """The rows of ``path``.

    Raises:
        ConfigError: it cannot be read.
    """
    return read_config(ExcludeList, path)


def read_roll_schedule(path: Path) -> RollSchedule:
    """The contract changes of ``path``, in order of time.

    Raises:
        ConfigError: it cannot be read, or two rolls are out of order.
    """
    schedule = read_config(RollSchedule, path)
    times = [roll.ts_event for roll in schedule.roll]
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ConfigError(f"{path}: rolls must be in order of time, each once")
    return schedule


def nanoseconds(at: datetime) -> int:
    """UTC nanoseconds of a time with a zone, exact to the microsecond."""
    since = at - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def kept_rows(path: Path, chosen: ExcludeList, lines: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which rows [T] the list keeps; ``lines`` [T] are their places in the file.

    Raises:
        DataError: the list names a row that the file has not.
    """
    wanted = np.array([row.line for row in chosen.row])
    missing = wanted[~np.isin(wanted, lines)]
    if missing.size:
        raise DataError(
            f"{path}: excluded_row: the list leaves out row {missing[0]}, which is not in this file; write one for it"
        )
    return ~np.isin(lines, wanted)


def check_times(path: Path, chosen: ExcludeList, lines: npt.NDArray[np.int64], ts: npt.NDArray[np.int64]) -> None:
    """Refuse a list whose rows stand at other times in this file.

    Args:
        path: of the bars.
        chosen: the list.
        lines: [N] rows of the file whose time could be read.
        ts: [N] ns UTC.

    Raises:
        DataError: a row has another time: the list was written for another file.
    """
    for row in chosen.row:
        actual_ns = ts[lines == row.line]
        if actual_ns.size and int(actual_ns[0]) != nanoseconds(row.ts_event):
            raise DataError(
                f"{path}:{row.line}: excluded_row: {np.datetime64(int(actual_ns[0]), 'ns')}Z - "
                f"{row.ts_event.isoformat()} was expected, as in the list. Write the list for this file"
            )


def contract_index(schedule: RollSchedule, ts_event_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Rolls [T] between the first bar and each bar."""
    rolls = np.array([nanoseconds(roll.ts_event) for roll in schedule.roll], np.int64)
    count = np.searchsorted(rolls, ts_event_ns, side="right").astype(np.int32)
    return count - count[:1]
