"""Bars to the eleven features that the policy sees, in one pass or row by row, bit for bit the same.

Across a roll the past is moved to the prices of the current contract: every earlier close by the new contract's first
open minus the old one's last close. A row sees its own contract's prices as they traded; the move is known at that
first bar, so nothing later changes it, and integers keep the stream and the pass equal to the bit. DECISIONS 6.
"""

import hashlib
import json
from collections import deque
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.features.fingerprint import Fingerprint
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.trading.hours import DAY_MINUTES, REGULAR_OPEN, Hours

FEATURE_NAMES = (
    "return_atr",
    "relative_volume",
    "sma5_distance_atr",
    "sma20_distance_atr",
    "rsi14",
    "macd_atr",
    "momentum10_atr",
    "volatility_ratio",
    "day_minute",
    "since_open",
    "to_flat",
)
WINDOW, ATR_BARS = USUAL.window, USUAL.atr_bars  # unless a yardstick says otherwise
CLIP = 10.0
RSI_BARS, MOMENTUM_BARS, EMA_BARS = 14, 10, 120
EMA_FAST, EMA_SLOW = 12, 26
LONG_BARS = 1380  # a whole session: the usual true range
FIRST_WARM = LONG_BARS + WINDOW - 1  # bars before the first whose window of rows is full, of the usual length
VOLUME_SESSIONS = 20
REGULAR_MINUTES = 390
PARAMETERS = {
    "names": list(FEATURE_NAMES),
    "window": WINDOW,
    "clip": CLIP,
    "atr_bars": ATR_BARS,
    "rsi_bars": RSI_BARS,
    "momentum_bars": MOMENTUM_BARS,
    "ema": [EMA_FAST, EMA_SLOW, EMA_BARS],
    "long_bars": LONG_BARS,
    "volume_sessions": VOLUME_SESSIONS,
    "version": 1,
}

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


class Features(NamedTuple):
    """What a market looks like at the close of every bar."""

    values: npt.NDArray[np.float32]  # [T, 11], zeros until the longest sum is full
    true_range_sum: npt.NDArray[np.int32]  # [T] ticks, the true ranges of the ATR's bars
    warm: npt.NDArray[np.bool_]  # [T] every row of the policy's window is full


class _Ingredients(NamedTuple):
    """Exact integers [N] (and two floats) that one row is made of."""

    close: Integers
    close_1: Integers
    close_momentum: Integers
    sum_5: Integers
    sum_20: Integers
    gains: Integers
    losses: Integers
    ema_difference: Reals
    atr: Reals
    long_true_range_sum: Integers
    volume: Integers
    usual_volume: Reals  # NaN where no past session has this minute
    decision_minute: Integers
    minutes_to_flat: Integers


def fingerprint(yardstick: Yardstick = USUAL) -> Fingerprint:
    """Names, order, parameters and version of the features, and a bracket that is not the usual one.

    Every checkpoint keeps it. A policy is good for the bracket that it was trained with and for no other, though its
    inputs look alike.
    """
    bracket = {
        name: float(getattr(yardstick, name))
        for name in ("stop_atr", "target_stops", "trail_atr")
        if getattr(yardstick, name) != getattr(USUAL, name)
    }
    parts = {**PARAMETERS, "window": yardstick.window, "atr_bars": yardstick.atr_bars, **bracket}
    return Fingerprint(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(), parts)


def _rows(x: _Ingredients) -> npt.NDArray[np.float32]:
    """The feature rows [N, 11]; float64 inside, elementwise only, so that N changes no bit."""
    atr = np.maximum(1.0, x.atr)
    moved = np.maximum(1, x.gains + x.losses)
    volume = np.log((1.0 + x.volume) / (1.0 + np.where(np.isnan(x.usual_volume), x.volume, x.usual_volume)))
    columns = (
        (x.close - x.close_1) / atr,
        volume,
        (5 * x.close - x.sum_5) / (5.0 * atr),
        (20 * x.close - x.sum_20) / (20.0 * atr),
        (x.gains - x.losses) / moved,
        x.ema_difference / atr,
        (x.close - x.close_momentum) / atr,
        np.log(atr / np.maximum(1.0, x.long_true_range_sum / LONG_BARS)),
        x.decision_minute / DAY_MINUTES,
        (x.decision_minute - REGULAR_OPEN) / REGULAR_MINUTES,
        x.minutes_to_flat / REGULAR_MINUTES,
    )
    return np.clip(np.stack(columns, axis=-1), -CLIP, CLIP).astype(np.float32)


def roll_shift(bars: Bars) -> Integers:
    """Ticks [T] by which all rolls up to each bar have moved the price."""
    gap = np.zeros(len(bars), np.int64)
    rolls = bars.contract[1:] != bars.contract[:-1]
    gap[1:][rolls] = (bars.open[1:].astype(np.int64) - bars.close[:-1])[rolls]
    return np.cumsum(gap, dtype=np.int64)


def true_ranges(bars: Bars, session: npt.NDArray[np.int32]) -> Integers:
    """True range of every bar [T] in ticks; a session's or contract's first bar has no close before it."""
    high, low, close = (x.astype(np.int64) for x in (bars.high, bars.low, bars.close))
    spread = high - low
    inside = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    # A new session opens after a break, and a new contract at another price: neither jump is movement of this bar.
    first = (session[1:] != session[:-1]) | (bars.contract[1:] != bars.contract[:-1])
    return np.concatenate([spread[:1], np.where(first, spread[1:], inside)])


def _window_sum(values: Integers, length: int) -> Integers:
    """Sum of the last ``length`` values at every step [T]; shorter at the start."""
    total: Integers = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
    last = np.arange(1, len(values) + 1)
    sums: Integers = total[last] - total[np.maximum(0, last - length)]
    return sums


def _lagged(values: Integers, lag: int) -> Integers:
    """The value ``lag`` bars ago; the first value before that."""
    lagged: Integers = values[np.maximum(0, np.arange(len(values)) - lag)]
    return lagged


def _ema_difference(close: Integers, shift: Integers) -> Reals:
    """EMA12 - EMA26 of ``close + shift of the row``, both restarted 120 bars ago: finite memory, one order of sums."""
    start = (_lagged(close, EMA_BARS - 1) + shift).astype(np.float64)
    fast, slow = start.copy(), start.copy()
    for lag in range(EMA_BARS - 2, -1, -1):
        now = _lagged(close, lag) + shift
        fast += (2.0 / (EMA_FAST + 1)) * (now - fast)
        slow += (2.0 / (EMA_SLOW + 1)) * (now - slow)
    return fast - slow


def _ema_difference_of_last(closes: Integers) -> float:
    """`_ema_difference` of the last of 120 closes, in the same order."""
    window = closes.tolist()
    fast = slow = float(window[0])
    for now in window[1:]:
        fast += (2.0 / (EMA_FAST + 1)) * (now - fast)
        slow += (2.0 / (EMA_SLOW + 1)) * (now - slow)
    return fast - slow


def _usual_volume(volume: Integers, session: npt.NDArray[np.int32], minute: npt.NDArray[np.int32]) -> Reals:
    """Median volume [T] of the same minute over at most 20 past sessions, NaN where there is none."""
    days, row = np.unique(session, return_inverse=True)
    table = np.full((len(days), DAY_MINUTES), np.nan)
    table[row, minute] = volume
    usual = np.full_like(table, np.nan)
    for day in range(1, len(days)):
        usual[day] = _median_by_minute(table[max(0, day - VOLUME_SESSIONS) : day])
    return usual[row, minute]


def _median_by_minute(past: Reals) -> Reals:
    """Median of every column [D, 1440] over the sessions that have it."""
    ordered = np.sort(past, axis=0)  # NaN last
    count = np.sum(~np.isnan(past), axis=0)
    columns = np.arange(past.shape[1])
    low, high = np.maximum(0, (count - 1) // 2), np.maximum(0, count // 2)
    return np.where(count > 0, (ordered[low, columns] + ordered[high, columns]) / 2, np.nan)


def ranges_alone(bars: Bars, session: npt.NDArray[np.int32], yardstick: Yardstick = USUAL) -> Features:
    """The ATR's sums of true ranges, for whoever looks at no row of features: every bar counts as warm."""
    sums = _window_sum(true_ranges(bars, session), yardstick.atr_bars).astype(np.int32)
    nothing = np.zeros((len(bars), len(FEATURE_NAMES)), np.float32)
    return Features(nothing, sums, np.ones(len(bars), np.bool_))


def compute_features(
    bars: Bars,
    session: npt.NDArray[np.int32],
    minute_et: npt.NDArray[np.int32],
    hours: Hours,
    yardstick: Yardstick = USUAL,
) -> Features:
    """The features of every bar; row t reads no bar after t.

    Args:
        bars: minute bars [T].
        session: [T] trading day of each bar.
        minute_et: [T] minute of the ET day at which each bar starts.
        hours: the clock at each close.
        yardstick: how long the ATR and the policy's window are.
    """
    shift = roll_shift(bars)
    close = bars.close - shift  # one contract's prices throughout; a row adds its own shift again
    change = np.diff(close, prepend=close[:1])
    ranges = true_ranges(bars, session)
    true_range_sum = _window_sum(ranges, yardstick.atr_bars)
    ingredients = _Ingredients(
        close=bars.close.astype(np.int64),
        close_1=_lagged(close, 1) + shift,
        close_momentum=_lagged(close, MOMENTUM_BARS) + shift,
        sum_5=_window_sum(close, 5) + 5 * shift,
        sum_20=_window_sum(close, 20) + 20 * shift,
        gains=_window_sum(np.maximum(change, 0), RSI_BARS),
        losses=_window_sum(np.maximum(-change, 0), RSI_BARS),
        ema_difference=_ema_difference(close, shift),
        atr=true_range_sum / yardstick.atr_bars,
        long_true_range_sum=_window_sum(ranges, LONG_BARS),
        volume=bars.volume,
        usual_volume=_usual_volume(bars.volume, session, minute_et),
        decision_minute=hours.decision_minute.astype(np.int64),
        minutes_to_flat=hours.minutes_to_flat.astype(np.int64),
    )
    index = np.arange(len(bars))
    values = np.where((index >= LONG_BARS)[:, None], _rows(ingredients), np.float32(0))
    return Features(values, true_range_sum.astype(np.int32), index >= LONG_BARS + yardstick.window - 1)


class StreamedBar(NamedTuple):
    """One closed bar with its place in the calendar."""

    high: int  # ticks
    low: int
    close: int
    volume: int
    session: int
    minute_et: int
    decision_minute: int
    minutes_to_flat: int
    open: int = 0
    contract: int = 0  # rolls before it, from any start; a bar of another contract than the last one moves the past


def roll_gap(bar: StreamedBar, before: StreamedBar | None) -> int | None:
    """Ticks by which ``bar`` moves every earlier close, None if it is of the same contract as the bar before."""
    if before is None or before.contract == bar.contract:
        return None
    return bar.open - before.close


class FeatureStream:
    """The same rows, one bar at a time, from a bounded past: `push` returns what `compute_features` gives."""

    def __init__(self, yardstick: Yardstick = USUAL) -> None:
        """An empty past."""
        self._yardstick = yardstick
        self._closes: deque[int] = deque(maxlen=EMA_BARS)
        self._ranges: deque[int] = deque(maxlen=LONG_BARS)
        self._long_sum = 0
        self._count = 0
        self._last: StreamedBar | None = None
        self._past: deque[Reals] = deque(maxlen=VOLUME_SESSIONS)
        self._today = np.full(DAY_MINUTES, np.nan)
        self._usual = np.full(DAY_MINUTES, np.nan)

    def push(self, bar: StreamedBar) -> tuple[npt.NDArray[np.float32], int, bool]:
        """Take one bar; return its row [11], the ATR's sum of true ranges in ticks, and whether the row is warm."""
        true_range_sum = self.absorb(bar)
        if self._count <= LONG_BARS:
            return np.zeros(len(FEATURE_NAMES), np.float32), true_range_sum, False
        warm = self._count >= LONG_BARS + self._yardstick.window
        return _rows(self._ingredients(bar, true_range_sum))[0], true_range_sum, warm

    def absorb(self, bar: StreamedBar) -> int:
        """Take one bar whose row nobody asks for, which is far quicker; return the ATR's sum of true ranges."""
        opens = self._last is None or bar.session != self._last.session
        if opens:
            self._open_session()
        gap = roll_gap(bar, self._last)
        if gap is not None:
            self._closes = deque((close + gap for close in self._closes), maxlen=EMA_BARS)
        self._push_range(bar, first=opens or gap is not None)
        self._last = bar
        self._closes.append(bar.close)
        self._today[bar.minute_et] = bar.volume
        self._count += 1
        return sum(islice(reversed(self._ranges), self._yardstick.atr_bars))

    def _open_session(self) -> None:
        if self._last is not None:
            self._past.append(self._today)
            self._usual = _median_by_minute(np.stack(self._past))
        self._today = np.full(DAY_MINUTES, np.nan)

    def _push_range(self, bar: StreamedBar, *, first: bool) -> None:
        before = [] if first or not self._closes else [self._closes[-1]]
        spread = max(bar.high, *before, bar.high) - min(bar.low, *before, bar.low)
        if len(self._ranges) == LONG_BARS:
            self._long_sum -= self._ranges[0]
        self._ranges.append(spread)
        self._long_sum += spread

    def _ingredients(self, bar: StreamedBar, true_range_sum: int) -> _Ingredients:
        closes = np.array(self._closes, np.int64)
        changes = np.diff(closes[-RSI_BARS - 1 :])
        return _Ingredients(
            close=closes[-1:],
            close_1=closes[-2:-1],
            close_momentum=closes[-1 - MOMENTUM_BARS : -MOMENTUM_BARS],
            sum_5=closes[-5:].sum(keepdims=True),
            sum_20=closes[-20:].sum(keepdims=True),
            gains=np.maximum(changes, 0).sum(keepdims=True),
            losses=np.maximum(-changes, 0).sum(keepdims=True),
            ema_difference=np.array([_ema_difference_of_last(closes)]),
            atr=np.array([true_range_sum / self._yardstick.atr_bars]),
            long_true_range_sum=np.array([self._long_sum]),
            volume=np.array([bar.volume]),
            usual_volume=self._usual[bar.minute_et : bar.minute_et + 1],
            decision_minute=np.array([bar.decision_minute]),
            minutes_to_flat=np.array([bar.minutes_to_flat]),
        )
