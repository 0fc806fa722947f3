"""A bars file opened: compression, encoding, header and row lengths checked, the needed columns as they stand."""

import csv
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from rl_core.bars.faults import RowFault, always, in_header, refuse, whole_file

TIME_COLUMNS = ("datetime", "ts_event", "timestamp")
PRICE_COLUMNS = ("open", "high", "low", "close")
VALUE_COLUMNS = (*PRICE_COLUMNS, "volume")
SYMBOL_COLUMN = "symbol"
ROLL_COLUMN = "roll_index"
# Of a parquet file's metadata, so that they travel with a copy of the file.
LEFT_OUT_KEY = b"trigate.left_out"
WORLD_KEY = b"trigate.world"
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "parquet": b"PAR1"}
ENDINGS = ".csv, .csv.gz, .csv.zst or .parquet"
BLOCK_BYTES = 1 << 24
LONGEST_LINE_BYTES = 1 << 20
MOST_TEXT_BYTES = 8 << 30


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


def read_columns(path: Path) -> RawColumns:
    """The needed columns of a csv or parquet file.

    Raises:
        DataError: there is no such file, it is not what its name says, a column is missing or doubled, or it changed.
    """
    kind = _kind(path)
    before = _stamp(path)
    raw = _parquet_columns(path) if kind == "parquet" else _csv_columns(path, _text(path, kind))
    if _stamp(path) != before:
        refuse(path, [whole_file("file_changed", path.name, "a file at rest was expected", "Wait until it is written")])
    return raw


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written or replaced."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _kind(path: Path) -> str:
    """``plain``, ``gzip``, ``zstd`` or ``parquet``: by the name, and the first bytes agree."""
    file_type = _what_is(path)
    if file_type != "a file":
        refuse(path, [whole_file("not_a_file", file_type, "a bars file was expected", "Check the path")])
    kind = "parquet" if path.suffix == ".parquet" else COMPRESSIONS.get(path.suffix, "plain")
    text_name = path.name if kind == "plain" else path.stem
    if kind != "parquet" and not text_name.endswith(".csv"):
        refuse(path, [whole_file("unknown_ending", path.name, f"a name in {ENDINGS} was expected", "Rename the file")])
    start = _first_bytes(path)
    if not start:
        refuse(path, [whole_file("empty_file", "0 bytes", "a header and rows were expected", "Export the file again")])
    content = next((name for name, magic in MAGIC.items() if start.startswith(magic)), "plain")
    if content != kind:
        message = f"the name says {kind}, the content is {content}"
        refuse(path, [whole_file("wrong_ending", path.name, message, f"Rename the file ({ENDINGS})")])
    return kind


def _what_is(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return str(error.strerror)
    if stat.S_ISREG(mode):
        return "a file"
    return "a directory" if stat.S_ISDIR(mode) else "not a regular file"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        refuse(
            path, [whole_file("unreadable", error.strerror, "a readable file was expected", "Check its permissions")]
        )
        raise


def _text(path: Path, kind: str) -> bytearray:
    """The decompressed content without a byte order mark, proved to be lines of plain text."""
    text = bytearray()
    try:
        with pa.input_stream(str(path), compression=None if kind == "plain" else kind) as stream:
            while chunk := stream.read(LONGEST_LINE_BYTES):
                text += chunk
                _refuse_endless(path, chunk, len(text))
    except (OSError, pa.ArrowException) as error:
        remedy = "Download or export the file again"
        refuse(path, [whole_file("damaged_compression", error, "whole compressed content was expected", remedy)])
        raise
    if text.startswith(b"\xef\xbb\xbf"):
        del text[:3]
    problem = _encoding_problem(text)
    refuse(path, [problem] if problem else [])
    return text


def _refuse_endless(path: Path, chunk: bytes, total: int) -> None:
    """Stop reading what cannot be lines of bars before it fills the memory."""
    if len(chunk) == LONGEST_LINE_BYTES and b"\n" not in chunk and b"\r" not in chunk:
        expected = f"lines shorter than {LONGEST_LINE_BYTES:,} bytes were expected"
        refuse(path, [whole_file("endless_line", f"{len(chunk):,} bytes", expected, "Export the file again")])
    if total > MOST_TEXT_BYTES:
        expected = f"at most {MOST_TEXT_BYTES:,} bytes of text were expected"
        refuse(path, [whole_file("too_large", f"{total:,} bytes", expected, "Split it, or convert it to parquet")])


def _encoding_problem(text: bytearray) -> RowFault | None:
    remedy = "Save the file as UTF-8 with LF or CRLF line ends"
    if not len(text) or text.isspace():
        return whole_file(
            "empty_file", f"{len(text)} bytes", "a header and rows were expected", "Export the file again"
        )
    if bytes(text[:2]) in (b"\xff\xfe", b"\xfe\xff"):
        return whole_file("utf16", text[:2].hex(), "UTF-8 text was expected", remedy)
    if (at := text.find(b"\0")) >= 0:
        line = np.array([text.count(b"\n", 0, at) + 1])
        return RowFault(
            code="nul_byte",
            lines=line,
            column="",
            value=lambda _k: "\\0",
            expected="UTF-8 text was expected",
            remedy=remedy,
        )
    if b"\r" in text and b"\n" not in text:
        return whole_file("line_ends", "CR only", "lines that end in LF or CRLF were expected", remedy)
    return None


def _csv_columns(path: Path, text: bytearray) -> RawColumns:
    end = text.find(b"\n")
    header = _header(path, text if end < 0 else text[:end])
    time_column, chosen = _choose(path, header)
    if end < 0 or (len(text) - end < LONGEST_LINE_BYTES and not text[end:].strip()):
        refuse(path, [whole_file("no_rows", "a header only", "bars were expected", "Export the file again")])
    strays: list[pa_csv.InvalidRow] = []
    try:
        table = _parse(text, len(header), list(chosen.values()), strays)
    except pa.ArrowInvalid as error:
        refuse(
            path, [whole_file("unreadable_csv", error, "plain comma-separated rows were expected", "Export it again")]
        )
        raise
    table = table.rename_columns(list(chosen))
    total = table.num_rows + len(strays)
    lines = np.delete(np.arange(2, total + 2), [row.number - 2 for row in strays])
    notes = _ignored(header, chosen)
    if not text.endswith(b"\n"):
        notes += ("the last line has no line end: it may be cut",)
    faults = _stray_faults(strays, len(header), text, total + 1)
    if not table.num_rows:
        refuse(path, faults)
    return RawColumns(table, lines, faults, notes, time_column)


def _header(path: Path, line: bytearray) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line.decode().rstrip("\r")]))]
    except (UnicodeDecodeError, csv.Error, StopIteration) as error:
        refuse(path, [in_header("header", "", error, "column names in UTF-8 were expected", "Export the file again")])
        raise


def _parse(text: bytearray, columns: int, chosen: list[int], strays: list[pa_csv.InvalidRow]) -> pa.Table:
    """The chosen columns as strings; rows of another length go to ``strays``."""

    def keep(row: pa_csv.InvalidRow) -> str:
        strays.append(row)
        return "skip"

    names = [str(index) for index in range(columns)]
    included = [names[index] for index in chosen]
    return pa_csv.read_csv(
        pa.BufferReader(text),
        # Row numbers are known only to a single thread.
        pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=1),
        pa_csv.ParseOptions(ignore_empty_lines=False, invalid_row_handler=keep),
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


def _choose(path: Path, header: list[str]) -> tuple[str, dict[str, int]]:
    """The time column's name, and where each needed column stands; names are compared in lower case."""
    names = [name.lower() for name in header]
    time_column = next((name for name in TIME_COLUMNS if name in names), TIME_COLUMNS[0])
    wanted = {"time": time_column, **{name: name for name in VALUE_COLUMNS}}
    wanted |= {name: name for name in (SYMBOL_COLUMN, ROLL_COLUMN) if name in names}
    faults = []
    for name in wanted.values():
        if name not in names:
            needed = f"time ({', '.join(TIME_COLUMNS)}) and {', '.join(VALUE_COLUMNS)} are needed"
            faults.append(in_header("missing_column", name, ",".join(header), needed, _header_remedy(header)))
        elif names.count(name) > 1:
            remedy = "Keep the right one of them"
            faults.append(in_header("duplicate_column", name, ",".join(header), "it may stand there once", remedy))
    refuse(path, faults)
    return time_column, {key: names.index(name) for key, name in wanted.items()}


def _header_remedy(header: list[str]) -> str:
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        return "Export the file with commas between the columns"
    if any(name[:1].isdigit() for name in header):
        return "Add a header: the first line looks like a bar"
    return "Rename or add the column"


def _ignored(header: list[str], chosen: dict[str, int]) -> tuple[str, ...]:
    extra = [name for index, name in enumerate(header) if index not in chosen.values()]
    return (f"ignored columns: {', '.join(extra)}",) if extra else ()


def _parquet_columns(path: Path) -> RawColumns:
    try:
        file = pa_parquet.ParquetFile(str(path))
        header = list(file.schema_arrow.names)
        time_column, chosen = _choose(path, header)
        table = file.read(columns=[header[index] for index in chosen.values()])
    except (OSError, pa.ArrowException) as error:
        refuse(path, [whole_file("unreadable_parquet", error, "a whole parquet file was expected", "Export it again")])
        raise
    table = table.select([header[index] for index in chosen.values()]).rename_columns(list(chosen))
    if not table.num_rows:
        refuse(path, [whole_file("no_rows", "no rows", "bars were expected", "Export the file again")])
    metadata = file.schema_arrow.metadata or {}
    left_out, world = _left_out(path, metadata), _world(path, metadata)
    notes = _ignored(header, chosen)
    if left_out:
        notes += (f"rows left out when the file was made: {len(left_out)}",)
    if world:
        notes += ("a synthetic market, as the file itself declares",)
    return RawColumns(table, np.arange(1, table.num_rows + 1), [], notes, time_column, left_out, world)


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
