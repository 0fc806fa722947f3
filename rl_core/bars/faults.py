"""What is wrong with a bars file: findings collected, then told as one error that names the first."""

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


def whole_file(code: str, value: object, expected: str, remedy: str) -> RowFault:
    """A finding that is not about one row."""
    return RowFault(code, np.zeros(1, np.int64), "", lambda _k: value, expected, remedy)


def in_header(code: str, column: str, value: object, expected: str, remedy: str) -> RowFault:
    """A finding about a column's name."""
    return RowFault(code, np.ones(1, np.int64), column, lambda _k: value, expected, remedy)


def refuse(path: Path, findings: Sequence[RowFault]) -> None:
    """Do nothing without findings.

    Raises:
        DataError: ``FILE:LINE:COLUMN: code: value - expected. Remedy`` for the first fault, and how many more.
    """
    if not findings:
        return
    first = min(findings, key=lambda finding: finding.lines.min())
    at = int(first.lines.argmin())
    line = int(first.lines[at])
    where = ":".join([str(path), *([str(line)] if line else []), *([first.column] if first.column else [])])
    shown = repr(str(first.value(at)))
    if len(shown) > SHOWN_CHARACTERS:
        shown = f"{shown[:SHOWN_CHARACTERS]}...'"
    others = sum(len(finding.lines) for finding in findings) - 1
    more = f" (and {others:,} more fault{'s' if others > 1 else ''})" if others else ""
    raise DataError(f"{where}: {first.code}: {shown} - {first.expected}. {first.remedy}{more}")


def without(findings: Sequence[RowFault], excluded: npt.NDArray[np.int64]) -> list[RowFault]:
    """The findings that are not about rows in ``excluded``."""
    if not len(excluded):
        return list(findings)
    return [finding for finding in findings if not np.isin(finding.lines, excluded).all()]
