"""A bars file opened: what it is, its compression and its encoding checked, its text whole and not endless."""

import stat
from pathlib import Path

import numpy as np
import pyarrow as pa

from rl_core.bars.faults import RowFault, always, refuse, whole_file

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "parquet": b"PAR1"}
TEXT_ENDINGS = (".csv", ".txt")
ENDINGS = ".csv, .txt, either with .gz or .zst, .parquet, .dbn or .dbn.zst"
LONGEST_LINE_BYTES = 1 << 20
MOST_TEXT_BYTES = 8 << 30


def kind_of(path: Path) -> str:
    """``plain``, ``gzip``, ``zstd``, ``parquet`` or ``dbn``: by the name, and the first bytes agree."""
    file_type = _what_is(path)
    if file_type != "a file":
        refuse(path, [whole_file("not_a_file", file_type, "a bars file was expected", "Check the path")])
    kind = "parquet" if path.suffix == ".parquet" else COMPRESSIONS.get(path.suffix, "plain")
    text_name = path.name if kind == "plain" else path.stem
    if text_name.endswith(".dbn"):
        return "dbn"
    if kind != "parquet" and not text_name.endswith(TEXT_ENDINGS):
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


def text_of(path: Path, kind: str) -> bytearray:
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
    problem = encoding_problem(text)
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


def encoding_problem(text: bytearray) -> RowFault | None:
    """What makes ``text`` no lines of UTF-8; None where nothing does."""
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
    if not text.isascii() and (at := _first_undecodable(text)) >= 0:
        line = np.array([text.count(b"\n", 0, at) + 1])
        return RowFault(
            code="not_utf8",
            lines=line,
            column="",
            value=always(f"byte {text[at]:#x}"),
            expected="UTF-8 text was expected",
            remedy=remedy,
        )
    if b"\r" in text and b"\n" not in text:
        return whole_file("line_ends", "CR only", "lines that end in LF or CRLF were expected", remedy)
    return None


def _first_undecodable(text: bytearray) -> int:
    """Where the text stops to be UTF-8; -1 if it is all of it."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return -1
