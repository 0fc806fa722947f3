"""Which bars a run was trained on, and how their times were read: the file `source.json`, without JAX."""

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.bars.layouts import Stamp
from trigate.errors import ConfigError

SOURCE = "source.json"


class FileTimes(NamedTuple):
    """How the times of a run's files are to be read."""

    timezone: str | None = None
    """Of times that state none."""
    stamp: Stamp | None = None
    """Which end of its bar a time marks; None: as the vendor documents, else the start."""

    def or_else(self, other: "FileTimes") -> "FileTimes":
        """What is said here, and of ``other`` what is not."""
        return FileTimes(other.timezone if self.timezone is None else self.timezone, self.stamp or other.stamp)


FILE_TIMES = FileTimes()


class Source(BaseModel):
    """The file `source.json`: which bars a run was trained on, with further files where it had several markets."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bars: Path
    market: str
    timezone: str | None
    digest: str
    seconds: Path | None = None
    more: tuple["Source", ...] = ()
    stamp: Stamp | None = None

    @property
    def times(self) -> FileTimes:
        """How the times of its files were read."""
        return FileTimes(self.timezone, self.stamp)

    def of(self, market: str | None) -> "Source":
        """The file of ``market``; without one, the only file.

        Raises:
            ConfigError: there are several and none is named, or there is none of this market.
        """
        each = {source.market: source for source in (self, *self.more)}
        if market not in each and (self.more or market is not None):
            raise ConfigError(
                f"this run was trained on {', '.join(each)}; say which with --market, or give --bars FILE"
            )
        return each[market or self.market]


def source_recorded_by(run: Path) -> Source | None:
    """What a run recorded of its bars; ``run`` may also be its checkpoint. None where nothing was recorded."""
    for folder in (run, run.parent.parent):
        path = folder / SOURCE
        if path.is_file():
            try:
                return Source.model_validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                raise ConfigError(f"{path}: cannot be read; give --bars FILE") from error
    return None
