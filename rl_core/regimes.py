"""The regime of each bar, from past bars only: trends, volatility for the hour, part of the session."""

from bisect import bisect_left
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.features import ATR_BARS, StreamedBar, roll_gap, roll_shift
from rl_core.view import View

TREND_MINUTES = (15, 60, 240)
HALF_HOURS = 48
PAST_SESSIONS = 20
SESSION_PARTS = ((10 * 60 + 30, "opening"), (12 * 60 + 30, "midday"), (14 * 60 + 30, "afternoon"))
DIRECTIONS, VOLATILITIES = ("down", "flat", "up"), ("calm", "normal", "wild")
PARTS = (*(part for _, part in SESSION_PARTS), "late")

Integers = npt.NDArray[np.int64]


class Thresholds(NamedTuple):
    """Where one label ends and the next begins; frozen before anything is judged."""

    trend_milli: int = 2500  # a random walk's 60-minute trend is beyond this about half the time
    calm_below: int = 33  # volatility percentile
    wild_from: int = 67


USUAL_THRESHOLDS = Thresholds()


class Regime(NamedTuple):
    """The market's state at the close of a bar, in integers."""

    trend_15_atr_milli: int  # close minus the close 15 minutes ago, in thousandths of ATR14
    trend_60_atr_milli: int
    trend_240_atr_milli: int
    volatility_percentile: int  # 0..100: ATR14 among the same half-hour of at most 20 past sessions
    label: str  # direction/volatility
    session_part: str


class Regimes(NamedTuple):
    """The same of every bar, as arrays; `at` gives what the stream gives."""

    trends: Integers  # [T, 3] thousandths of ATR14 over 15, 60 and 240 bars
    volatility_percentile: Integers  # [T]
    direction: Integers  # [T] index into DIRECTIONS
    volatility: Integers  # [T] index into VOLATILITIES
    part: Integers  # [T] index into PARTS

    def at(self, t: int) -> Regime:
        """The regime at the close of bar ``t``."""
        label = f"{DIRECTIONS[self.direction[t]]}/{VOLATILITIES[self.volatility[t]]}"
        short, middle, long = (int(trend) for trend in self.trends[t])
        return Regime(short, middle, long, int(self.volatility_percentile[t]), label, PARTS[self.part[t]])


def compute_regimes(view: View, thresholds: Thresholds = USUAL_THRESHOLDS) -> Regimes:
    """The regime of every bar of ``view``; row t reads no bar after t."""
    close = view.bars.close - roll_shift(view.bars)  # one contract's prices, as the stream sees them
    total = view.features.true_range_sum.astype(np.int64)
    index, scale = np.arange(len(close)), np.maximum(ATR_BARS, total)
    trends = [(close - close[np.maximum(0, index - lag)]) * ATR_BARS * 1000 // scale for lag in TREND_MINUTES]
    percentile = _percentiles(total, view.located.session, view.located.minute_et // 30)
    beyond = np.abs(trends[1]) >= thresholds.trend_milli
    ends = [end for end, _ in SESSION_PARTS]
    return Regimes(
        trends=np.stack(trends, axis=-1),
        volatility_percentile=percentile,
        direction=1 + np.where(beyond, np.sign(trends[1]), 0),
        volatility=np.searchsorted(thresholds[1:], percentile, side="right"),
        part=np.searchsorted(ends, view.hours.decision_minute, side="left"),
    )


def _percentiles(total: Integers, session: npt.NDArray[np.int32], half_hour: npt.NDArray[np.int32]) -> Integers:
    """[T] share below each value, in percent, of the same half-hour of the 20 sessions before; 50 without a past."""
    found = np.full(len(total), 50, np.int64)
    opens = np.flatnonzero(np.diff(session, prepend=session[0] - 1))
    for first, stop in zip(opens, np.append(opens[1:], len(total)), strict=True):
        past_from = opens[max(0, int(np.searchsorted(opens, first)) - PAST_SESSIONS)]
        past, past_half = total[past_from:first], half_hour[past_from:first]
        for half in np.unique(half_hour[first:stop]):
            ordered = np.sort(past[past_half == half])
            if ordered.size:
                rows = first + np.flatnonzero(half_hour[first:stop] == half)
                found[rows] = 100 * np.searchsorted(ordered, total[rows]) // ordered.size
    return found


class RegimeStream:
    """Regimes one bar at a time, from a bounded past."""

    def __init__(self, thresholds: Thresholds = USUAL_THRESHOLDS) -> None:
        """An empty past."""
        self._thresholds = thresholds
        self._closes: deque[int] = deque(maxlen=max(TREND_MINUTES) + 1)
        self._past: deque[list[list[int]]] = deque(maxlen=PAST_SESSIONS)
        self._ordered: list[list[int]] = [[] for _ in range(HALF_HOURS)]
        self._today: list[list[int]] = [[] for _ in range(HALF_HOURS)]
        self._last: StreamedBar | None = None

    def push(self, bar: StreamedBar, true_range_sum: int) -> Regime:
        """Take one closed bar; ``true_range_sum`` is the sum of its last 14 true ranges in ticks."""
        if self._last is None or bar.session != self._last.session:
            self._open_session()
        gap = roll_gap(bar, self._last)
        if gap is not None:
            self._closes = deque((close + gap for close in self._closes), maxlen=self._closes.maxlen)
        self._last = bar
        self._closes.append(bar.close)
        half_hour = bar.minute_et // 30
        percentile = _percentile(self._ordered[half_hour], true_range_sum)
        self._today[half_hour].append(true_range_sum)
        trends = [self._trend(minutes, true_range_sum) for minutes in TREND_MINUTES]
        label = f"{_direction(trends[1], self._thresholds)}/{_volatility(percentile, self._thresholds)}"
        return Regime(trends[0], trends[1], trends[2], percentile, label, _session_part(bar.decision_minute))

    def _open_session(self) -> None:
        if self._last is not None:
            self._past.append(self._today)
            self._ordered = [sorted(s for day in self._past for s in day[half]) for half in range(HALF_HOURS)]
        self._today = [[] for _ in range(HALF_HOURS)]

    def _trend(self, minutes: int, true_range_sum: int) -> int:
        before = self._closes[max(0, len(self._closes) - 1 - minutes)]
        return (self._closes[-1] - before) * ATR_BARS * 1000 // max(ATR_BARS, true_range_sum)


def _percentile(past: list[int], value: int) -> int:
    """Share of ``past`` (sorted) below ``value`` in percent; 50 without a past."""
    return 100 * bisect_left(past, value) // len(past) if past else 50


def _direction(trend_milli: int, thresholds: Thresholds) -> str:
    if abs(trend_milli) < thresholds.trend_milli:
        return "flat"
    return "up" if trend_milli > 0 else "down"


def _volatility(percentile: int, thresholds: Thresholds) -> str:
    if percentile < thresholds.calm_below:
        return "calm"
    return "wild" if percentile >= thresholds.wild_from else "normal"


def _session_part(decision_minute: int) -> str:
    for end, part in SESSION_PARTS:
        if decision_minute <= end:
            return part
    return "late"
