"""Minute bars made of seconds or ticks as they come: each row counts in its minute, whenever it comes.

| what comes | rule |
|---|---|
| a row of a later minute, or none once the minute is over by the clock | the minute is made, and is the next bar |
| a minute without a row | no bar, as in a file |
| a row of a minute that was made | the minute is made again, as a corrected bar: nothing that was acted on changes |
| a second that is known, with the same values | ignored (`doubled`); two equal ticks are two trades |
| a second that is known, with other values | takes its place |
| a row of a minute before the last ten that were made | recorded, never counted (`out_of_order`) |
| a first minute that the rows may not hold from its start on | recorded, never played (`partial`) |
"""

import hashlib
from collections.abc import Iterable
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np

from orchestrator.messaging.catalogue import Second, Seconds
from rl_core.bars.bars import NS_PER_SECOND
from rl_core.bars.rows import BarRow
from rl_core.trading.hours import MINUTE_NS

KEPT = 10
"""Minutes whose rows are remembered once they were made."""

TakenAs = Literal["new", "doubled", "out_of_order"]


class Made(NamedTuple):
    """A minute that was made."""

    row: BarRow
    number: int
    """Of the first row in it."""
    known: bool
    """Whether that row was there before the first look."""
    whole: bool
    """Whether its rows are there from its start on."""
    rows: tuple[BarRow, ...]
    """Seconds, or ticks, in their order."""


class _Minute:
    """The rows of one minute so far."""

    def __init__(self, number: int, *, known: bool, whole: bool) -> None:
        self.number, self.known, self.whole = number, known, whole
        self.rows: dict[tuple[int, int], BarRow] = {}

    def made(self, ts_ns: int) -> Made:
        rows = tuple(self.rows[place] for place in sorted(self.rows))
        return Made(minute_of(ts_ns, rows), self.number, self.known, self.whole, rows)


def minute_of(ts_ns: int, rows: Iterable[BarRow]) -> BarRow:
    """The bar of the minute that starts at ``ts_ns``, made of its ``rows`` in their order; at least one."""
    opened, *_ = rows = list(rows)
    return BarRow(
        ts_event_ns=ts_ns,
        open=opened.open,
        high=max(row.high for row in rows),
        low=min(row.low for row in rows),
        close=rows[-1].close,
        volume=sum(row.volume for row in rows),
        contract=rows[-1].contract,
    )


def seconds_of(made: Made) -> Seconds:
    """The seconds of a minute, each made of all its rows."""
    ts_ns = made.row.ts_event_ns
    by_second = groupby(made.rows, key=lambda row: (row.ts_event_ns - ts_ns) // NS_PER_SECOND)
    bars = ((second, minute_of(ts_ns, rows)) for second, rows in by_second)
    return tuple(Second(second, bar.open, bar.high, bar.low, bar.close) for second, bar in bars)


def digest_of(seconds: Seconds) -> str:
    """What a bar's record tells of its seconds: the same as of those that a feed worker reads of a file."""
    return hashlib.sha256(np.array(seconds, "<i4").tobytes()).hexdigest()


class MadeMinutes:
    """The minutes of one stream of rows, each made once it is over."""

    def __init__(self, *, ticks: bool) -> None:
        """Nothing has come yet; ``ticks``: two rows of the same time are two rows."""
        self._ticks = ticks
        self._minutes: dict[int, _Minute] = {}
        self._made_until_ns = 0  # end of the latest minute that was made
        self._oldest_ns = 0  # start of the first minute that may still get rows
        self._open_ns: int | None = None  # start of the minute that is being made
        self.begun = False
        """Whether a row came, so that a later minute is there from its start on."""
        self._changed: set[int] = set()  # minutes that got rows after they were made

    @property
    def open_until_ns(self) -> int | None:
        """When the minute that is being made is over; None where none is."""
        return None if self._open_ns is None else self._open_ns + MINUTE_NS

    def begin_anew(self) -> None:
        """Forget what came: the rows that follow need not be the next ones."""
        self._minutes.clear()
        self._changed.clear()
        self._made_until_ns, self._open_ns, self.begun = 0, None, False

    def close(self) -> list[Made]:
        """Make the minute that is open, if one is."""
        if self._open_ns is None:
            return []
        made = self._minutes[self._open_ns].made(self._open_ns)
        self._made_until_ns, self._open_ns = self._open_ns + MINUTE_NS, None
        starts = sorted(self._minutes)
        self._oldest_ns = starts[-KEPT:][0]
        for start_ns in starts[:-KEPT]:
            if start_ns not in self._changed:  # those are made again first
                del self._minutes[start_ns]
        return [made]

    def make_again(self, made: Made) -> None:
        """Let a minute be among those that `changed` makes."""
        self._changed.add(made.row.ts_event_ns)

    def changed(self, *, only_old: bool = False) -> list[Made]:
        """Make those minutes again that got rows after they were made; ``only_old``: that can get no more of them."""
        starts = sorted(start_ns for start_ns in self._changed if not only_old or start_ns < self._oldest_ns)
        changed = [self._minutes[start_ns].made(start_ns) for start_ns in starts]
        self._changed.difference_update(starts)
        for start_ns in starts:
            if start_ns < self._oldest_ns:
                del self._minutes[start_ns]
        return changed

    def take(self, number: int, row: BarRow, *, known: bool, opens: bool) -> TakenAs:
        """Count a row in its minute; one that is open and earlier was closed before.

        Args:
            number: of the row.
            row: a second, or a tick with one price.
            known: whether it was there before the first look.
            opens: whether the market opens in its minute, so that nothing can have come before.
        """
        start_ns = row.ts_event_ns // MINUTE_NS * MINUTE_NS
        minute = self._minutes.get(start_ns)
        if self.begun and start_ns < self._oldest_ns:
            return "out_of_order"
        if minute is None:
            whole = self.begun or opens or row.ts_event_ns == start_ns
            minute = self._minutes[start_ns] = _Minute(number, known=known, whole=whole)
        if not self.begun:
            self.begun, self._oldest_ns = True, start_ns
        place = (row.ts_event_ns, number if self._ticks else 0)
        if minute.rows.get(place) == row:
            return "doubled"
        minute.rows[place] = row
        if self._open_ns is None and start_ns >= self._made_until_ns:
            self._open_ns = start_ns
        elif start_ns != self._open_ns:
            self._changed.add(start_ns)
        return "new"
