"""Reading bars: what is accepted, that it is exact, and that every fault is named with its place."""

import gzip
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.read import assumed_market, market_of, read_bars
from rl_core.bars.write import write_bars
from rl_core.exchange.instruments import instrument
from trigate.errors import ConfigError, DataError

HEADER = "datetime,open,high,low,close,volume\n"
ROW_1 = "2025-01-02T14:30:00Z,21000.25,21001,21000,21000.5,10\n"
ROW_2 = "2025-01-02T14:31:00Z,21000.5,21002.75,21000.5,21002,0\n"
ROW_3 = "2025-01-02T14:33:00Z,21002,21002,21001.5,21001.5,7\n"
GOOD = HEADER + ROW_1 + ROW_2 + ROW_3


def written(folder: Path, text: str | bytes, name: str = "NQ_D1M.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def minutes(count: int, step_s: int = 60) -> Bars:
    """Flat bars of NQ ``step_s`` apart."""
    at = 1_735_828_200_000_000_000 + np.arange(count) * step_s * 1_000_000_000
    price = np.full(count, 84_000, np.int32)
    return Bars(
        instrument=instrument("NQ"),
        interval_s=step_s,
        ts_event_ns=at,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price,
        volume=1 + np.arange(count) // 50 % 97,
    )


def fault(path: Path, **options: object) -> str:
    """What the error says behind the file's name."""
    with pytest.raises(DataError) as raised:
        read_bars(path, **options)  # type: ignore[arg-type]
    assert raised.value.exit_code == 3
    text = str(raised.value)
    assert text.startswith(str(path)) and "\n" not in text
    return text.removeprefix(str(path))


def test_prices_become_ticks_and_times_nanoseconds(tmp_path: Path) -> None:
    """21000.25 / 0.25 = 84001; 2025-01-02T14:30Z is 1735828200 s."""
    bars = read_bars(written(tmp_path, GOOD))

    assert bars.instrument.symbol == "NQ" and bars.interval_s == 60 and len(bars) == 3
    assert bars.ts_event_ns.tolist() == [1735828200 * 10**9, 1735828260 * 10**9, 1735828380 * 10**9]
    assert bars.open.tolist() == [84001, 84002, 84008] and bars.high.tolist() == [84004, 84011, 84008]
    assert bars.low.tolist() == [84000, 84002, 84006] and bars.close.tolist() == [84002, 84008, 84006]
    assert bars.volume.tolist() == [10, 0, 7] and bars.open.dtype == np.int32 and bars.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + GOOD, id="byte order mark"),
        pytest.param(GOOD.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(GOOD.replace("datetime", "ts_event"), id="ts_event"),
        pytest.param(GOOD.replace("datetime", "Timestamp").replace("open", "Open"), id="capitals"),
        pytest.param(GOOD.replace("T", " ").replace("Z", "+00:00"), id="space and offset"),
        pytest.param(GOOD.replace("Z", ".000000000Z"), id="nanoseconds"),
        pytest.param(GOOD.replace("2025-01-02T14:31:00Z", "2025-01-02T09:31:00-05:00"), id="mixed offsets"),
        pytest.param(GOOD.replace(",7\n", ",7.0\n"), id="whole volume as a float"),
        pytest.param(GOOD.replace(",", ", "), id="blanks after commas"),
        pytest.param(GOOD.replace("Z", " UTC"), id="UTC in words"),
        pytest.param(GOOD.replace("T14", "T09").replace("Z", "-05"), id="offset of hours alone"),
        pytest.param(re.sub(r"(?<=,)(\d+(?:\.\d+)?)(?=,)", lambda m: f"{float(m[1]):.15f}", GOOD), id="%.15f"),
        pytest.param(
            GOOD.replace("2025-01-02T14:30:00Z", "1735828200.0")
            .replace("2025-01-02T14:31:00Z", "1735828260.0")
            .replace("2025-01-02T14:33:00Z", "1735828380.0"),
            id="epochs as real numbers",
        ),
        pytest.param('"' + GOOD.replace(",", '","').replace("\n", '"\n"')[:-1], id="all quoted"),
    ],
)
def test_the_same_bars_written_otherwise_have_the_same_digest(tmp_path: Path, text: str) -> None:
    plain = read_bars(written(tmp_path, GOOD))

    assert read_bars(written(tmp_path, text, "other.csv"), market="NQ").digest == plain.digest


@pytest.mark.parametrize("unit_ns", [1_000_000_000, 1_000_000, 1_000, 1])
def test_epochs_in_any_one_unit_are_read(tmp_path: Path, unit_ns: int) -> None:
    """Seconds have ten digits, milliseconds 13, and so on: the magnitude tells."""
    bars = minutes(3)
    rows = [f"{at // unit_ns},21000,21000.25,20999.75,21000,1" for at in bars.ts_event_ns]

    assert read_bars(written(tmp_path, HEADER + "\n".join(rows) + "\n")).digest == bars.digest


def test_naive_times_need_a_zone_and_follow_its_clock(tmp_path: Path) -> None:
    """09:30 in New York is 14:30 UTC in January."""
    local = written(tmp_path, GOOD.replace("T14", " 09").replace("Z", ""))

    assert ":2:datetime: naive_time: '2025-01-02 09:30:00'" in fault(local)
    assert read_bars(local, timezone="America/New_York").digest == read_bars(written(tmp_path, GOOD, "NQ_b.csv")).digest


def test_an_unknown_zone_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Mars"):
        read_bars(written(tmp_path, GOOD), timezone="Mars/Olympus")


@pytest.mark.parametrize("local", ["2024-11-03 01:30:00", "2024-03-10 02:30:00"])
def test_the_hour_that_a_change_of_the_clock_doubles_or_skips_is_refused(tmp_path: Path, local: str) -> None:
    text = HEADER + f"{local},21000,21000,21000,21000,1\n"

    assert ":2:datetime: clock_change" in fault(written(tmp_path, text), timezone="America/New_York")


def test_ignored_columns_and_an_assumed_market_are_noted(tmp_path: Path) -> None:
    text = "".join(line + ",x\n" for line in GOOD.splitlines())
    bars = read_bars(written(tmp_path, text, "bars.csv"))

    assert bars.notes == ("ignored columns: x", "the file's name states no market: NQ assumed")
    assert assumed_market(bars) == ("the file's name states no market: NQ assumed; name another with --market",)
    assert assumed_market(read_bars(tmp_path / "bars.csv", market="NQ")) == ()


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("GC_D1S.csv.gz", "GC"),
        ("NQ 03-24.Last.txt", "NQ"),
        ("6E.csv", "6E"),
        ("nq_d1m.csv", "NQ"),
        ("ESH24.csv", "ES"),
        ("MESU2025-CME.csv", "MES"),
        ("ESH24_FUT_CME.scid_BarData.txt", "ES"),
        ("@CL.D.csv", "CL"),
        ("6E1!.csv", "6E"),
        ("CME_MINI_ES1!, 1.csv", "ES"),
        ("CME_MINI_DL_RTY1!, 1_0af9e.csv", "RTY"),
        ("NYMEX_DL_CL1!, 1.csv", "CL"),
        ("CBOT_MINI_YM1!, 1.csv", "YM"),
        ("NQH4-NQM4.csv", "NQ"),  # and its bars are refused as a spread's
        ("sim5.csv", None),
        ("ESTX50.csv", None),
        ("CME_MINI_1.csv", None),
        ("MNQ_D1M_2025.parquet", "MNQ"),
        ("QQQ_D1M.csv", None),
        ("bars.csv", None),
    ],
)
def test_the_name_of_a_file_states_its_market(name: str, market: str | None) -> None:
    assert market_of(Path("some/folder") / name) == market


BAD_ROWS = {
    "blank": ("21000.5,21002.75,21000.5,,0", "3:close: bad_number: ''"),
    "NaN": ("NaN,21002.75,21000.5,21002,0", "3:open: bad_number: 'NaN'"),
    "infinite": ("21000.5,inf,21000.5,21002,0", "3:high: bad_number: 'inf'"),
    "overflow": ("21000.5,1e999,21000.5,21002,0", "3:high: bad_number"),
    "hex": ("0x5208,21002.75,21000.5,21002,0", "3:open: bad_number: '0x5208'"),
    "exponent": ("2.1e4,21002.75,21000.5,21002,0", "3:open: bad_number"),
    "quoted thousands": ('"21,000.5",21002.75,21000.5,21002,0', "3:open: bad_number: '21,000.5'"),
    "off tick": ("21000.5,21002.75,21000.5,21002.1,0", "3:close: off_tick: '21002.1'"),
    "off tick by a hair": ("21000.5,21002.75,21000.5,21002.000001,0", "3:close: off_tick"),
    "zero price": ("21000.5,21002.75,0,21002,0", "3:low: price_range: '0'"),
    "negative price": ("21000.5,21002.75,-21000.5,21002,0", "3:low: price_range: '-21000.5'"),
    "huge price": ("21000.5,99999999999,21000.5,21002,0", "3:high: price_range"),
    "high below low": ("21000.5,21000.5,21002.75,21002,0", "3:high: high_below_low"),
    "open outside": ("21003,21002.75,21000.5,21002,0", "3:open: outside_range"),
    "close outside": ("21000.5,21002.75,21000.5,21000,0", "3:close: outside_range"),
    "negative volume": ("21000.5,21002.75,21000.5,21002,-1", "3:volume: bad_volume: '-1'"),
    "volume beyond any market": ("21000.5,21002.75,21000.5,21002,1000000001", "3:volume: bad_volume: '1000000001'"),
    "fractional volume": ("21000.5,21002.75,21000.5,21002,1.5", "3:volume: bad_volume: '1.5'"),
    "short row": ("21000.5,21002.75,21000.5,21002", "3: short_row: '5 columns"),
    "long row": ("21000.5,21002.75,21000.5,21002,0,0", "3: long_row: '7 columns"),
}


@pytest.mark.parametrize(("values", "expected"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named(tmp_path: Path, values: str, expected: str) -> None:
    path = written(tmp_path, f"{HEADER}{ROW_1}2025-01-02T14:31:00Z,{values}\n{ROW_3}")

    assert fault(path).startswith(f":{expected}")


BAD_TIMES = {
    "duplicate": ("2025-01-02T14:30:00Z", "3:datetime: duplicate_time: '2025-01-02T14:30:00"),
    "not on the minute": ("2025-01-02T14:31:05Z", "3:datetime: off_interval: '2025-01-02T14:31:05"),
    "no such day": ("2025-02-30T14:31:00Z", "3:datetime: bad_time: '2025-02-30T14:31:00Z'"),
    "blank": ("", "3:datetime: bad_time: ''"),
    "the header again": ("datetime", "3:datetime: bad_time: 'datetime'"),
    "zone missing": ("2025-01-02T14:31:00", "3:datetime: bad_time"),
    "epoch": ("1735828260", "3:datetime: bad_time"),
    "day first": ("02/01/2025 14:31", "3:datetime: bad_time"),
}


@pytest.mark.parametrize(("stamp", "expected"), BAD_TIMES.values(), ids=BAD_TIMES)
def test_a_bad_time_is_named(tmp_path: Path, stamp: str, expected: str) -> None:
    path = written(tmp_path, f"{HEADER}{ROW_1}{stamp},{ROW_2.partition(',')[2]}{ROW_3}")

    assert fault(path).startswith(f":{expected}")


def test_a_row_out_of_order_is_named(tmp_path: Path) -> None:
    late = ROW_1.replace("14:30", "14:32")

    assert fault(written(tmp_path, HEADER + ROW_1 + ROW_3 + late)).startswith(":4:datetime: out_of_order")


def test_a_file_with_its_newest_bar_first_is_told_to_turn_round(tmp_path: Path) -> None:
    said = fault(written(tmp_path, HEADER + ROW_3 + ROW_2 + ROW_1))

    assert said.startswith(":3:datetime: newest_first") and "Reverse the file" in said


def test_an_epoch_that_changes_its_unit_is_named(tmp_path: Path) -> None:
    rows = "1735828200,21000,21000,21000,21000,1\n1735828260000,21000,21000,21000,21000,1\n"

    assert fault(written(tmp_path, HEADER + rows)).startswith(":3:datetime: bad_epoch: '1735828260000'")


HEADERS = {
    "missing column": (GOOD.replace("volume", "size"), ":1:volume: missing_column"),
    "no time column": (GOOD.replace("datetime", "when"), ":1:datetime: missing_column"),
    "duplicate column": (GOOD.replace("close", "open"), ":1:open: duplicate_column"),
    "no header": (ROW_1 + ROW_2, ":1:datetime: missing_column"),
    "semicolons": (GOOD.replace(",", ";"), ":1:datetime: missing_column"),
    "header only": (HEADER, ": no_rows"),
    "empty": ("", ": empty_file"),
    "blank lines": ("\n\n", ": empty_file"),
    "UTF-16": (GOOD.encode("utf-16"), ": utf16"),
    "NUL": (GOOD.replace("21002,0", "21002,\0"), ":3: nul_byte"),
    "CR only": (GOOD.replace("\n", "\r"), ": line_ends"),
    "Latin-1": (b"datetime,\xe9\n" + ROW_1.encode(), ":1: not_utf8"),
    "cut in a row": (GOOD[:-9], ":4: cut_row"),
}


@pytest.mark.parametrize(("content", "expected"), HEADERS.values(), ids=HEADERS)
def test_a_bad_file_is_named(tmp_path: Path, content: str | bytes, expected: str) -> None:
    assert fault(written(tmp_path, content)).startswith(expected)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_with_other_separators_is_told_to_use_commas(tmp_path: Path, separator: str) -> None:
    """Not read, though its header is clear: where a comma is no separator, 21.000 often stands for 21,000."""
    said = fault(written(tmp_path, GOOD.replace(",", separator)))

    assert said.startswith(":1:datetime: missing_column") and "Export the file with commas between the columns" in said


def test_a_quote_that_never_ends_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("21002.75", '"21002.75'))

    assert fault(path)


def test_a_last_line_without_an_end_is_read_with_a_note(tmp_path: Path) -> None:
    bars = read_bars(written(tmp_path, GOOD[:-1]))

    assert len(bars) == 3 and "may be cut" in bars.notes[0]


def test_the_first_fault_is_told_and_the_others_counted(tmp_path: Path) -> None:
    """Line 3 is off tick; lines 4 and 5 have a bad volume, and line 5 a bad price too: three more."""
    rows = (
        ROW_1
        + "2025-01-02T14:31:00Z,21000.1,21002,21000,21002,1\n"
        + "2025-01-02T14:32:00Z,21000,21002,21000,21002,-1\n"
        + "2025-01-02T14:33:00Z,x,21002,21000,21002,-1\n"
    )

    said = fault(written(tmp_path, HEADER + rows))

    assert said.startswith(":3:open: off_tick: '21000.1' - a multiple of the tick 0.25 was expected.")
    assert said.endswith("(and 3 more faults)")


@pytest.mark.parametrize("name", ["NQ_D1M.csv.gz", "NQ_D1M.csv.zst", "NQ_D1M.csv", "NQ_D1M.parquet"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    bars = minutes(50)
    write_bars(bars, tmp_path / name)

    again = read_bars(tmp_path / name)

    assert again.digest == bars.digest
    for column in ("ts_event_ns", "open", "high", "low", "close", "volume"):
        assert np.array_equal(getattr(again, column), getattr(bars, column))


RANGES = [("GC", 1, 40_000), ("CL", 1, 15_000), ("YM", 1, 60_000), ("RTY", 1, 40_000), ("SI", 1, 20_000)]
RANGES += [("ZF", 1, 20_000), ("ZC", 1, 8_000), ("6E", 10_000, 40_000), ("6J", 10_000, 30_000), ("HG", 1, 20_000)]


@pytest.mark.parametrize(("symbol", "first", "last"), RANGES)
def test_every_price_of_a_market_survives_the_file(tmp_path: Path, symbol: str, first: int, last: int) -> None:
    """Tenths and hundredths are not exact in binary; the tick must be all the same."""
    price = np.arange(first, last, dtype=np.int32)
    at = 1_735_828_200_000_000_000 + np.arange(len(price)) * 60_000_000_000
    bars = Bars(
        instrument=instrument(symbol),
        interval_s=60,
        ts_event_ns=at,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(len(price), np.int64),
    )
    write_bars(bars, tmp_path / f"{symbol}_D1M.csv")

    assert np.array_equal(read_bars(tmp_path / f"{symbol}_D1M.csv").close, price)


@pytest.mark.parametrize("kind", [pa.float32(), pa.string(), pa.decimal128(12, 2)])
def test_parquet_prices_of_any_kind_are_exact(tmp_path: Path, kind: pa.DataType) -> None:
    bars = minutes(5)
    write_bars(bars, tmp_path / "NQ_D1M.parquet")
    table = pa_parquet.read_table(tmp_path / "NQ_D1M.parquet")
    for index, name in enumerate(table.column_names):
        if name in ("open", "high", "low", "close"):
            table = table.set_column(index, name, table[name].cast(kind))
    pa_parquet.write_table(table, tmp_path / "NQ_D1M.parquet")

    assert read_bars(tmp_path / "NQ_D1M.parquet").digest == bars.digest


def test_a_parquet_fault_names_its_row(tmp_path: Path) -> None:
    """Rows of a parquet file count from 1; the second lacks its close."""
    write_bars(minutes(3), tmp_path / "NQ_D1M.parquet")
    table = pa_parquet.read_table(tmp_path / "NQ_D1M.parquet")
    table = table.set_column(4, "close", pa.array([21000.0, None, 21000.0]))
    pa_parquet.write_table(table, tmp_path / "NQ_D1M.parquet")

    assert fault(tmp_path / "NQ_D1M.parquet").startswith(":2:close: bad_number: 'None'")


def test_a_file_of_another_interval_is_told_apart(tmp_path: Path) -> None:
    for step_s in (1, 5, 60, 300):
        write_bars(minutes(40, step_s), tmp_path / f"NQ_{step_s}.csv")

    assert "looks like a file of 1-second bars" in fault(tmp_path / "NQ_1.csv")
    assert "looks like a file of 5-second bars" in fault(tmp_path / "NQ_5.csv")
    assert "looks like a file of 60-second bars" in fault(tmp_path / "NQ_60.csv", interval_s=1)
    assert "looks like a file of 300-second bars" in fault(tmp_path / "NQ_300.csv")
    assert "rl-core data check --interval 300 only describes this one" in fault(tmp_path / "NQ_300.csv")
    assert read_bars(tmp_path / "NQ_5.csv", interval_s=5).interval_s == 5


def test_two_symbols_and_another_market_are_refused(tmp_path: Path) -> None:
    symbols = ("symbol", "NQH5", "NQH5", "NQH5-NQM5")
    text = "".join(f"{line},{symbol}\n" for line, symbol in zip(GOOD.splitlines(), symbols, strict=True))

    assert fault(written(tmp_path, text)).startswith(":4:symbol: spread: 'NQH5-NQM5'")
    text = text.replace("NQH5-NQM5", "NQM5")
    assert fault(written(tmp_path, text)).startswith(":4:symbol: mixed_symbols: 'NQM5'")
    assert fault(written(tmp_path, text, "ES_D1M.csv")).startswith(":2:symbol: other_market: 'NQH5'")


def test_what_is_no_file_or_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    zipped = gzip.compress(GOOD.encode())

    assert fault(tmp_path / "NQ_none.csv").startswith(": not_a_file: 'No such file or directory'")
    assert fault(tmp_path).startswith(": not_a_file: 'a directory'")
    assert "content is gzip" in fault(written(tmp_path, zipped, "NQ_a.csv"))
    assert "content is plain" in fault(written(tmp_path, GOOD, "NQ_b.csv.gz"))
    assert "content is plain" in fault(written(tmp_path, GOOD, "NQ_c.parquet"))
    assert fault(written(tmp_path, GOOD, "NQ_d.xls")).startswith(": unknown_ending")
    assert fault(written(tmp_path, zipped[:-20], "NQ_e.csv.gz")).startswith(": damaged_compression")


def test_a_cut_parquet_file_is_refused(tmp_path: Path) -> None:
    write_bars(minutes(3), tmp_path / "NQ_D1M.parquet")
    path = written(tmp_path, (tmp_path / "NQ_D1M.parquet").read_bytes()[:-30], "NQ_cut.parquet")

    assert fault(path).startswith(": unreadable_parquet")


def test_the_digest_follows_market_interval_and_values(tmp_path: Path) -> None:
    bars = minutes(10)
    others = [minutes(10, 1), minutes(11), bars.slice(1, 10)]

    assert bars.slice(0, 10).digest == bars.digest
    assert len({bars.digest, *(other.digest for other in others)}) == 4
    assert bars.slice(2, 5).ts_event_ns.tolist() == bars.ts_event_ns[2:5].tolist()
