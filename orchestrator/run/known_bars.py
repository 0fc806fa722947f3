"""The bars that a run knows, by their start: its history as the arrays that it has, and what came since."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from rl_core.bars.bars import Bars
from rl_core.bars.rows import BarRow


class KnownBars:
    """Every row that was ever taken for a bar; of a bar that was corrected there are several."""

    def __init__(self, history: Bars) -> None:
        """Those of ``history``, which takes no more memory; at least one."""
        self._history: list[Sequence[int]] = [getattr(history, name) for name in BarRow._fields]
        self._came = [array("q") for _ in BarRow._fields]  # in their order, 56 bytes each: a run may last for months
        self._besides: dict[int, tuple[BarRow, ...]] = {}  # rows of bars that were known, or were not in their turn

    @property
    def last_of_history(self) -> BarRow:
        """The latest bar that was known from the beginning."""
        return _row(self._history, len(self._history[0]) - 1)

    def of(self, ts_ns: int) -> tuple[BarRow, ...]:
        """The rows of the bar that starts then, the first that was known first; none where it is not known."""
        found = _found(self._history, int(np.searchsorted(self._history[0], ts_ns)), ts_ns)
        found += _found(self._came, bisect_left(self._came[0], ts_ns), ts_ns)
        return found + self._besides.get(ts_ns, ())

    def add(self, row: BarRow) -> None:
        """Know this row, too."""
        if row in self.of(row.ts_event_ns):
            return
        if row.ts_event_ns > (self._came[0] or self._history[0])[-1]:
            for column, value in zip(self._came, row, strict=True):
                column.append(value)
        else:
            self._besides[row.ts_event_ns] = (*self._besides.get(row.ts_event_ns, ()), row)


def _found(columns: Sequence[Sequence[int]], place: int, ts_ns: int) -> tuple[BarRow, ...]:
    known = place < len(columns[0]) and columns[0][place] == ts_ns
    return (_row(columns, place),) if known else ()


def _row(columns: Sequence[Sequence[int]], place: int) -> BarRow:
    return BarRow._make(int(column[place]) for column in columns)
