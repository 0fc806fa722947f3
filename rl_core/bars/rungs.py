"""The seconds of every minute reduced to those that can matter to a bracket, whatever its levels; NumPy only.

A bracket held from the minute's open ends at a second that makes the deepest fall from the highest price so far (its
stop, fixed or on an intraday floor that followed that price) or the greatest rise from the lowest (its target); for a
short the other way round. Every new high is a greatest rise and every new low a deepest fall. So only these seconds,
the rungs, are kept: seldom more than a dozen a minute, and at most 60.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.exchange.calendar import NS_PER_MINUTE

SECONDS = 60
CHUNK = 8192  # minutes at a time
MOST_TICKS = np.iinfo(np.int16).max // 2

Ticks = npt.NDArray[np.int32]


class Ladder(NamedTuple):
    """Compressed rows: the rungs of minute ``t`` are ``offsets[t]`` to ``offsets[t + 1]``; none: it has no seconds."""

    offsets: npt.NDArray[np.int32]  # [T + 1]
    rungs: npt.NDArray[np.int16]  # [N, 5] ticks: highest, lowest, fall, rise so far, and open of the second

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """[T] minutes that have seconds."""
        return np.diff(self.offsets) > 0


class _Filled(NamedTuple):
    """Seconds of some minutes in a table [C, 60]; a second without a trade repeats nothing and changes nothing."""

    traded: npt.NDArray[np.bool_]
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks


def ladder_of(minutes: Bars, seconds: Bars) -> Ladder:
    """The rungs of ``minutes`` [T], in ticks from each minute's open.

    A minute counts as one without seconds where they do not add up to its open, high, low and close, or span more ticks
    than 16 bits hold.
    """
    counts, parts = [np.zeros(1, np.int64)], [np.zeros((0, 5), np.int16)]
    for start in range(0, len(minutes), CHUNK):
        part = _part(minutes, start)
        kept, rungs = _rungs(part, _filled(part, seconds))
        counts.append(kept.sum(axis=1))
        parts.append(rungs[kept])
    return Ladder(np.cumsum(np.concatenate(counts)).astype(np.int32), np.concatenate(parts))


class _Minutes(NamedTuple):
    ts_event_ns: npt.NDArray[np.int64]
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks


def _part(minutes: Bars, start: int) -> _Minutes:
    part = np.s_[start : start + CHUNK]
    prices = (minutes.open, minutes.high, minutes.low, minutes.close)
    return _Minutes(minutes.ts_event_ns[part], *(column[part] for column in prices))


def _filled(minutes: _Minutes, seconds: Bars) -> _Filled:
    ends = [minutes.ts_event_ns[0], minutes.ts_event_ns[-1] + NS_PER_MINUTE]
    first, stop = np.searchsorted(seconds.ts_event_ns, ends)
    at = seconds.ts_event_ns[first:stop]
    row = np.searchsorted(minutes.ts_event_ns, at, side="right") - 1
    inside = at - minutes.ts_event_ns[row] < NS_PER_MINUTE
    row, second = row[inside], ((at - minutes.ts_event_ns[row]) // NS_PER_SECOND)[inside]
    traded = np.zeros((len(minutes.open), SECONDS), bool)
    traded[row, second] = True
    tables = []
    for column in (seconds.open, seconds.high, seconds.low, seconds.close):
        table = np.zeros(traded.shape, np.int32)
        table[row, second] = column[first:stop][inside]
        tables.append(table)
    return _Filled(traded, *tables)


def _rungs(minutes: _Minutes, seconds: _Filled) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int16]]:
    """Which seconds [C, 60] are rungs, and the rung [C, 60, 5] of every second."""
    opened = minutes.open[:, None]
    nothing = np.int32(1 << 29)
    highest = np.maximum.accumulate(np.where(seconds.traded, seconds.high - opened, -nothing), axis=1)
    lowest = np.minimum.accumulate(np.where(seconds.traded, seconds.low - opened, nothing), axis=1)
    fall = np.where(seconds.traded, highest - (seconds.low - opened), -1)
    rise = np.where(seconds.traded, (seconds.high - opened) - lowest, -1)
    deepest, greatest = (np.maximum.accumulate(x, axis=1) for x in (fall, rise))
    usable = _add_up(minutes, seconds, highest[:, -1], lowest[:, -1])
    kept = usable[:, None] & ((_before(deepest) < deepest) | (_before(greatest) < greatest))
    columns = (highest, lowest, deepest, greatest, seconds.open - opened)
    return kept, np.stack([np.where(kept, column, 0) for column in columns], axis=-1).astype(np.int16)


def _before(running: Ticks) -> Ticks:
    return np.concatenate([np.full_like(running[:, :1], -1), running[:, :-1]], axis=1)


def _add_up(minutes: _Minutes, seconds: _Filled, highest: Ticks, lowest: Ticks) -> npt.NDArray[np.bool_]:
    row = np.arange(len(minutes.open))
    first, last = seconds.traded.argmax(axis=1), SECONDS - 1 - seconds.traded[:, ::-1].argmax(axis=1)
    same = (seconds.open[row, first] == minutes.open) & (seconds.close[row, last] == minutes.close)
    same &= (highest == minutes.high - minutes.open) & (lowest == minutes.low - minutes.open)
    small = np.maximum(highest, -lowest) <= MOST_TICKS
    return np.asarray(same & small & seconds.traded.any(axis=1))
