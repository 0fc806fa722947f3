"""The regime of each bar, from past bars only: trends, volatility and volume for the hour, place in the session."""

from bisect import bisect_left
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.features.features import ATR_BARS, StreamedBar, roll_gap, roll_shift
from rl_core.features.market_view import MarketView
from rl_core.features.session_place import PlaceStream, session_places

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

    trend_15_atr_milli: int  # close minus the close 15 minutes ago, in thousandths of the ATR
    trend_60_atr_milli: int
    trend_240_atr_milli: int
    volatility_percentile: int  # 0..100: the ATR among the same half-hour of at most 20 past sessions
    label: str  # direction/volatility
    session_part: str
    volume_percentile: int = 50  # 0..100: volume of the last 14 bars, ranked as the volatility is
    to_session_high_atr_milli: int = 0  # session's high so far minus the close, in thousandths of the ATR
    to_session_low_atr_milli: int = 0  # close minus the session's low so far
    vwap_atr_milli: int = 0  # close minus the session's volume-weighted mean price so far


class Regimes(NamedTuple):
    """The regime of every bar, as arrays; `at` gives one bar's, equal to what `RegimeStream` gives."""

    trends: Integers  # [T, 3] thousandths of the ATR over 15, 60 and 240 bars
    volatility_percentile: Integers  # [T]
    volume_percentile: Integers  # [T]
    to_session_high: Integers  # [T] thousandths of the ATR
    to_session_low: Integers  # [T]
    vwap: Integers  # [T]
    direction: Integers  # [T] index into DIRECTIONS
    volatility: Integers  # [T] index into VOLATILITIES
    part: Integers  # [T] index into PARTS

    def at(self, t: int) -> Regime:
        """The regime at the close of bar ``t``."""
        label = f"{DIRECTIONS[self.direction[t]]}/{VOLATILITIES[self.volatility[t]]}"
        short, middle, long = (int(trend) for trend in self.trends[t])
        place = (self.volume_percentile, self.to_session_high, self.to_session_low, self.vwap)
        return Regime(
            *(short, middle, long, int(self.volatility_percentile[t]), label, PARTS[self.part[t]]),
            *(int(column[t]) for column in place),
        )


def compute_regimes(view: MarketView, thresholds: Thresholds = USUAL_THRESHOLDS) -> Regimes:
    """The regime of every bar of ``view``; row t reads no bar after t."""
    located, trends, percentile = view.located, trends_of(view), volatility_percentiles(view)
    true_range_sum = view.features.true_range_sum.astype(np.int64)
    place = session_places(view.bars, located.session, true_range_sum, view.yardstick.atr_bars)
    direction, volatility = labelled(trends, percentile, thresholds)
    ends = [end for end, _ in SESSION_PARTS]
    return Regimes(
        trends=trends,
        volatility_percentile=percentile,
        volume_percentile=_percentiles(_volume_sum(view.bars.volume), located.session, located.minute_et // 30),
        to_session_high=place.to_high,
        to_session_low=place.to_low,
        vwap=place.vwap,
        direction=direction,
        volatility=volatility,
        part=np.searchsorted(ends, view.hours.decision_minute, side="left"),
    )


def labelled(trends: Integers, percentile: Integers, thresholds: Thresholds) -> tuple[Integers, Integers]:
    """Index into DIRECTIONS and into VOLATILITIES [N] of trends [N, 3] and percentiles [N] of the volatility."""
    middle = trends[:, TREND_MINUTES.index(60)]
    direction = 1 + np.where(np.abs(middle) >= thresholds.trend_milli, np.sign(middle), 0)
    return direction, np.searchsorted(thresholds[1:], percentile, side="right")


def trends_of(view: MarketView) -> Integers:
    """Trends [T, 3] over 15, 60 and 240 bars, in thousandths of the ATR."""
    close = view.bars.close - roll_shift(view.bars)  # one contract's prices, as the stream sees them
    atr_bars, index = view.yardstick.atr_bars, np.arange(len(close))
    scale = np.maximum(atr_bars, view.features.true_range_sum.astype(np.int64))
    trends = [(close - close[np.maximum(0, index - lag)]) * atr_bars * 1000 // scale for lag in TREND_MINUTES]
    return np.stack(trends, axis=-1)


def volatility_percentiles(view: MarketView) -> Integers:
    """[T] the ATR among the same half-hour of at most 20 past sessions."""
    total = view.features.true_range_sum.astype(np.int64)
    return _percentiles(total, view.located.session, view.located.minute_et // 30)


def _volume_sum(volume: Integers) -> Integers:
    """Volume [T] of the last 14 bars, over as many as the ATR; fewer at the start."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(volume, dtype=np.int64)])
    last = np.arange(1, len(total))
    summed: Integers = total[last] - total[np.maximum(0, last - ATR_BARS)]
    return summed


def _percentiles(total: Integers, session: npt.NDArray[np.int32], half_hour: npt.NDArray[np.int32]) -> Integers:
    """[T] share below each value, in percent, of the same half-hour of the 20 sessions before; 50 without a past."""
    percentiles = np.full(len(total), 50, np.int64)
    number = np.cumsum(np.diff(session, prepend=session[:1]) != 0)  # of the session, from 0
    for half in range(HALF_HOURS):
        rows = np.flatnonzero(half_hour == half)
        values, edges = total[rows], np.searchsorted(number[rows], np.arange(number[-1] + 2)).tolist()
        ranks = np.full(len(rows), 50, np.int64)
        for day in range(1, len(edges) - 1):
            first, stop = edges[day], edges[day + 1]
            past = values[edges[max(0, day - PAST_SESSIONS)] : first]
            if stop > first and past.size:
                ranks[first:stop] = 100 * np.sort(past).searchsorted(values[first:stop]) // past.size
        percentiles[rows] = ranks
    return percentiles


class RegimeStream:
    """Regimes one bar at a time, from a bounded past."""

    def __init__(self, thresholds: Thresholds = USUAL_THRESHOLDS, atr_bars: int = ATR_BARS) -> None:
        """An empty past; the ATR is the mean of ``atr_bars`` true ranges."""
        self._thresholds, self._atr_bars = thresholds, atr_bars
        self._closes: deque[int] = deque(maxlen=max(TREND_MINUTES) + 1)
        self._volumes: deque[int] = deque(maxlen=ATR_BARS)
        self._volatility, self._volume, self._place = _Ranks(), _Ranks(), PlaceStream(atr_bars)
        self._last: StreamedBar | None = None

    def push(self, bar: StreamedBar, true_range_sum: int) -> Regime:
        """Take one closed bar; ``true_range_sum`` is the sum of the true ranges of its ATR in ticks."""
        percentile, volume_percentile, place = self.absorb(bar, true_range_sum)
        trends = [self._trend(minutes, true_range_sum) for minutes in TREND_MINUTES]
        label = f"{_direction(trends[1], self._thresholds)}/{_volatility(percentile, self._thresholds)}"
        return Regime(
            *(trends[0], trends[1], trends[2], percentile, label, _session_part(bar.decision_minute)),
            *(volume_percentile, *place),
        )

    def absorb(self, bar: StreamedBar, true_range_sum: int) -> tuple[int, int, tuple[int, int, int]]:
        """Take one bar; its percentiles of volatility and volume, and where it stands in its session."""
        if self._last is not None and bar.session != self._last.session:
            self._volatility.close_session()
            self._volume.close_session()
        gap = roll_gap(bar, self._last)
        if gap is not None:
            self._closes = deque((close + gap for close in self._closes), maxlen=self._closes.maxlen)
        self._last = bar
        self._closes.append(bar.close)
        self._volumes.append(bar.volume)
        half_hour = bar.minute_et // 30
        percentile = self._volatility.take(half_hour, true_range_sum)
        volume_percentile = self._volume.take(half_hour, sum(self._volumes))
        return percentile, volume_percentile, self._place.push(bar, gap, true_range_sum)

    def _trend(self, minutes: int, true_range_sum: int) -> int:
        before = self._closes[max(0, len(self._closes) - 1 - minutes)]
        return (self._closes[-1] - before) * self._atr_bars * 1000 // max(self._atr_bars, true_range_sum)


class _Ranks:
    """Ranks of values among those of the same half-hour of the last sessions; today's never count."""

    def __init__(self) -> None:
        self._past: deque[list[list[int]]] = deque(maxlen=PAST_SESSIONS)
        self._ordered: list[list[int]] = [[] for _ in range(HALF_HOURS)]
        self._today: list[list[int]] = [[] for _ in range(HALF_HOURS)]

    def close_session(self) -> None:
        """Today becomes past."""
        self._past.append(self._today)
        self._ordered = [sorted(s for day in self._past for s in day[half]) for half in range(HALF_HOURS)]
        self._today = [[] for _ in range(HALF_HOURS)]

    def take(self, half_hour: int, value: int) -> int:
        """The percentile of ``value``, which is kept for later sessions."""
        self._today[half_hour].append(value)
        return _percentile(self._ordered[half_hour], value)


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
