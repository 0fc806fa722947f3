"""Where a close stands in its session so far: under its high, over its low, off its volume-weighted mean price.

All in integers, relative to the session's first close, so that a roll inside a session moves the past and nothing
else, and the pass and the stream are equal to the bit. The volume-weighted mean takes a bar's typical price, the mean
of its high, low and close: no bar says at which price its volume traded, and the close alone would leave out where
the bar had been. A session without any volume so far has its first close as its mean.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.features.features import ATR_BARS, StreamedBar, roll_shift

Integers = npt.NDArray[np.int64]

_PRICES = 3  # in a typical price
_APART = 1 << 33  # more than two prices in ticks can differ


class SessionPlace(NamedTuple):
    """Distances of the close of every bar [T], in thousandths of the ATR."""

    to_high: Integers  # session's high so far minus the close
    to_low: Integers  # close minus the session's low so far
    vwap: Integers  # close minus the session's volume-weighted mean price so far


def session_places(
    bars: Bars, session: npt.NDArray[np.int32], true_range_sum: Integers, atr_bars: int = ATR_BARS
) -> SessionPlace:
    """The place of every bar's close in its session; row t reads no bar after t.

    Args:
        bars: minute bars [T].
        session: [T] trading day of each bar, in blocks.
        true_range_sum: [T] ticks, the last ``atr_bars`` true ranges.
        atr_bars: how many the ATR is the mean of.
    """
    opens = np.flatnonzero(np.diff(session, prepend=session[0] - 1))
    row = np.repeat(np.arange(len(opens)), np.diff(np.append(opens, len(session))))
    shift = roll_shift(bars)
    first = (bars.close - shift)[opens][row]
    high, low, close = (prices - shift - first for prices in (bars.high, bars.low, bars.close))
    highest = np.maximum.accumulate(high + row * _APART) - row * _APART
    lowest = row * _APART - np.maximum.accumulate(row * _APART - low)
    volume = _sum_so_far(bars.volume, opens, row)
    money = _sum_so_far(bars.volume * (high + low + close), opens, row)
    shares = np.maximum(1, _PRICES * volume)
    whole, rest = np.divmod(close * shares - money, shares)
    scale = np.maximum(atr_bars, true_range_sum)
    return SessionPlace(
        to_high=(highest - close) * atr_bars * 1000 // scale,
        to_low=(close - lowest) * atr_bars * 1000 // scale,
        vwap=(whole * 1000 + rest * 1000 // shares) * atr_bars // scale,
    )


def _sum_so_far(values: Integers, opens: Integers, row: Integers) -> Integers:
    """Sum [T] of ``values`` from the session's open to each bar."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
    summed: Integers = total[1:] - total[opens][row]
    return summed


class PlaceStream:
    """`session_places`, one bar at a time; equal to it from the first session whose open it is given."""

    def __init__(self, atr_bars: int = ATR_BARS) -> None:
        """Before any bar."""
        self._atr_bars = atr_bars
        self._session: int | None = None
        self._first = self._highest = self._lowest = self._volume = self._money = 0

    def push(self, bar: StreamedBar, gap: int | None, true_range_sum: int) -> tuple[int, int, int]:
        """Distances to the high, to the low and from the mean price; ``gap`` moves the past, as `roll_gap` says."""
        opens = bar.session != self._session
        if opens:
            self._session, self._first = bar.session, bar.close
            self._volume = self._money = 0
        elif gap is not None:
            self._first += gap
        high, low, close = (price - self._first for price in (bar.high, bar.low, bar.close))
        self._highest = high if opens else max(self._highest, high)
        self._lowest = low if opens else min(self._lowest, low)
        self._volume += bar.volume
        self._money += bar.volume * (high + low + close)
        shares = max(1, _PRICES * self._volume)
        off_milli = (close * shares - self._money) * 1000 // shares
        scale = max(self._atr_bars, true_range_sum)
        ticks = (self._highest - close, close - self._lowest)
        to_high, to_low = (distance * self._atr_bars * 1000 // scale for distance in ticks)
        return to_high, to_low, off_milli * self._atr_bars // scale
