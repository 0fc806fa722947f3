"""The numbers of a bars file: exact ticks, whole volumes, sane bars, stamps in order and on the interval."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.bars.arrow_columns import as_numpy
from rl_core.bars.columns import PRICE_COLUMNS, ROLL_COLUMN
from rl_core.bars.faults import RowFault, whole_file
from rl_core.bars.symbols import is_of, is_spread

NUMBER = r"^-?\d{1,15}(\.\d{1,20})?$"
# As pandas writes volumes. A price stays refused in this form: a spreadsheet's 1.68E+04 was cut to a tick that exists.
NUMBER_OR_EXPONENT = r"^-?\d{1,15}(\.\d{1,20})?([eE][+-]?\d{1,2})?$"
SNAP_TICKS = 1e-6  # vendors and scripts compute prices, so that the last bits of a price on the grid may be off
BELOW_ZERO_REMEDY = "Correct the row; if the market did trade there, as CL on 2020-04-20, list the row for --exclude"
FIXED_POINT = 1e-9  # of a whole number that stands for a price
LARGEST_TICKS = np.iinfo(np.int32).max
# A session of such bars sums price times volume within 64 bits up to two million ticks from its first close.
LARGEST_VOLUME = 10**9
NS_PER_SECOND = 1_000_000_000
# Fewer rows may be all on a coarser step, or mostly off the interval, by chance.
ROWS_TO_JUDGE_INTERVAL = 20
OFF_INTERVAL_SHARE = 0.2
REVERSED_SHARE = 0.5

Lines = npt.NDArray[np.int64]


class CheckedColumn(NamedTuple):
    """Numbers of a column, and which of them can be used."""

    values: npt.NDArray[np.int64]
    """[T] ticks or contracts; 0 where unusable."""
    usable: npt.NDArray[np.bool_]
    """[T]"""
    faults: list[RowFault]
    numbers: npt.NDArray[np.float64]
    """[T] as written; 0 where unreadable."""


def check_prices(
    column: pa.ChunkedArray, tick_size: Decimal, lines: Lines, name: str, *, fixed_point: bool = False
) -> CheckedColumn:
    """Prices [T] as integer ticks: a price counts if it lies within a millionth of a tick of the grid.

    Args:
        column: as the file holds it.
        tick_size: points.
        lines: [T] where each row stands in the file.
        name: of the column, for the error.
        fixed_point: whether the file gives prices as whole numbers of 1e-9 points.
    """
    numbers, read, shown, faults = _numbers(column, lines, name)
    if fixed_point:
        numbers = numbers * FIXED_POINT
    numerator, denominator = tick_size.as_integer_ratio()
    # In place: of millions of rows most of the time would go into pages of memory for what lies between.
    exact = numbers * denominator
    exact /= numerator
    ticks = np.rint(exact)
    positive = read & (numbers > 0) & (ticks <= LARGEST_TICKS)
    exact -= ticks
    on_grid = np.abs(exact, out=exact) <= SNAP_TICKS
    if column.type == pa.float32():  # holds seven digits: the nearest one to a price on the grid is that price
        on_grid |= (ticks * numerator / denominator).astype(np.float32) == numbers.astype(np.float32)
    expected = f"a multiple of the tick {tick_size} was expected"
    remedy = "Check the market; remove spreads, adjusted prices and other contracts"
    out_of_range_remedy = BELOW_ZERO_REMEDY if (read & (numbers < 0)).any() else "Correct or remove the row"
    out_of_range = "a price above zero, of at most 2147483647 ticks, was expected"
    faults += _faults_at("price_range", read & ~positive, lines, name, (shown, out_of_range, out_of_range_remedy))
    faults += _faults_at("off_tick", positive & ~on_grid, lines, name, (shown, expected, remedy))
    usable = positive & on_grid
    ticks[~usable] = 0
    return CheckedColumn(ticks.astype(np.int64), usable, faults, numbers)


def check_volume(column: pa.ChunkedArray, lines: Lines) -> CheckedColumn:
    """Volumes [T] as whole contracts, zero allowed."""
    numbers, read, shown, faults = _numbers(column, lines, "volume", NUMBER_OR_EXPONENT)
    usable = read & (numbers >= 0) & (numbers <= LARGEST_VOLUME) & (np.rint(numbers) == numbers)
    wording = (shown, "a whole number of contracts, zero or more, was expected", "Correct or remove the row")
    faults += _faults_at("bad_volume", read & ~usable, lines, "volume", wording)
    return CheckedColumn(np.where(usable, numbers, 0).astype(np.int64), usable, faults, numbers)


def check_shape(prices: dict[str, CheckedColumn], lines: Lines) -> list[RowFault]:
    """Bars [T] whose high is not their highest price, or whose low is not their lowest."""
    usable = np.logical_and.reduce([prices[name].usable for name in PRICE_COLUMNS])
    opened, high, low, close = (prices[name].values for name in PRICE_COLUMNS)
    upside_down = usable & (high < low)
    shown = _Shown(lambda k: f"open {opened[k]}, high {high[k]}, low {low[k]}, close {close[k]} ticks")
    remedy = "Check the order of the columns; correct or remove the row"
    faults = _faults_at("high_below_low", upside_down, lines, "high", (shown, "high >= low was expected", remedy))
    for name, price in (("open", opened), ("close", close)):
        outside = usable & ~upside_down & ((price > high) | (price < low))
        wording = (shown, f"low <= {name} <= high was expected", remedy)
        faults += _faults_at("outside_range", outside, lines, name, wording)
    return faults


def check_order(
    ts_event_ns: Lines, lines: Lines, name: str, repeats: npt.NDArray[np.bool_] | None = None
) -> list[RowFault]:
    """Stamps [T] that do not come after the one before; ``repeats`` [T] are rows with the values of the row above."""
    steps = np.diff(ts_event_ns, prepend=ts_event_ns[:1] - 1)
    backward, same = steps < 0, steps == 0
    shown = _Shown(lambda k: str(np.datetime64(int(ts_event_ns[k]), "ns")))
    if len(steps) > 1 and backward.sum() > REVERSED_SHARE * (len(steps) - 1):
        at = np.array([lines[1]])
        remedy = "Reverse the file: the newest bar stands first"
        return [
            RowFault(
                code="newest_first",
                lines=at,
                column=name,
                value=lambda _k: shown[1],
                expected="times that increase were expected",
                remedy=remedy,
            )
        ]
    wording = (shown, "a later time than in the row above was expected", "Sort the file, or remove what was spliced in")
    repeats = np.zeros(len(lines), bool) if repeats is None else repeats
    copied = (shown, "one bar for each time was expected, this repeats the row above", "Remove one of the two rows")
    differs = (
        shown,
        "one bar for each time was expected, the row above has other values",
        "Find out which one is right",
    )
    faults = _faults_at("out_of_order", backward, lines, name, wording)
    faults += _faults_at("duplicate_row", same & repeats, lines, name, copied)
    return faults + _faults_at("duplicate_time", same & ~repeats, lines, name, differs)


def check_interval(
    ts_event_ns: Lines, interval_s: int, lines: Lines, name: str, *, sparse: bool = False
) -> list[RowFault]:
    """Stamps [T] between the intervals, or a whole file of another interval; ``sparse`` bars may all lie far apart."""
    off = ts_event_ns % (interval_s * NS_PER_SECOND) != 0
    seconds = np.diff(ts_event_ns) // NS_PER_SECOND
    step = int(np.gcd.reduce(seconds)) if len(seconds) else interval_s
    judged = len(ts_event_ns) >= ROWS_TO_JUDGE_INTERVAL
    finer, coarser = off.mean() > OFF_INTERVAL_SHARE, step > interval_s and not sparse
    if judged and (finer or coarser):
        common = step if coarser else _common_step(seconds)
        expected = f"bars of {interval_s} s were expected; this looks like a file of {common}-second bars"
        only = f"rl-core data check --interval {common} only describes this one"
        remedy = f"Give a file of {interval_s}-second bars; {only}"
        return [whole_file("wrong_interval", f"{common} s", expected, remedy)]
    shown = _Shown(lambda k: str(np.datetime64(int(ts_event_ns[k]), "ns")))
    wording = (shown, f"a start on a whole {interval_s} s was expected", "Stamp bars by their start, or remove the row")
    return _faults_at("off_interval", off, lines, name, wording)


def check_symbol(column: pa.ChunkedArray, symbol: str, lines: Lines) -> list[RowFault]:
    """Symbols [T] of another contract than the first row's, of another market, or of no single contract."""
    text = pc.cast(column, pa.string()).combine_chunks()
    text = pc.fill_null(text, "") if text.null_count else text
    named = text.dictionary_encode()
    first, index = text[0].as_py(), as_numpy(named.indices)
    spread = np.array([is_spread(name) for name in named.dictionary.to_pylist()], bool)[index]
    if spread.any():
        expected = "one contract's bars were expected, this is a spread: its price is a difference, not the market's"
        remedy = "Take the outright; rl-core data ingest chooses it from a file of all"
        return _faults_at("spread", spread, lines, "symbol", (text, expected, remedy))
    if not is_of(first, symbol):
        at, expected = np.zeros(len(text), bool), f"bars of {symbol} were expected"
        at[0] = True
        return _faults_at("other_market", at, lines, "symbol", (text, expected, "Name the right market"))
    mixed = index != index[0]
    wording = (text, f"{first} alone was expected", "Keep one contract, chosen by volume, and no spreads")
    return _faults_at("mixed_symbols", mixed, lines, "symbol", wording)


def check_rolls(
    column: pa.ChunkedArray, lines: Lines, *, part: bool = False
) -> tuple[npt.NDArray[np.int32], list[RowFault]]:
    """Rolls [T] before each row: a count that never steps back or by more than one, and starts at 0.

    In a ``part`` of a file it starts at any count.
    """
    numbers, read, shown, faults = _numbers(column, lines, ROLL_COLUMN)
    steps = np.diff(numbers, prepend=0.0)
    wrong = read & (steps != 0) & (steps != 1)
    wrong[0] = read[0] & ((numbers[0] < 0 or numbers[0] % 1 != 0) if part else numbers[0] != 0)
    expected = "the number of rolls before this row was expected, from 0, never less than above"
    faults += _faults_at("bad_roll", wrong, lines, ROLL_COLUMN, (shown, expected, "Ingest the vendor's file again"))
    return numbers.astype(np.int32), faults


class _Numbers(NamedTuple):
    values: npt.NDArray[np.float64]
    read: npt.NDArray[np.bool_]
    shown: Any
    faults: list[RowFault]


class _Shown:
    """Callable that quotes the value of row ``k``, so that only the rows of an error are made into text."""

    def __init__(self, quote: Callable[[int], str]) -> None:
        self._quote = quote

    def __getitem__(self, k: int) -> str:
        return self._quote(k)


def _numbers(column: pa.ChunkedArray, lines: Lines, name: str, written: str = NUMBER) -> _Numbers:
    """Floats [T] of a column of text or numbers; of text only what is ``written`` so is a number."""
    column = column.combine_chunks()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        read = as_numpy(pc.match_substring_regex(column, written), False)
        text = column if read.all() else pc.if_else(pa.array(read), column, "0")
        values = as_numpy(pc.cast(text, pa.float64()))
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or _is_decimal(column.type)):
        values, read = np.zeros(len(column)), np.zeros(len(column), bool)
    else:
        values = as_numpy(pc.cast(column, pa.float64()), np.nan)
        read = np.isfinite(values)
        values = values if read.all() else np.where(read, values, 0.0)
    remedy = "Correct or remove the row"
    if not read.all() and "," in str(column[int(read.argmin())]):
        remedy = "Export numbers with a decimal point, and with nothing between the thousands"
    wording = (column, "a plain decimal number was expected", remedy)
    return _Numbers(values, read, column, _faults_at("bad_number", ~read, lines, name, wording))


def _is_decimal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind))


def _faults_at(
    code: str, wrong: npt.NDArray[np.bool_], lines: Lines, name: str, wording: tuple[Any, str, str]
) -> list[RowFault]:
    """One fault for the rows in ``wrong`` [T], or none; ``wording`` is what to quote, what was expected, the remedy."""
    rows = np.flatnonzero(wrong)
    if not len(rows):
        return []
    shown, expected, remedy = wording
    return [
        RowFault(
            code=code,
            lines=lines[rows],
            column=name,
            value=lambda k: shown[int(rows[k])],
            expected=expected,
            remedy=remedy,
        )
    ]


def _common_step(seconds: npt.NDArray[np.int64]) -> int:
    """The most frequent step in seconds."""
    steps, counts = np.unique(seconds[seconds > 0], return_counts=True)
    return int(steps[counts.argmax()]) if len(steps) else 0
