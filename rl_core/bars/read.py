"""A bars file becomes `Bars`: every row read strictly, or the first fault named."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rl_core.bars.bars import Bars
from rl_core.bars.choices import (
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
from rl_core.bars.times import read_times
from rl_core.exchange.instruments import INSTRUMENTS, Instrument, instrument

DEFAULT_MARKET = "NQ"


def read_bars(
    path: Path,
    *,
    market: str | None = None,
    interval_s: int = 60,
    timezone: str | None = None,
    rolls: Path | None = None,
    exclude: Path | None = None,
) -> Bars:
    """The bars of a csv, csv.gz, csv.zst or parquet file, all of it checked.

    Whether a bar lies in a session is not asked here, and minutes without a trade have no bar.

    Args:
        path: columns ``datetime``, ``ts_event`` or ``timestamp``, and ``open, high, low, close, volume``; perhaps
            ``symbol``, and ``roll_index``, the rolls before each bar.
        market: symbol; else the one that the file is named after, else NQ with a note.
        interval_s: seconds a bar lasts.
        timezone: of times that state none.
        rolls: a file that names the contract changes (`bars_choices.RollSchedule`).
        exclude: a file that lists rows to leave out (`bars_choices.ExcludeList`).

    Raises:
        DataError: anything in the file is wrong; names the first fault and counts the others.
        ConfigError: no such market or zone is known, or a list cannot be read.
    """
    symbol = market or market_of(path)
    contract = instrument(symbol or DEFAULT_MARKET)
    raw = read_columns(path)
    notes = raw.notes if symbol else (*raw.notes, f"the file's name states no market: {DEFAULT_MARKET} assumed")
    left_out = raw.left_out
    if exclude is not None:
        listed = read_exclude_list(exclude)
        raw, note = _left_out(path, raw, listed, timezone)
        notes, left_out = (*notes, note), left_out + listed.described()
    columns = parse_columns(path, raw, contract, interval_s, timezone)
    refuse(path, check_splices(columns.prices, raw.lines) + check_frozen(columns.prices, raw.lines))
    index = columns.roll_index
    if rolls is not None:
        index = contract_index(read_roll_schedule(rolls), columns.prices.ts_event_ns)
    opened, high, low, close = (x.astype(np.int32) for x in columns.prices[1:5])
    ts_event_ns, volume = columns.prices.ts_event_ns, columns.prices.volume
    return Bars(
        instrument=contract,
        interval_s=interval_s,
        ts_event_ns=ts_event_ns,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        notes=notes,
        left_out=left_out,
        contract=index,
        lines=raw.lines,
        world=raw.world,
    )


class ParsedFile(NamedTuple):
    """A whole file, parsed and found to be in order."""

    prices: Prices
    roll_index: npt.NDArray[np.int32]


def parse_columns(
    path: Path,
    raw: RawColumns,
    contract: Instrument,
    interval_s: int,
    timezone: str | None,
    *,
    sparse: bool = False,
) -> ParsedFile:
    """The rows of one contract's file, all of them checked.

    Args:
        path: of the file, for errors.
        raw: its columns.
        contract: of the prices.
        interval_s: seconds a bar lasts.
        timezone: of times that state none.
        sparse: bars far apart are no sign of another interval.

    Raises:
        DataError: names the first fault and counts the others.
    """
    table, lines = raw.table, raw.lines
    checked = {name: check_prices(table[name], contract.tick_size, lines, name) for name in PRICE_COLUMNS}
    volume = check_volume(table["volume"], lines)
    scaled = check_scale(checked["close"], lines)
    faults = scaled.faults + [f for c in (*checked.values(), volume) for f in without(c.faults, lines[scaled.off])]
    faults += raw.faults + check_shape(checked, lines)
    if SYMBOL_COLUMN in table.column_names:
        faults += check_symbol(table[SYMBOL_COLUMN], contract.symbol, lines)
    roll_index, wrong = check_rolls(table[ROLL_COLUMN], lines) if ROLL_COLUMN in table.column_names else _NO_ROLLS
    faults += wrong
    ts_event_ns = _times(raw, interval_s, timezone, _repeats((*checked.values(), volume)), sparse, faults)
    refuse(path, faults)
    opened, high, low, close = (checked[name].values for name in PRICE_COLUMNS)
    return ParsedFile(Prices(ts_event_ns, opened, high, low, close, volume.values), roll_index)


_NO_ROLLS: tuple[npt.NDArray[np.int32], list[RowFault]] = (np.zeros(0, np.int32), [])


def _repeats(columns: tuple[CheckedColumn, ...]) -> npt.NDArray[np.bool_]:
    """[T] rows with every value of the row above."""
    same = np.ones(len(columns[0].values), bool)
    same[:1] = False
    for column in columns:
        same[1:] &= column.numbers[1:] == column.numbers[:-1]
    return same


def _left_out(path: Path, raw: RawColumns, chosen: ExcludeList, timezone: str | None) -> tuple[RawColumns, str]:
    """The columns without the listed rows, and a note that says so."""
    strays = [fault.lines for fault in raw.faults]
    every = np.concatenate([raw.lines, *strays])
    dropped = every[~kept_rows(path, chosen, every)]
    kept = ~np.isin(raw.lines, dropped)
    gone = raw.table["time"].filter(pa.array(~kept))
    if len(gone):
        times = read_times(gone, raw.lines[~kept], raw.time_column, timezone)
        check_times(path, chosen, raw.lines[~kept][times.readable], times.ts_event_ns[times.readable])
    faults = without(raw.faults, dropped)
    if not kept.any():
        refuse(path, [whole_file("no_rows", "every row is left out", "bars were expected", "Shorten the list")])
    reasons = "; ".join(sorted({row.reason for row in chosen.row}))
    note = f"left out {len(chosen.row)} listed rows: {reasons}"
    return raw._replace(table=raw.table.filter(pa.array(kept)), lines=raw.lines[kept], faults=faults), note


def _times(
    raw: RawColumns,
    interval_s: int,
    timezone: str | None,
    repeats: npt.NDArray[np.bool_],
    sparse: bool,
    faults: list[RowFault],
) -> npt.NDArray[np.int64]:
    """[T] start times; what is wrong with them is added to ``faults``, in order and interval of what is readable."""
    times = read_times(raw.table["time"], raw.lines, raw.time_column, timezone)
    faults += times.faults
    stamps, lines = times.ts_event_ns[times.readable], raw.lines[times.readable]
    if len(stamps):
        faults += check_order(stamps, lines, raw.time_column, repeats[times.readable])
        faults += check_interval(stamps, interval_s, lines, raw.time_column, sparse=sparse)
    return times.ts_event_ns


def market_of(path: Path) -> str | None:
    """The market named by a file called ``<MARKET>_D1M...`` or ``<MARKET>_D1S...``, if it is a known one."""
    matched = re.match(r"([A-Za-z0-9]+)_", path.name)
    symbol = matched.group(1).upper() if matched else ""
    return symbol if symbol in INSTRUMENTS else None
