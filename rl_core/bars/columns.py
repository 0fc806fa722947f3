"""The needed columns of a bars file as they stand: its layout told, header and row lengths checked."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from rl_core.bars.arrow_columns import is_filled
from rl_core.bars.dbn import read_dbn
from rl_core.bars.faults import RowFault, always, in_header, refuse, whole_file
from rl_core.bars.layouts import COMMAS, LAYOUTS, OTHER_FORM, OTHER_SEPARATORS, PLAIN, TIME_COLUMNS, Layout, layout_of
from rl_core.bars.opening import LONGEST_LINE_BYTES, kind_of, text_of

PRICE_COLUMNS = ("open", "high", "low", "close")
VALUE_COLUMNS = (*PRICE_COLUMNS, "volume")
SYMBOL_COLUMN = "symbol"
ROLL_COLUMN = "roll_index"
# Of a parquet file's metadata, so that they travel with a copy of the file.
LEFT_OUT_KEY = b"trigate.left_out"
WORLD_KEY = b"trigate.world"
BLOCK_BYTES = 1 << 24
WHOLE = r"^\d{1,15}$"


class RawColumns(NamedTuple):
    """The needed columns, unparsed; ``time``, the prices, ``volume``, perhaps ``symbol`` and ``roll_index``."""

    table: pa.Table
    lines: npt.NDArray[np.int64]
    """[T] where each row stands in the file."""
    faults: list[RowFault]
    """Rows of another length than the header; they are not in ``table``."""
    notes: tuple[str, ...]
    time_column: str
    left_out: tuple[str, ...] = ()
    """Rows that a person left out when the file was made."""
    world: str = ""
    """JSON declaration of the synthetic market that wrote the file; empty for a market's."""
    layout: Layout = PLAIN
    """How the file is written."""
    fixed_point: bool = False
    """Prices are whole numbers of 1e-9 points."""


def read_columns(path: Path, layout: Layout | None = None) -> RawColumns:
    """The needed columns of a csv, parquet or DBN file, as they stand but without blanks around them.

    Args:
        path: of the file.
        layout: how it is written; else its first line tells.

    Raises:
        ConfigError: a DBN file, and the package that reads it is not installed.
        DataError: there is no such file, it is not what its name says, a column is missing or doubled, or it changed.
    """
    kind = kind_of(path)
    before = _stamp(path)
    if kind == "dbn":
        raw = _dbn_columns(path)
    else:
        raw = _parquet_columns(path, layout) if kind == "parquet" else csv_columns(path, text_of(path, kind), layout)
    if _stamp(path) != before:
        refuse(path, [whole_file("file_changed", path.name, "a file at rest was expected", "Wait until it is written")])
    return raw


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def csv_columns(path: Path, text: bytearray, layout: Layout | None = None, *, above: int = 0) -> RawColumns:
    """The needed columns of ``text``, the content of the csv file at ``path``, or its first line and some later rows.

    ``above`` is how many more rows stand above them in the file than in ``text``.

    Raises:
        DataError: as `read_columns`.
    """
    end = text.find(b"\n")
    first_line = text if end < 0 else text[:end]
    layout = layout or layout_of(first_line.decode(errors="replace"), _names(path, first_line, ","))
    if not layout.header or not re.match(layout.first_line, first_line.decode(errors="replace")):
        layout = layout._replace(header=())
    header = list(layout.header) or _header(path, first_line, layout.delimiter)
    header = [name.strip(layout.around_names) for name in header] if layout.around_names else header
    time_columns, chosen = _choose(path, header, layout)
    rest = text if layout.header else text[end:]
    if (end < 0 and not layout.header) or (len(rest) < LONGEST_LINE_BYTES and not rest.strip()):
        refuse(path, [whole_file("no_rows", "a header only", "bars were expected", "Export the file again")])
    strays: list[pa_csv.InvalidRow] = []
    try:
        table = _parse(text, header, list(chosen.values()), (layout, strays))
    except pa.ArrowInvalid as error:
        expected = f"plain rows with {layout.delimiter!r} between the columns were expected"
        refuse(path, [whole_file("unreadable_csv", error, expected, "Export it again")])
        raise
    table = _summed(_joined(_trimmed(table.rename_columns(list(chosen))), time_columns), layout)
    first = 1 if layout.header else 2
    total = table.num_rows + len(strays)
    lines = np.delete(np.arange(first, total + first), [row.number - first for row in strays])
    notes = _ignored(header, chosen)
    if strays and layout.footer and strays[-1].text.startswith(layout.footer):
        notes += (f"left out the last line: {strays.pop().text[:60]}",)
    table, lines, blank = _without_blank_end(table, lines)
    notes += (f"left out {blank:,} blank rows at the end",) if blank else ()
    if not text.endswith(b"\n"):
        notes += ("the last line has no line end: it may be cut",)
    faults = _stray_faults(strays, len(header), text, total + first - 1)
    lines, faults = lines + above, [replace(fault, lines=fault.lines + above) for fault in faults]
    if not table.num_rows:
        refuse(path, faults or [whole_file("no_rows", "blank rows only", "bars were expected", "Export it again")])
    fixed = layout.name == "databento" and "." not in str(table["open"][0])
    return RawColumns(table, lines, faults, notes, ", ".join(time_columns.values()), layout=layout, fixed_point=fixed)


def _names(path: Path, line: bytearray, delimiter: str) -> list[str]:
    """The first line as column names in lower case; none if it cannot be read as such."""
    try:
        return [name.strip().lower() for name in next(csv.reader([line.decode().rstrip("\r")], delimiter=delimiter))]
    except (UnicodeDecodeError, csv.Error, StopIteration):
        return []


def _header(path: Path, line: bytearray, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line.decode().rstrip("\r")], delimiter=delimiter))]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        refuse(path, [in_header("header", "", error, "column names in UTF-8 were expected", "Export the file again")])
        raise


def _trimmed(table: pa.Table) -> pa.Table:
    """The table without blanks around what its text columns hold; a dictionary of texts becomes texts."""
    for index, name in enumerate(table.column_names):
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
        table = table.set_column(index, name, column)
    return table


def _joined(table: pa.Table, time_columns: Mapping[str, str]) -> pa.Table:
    """The table with one column ``time``; several are joined by a blank."""
    if len(time_columns) == 1:
        return table
    parts = [pc.cast(table[key], pa.string()) for key in time_columns]
    return table.drop_columns(list(time_columns)).add_column(0, "time", pc.binary_join_element_wise(*parts, " "))


def _summed(table: pa.Table, layout: Layout) -> pa.Table:
    """The table with the sums of `Layout.summed` whose parts were chosen; what is no number stays as it stands."""
    for name, parts in layout.summed.items():
        keys = [f"{name} {part}" for part in parts if f"{name} {part}" in table.column_names]
        if not keys:
            continue
        whole = reduce(pc.and_, (pc.match_substring_regex(table[key], WHOLE) for key in keys))
        total = reduce(pc.add, (pc.cast(pc.if_else(whole, table[key], "0"), pa.int64()) for key in keys))
        as_written = pc.binary_join_element_wise(*(table[key] for key in keys), " + ")
        table = table.append_column(name, pc.if_else(whole, pc.cast(total, pa.string()), as_written)).drop_columns(keys)
    return table


def _without_blank_end(table: pa.Table, lines: npt.NDArray[np.int64]) -> tuple[pa.Table, npt.NDArray[np.int64], int]:
    """The rows before the run of wholly empty ones at the end, as spreadsheets leave it; and how long that run is."""
    filled = np.zeros(table.num_rows, bool)
    for name in table.column_names:
        filled |= is_filled(table[name])
    stop = int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0
    return table.slice(0, stop), lines[:stop], table.num_rows - stop


def _parse(
    text: bytearray, header: list[str], chosen: list[int], form: tuple[Layout, list[pa_csv.InvalidRow]]
) -> pa.Table:
    """The chosen columns as strings; rows of another length go to the list in ``form``."""
    layout, strays = form

    def keep(row: pa_csv.InvalidRow) -> str:
        strays.append(row)
        return "skip"

    names = [str(index) for index in range(len(header))]
    included = [names[index] for index in chosen]
    return pa_csv.read_csv(
        pa.BufferReader(text),
        # Row numbers are known only to a single thread.
        pa_csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=0 if layout.header else 1
        ),
        pa_csv.ParseOptions(delimiter=layout.delimiter, ignore_empty_lines=False, invalid_row_handler=keep),
        pa_csv.ConvertOptions(
            column_types=dict.fromkeys(included, pa.string()), strings_can_be_null=False, include_columns=included
        ),
    )


def _stray_faults(strays: list[pa_csv.InvalidRow], columns: int, text: bytearray, last_line: int) -> list[RowFault]:
    expected = f"{columns} columns were expected, as in the header"
    faults = []
    for row in strays:
        lines = np.array([row.number])
        cut = row.number == last_line and not text.endswith(b"\n")
        code = "cut_row" if cut else "short_row" if row.actual_columns < columns else "long_row"
        remedy = "The file was cut: copy it again" if cut else "Correct or remove the row"
        value = f"{row.actual_columns} columns: {row.text}"
        faults.append(
            RowFault(code=code, lines=lines, column="", value=always(value), expected=expected, remedy=remedy)
        )
    return faults


def _choose(path: Path, header: list[str], layout: Layout) -> tuple[dict[str, str], dict[str, int]]:
    """The time columns by our key, and where each needed column stands; names are compared in lower case."""
    names = [name.lower() for name in header]
    times = _time_columns(names, layout)
    wanted = times | {key: actual for name in VALUE_COLUMNS for key, actual in _sources(name, names, layout).items()}
    optional = ((name, _actual(name, names, layout)) for name in (SYMBOL_COLUMN, ROLL_COLUMN))
    wanted |= {name: actual for name, actual in optional if actual in names}
    faults = []
    for name in dict.fromkeys(wanted.values()):
        if name not in names:
            needed = f"time ({', '.join(TIME_COLUMNS)}) and {', '.join(VALUE_COLUMNS)} are needed"
            if layout.name != PLAIN.name:
                needed = f"{', '.join(dict.fromkeys(wanted.values()))} are needed in a file of {layout.name}'s form"
            faults.append(in_header("missing_column", name, ",".join(header), needed, _header_remedy(header)))
        elif names.count(name) > 1:
            remedy = "Keep the right one of them"
            faults.append(in_header("duplicate_column", name, ",".join(header), "it may stand there once", remedy))
    refuse(path, faults)
    return times, {key: names.index(name) for key, name in wanted.items()}


def _time_columns(names: list[str], layout: Layout) -> dict[str, str]:
    """The columns that hold the time: the first known name, or a date and a time beside each other."""
    if layout.time == TIME_COLUMNS:
        return {"time": next((name for name in TIME_COLUMNS if name in names), TIME_COLUMNS[0])}
    if len(layout.time) == 1:
        return {"time": layout.time[0]}
    return {f"time {part}": part for part in layout.time}


def _sources(name: str, names: list[str], layout: Layout) -> dict[str, str]:
    """The columns of the file that hold our column ``name``, by key: one, or the parts of its sum."""
    actual, parts = _actual(name, names, layout), layout.summed.get(name, ())
    if actual in names or not parts or not set(parts) <= set(names):
        return {name: actual}
    return {f"{name} {part}": part for part in parts}


def _actual(name: str, names: list[str], layout: Layout) -> str:
    """What the file calls our column ``name``."""
    candidates = layout.renamed.get(name, (name,))
    return next((candidate for candidate in candidates if candidate in names), candidates[0])


def _header_remedy(header: list[str]) -> str:
    if len(header) == 1 and OTHER_SEPARATORS & set(header[0]):
        return COMMAS
    if any(name[:1].isdigit() for name in header):
        return f"Add a header: the first line looks like a bar; {OTHER_FORM}"
    return f"Rename or add the column; {OTHER_FORM}"


def _ignored(header: list[str], chosen: dict[str, int]) -> tuple[str, ...]:
    extra = [name for index, name in enumerate(header) if index not in chosen.values()]
    return (f"ignored columns: {', '.join(extra)}",) if extra else ()


def _parquet_columns(path: Path, layout: Layout | None) -> RawColumns:
    try:
        file = pa_parquet.ParquetFile(str(path))
        header = list(file.schema_arrow.names)
        layout = layout or layout_of("", [name.lower() for name in header])
        time_columns, chosen = _choose(path, header, layout)
        table = file.read(columns=[header[index] for index in chosen.values()])
    except (OSError, pa.ArrowException) as error:
        refuse(path, [whole_file("unreadable_parquet", error, "a whole parquet file was expected", "Export it again")])
        raise
    table = table.select([header[index] for index in chosen.values()]).rename_columns(list(chosen))
    table = _joined(_trimmed(table), time_columns)
    if not table.num_rows:
        refuse(path, [whole_file("no_rows", "no rows", "bars were expected", "Export the file again")])
    metadata = file.schema_arrow.metadata or {}
    left_out, world = _left_out(path, metadata), _world(path, metadata)
    notes = _ignored(header, chosen)
    if left_out:
        notes += (f"rows left out when the file was made: {len(left_out)}",)
    if world:
        notes += ("a synthetic market, as the file itself declares",)
    fixed = layout.name == "databento" and pa.types.is_integer(table["open"].type)
    return RawColumns(
        table=table,
        lines=np.arange(1, table.num_rows + 1),
        faults=[],
        notes=notes,
        time_column=", ".join(time_columns.values()),
        left_out=left_out,
        world=world,
        layout=layout,
        fixed_point=fixed,
    )


def _dbn_columns(path: Path) -> RawColumns:
    table = read_dbn(path)
    lines = np.arange(1, table.num_rows + 1)
    return RawColumns(table, lines, [], (), "ts_event", layout=LAYOUTS["databento"], fixed_point=True)


def _left_out(path: Path, metadata: Mapping[bytes, bytes]) -> tuple[str, ...]:
    try:
        rows = json.loads(metadata.get(LEFT_OUT_KEY, b"[]"))
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        remedy = "Write the file again with rl-core data check --out"
        refuse(path, [whole_file("left_out", LEFT_OUT_KEY.decode(), "a list of rows was expected", remedy)])
    return tuple(rows)


def _world(path: Path, metadata: Mapping[bytes, bytes]) -> str:
    text = metadata.get(WORLD_KEY, b"")
    try:
        declared = json.loads(text) if text else {}
    except ValueError:
        declared = None
    if not isinstance(declared, dict):
        remedy = "Write the world again with rl-core data world"
        refuse(path, [whole_file("world", WORLD_KEY.decode(), "the declaration of a world was expected", remedy)])
    return text.decode()
