"""The edge planted in a synthetic market: its declaration, and what its rule earns in fact."""

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import locate

ATR_BARS = 14
TARGET_TO_STOP = 3
BASELINE_ENTRIES_PER_SIGNAL = 10


@dataclass(frozen=True)
class PlantedEdge:
    """What was put into a synthetic market, declared."""

    text: str
    """The declaration that every report of this market carries."""
    expectancy_r: float
    """Mean profit of the rule per trade before costs, in units of the risk (R), over many sessions."""
    signals: npt.NDArray[np.int8]
    """[T] what the rule says at the close of each minute bar: +1 buy, -1 sell, 0 nothing."""
    pays: npt.NDArray[np.bool_] | None = None
    """[T] which signals are followed by the better drift, where a gate could know it; None: all are alike."""
    uplift_r: float | None = None
    """The most that a gate can add over random vetoes as often, in R a proposal before costs; None: as ``pays``."""


def declaration(edge: PlantedEdge, seed: int) -> str:
    """What bars of this world carry in `Bars.world`: one JSON object, which their parquet file keeps."""
    return json.dumps({"declaration": edge.text, "expectancy_r": edge.expectancy_r, "seed": seed})


class Expectancy(NamedTuple):
    """What bracket trades earned before costs, in units of their risk (R)."""

    mean_r: float
    standard_error: float
    """Of ``mean_r``, trades taken as independent."""
    trades: int
    win_rate: float
    """Share of trades that ended above zero."""
    median_bars_held: float
    baseline_r: float
    """The same bracket entered at random bars of the same minutes on random sides."""
    baseline_error: float


class _Trades(NamedTuple):
    profit_r: npt.NDArray[np.float64]
    bars_held: npt.NDArray[np.int64]


def rule_expectancy(bars: Bars, signals: npt.NDArray[np.int8], *, seed: int = 0) -> Expectancy:
    """Trade every signal alone: enter at the next open, stop 1.5 ATR14, target three times that.

    Stop first where one bar holds both; a target needs one tick of trade-through; what is left is
    closed at the session's last close. No costs, no slippage.

    Args:
        bars: [T] minute bars.
        signals: [T] +1 buy, -1 sell, 0 nothing, at the close of each bar.
        seed: of the random entries of the baseline.
    """
    assert len(signals) == len(bars) and signals.any()
    located = locate(bars.ts_event_ns, bars.instrument.calendar)
    trades = _trade(bars, located.session, signals)
    random_entries = _random_signals(signals, located.minute_et, np.random.default_rng(seed))
    baseline = _trade(bars, located.session, random_entries)
    return Expectancy(
        mean_r=float(trades.profit_r.mean()),
        standard_error=_standard_error(trades.profit_r),
        trades=len(trades.profit_r),
        win_rate=float((trades.profit_r > 0).mean()),
        median_bars_held=float(np.median(trades.bars_held)),
        baseline_r=float(baseline.profit_r.mean()),
        baseline_error=_standard_error(baseline.profit_r),
    )


def true_range_sum(bars: Bars, session: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """[T] ticks, the sum of the last 14 true ranges; a session's first bar counts its high minus its low."""
    first = np.r_[True, session[1:] != session[:-1]]
    before = np.where(first, bars.open, np.r_[bars.open[:1], bars.close[:-1]])
    ranges = np.maximum(bars.high, before) - np.minimum(bars.low, before)
    total = np.cumsum(ranges.astype(np.int64))
    return np.asarray(total - np.r_[np.zeros(ATR_BARS, np.int64), total[:-ATR_BARS]][: len(total)])


def _trade(bars: Bars, session: npt.NDArray[np.int32], signals: npt.NDArray[np.int8]) -> _Trades:
    stop_ticks = np.maximum(1, -(-3 * true_range_sum(bars, session) // (2 * ATR_BARS)))
    last_in_session = np.searchsorted(session, session, side="right")
    entries = [t for t in np.flatnonzero(signals) if t + 1 < last_in_session[t]]
    results = [_bracket(bars, range(t + 1, last_in_session[t]), int(signals[t]), int(stop_ticks[t])) for t in entries]
    profit_r, held = zip(*results, strict=True) if results else ((), ())
    return _Trades(np.asarray(profit_r, np.float64), np.asarray(held, np.int64))


def _bracket(bars: Bars, window: range, side: int, stop_ticks: int) -> tuple[float, int]:
    """Profit in R and bars held of one trade that lives in ``window``, entered at its first open."""
    part = np.s_[window.start : window.stop]
    entry = int(bars.open[window.start])
    best, worst = (bars.high, bars.low) if side > 0 else (bars.low, bars.high)
    stopped = side * (worst[part] - entry) <= -stop_ticks
    reached = side * (best[part] - entry) >= TARGET_TO_STOP * stop_ticks + 1
    ended = stopped | reached
    if not ended.any():
        return side * (int(bars.close[window.stop - 1]) - entry) / stop_ticks, len(window)
    at = int(ended.argmax())
    opened = side * (int(bars.open[window.start + at]) - entry)
    profit = min(-stop_ticks, opened) if stopped[at] else TARGET_TO_STOP * stop_ticks
    return profit / stop_ticks, at + 1


def _random_signals(
    signals: npt.NDArray[np.int8], minute_et: npt.NDArray[np.int32], generator: np.random.Generator
) -> npt.NDArray[np.int8]:
    """Entries on random sides among the bars whose minute lies between the earliest and the latest signal."""
    minutes = minute_et[signals != 0]
    allowed = np.flatnonzero((minute_et >= minutes.min()) & (minute_et <= minutes.max()))
    count = min(len(allowed), BASELINE_ENTRIES_PER_SIGNAL * len(minutes))
    entries = np.zeros_like(signals)
    entries[generator.choice(allowed, count, replace=False)] = generator.choice(np.array([-1, 1], np.int8), count)
    return entries


def _standard_error(values: npt.NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
