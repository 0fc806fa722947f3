"""Rows of a csv file that grows, read as strictly as `read_bars` reads a whole one; a bad row is told and left out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from rl_core.bars.columns import ROLL_COLUMN, csv_columns
from rl_core.bars.faults import refuse
from rl_core.bars.layouts import TICKS, Layout, Stamp, layout_of
from rl_core.bars.opening import encoding_problem
from rl_core.bars.read import arrow_faults, clock_of, parse_columns
from rl_core.exchange.instruments import Instrument
from trigate.errors import DataError

RowKind = Literal["minutes", "seconds", "ticks"]
LASTS_S: dict[RowKind, int] = {"minutes": 60, "seconds": 1, "ticks": 0}
"""How long after its time a row is over."""
MOST_TOGETHER = 4096
"""Lines that are parsed in one go: many are as quick as one."""


class BarRow(NamedTuple):
    """One row of a bars file: prices in ticks."""

    ts_event_ns: int  # start of the bar, UTC
    open: int
    high: int
    low: int
    close: int
    volume: int
    contract: int = 0  # contract rolls before it, as the file counts them


class BadRow(NamedTuple):
    """A row that is no bar."""

    fault: str
    """In the words of `read_bars`: file, line, column, code, value and remedy."""


class RowReader:
    """Reads the rows of one file, each for itself: what order they come in is for others to judge."""

    def __init__(
        self,
        path: Path,
        first_line: bytes,
        contract: Instrument,
        *,
        timezone: str | None,
        stamp: Stamp | None,
        kind: RowKind = "minutes",
    ) -> None:
        """Understand the file by its ``first_line``, which names its columns unless the vendor writes no header.

        Args:
            path: of the file, for errors.
            first_line: without its line end.
            contract: of the prices.
            timezone: of times that state none, as for `read_bars`.
            stamp: which end of its bar a time marks, as for `read_bars`; a tick has none.
            kind: what a row is; of ticks the file names a time, ``price`` and ``size``.
        """
        self._path, self._contract, self._kind = path, contract, kind
        text = first_line.decode(errors="replace")
        names = [name.strip().lower() for name in text.rstrip("\r").split(",")]
        known = layout_of(text, names)
        layout: Layout = TICKS if kind == "ticks" else known
        self._layout = TICKS if kind == "ticks" else None
        self.has_header = not layout.header
        self._header = first_line + b"\n" if self.has_header else b""
        self.counts_rolls = self.has_header and ROLL_COLUMN in names
        """Whether a row says how many contract rolls came before it."""
        self._timezone, self._stamp = timezone, "start" if kind == "ticks" else stamp

    def header_fault(self) -> str:
        """What keeps every row from being read, as a column that is not there; empty where nothing does."""
        if not self.has_header:
            return ""
        row = b",".join([b"0"] * (self._header.count(b",") + 1)) + b"\n"
        try:
            csv_columns(self._path, bytearray(self._header + row), self._layout, above=-1)
        except DataError as error:
            return str(error)
        return ""

    def read(self, lines: Sequence[bytes], first: int) -> list[BarRow | BadRow]:
        """What each of the ``lines`` is, which stand in the file from line ``first`` on."""
        found: list[BarRow | BadRow] = []
        for start in range(0, len(lines), MOST_TOGETHER):
            found += self._read(lines[start : start + MOST_TOGETHER], first + start)
        return found

    def _read(self, lines: Sequence[bytes], first: int) -> list[BarRow | BadRow]:
        """Parsed together, or half by half until the bad one stands alone."""
        try:
            return list(self._parsed(lines, first))
        except DataError as error:
            if len(lines) == 1:
                return [BadRow(str(error))]
        middle = len(lines) // 2
        return self._read(lines[:middle], first) + self._read(lines[middle:], first + middle)

    def _parsed(self, lines: Sequence[bytes], first: int) -> list[BarRow]:
        text = bytearray(self._header + b"\n".join(lines) + b"\n")
        problem = encoding_problem(text)
        if problem is not None:
            refuse(self._path, [replace(problem, lines=problem.lines * 0 + first)])
        raw = csv_columns(self._path, text, self._layout, above=first - (2 if self.has_header else 1))
        clock = clock_of(raw.layout, self._timezone, self._stamp)
        with arrow_faults(self._path):
            parsed = parse_columns(self._path, raw, self._contract, LASTS_S[self._kind], clock, part=True)
        if len(parsed.prices.close) != len(lines):
            # The end of a whole file may be blank rows or a vendor's footer; here each is a row that is none.
            raise DataError(f"{self._path}:{first}: {len(lines)} lines hold {len(parsed.prices.close)} rows")
        columns = [column.tolist() for column in parsed.prices]
        contracts = parsed.roll_index.tolist() or [0] * len(lines)
        return [BarRow(*row) for row in zip(*columns, contracts, strict=True)]
