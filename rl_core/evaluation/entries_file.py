"""A trader's own entries, read from csv or parquet and checked row by row against the bars that they are of."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet

from rl_core.bars.arrow_columns import as_numpy, is_filled
from rl_core.bars.faults import RowFault, always, in_header, refuse, whole_file
from rl_core.bars.layouts import COMMAS, OTHER_SEPARATORS
from rl_core.bars.numbers import check_prices
from rl_core.bars.opening import kind_of, text_of
from rl_core.bars.read import arrow_faults
from rl_core.bars.times import Clock, read_times
from rl_core.evaluation.entrants import Signals
from rl_core.features.market_view import MarketView
from rl_core.market.costs import stop_distance, target_distance
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import Bracket, PlainIntegers
from rl_core.trading.hours import MINUTE_NS

NEEDED = ("time", "side")
LEVELS = ("stop", "target")
KNOWN = (*NEEDED, *(f"{level}{kind}" for level in LEVELS for kind in ("", "_points")))
SIDES = {"long": 1, "buy": 1, "1": 1, "+1": 1, "1.0": 1, "short": -1, "sell": -1, "-1": -1, "-1.0": -1}
SUSPECT = ("stop", "target", "sl", "tp", "take", "profit", "exit")  # how columns begin that would change a trade
XP = PlainIntegers()

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Entries(NamedTuple):
    """Entries of a file, all of them checked."""

    signals: Signals
    notes: tuple[str, ...]


class _Rows(NamedTuple):
    """The known columns of a file as they stand [N], and the line of each row."""

    columns: dict[str, pa.ChunkedArray]
    lines: Integers
    ignored: tuple[str, ...]


class _Level(NamedTuple):
    """A stop or a target [N]."""

    price: Integers  # ticks; 0 where none was given
    distance: Integers  # ticks from the close; 0 where neither was given
    faults: list[RowFault]


def read_entries(path: Path, view: MarketView, clock: Clock) -> Entries:
    """The entries of ``path`` on the bars of ``view``.

    A row holds ``time``, the start of the bar at whose close the entry was decided (its end with ``clock.stamp`` end),
    and ``side``; a ``stop`` and a ``target`` as prices, or ``stop_points`` and ``target_points`` as distances from the
    fill. Where a stop is left out it is 1.5 ATR14, where a target is, three times the stop's distance.

    Raises:
        DataError: a row cannot be an entry; names file, row, column, fault and remedy, and counts the others.
        ConfigError: there is no such time zone.
    """
    rows = _read_rows(path)
    with arrow_faults(path):
        bar, faults = _bars_of(rows, view, clock)
        side, wrong = _sides(rows)
        refuse(path, [*faults, *wrong])
        faults = [*_outside_hours(rows, bar, view), *_doubled(rows, bar)]
        stop, target = (_level(rows, name, side, bar, view) for name in LEVELS)
    refuse(path, [*faults, *stop.faults, *target.faults])
    sides = np.zeros(len(view.bars), np.int8)
    sides[bar] = side
    brackets = _brackets(bar, stop, target, view)
    notes = (f"ignored columns: {', '.join(rows.ignored)}",) if rows.ignored else ()
    return Entries(Signals(path.name, sides, brackets), notes)


def _read_rows(path: Path) -> _Rows:
    if not path.is_file():
        refuse(path, [whole_file("not_a_file", path.name, "a file of entries was expected", "Check the path")])
    kind = kind_of(path)
    if kind == "dbn":
        remedy = "Give entries as csv or parquet"
        refuse(path, [whole_file("unknown_ending", path.name, "bars were found", remedy)])
    return _of_parquet(path) if kind == "parquet" else _of_text(path, text_of(path, kind).decode())


def _of_parquet(path: Path) -> _Rows:
    try:
        table = pa_parquet.read_table(str(path))
    except (OSError, pa.ArrowException) as error:
        refuse(path, [whole_file("unreadable_parquet", error, "a whole parquet file was expected", "Export it again")])
        raise
    names = [str(name).strip().lower() for name in table.column_names]
    _check_header(path, names)
    if not table.num_rows:
        refuse(path, [_no_rows()])
    columns = {name: table.column(names.index(name)) for name in KNOWN if name in names}
    return _Rows(columns, np.arange(1, table.num_rows + 1), _ignored(names))


def _of_text(path: Path, text: str) -> _Rows:
    reader = csv.reader(text.splitlines())
    names = [name.strip().lower() for name in next(reader, [])]
    _check_header(path, names)
    rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    if not rows:
        refuse(path, [_no_rows()])
    uneven = [line for line, row in rows if len(row) != len(names)]
    if uneven:
        expected = f"{len(names)} columns were expected, as in the header"
        fault = RowFault(
            code="uneven_row",
            lines=np.array(uneven),
            column="",
            value=always("another number of columns"),
            expected=expected,
            remedy="Correct or remove the row",
        )
        refuse(path, [fault])
    columns = {
        name: pa.chunked_array([pa.array([row[names.index(name)] for _, row in rows], pa.string())])
        for name in KNOWN
        if name in names
    }
    return _Rows(columns, np.array([line for line, _ in rows]), _ignored(names))


def _check_header(path: Path, names: Sequence[str]) -> None:
    """Refuse a header without the needed columns, and one whose column might have been meant to be known."""
    faults, header = [], ",".join(names)
    remedy = f"Name the columns {', '.join(NEEDED)} and, if you have them, {', '.join(KNOWN[2:])}"
    if len(names) == 1 and OTHER_SEPARATORS & set(header):
        remedy = COMMAS
    for name in NEEDED:
        if name not in names:
            faults.append(in_header("missing_column", name, header, "it is needed", remedy))
    for name in names:
        if names.count(name) > 1 and name in KNOWN:
            faults.append(in_header("duplicate_column", name, header, "it may stand there once", "Keep the right one"))
        elif name not in KNOWN and name.startswith(SUSPECT):
            faults.append(
                in_header("unknown_column", name, header, "it might change a trade", f"{remedy}; or remove it")
            )
    refuse(path, faults)


def _no_rows() -> RowFault:
    return whole_file("no_rows", "no entry", "one entry a row was expected", "Export the file again")


def _ignored(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in KNOWN)


def _bars_of(rows: _Rows, view: MarketView, clock: Clock) -> tuple[Integers, list[RowFault]]:
    """The bar [N] of each row; 0 where there is a fault."""
    times = read_times(rows.columns["time"], rows.lines, "time", clock)
    ts, known = times.ts_event_ns - (MINUTE_NS if clock.stamp == "end" else 0), view.bars.ts_event_ns
    bar = np.minimum(np.searchsorted(known, ts), len(known) - 1)
    no_bar = times.readable & (known[bar] != ts)
    first, last = (np.datetime64(int(known[at]), "ns").astype("datetime64[s]") for at in (0, -1))
    fault = _fault(
        rows,
        "no_bar",
        no_bar,
        "time",
        (
            f"the start of a minute bar between {first}Z and {last}Z was expected",
            "Name the bar at whose close you decided: an order sent at 09:31:20 was decided at the close of the bar of "
            "09:30 (--stamp end if you name it 09:31)",
        ),
    )
    return np.where(times.readable & ~no_bar, bar, 0), [*times.faults, *fault]


def _sides(rows: _Rows) -> tuple[Integers, list[RowFault]]:
    words = [str(word).strip().lower() for word in rows.columns["side"].to_pylist()]
    side = np.array([SIDES.get(word, 0) for word in words])
    wording = ("long or short (buy or sell, 1 or -1) was expected", "Correct or remove the row")
    return side, _fault(rows, "unknown_side", side == 0, "side", wording)


def _outside_hours(rows: _Rows, bar: Integers, view: MarketView) -> list[RowFault]:
    wording = (
        "a bar at whose close an entry may be decided was expected: inside trading.hours and before the flat time",
        "Widen the hours with --set trading.hours.first_minute=N and last_minute=N, minutes of the ET day, or remove "
        "the row",
    )
    return _fault(rows, "outside_hours", ~view.hours.entry_open[bar], "time", wording)


def _doubled(rows: _Rows, bar: Integers) -> list[RowFault]:
    order = np.argsort(bar, kind="stable")
    again = np.zeros(len(bar), bool)
    again[order[1:]] = np.diff(bar[order]) == 0
    wording = ("one entry a bar was expected: one position is held at a time", "Keep one of the rows of this bar")
    return _fault(rows, "doubled", again, "time", wording)


def _level(rows: _Rows, name: str, side: Integers, bar: Integers, view: MarketView) -> _Level:
    """The stop or the target of each row, checked against the close at which it was decided."""
    price, priced, faults = _ticks(rows, name, view)
    points, pointed, more = _ticks(rows, f"{name}_points", view)
    close = view.bars.close[bar].astype(np.int64)
    away = side * (close - price) if name == "stop" else side * (price - close)
    below = "below the close of its bar for a long and above it for a short"
    above = "above the close of its bar for a long and below it for a short"
    wrong_side = (f"a {name} {below if name == 'stop' else above} was expected", "Correct the price or the side")
    twice = (f"either {name} or {name}_points was expected", "Leave one of them empty")
    return _Level(
        price=np.where(priced, price, 0),
        distance=np.where(priced, away, points),
        faults=[
            *faults,
            *more,
            *_fault(rows, "wrong_side", priced & (price > 0) & (away <= 0), name, wrong_side),
            *_fault(rows, "given_twice", priced & pointed, name, twice),
        ],
    )


def _ticks(rows: _Rows, name: str, view: MarketView) -> tuple[Integers, Bools, list[RowFault]]:
    """A column in ticks [N], where it says anything, and its faults; zeros where it does not."""
    column = rows.columns.get(name)
    ticks, given = np.zeros(len(rows.lines), np.int64), np.zeros(len(rows.lines), bool)
    if column is None:
        return ticks, given, []
    given = as_numpy(pc.is_valid(column))
    if pa.types.is_floating(column.type):
        given &= ~np.isnan(as_numpy(column, np.nan))
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        given &= is_filled(column)
    if not given.any():
        return ticks, given, []
    checked = check_prices(column.filter(pa.array(given)), view.bars.instrument.tick_size, rows.lines[given], name)
    ticks[given] = checked.values
    return ticks, given, checked.faults


def _brackets(bar: Integers, stop: _Level, target: _Level, view: MarketView) -> dict[int, OwnBracket]:
    """By bar, of the rows that bring a stop or a target."""
    brackets = {}
    for row in np.flatnonzero((stop.distance > 0) | (target.distance > 0)):
        usual = int(stop_distance(XP, int(view.features.true_range_sum[bar[row]]), view.yardstick))
        stop_ticks = int(stop.distance[row]) or usual
        target_ticks = int(target.distance[row]) or int(target_distance(stop_ticks, view.yardstick))
        fixed_stop, fixed_target = int(stop.price[row]) or None, int(target.price[row]) or None
        brackets[int(bar[row])] = OwnBracket(Bracket(stop_ticks, target_ticks), fixed_stop, fixed_target)
    return brackets


def _fault(rows: _Rows, code: str, wrong: Bools, column: str, wording: tuple[str, str]) -> list[RowFault]:
    """The rows in ``wrong`` [N] as one fault, with what was expected and the remedy; nothing if there are none."""
    at = np.flatnonzero(wrong)
    if not len(at):
        return []
    expected, remedy = wording
    value: Callable[[int], object] = lambda k: rows.columns[column][int(at[k])]  # noqa: E731
    return [RowFault(code=code, lines=rows.lines[at], column=column, value=value, expected=expected, remedy=remedy)]
