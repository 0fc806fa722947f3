"""The bars that a run knows, by their start: its history as the arrays that it has, and what came since."""

import numpy as np

from rl_core.bars.bars import Bars
from rl_core.bars.rows import BarRow


class KnownBars:
    """Every row that was ever taken for a bar; of a bar that was corrected there are several."""

    def __init__(self, history: Bars) -> None:
        """Those of ``history``, which takes no more memory; at least one."""
        self._starts = history.ts_event_ns
        self._columns = [getattr(history, name) for name in BarRow._fields]
        self._came: dict[int, tuple[BarRow, ...]] = {}

    @property
    def last_of_history(self) -> BarRow:
        """The latest bar that was known from the beginning."""
        return self._row(len(self._starts) - 1)

    def of(self, ts_ns: int) -> tuple[BarRow, ...]:
        """The rows of the bar that starts then, the first that was known first; none where it is not known."""
        place = int(np.searchsorted(self._starts, ts_ns))
        known = place < len(self._starts) and int(self._starts[place]) == ts_ns
        came = self._came.get(ts_ns, ())
        return (self._row(place), *came) if known else came

    def add(self, row: BarRow) -> None:
        """Know this row, too."""
        if row not in self.of(row.ts_event_ns):
            self._came[row.ts_event_ns] = (*self._came.get(row.ts_event_ns, ()), row)

    def _row(self, place: int) -> BarRow:
        return BarRow._make(int(column[place]) for column in self._columns)
