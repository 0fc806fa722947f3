"""What is wrong with a bars file: all faults are collected, and one error names the first and counts the rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trigate.errors import DataError

SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class RowFault:
    """One kind of fault, with every place where it occurs."""

    code: str
    lines: npt.NDArray[np.int64]
    """[K >= 1] lines of a text file (the header is line 1), rows of a parquet file (the first is 1); 0 = whole file."""
    column: str
    value: Callable[[int], Any]
    """What stands at place k of ``lines``."""
    expected: str
    remedy: str


def always(value: object) -> Callable[[int], Any]:
    """What to quote where every place of a fault holds the same ``value``."""
    return lambda _k: value


def whole_file(code: str, value: object, expected: str, remedy: str) -> RowFault:
    """A fault of the whole file, not of one row."""
    return RowFault(
        code=code, lines=np.zeros(1, np.int64), column="", value=lambda _k: value, expected=expected, remedy=remedy
    )


def in_header(code: str, column: str, value: object, expected: str, remedy: str) -> RowFault:
    """A fault in a column's name."""
    return RowFault(
        code=code, lines=np.ones(1, np.int64), column=column, value=lambda _k: value, expected=expected, remedy=remedy
    )


def refuse(path: Path, faults: Sequence[RowFault]) -> None:
    """Refuse the file if there is any fault.

    Raises:
        DataError: ``FILE:LINE:COLUMN: code: value - expected. Remedy`` for the first fault, and how many more.
    """
    if not faults:
        return
    first = min(faults, key=lambda fault: fault.lines.min())
    at = int(first.lines.argmin())
    line = int(first.lines[at])
    where = ":".join([str(path), *([str(line)] if line else []), *([first.column] if first.column else [])])
    shown = repr(str(first.value(at)))
    if len(shown) > SHOWN_CHARACTERS:
        shown = f"{shown[:SHOWN_CHARACTERS]}...'"
    others = sum(len(fault.lines) for fault in faults) - 1
    more = f" (and {others:,} more fault{'s' if others > 1 else ''})" if others else ""
    raise DataError(f"{where}: {first.code}: {shown} - {first.expected}. {first.remedy}{more}")


def without(faults: Sequence[RowFault], excluded: npt.NDArray[np.int64]) -> list[RowFault]:
    """The faults that concern at least one row outside ``excluded`` [N], lines of the file."""
    if not len(excluded):
        return list(faults)
    return [fault for fault in faults if not np.isin(fault.lines, excluded).all()]
