"""Every case of the bad-input catalogue for bars: refused with a code and a golden message, or read with a reason.

`tests/golden/bars_catalogue.toml` holds what `rl-core data check` says of each case; ``*`` stands for the file.
"""

import gzip
import os
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.write import write_bars
from rl_core.commands.data_files import FileChoices, FileOptions, check_file
from rl_core.exchange.instruments import instrument
from trigate.errors import DataError

GOLDEN = Path(__file__).parents[2] / "golden" / "bars_catalogue.toml"
HEADER = "datetime,open,high,low,close,volume"
START = np.datetime64("2025-01-02T14:30")
UTC: dict[str, Any] = {}
NEW_YORK = {"timezone": "America/New_York"}


def stamp(minute: int, start: np.datetime64 = START) -> str:
    return f"{start + np.timedelta64(minute, 'm')}:00Z"


def row(minute: int, price: float = 21000.0, volume: int = 10, start: np.datetime64 = START) -> str:
    return f"{stamp(minute, start)},{price},{price + 1},{price - 1},{price + 0.5},{volume + minute}"


ROWS = [row(minute, 21000 + 0.25 * (minute % 4)) for minute in range(8)]


def text(rows: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def with_row(number: int, line: str) -> str:
    """The good file with its row ``number`` (from 0) replaced."""
    return text([*ROWS[:number], line, *ROWS[number + 1 :]])


def with_cell(number: int, column: int, cell: str) -> str:
    cells = ROWS[number].split(",")
    cells[column] = cell
    return with_row(number, ",".join(cells))


def columns(order: list[int]) -> str:
    return "\n".join(",".join(line.split(",")[k] for k in order) for line in [HEADER, *ROWS]) + "\n"


def suffixed(suffix: Callable[[int], str], header: str) -> str:
    return text([line + suffix(k) for k, line in enumerate(ROWS)], HEADER + header)


def at(times: list[str]) -> str:
    return text([time + line[line.index(",") :] for time, line in zip(times, ROWS, strict=False)])


def jumped(rows: dict[int, float], count: int = 40, start: np.datetime64 = START) -> str:
    """Quiet minutes, each of ``rows`` so many points away."""
    return text([row(k, 21000 + 0.25 * (k % 3) + rows.get(k, 0.0), start=start) for k in range(count)])


def lasting(first: int, points: float, start: np.datetime64) -> str:
    return jumped({k: points for k in range(first, 40)}, start=start)


FROZEN = text([*ROWS, *(ROWS[-1].replace(stamp(7), stamp(k)) for k in range(8, 80))])
SPRING = ["2026-03-08 01:58:00", "2026-03-08 01:59:00", "2026-03-08 02:30:00", "2026-03-08 03:01:00"]
AUTUMN = ["2026-11-01 00:58:00", "2026-11-01 00:59:00", "2026-11-01 01:30:00", "2026-11-01 02:01:00"]
SECONDS = [str(1735828200 + 60 * k) for k in range(8)]
ROLL_WEEK = np.datetime64("2024-12-16T14:30")

# number and name -> content of NQ_D1M.csv, and how it is read
TEXTS: dict[str, tuple[str | bytes, dict[str, Any]]] = {
    "01 empty file": ("", UTC),
    "02 header only": (HEADER + "\n", UTC),
    "03 missing column": (text(ROWS).replace("close", "last", 1), UTC),
    "04 extra column": (suffixed(lambda k: f",{k}", ",vwap"), UTC),
    "05 duplicate column": (suffixed(lambda k: ",21000", ",open"), UTC),
    "06 column order changed": (columns([5, 4, 3, 2, 1, 0]), UTC),
    "07 header repeated mid-file": (with_row(4, HEADER), UTC),
    "08 no header": ("\n".join(ROWS) + "\n", UTC),
    "09 truncated last line": (text(ROWS)[:-12], UTC),
    "10 last line without newline but whole": (text(ROWS)[:-1], UTC),
    "11 number cut short at the end": (text(ROWS)[:-2], UTC),
    "11 number cut short mid-file": (with_cell(3, 4, "2100"), UTC),
    "12 short row mid-file": (with_row(3, ROWS[3].rpartition(",")[0]), UTC),
    "13 long row": (with_row(3, ROWS[3] + ",1"), UTC),
    "14 all rows shifted": (text([f"{k},{line}" for k, line in enumerate(ROWS)]), UTC),
    "14 all rows shifted under a whole header": (
        text([f"{line.partition(',')[0]},{k},{line.partition(',')[2]}" for k, line in enumerate(ROWS)], HEADER + ",x"),
        UTC,
    ),
    "15 unclosed quote": (with_cell(3, 1, '"21000'), UTC),
    "16 quoted thousands": (with_cell(3, 1, '"18,250.25"'), UTC),
    "17 decimal comma and semicolon": (text(ROWS).replace(",", ";").replace(".", ","), UTC),
    "18 NUL byte": (with_cell(3, 5, "1\0"), UTC),
    "19 BOM": ("\ufeff" + text(ROWS), UTC),
    "20 UTF-16": (text(ROWS).encode("utf-16"), UTC),
    "21 CRLF": (text(ROWS).replace("\n", "\r\n"), UTC),
    "21 CR only": (text(ROWS).replace("\n", "\r"), UTC),
    "22 gz named csv": (gzip.compress(text(ROWS).encode(), mtime=0), UTC),
    "23 NaN": (with_cell(3, 4, "NaN"), UTC),
    "23 null": (with_cell(3, 4, "null"), UTC),
    "23 None": (with_cell(3, 4, "None"), UTC),
    "23 N/A": (with_cell(3, 4, "N/A"), UTC),
    "23 blank price": (with_cell(3, 4, ""), UTC),
    "24 inf": (with_cell(3, 2, "inf"), UTC),
    "24 1e999": (with_cell(3, 2, "1e999"), UTC),
    "25 hex": (with_cell(3, 2, "0x5208"), UTC),
    "25 1e9": (with_cell(3, 2, "1e9"), UTC),
    "26 negative price": (with_cell(3, 3, "-21000"), UTC),
    "26 zero price": (with_cell(3, 3, "0"), UTC),
    "27 off-tick price": (with_cell(3, 4, "21000.1"), UTC),
    "28 hundredth rows": (with_row(3, f"{stamp(3)},210,210.01,209.99,210.005,13"), UTC),
    "29 tenfold rows": (with_row(3, f"{stamp(3)},210000,210010,209990,210005,13"), UTC),
    "30 high below low": (with_row(3, f"{stamp(3)},21000,20999,21001,21000,13"), UTC),
    "31 open outside high and low": (with_cell(3, 1, "21010"), UTC),
    "31 close outside high and low": (with_cell(3, 4, "20990"), UTC),
    "32 negative volume": (with_cell(3, 5, "-1"), UTC),
    "32 fractional volume": (with_cell(3, 5, "1.5"), UTC),
    "32 huge volume": (with_cell(3, 5, "1" + "0" * 13), UTC),
    "33 duplicate time, same values": (text([*ROWS[:4], ROWS[3], *ROWS[4:]]), UTC),
    "34 duplicate time, other values": (with_cell(4, 0, stamp(3)), UTC),
    "35 out of order": (text([*ROWS[:3], ROWS[4], ROWS[3], *ROWS[5:]]), UTC),
    "36 gap inside a session": (text([*ROWS[:4], row(34), row(35)]), UTC),
    "37 holiday": (text([row(k, start=np.datetime64("2024-12-25T14:30")) for k in range(3)]), UTC),
    "37 maintenance break": (text([row(k, start=np.datetime64("2025-01-02T21:58")) for k in range(4)]), UTC),
    "38 weekend": (text([row(k, start=np.datetime64("2025-01-03T21:58")) for k in range(4)]), UTC),
    "39 spring forward": (at(SPRING), NEW_YORK),
    "40 fall back": (at(AUTUMN), NEW_YORK),
    "41 naive without timezone": (at([time[:-1] for time in map(stamp, range(8))]), UTC),
    "41 naive with timezone": (at([f"2025-01-02 09:3{k}:00" for k in range(8)]), NEW_YORK),
    "42 mixed offsets": (with_cell(3, 0, "2025-01-02T09:33:00-05:00"), UTC),
    "42 zone missing in one row": (with_cell(3, 0, stamp(3)[:-1]), UTC),
    "43 epoch seconds": (at(SECONDS), UTC),
    "43 seconds and milliseconds": (at([*SECONDS[:3], SECONDS[3] + "000", *SECONDS[4:]]), UTC),
    "44 two symbols mixed": (suffixed(lambda k: ",NQM5" if k == 3 else ",NQH5", ",symbol"), UTC),
    "45 roll jump": (lasting(20, 250.0, ROLL_WEEK), UTC),
    "45 lasting jump out of roll week": (lasting(20, 250.0, START), UTC),
    "45 jump that returns after a bar": (jumped({20: 250.0}), UTC),
    "45 jump that returns after three bars": (jumped({20: -250.0, 21: -250.0, 22: -250.0}), UTC),
    "46 frozen feed": (FROZEN, UTC),
}


@contextmanager
def touched(path: Path) -> Iterator[None]:
    """A file that another program keeps writing."""
    done = threading.Event()

    def touch() -> None:
        moment = 0
        while not done.is_set():
            moment += 1
            os.utime(path, ns=(moment, moment))

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def said(path: Path, options: dict[str, Any] | None = None) -> str:
    """What `data check` prints, or the error it ends with."""
    reading = FileOptions(None, 60, (options or {}).get("timezone"))
    try:
        found = check_file(path, reading, FileChoices(), None)
    except DataError as error:
        assert error.exit_code == 3
        return str(error).replace(str(path), "*")
    told = [f"read {found['bars']} bars"]
    if found["silent_intervals"]:
        told.append(f"silent {found['silent_intervals']}")
    told += [f"lasting_jumps: {found['lasting_jumps']}"] if found["lasting_jumps"] else []
    told += [f"{kind}: {'; '.join(found[kind])}" for kind in ("notes", "warnings") if found[kind]]
    return "; ".join(told)


def golden() -> dict[str, str]:
    return tomllib.loads(GOLDEN.read_text())


@pytest.mark.parametrize("case", TEXTS)
def test_a_bars_file_of_the_catalogue_gets_its_golden_answer(case: str, tmp_path: Path) -> None:
    content, options = TEXTS[case]
    path = tmp_path / "NQ_D1M.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)

    assert said(path, options) == golden()[case]


def test_every_case_from_1_to_50_is_decided() -> None:
    numbers = {int(case[:2]) for case in golden()}

    assert numbers == set(range(1, 51))
    assert set(TEXTS) <= set(golden())


def test_47_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    count = 100_000
    start = np.datetime64("2024-01-02T00:00", "ns").astype(np.int64)
    level = (80_000 + np.arange(count) % 7).astype(np.int32)
    times = start + np.arange(count) * 60_000_000_000
    path = tmp_path / "NQ_D1M.csv"
    write_bars(
        Bars(
            instrument=instrument("NQ"),
            interval_s=60,
            ts_event_ns=times,
            open=level,
            high=level,
            low=level,
            close=level,
            volume=np.ones(count, np.int64),
        ),
        path,
    )

    with touched(path):
        answer = said(path)

    assert answer == golden()["47 file changed while it is read"]


def test_48_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    fifo, loop = tmp_path / "NQ_fifo.csv", tmp_path / "NQ_loop.csv"
    os.mkfifo(fifo)
    loop.symlink_to(loop)

    assert said(tmp_path) == golden()["48 directory"]
    assert said(fifo) == golden()["48 FIFO"]
    assert said(loop) == golden()["48 symlink loop"]


def test_49_a_file_that_may_not_be_read_is_refused() -> None:
    """In a folder of its own straight below the temporary one: pytest's own folders let no other user in."""
    folder = Path(tempfile.mkdtemp(prefix="trigate-49-"))
    path = folder / "NQ_D1M.csv"
    path.write_text(text(ROWS))
    path.chmod(0o000)
    folder.chmod(0o755)
    try:
        with nobody():
            answer = said(path)
        folder.chmod(0o000)
        with nobody():
            behind = said(path)
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)

    assert answer == golden()["49 no read permission"]
    assert behind == golden()["49 no permission for the folder"]


def test_50_a_line_of_two_gigabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    """150 KB on the disk; the first mebibyte without a line end decides."""
    path = tmp_path / "NQ_D1M.csv.zst"
    block = b"1" * (1 << 22)
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(HEADER.encode() + b"\n")
        for _ in range(512):
            stream.write(block)

    before = pa.total_allocated_bytes()

    assert said(path) == golden()["50 line of 2 GB"]
    assert pa.total_allocated_bytes() - before < 1 << 27
