"""Whether prices that can be read make sense as one market: scale, splices of another contract, a frozen feed."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.faults import RowFault
from rl_core.bars.numbers import CheckedColumn, Lines

SPLICE_BARS = 3
SPLICE_SPAN_NS = 4 * 3_600_000_000_000
USUAL_RANGES = 10
LEAST_JUMP_SHARE = 0.0015  # of the price; a roll of NQ moves it by 0.3 to 1.4 %
RANGE_BLOCK = 512
FROZEN_BARS = 60
DECADE_TOLERANCE = 0.02  # of log10: a move of 5 % between two bars
LEAST_SCALE = 3.0  # times: no step of a decade is as small

Ticks = npt.NDArray[np.int32] | npt.NDArray[np.int64]


class Prices(NamedTuple):
    """Bars [T] in order of time."""

    ts_event_ns: npt.NDArray[np.int64]
    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks
    volume: npt.NDArray[np.int64]


class Scaled(NamedTuple):
    """Rows whose prices are a power of ten away from those of the others."""

    off: npt.NDArray[np.bool_]
    """[T]"""
    faults: list[RowFault]


def check_scale(close: CheckedColumn, lines: Lines) -> Scaled:
    """Rows [T] whose close lies a hundredth, a tenth, ten or a hundred times where most of the file lies.

    No market moves so far between two bars, so a step of exactly a power of ten is a fault of the file.
    """
    off, rows = np.zeros(len(lines), bool), np.flatnonzero(close.numbers > 0)
    prices = close.numbers[rows]
    if not (np.maximum(prices[1:], prices[:-1]) > LEAST_SCALE * np.minimum(prices[1:], prices[:-1])).any():
        return Scaled(off, [])
    steps = np.diff(np.log10(prices))
    decades = np.rint(steps)
    decades[np.abs(steps - decades) > DECADE_TOLERANCE] = 0
    level = np.concatenate([[0], np.cumsum(decades)]).astype(np.int64)
    levels, counts = np.unique(level, return_counts=True)
    away = level - levels[counts.argmax()]
    faults = []
    for decade in np.unique(away[away != 0]).tolist():
        wrong = rows[away == decade]
        off[wrong] = True
        faults.append(_scale_fault(decade, wrong, close, lines))
    return Scaled(off, faults)


def _scale_fault(decade: int, rows: npt.NDArray[np.int64], close: CheckedColumn, lines: Lines) -> RowFault:
    code, word = {-2: ("hundredth", "a hundredth"), 1: ("tenfold", "ten times")}.get(
        decade, ("scale", f"1e{decade:+d}")
    )
    remedy = "Remove the row: a spread in points, another contract, or a number cut short; never multiply it"
    expected = f"a price like its neighbours' was expected, this is {word} theirs"
    return RowFault(
        code=code,
        lines=lines[rows],
        column="close",
        value=lambda k: f"{close.numbers[rows[k]]:g}",
        expected=expected,
        remedy=remedy,
    )


def usual_range(high: Ticks, low: Ticks) -> npt.NDArray[np.float64]:
    """Median range [T] of the block of 512 bars around each bar, at least a tick."""
    return np.maximum(1.0, _block_medians((high - low).astype(np.float64)))


def usual_step(close: Ticks) -> npt.NDArray[np.float64]:
    """Median distance [T] from one close to the next in the block of 512 bars around each bar."""
    return _block_medians(np.abs(np.diff(close.astype(np.float64), prepend=float(close[0]))))


def _block_medians(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The median [T] of the block of 512 values in which each stands."""
    whole = len(values) // RANGE_BLOCK * RANGE_BLOCK
    medians = np.median(values[:whole].reshape(-1, RANGE_BLOCK), axis=1)
    if whole < len(values):
        medians = np.append(medians, np.median(values[whole:]))
    return np.asarray(np.repeat(medians, RANGE_BLOCK)[: len(values)])


def jump_limit(prices: Prices) -> npt.NDArray[np.float64]:
    """Ticks [T] that a price may leave its neighbours behind without another contract being likely."""
    share = LEAST_JUMP_SHARE * prices.close.astype(np.float64)
    return np.maximum(USUAL_RANGES * usual_range(prices.high, prices.low), share)


def lasting_jumps(prices: Prices) -> npt.NDArray[np.int64]:
    """Indices [N] of the bars that open far from the close before; size alone is no fault."""
    jump = np.abs(prices.open[1:].astype(np.int64) - prices.close[:-1])
    return np.asarray(np.flatnonzero(jump > jump_limit(prices)[1:]) + 1)


def check_splices(prices: Prices, lines: Lines) -> list[RowFault]:
    """Runs of at most three of the bars [T] that lie wholly beyond the bars on both sides: rows of another contract.

    A real spike trades its way out and back, so its bars overlap their neighbours, however large it is. In a thin
    market a bar is a print or two with silence between, so bars seldom overlap: there the distance is held against the
    usual step from print to print, which grows with the square root of the time between them.
    """
    spliced = np.zeros(len(lines), bool)
    limit = np.zeros(len(lines))
    if len(lines) > 2:
        limit = np.maximum(jump_limit(prices), USUAL_RANGES * usual_step(prices.close))
    apart = np.flatnonzero((prices.low[1:] > prices.high[:-1]) | (prices.high[1:] < prices.low[:-1])) + 1
    for length in range(1, SPLICE_BARS + 1):
        for start in _islands(prices, limit, apart, length):
            spliced[start : start + length] = True
    rows = np.flatnonzero(spliced)
    if not len(rows):
        return []
    shown_rows = ", ".join(str(line) for line in lines[rows[:8]]) + (", ..." if len(rows) > 8 else "")
    remedy = f"Rows {shown_rows}: remove them, or list them in a file for --exclude"
    expected = f"a jump that lasts was expected, this one returns within {SPLICE_BARS} bars"
    return [
        RowFault(
            code="splice",
            lines=lines[rows],
            column="close",
            value=lambda k: _told(prices, rows[k]),
            expected=expected,
            remedy=remedy,
        )
    ]


def _islands(
    prices: Prices, limit: npt.NDArray[np.float64], apart: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.int64]:
    """First bars of the runs of ``length`` that touch neither the bar before nor the bar after; of those ``apart``."""
    first = apart[apart + length < len(limit)]
    if not len(first):
        return first
    before, after = first - 1, first + length
    high, low = prices.high, prices.low
    highest = np.maximum.reduce([high[first + offset] for offset in range(length)])
    lowest = np.minimum.reduce([low[first + offset] for offset in range(length)])
    above = lowest - np.maximum(high[before], high[after])
    below = np.minimum(low[before], low[after]) - highest
    span_ns = prices.ts_event_ns[after] - prices.ts_event_ns[before]
    interval_ns = np.diff(prices.ts_event_ns).min()
    slower = np.sqrt(span_ns / (interval_ns * (length + 1)))
    near = span_ns <= SPLICE_SPAN_NS
    away = np.maximum(above, below) > slower * np.minimum(limit[before], limit[after])
    return np.asarray(first[away & near])


def _told(prices: Prices, row: int) -> str:
    at = np.datetime64(int(prices.ts_event_ns[row]), "ns").astype("datetime64[s]")
    return f"{at}Z, {int(prices.close[row]) - int(prices.close[max(0, row - 1)]):+d} ticks"


def check_frozen(prices: Prices, lines: Lines) -> list[RowFault]:
    """Sixty or more of the bars [T] in a row that repeat every price and the volume: the feed stood still."""
    same = np.ones(len(lines) - 1, bool)
    for column in (prices.open, prices.high, prices.low, prices.close, prices.volume):
        same &= column[1:] == column[:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (same & (prices.volume[1:] > 0)).view(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    long = stops - starts + 1 >= FROZEN_BARS
    if not long.any():
        return []
    first, counts = starts[long], (stops - starts + 1)[long]
    expected = f"fewer than {FROZEN_BARS} equal bars in a row were expected"
    remedy = "Remove what the feed repeated, or export the file again"
    return [
        RowFault(
            code="frozen_feed",
            lines=lines[first],
            column="close",
            value=lambda k: f"{counts[k]} equal bars",
            expected=expected,
            remedy=remedy,
        )
    ]
