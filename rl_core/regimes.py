"""The regime of each bar, from past bars only: trends, volatility for the hour, part of the session."""

from bisect import bisect_left
from collections import deque
from typing import NamedTuple

from rl_core.features import ATR_BARS, StreamedBar, roll_gap

TREND_MINUTES = (15, 60, 240)
HALF_HOURS = 48
PAST_SESSIONS = 20
TREND_THRESHOLD_MILLI = 2500  # a random walk's 60-minute trend is beyond this about half the time
CALM_BELOW, WILD_ABOVE = 33, 67
SESSION_PARTS = ((10 * 60 + 30, "opening"), (12 * 60 + 30, "midday"), (14 * 60 + 30, "afternoon"))


class Regime(NamedTuple):
    """The market's state at the close of a bar, in integers."""

    trend_15_atr_milli: int  # close minus the close 15 minutes ago, in thousandths of ATR14
    trend_60_atr_milli: int
    trend_240_atr_milli: int
    volatility_percentile: int  # 0..100: ATR14 among the same half-hour of at most 20 past sessions
    label: str  # direction/volatility
    session_part: str


class RegimeStream:
    """Regimes one bar at a time, from a bounded past."""

    def __init__(self) -> None:
        """An empty past."""
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
        label = f"{_direction(trends[1])}/{_volatility(percentile)}"
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


def _direction(trend_milli: int) -> str:
    if abs(trend_milli) < TREND_THRESHOLD_MILLI:
        return "flat"
    return "up" if trend_milli > 0 else "down"


def _volatility(percentile: int) -> str:
    if percentile < CALM_BELOW:
        return "calm"
    return "wild" if percentile >= WILD_ABOVE else "normal"


def _session_part(decision_minute: int) -> str:
    for end, part in SESSION_PARTS:
        if decision_minute <= end:
            return part
    return "late"
