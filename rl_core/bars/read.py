"""A bars file becomes `Bars`: every row read strictly, or the first fault named."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.bars.choices import (
    Choices,
    ExcludeList,
    check_times,
    contract_index,
    kept_rows,
    read_exclude_list,
    read_roll_schedule,
)
from rl_core.bars.columns import (
    PRICE_COLUMNS,
    ROLL_COLUMN,
    SYMBOL_COLUMN,
    RawColumns,
    read_columns,
)
from rl_core.bars.faults import RowFault, refuse, whole_file, without
from rl_core.bars.layouts import Layout, Stamp, layout_named
from rl_core.bars.numbers import (
    CheckedColumn,
    check_interval,
    check_order,
    check_prices,
    check_rolls,
    check_shape,
    check_symbol,
    check_volume,
)
from rl_core.bars.plausibility import Prices, check_frozen, check_scale, check_splices
from rl_core.bars.symbols import is_contract_of
from rl_core.bars.times import Clock, Times, read_times
from rl_core.exchange.instruments import INSTRUMENTS, Instrument, instrument

DEFAULT_MARKET = "NQ"
ASSUMED = f"the file's name states no market: {DEFAULT_MARKET} assumed"
NO_CHOICES = Choices()
# A sign of a continuous series, or TradingView's exchange and, where its prices are late or of the day's end, that.
_BEFORE_SYMBOL = r"(?:[@#$]|(?:CME|CBOT|NYMEX|COMEX)(?:_MINI)?(?:_DL|_EOD)?_)?"


def read_bars(
    path: Path,
    *,
    market: str | None = None,
    interval_s: int = 60,
    timezone: str | None = None,
    stamp: Stamp | None = None,
    choices: Choices = NO_CHOICES,
) -> Bars:
    """The bars of a csv, txt, parquet or DBN file, all of it checked.

    Whether a bar lies in a session is not asked here, and minutes without a trade have no bar.

    Args:
        path: a file with a time, ``open, high, low, close, volume``, perhaps ``symbol``, and ``roll_index``, the rolls
            before each bar; in our own form or in a vendor's (`rl_core.bars.layouts`).
        market: symbol; else the one that the file is named after, else NQ with a note.
        interval_s: seconds a bar lasts.
        timezone: of times that state none; else the one that the vendor documents.
        stamp: whether times mark the start or the end of their bar; else what the vendor documents, else the start.
        choices: what a person says of this file.

    Raises:
        DataError: anything in the file is wrong; names the first fault and counts the others.
        ConfigError: no such market, zone or form is known, or a list cannot be read.
    """
    symbol = market or market_of(path)
    contract = instrument(symbol or DEFAULT_MARKET)
    raw = read_columns(path, None if choices.layout is None else layout_named(choices.layout))
    clock = clock_of(raw.layout, timezone, stamp)
    notes = raw.notes if symbol else (*raw.notes, ASSUMED)
    notes, left_out = (*notes, *layout_notes(raw.layout, timezone, stamp)), raw.left_out
    with arrow_faults(path):
        raw = oldest_first(raw, clock)
        if choices.exclude is not None:
            listed = read_exclude_list(choices.exclude)
            raw, note = _left_out(path, raw, listed, clock)
            notes, left_out = (*notes, note), left_out + listed.described()
        columns = parse_columns(path, raw, contract, interval_s, clock)
    refuse(path, check_splices(columns.prices, raw.lines) + check_frozen(columns.prices, raw.lines))
    if columns.zone_unused and timezone is not None:
        notes = (*notes, f"--timezone {timezone} is not used: the times of this file state their zone themselves")
    notes = (*notes, columns.note) if columns.note else notes
    index = columns.roll_index
    if choices.rolls is not None:
        index = contract_index(read_roll_schedule(choices.rolls), columns.prices.ts_event_ns)
    opened, high, low, close = (x.astype(np.int32) for x in columns.prices[1:5])
    return Bars(
        instrument=contract,
        interval_s=interval_s,
        ts_event_ns=columns.prices.ts_event_ns,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=columns.prices.volume,
        notes=notes,
        left_out=left_out,
        contract=index,
        lines=raw.lines,
        world=raw.world,
    )


def assumed_market(bars: Bars) -> tuple[str, ...]:
    """A warning where nobody said of which market ``bars`` are; ES has the tick of NQ, so that no price would tell."""
    return (f"{ASSUMED}; name another with --market",) if ASSUMED in bars.notes else ()


def clock_of(layout: Layout, timezone: str | None, stamp: Stamp | None) -> Clock:
    """How the times of a file are to be understood: as a person says, else as its vendor documents."""
    return Clock(layout.timezone if timezone is None else timezone, stamp or layout.stamp, layout.time_formats)


def oldest_first(raw: RawColumns, clock: Clock) -> RawColumns:
    """The rows of a vendor that writes the newest bar first, turned round; others are left for the check of order."""
    if raw.layout.name != "barchart":
        return raw
    ends = raw.table["time"].take(pa.array([0, raw.table.num_rows - 1]))
    times = read_times(ends, raw.lines[[0, -1]], raw.time_column, clock)
    if not times.readable.all() or times.ts_event_ns[0] <= times.ts_event_ns[1]:
        return raw
    backwards = np.arange(raw.table.num_rows)[::-1]
    return raw._replace(table=raw.table.take(pa.array(backwards)), lines=raw.lines[::-1].copy())


@contextmanager
def arrow_faults(path: Path) -> Iterator[None]:
    """Whatever Arrow cannot do with the columns of ``path`` is a fault of the file.

    Raises:
        DataError: it could not.
    """
    try:
        yield
    except pa.ArrowException as error:
        remedy = "Export the file again, with times and numbers as text or as numbers"
        text = str(error).splitlines()[0]
        refuse(path, [whole_file("unreadable_column", text, "columns of times and numbers were expected", remedy)])


def layout_notes(layout: Layout, timezone: str | None, stamp: Stamp | None) -> tuple[str, ...]:
    """What was taken from the vendor's documents and not from the file."""
    if layout.name in ("plain", "databento"):
        return ()
    notes = [f"read in the form of {layout.name}"]
    if layout.timezone is not None and timezone is None:
        notes.append(f"times without a zone taken as {layout.timezone}, as {layout.name} writes them")
    if layout.stamp == "end" and stamp is None:
        notes.append(f"stamps taken as the ends of bars, as {layout.name} writes them")
    return tuple(notes)


class ParsedFile(NamedTuple):
    """A whole file, parsed and found to be in order."""

    prices: Prices
    roll_index: npt.NDArray[np.int32]
    zone_unused: bool = False
    """Every time states its own zone."""
    note: str = ""
    """In which order day and month were read; empty where a date has but one."""


def parse_columns(
    path: Path,
    raw: RawColumns,
    contract: Instrument,
    interval_s: int,
    clock: Clock,
    *,
    part: bool = False,
) -> ParsedFile:
    """The rows of one contract's file, all of them checked.

    Args:
        path: of the file, for errors.
        raw: its columns.
        contract: of the prices.
        interval_s: seconds a bar lasts; 0: moments, in any order, as trades come.
        clock: how its times are to be understood.
        part: they are some of its rows: bars far apart are no sign of another interval, and contracts may have rolled.

    Raises:
        DataError: names the first fault and counts the others.
    """
    table, lines = raw.table, raw.lines
    checked = {
        name: check_prices(table[name], contract.tick_size, lines, name, fixed_point=raw.fixed_point)
        for name in PRICE_COLUMNS
    }
    volume = check_volume(table["volume"], lines)
    scaled = check_scale(checked["close"], lines)
    faults = scaled.faults + [f for c in (*checked.values(), volume) for f in without(c.faults, lines[scaled.off])]
    faults += raw.faults + check_shape(checked, lines)
    if SYMBOL_COLUMN in table.column_names:
        faults += check_symbol(table[SYMBOL_COLUMN], contract.symbol, lines)
    roll_index, wrong = _NO_ROLLS
    if ROLL_COLUMN in table.column_names:
        roll_index, wrong = check_rolls(table[ROLL_COLUMN], lines, part=part)
    faults += wrong
    times = _times(raw, clock, interval_s)
    faults += times.faults
    if interval_s:
        repeats = _repeats((*checked.values(), volume))
        faults += _order_faults(raw, times, interval_s, repeats, sparse=part)
    refuse(path, faults)
    opened, high, low, close = (checked[name].values for name in PRICE_COLUMNS)
    prices = Prices(times.ts_event_ns, opened, high, low, close, volume.values)
    return ParsedFile(prices, roll_index, times.zone_unused, times.note)


_NO_ROLLS: tuple[npt.NDArray[np.int32], list[RowFault]] = (np.zeros(0, np.int32), [])


def _repeats(columns: tuple[CheckedColumn, ...]) -> npt.NDArray[np.bool_]:
    """[T] rows with every value of the row above."""
    same = np.ones(len(columns[0].values), bool)
    same[:1] = False
    for column in columns:
        same[1:] &= column.numbers[1:] == column.numbers[:-1]
    return same


def _left_out(path: Path, raw: RawColumns, chosen: ExcludeList, clock: Clock) -> tuple[RawColumns, str]:
    """The columns without the listed rows, and a note that says so."""
    strays = [fault.lines for fault in raw.faults]
    every = np.concatenate([raw.lines, *strays])
    dropped = every[~kept_rows(path, chosen, every)]
    kept = ~np.isin(raw.lines, dropped)
    gone = raw.table["time"].filter(pa.array(~kept))
    if len(gone):
        times = read_times(gone, raw.lines[~kept], raw.time_column, clock)
        check_times(path, chosen, raw.lines[~kept][times.readable], times.ts_event_ns[times.readable])
    faults = without(raw.faults, dropped)
    if not kept.any():
        refuse(path, [whole_file("no_rows", "every row is left out", "bars were expected", "Shorten the list")])
    reasons = "; ".join(sorted({row.reason for row in chosen.row}))
    note = f"left out {len(chosen.row)} listed rows: {reasons}"
    return raw._replace(table=raw.table.filter(pa.array(kept)), lines=raw.lines[kept], faults=faults), note


def _times(raw: RawColumns, clock: Clock, interval_s: int) -> Times:
    """The starts of the bars: a stamp of their end moved back by one interval."""
    times = read_times(raw.table["time"], raw.lines, raw.time_column, clock)
    if clock.stamp == "start":
        return times
    moved = times.ts_event_ns - np.where(times.readable, interval_s * NS_PER_SECOND, 0)
    return times._replace(ts_event_ns=moved)


def _order_faults(
    raw: RawColumns, times: Times, interval_s: int, repeats: npt.NDArray[np.bool_], *, sparse: bool
) -> list[RowFault]:
    """What is wrong with the order and the interval of the times that could be read."""
    starts, lines = times.ts_event_ns[times.readable], raw.lines[times.readable]
    if not len(starts):
        return []
    return check_order(starts, lines, raw.time_column, repeats[times.readable]) + check_interval(
        starts, interval_s, lines, raw.time_column, sparse=sparse
    )


def market_of(path: Path) -> str | None:
    """The known market with which a file's name begins; None where it states none.

    As in ``NQ_D1M.csv``, ``NQ 03-24.Last.txt``, ``ESH24_FUT_CME.scid_BarData.txt``, ``@CL.csv`` or TradingView's
    ``CME_MINI_DL_ES1!, 1.csv``. A contract counts in capital letters alone, as vendors write it: ``sim5`` is no silver.
    """
    matched = re.match(rf"{_BEFORE_SYMBOL}([A-Za-z0-9]+)!?[_ .,-]", path.name)
    word = matched.group(1) if matched else ""
    if word.upper() in INSTRUMENTS:
        return word.upper()
    return next((root for root in INSTRUMENTS if is_contract_of(word, root)), None)
