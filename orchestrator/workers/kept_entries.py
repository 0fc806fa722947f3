"""A trader's own entries as a run keeps and plays them: `entries.json` in its folder, numbered by the run's bars."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import Bracket
from trigate.errors import DataError


class KeptEntry(NamedTuple):
    """One entry of the bars that are played; prices and distances in ticks."""

    bar: int  # whose close decided it, as the run counts its bars
    side: int  # 1 long, -1 short
    stop_ticks: int | None = None  # from that close; None with the next: the usual bracket
    target_ticks: int | None = None
    stop: int | None = None  # where the stop is a price
    target: int | None = None

    @property
    def own(self) -> OwnBracket | None:
        """The bracket that it brings; None: the usual one."""
        if self.stop_ticks is None or self.target_ticks is None:
            return None
        return OwnBracket(Bracket(self.stop_ticks, self.target_ticks), self.stop, self.target)


class KeptEntries(BaseModel):
    """The file `entries.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    file: str
    """Name of the trader's file."""
    file_digest: str
    """SHA-256 of the trader's file, as `sha256sum` prints it."""
    given: int
    """Rows of the trader's file."""
    entries: tuple[KeptEntry, ...]
    """Those on bars that the run plays, in order of time."""

    @property
    def text(self) -> str:
        """As the file holds it."""
        return self.model_dump_json() + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def outside_span(self) -> int:
        """Rows on bars that the run does not play."""
        return self.given - len(self.entries)

    @property
    def by_bar(self) -> Mapping[int, OwnBracket | None]:
        """By the number of the bar, the bracket that the entry brings."""
        return {entry.bar: entry.own for entry in self.entries}


def read_kept_entries(path: Path, digest: str) -> KeptEntries:
    """The file of a run's folder, which must be the one of ``digest``.

    Raises:
        DataError: it is gone, or not what the run traded.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; restore it from a copy") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"{path}: is not what the run traded; restore it from a copy")
    try:
        return KeptEntries.model_validate_json(content)
    except ValidationError as error:
        raise DataError(f"{path}: holds no entries: {error.errors()[0]['msg']}; restore it from a copy") from error
