"""Vendors' own files, as they document them: each becomes the same bars, told by its first line or by its name."""

import importlib.util
import struct
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.choices import Choices
from rl_core.bars.ingest import ingest
from rl_core.bars.read import read_bars
from rl_core.exchange.instruments import instrument
from trigate.errors import ConfigError, DataError

START = np.datetime64("2024-01-03T14:30", "m")  # 09:30 ET, 08:30 CT, UTC here
COUNT = 6
OPEN, HIGH, LOW, CLOSE = 79_980, 79_990, 79_976, 79_985  # ticks of NQ; a tick more each minute
NS_PER_MINUTE = 60_000_000_000


def bars() -> Bars:
    """The bars that every file holds."""
    step = np.arange(COUNT, dtype=np.int32)
    stamps = START.astype("datetime64[ns]").astype(np.int64) + step.astype(np.int64) * NS_PER_MINUTE
    return Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=stamps,
        open=OPEN + step,
        high=HIGH + step,
        low=LOW + step,
        close=CLOSE + step,
        volume=100 + step.astype(np.int64),
    )


def local(k: int, zone: str, form: str, *, later: int = 0) -> str:
    """The start of bar k, or a time ``later`` minutes after it, as a vendor in ``zone`` writes it."""
    at = (START + np.timedelta64(k + later, "m")).astype("datetime64[s]").item().replace(tzinfo=ZoneInfo("UTC"))
    return str(at.astimezone(ZoneInfo(zone)).strftime(form))


def prices(k: int, form: str = "{}") -> tuple[str, str, str, str]:
    opened, high, low, close = (form.format((ticks + k) / 4) for ticks in (OPEN, HIGH, LOW, CLOSE))
    return opened, high, low, close


def epoch_s(k: int) -> int:
    return int(START.astype("datetime64[s]").astype(np.int64)) + 60 * k


NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"


def ninjatrader(k: int) -> str:
    return ";".join([local(k, "UTC", "%Y%m%d %H%M%S", later=1), *prices(k), str(100 + k)])


def tradingview(k: int) -> str:
    return ",".join([str(epoch_s(k)), *prices(k), str(100 + k), "19995.1"])


def sierra(k: int) -> str:
    o, h, lo, c = prices(k, "{:.2f}")
    date = local(k, CHICAGO, "%Y/%m/%d").replace("/0", "/")
    return f"{date}, {local(k, CHICAGO, '%H:%M:%S.000000')}, {o}, {h}, {lo}, {c}, {100 + k}, 40, 50, {50 + k}"


def motivewave(k: int) -> str:
    return ",".join([local(k, NEW_YORK, "%m/%d/%Y"), local(k, NEW_YORK, "%H:%M"), *prices(k), str(100 + k)])


def ibkr(k: int) -> str:
    return ",".join([local(k, NEW_YORK, "%Y%m%d  %H:%M:%S"), *prices(k), f"{100 + k}.0", "19995.5", "33"])


def ibkr_zoned(k: int) -> str:
    """As TWS 10.17 and later: the zone stands behind the time."""
    return ",".join([local(k, CHICAGO, "%Y%m%d %H:%M:%S US/Central"), *prices(k), f"{100 + k}.0", "19995.5", "33"])


def tradestation(k: int) -> str:
    """Stamped with the end of the bar; its volume is that of upticks and of downticks."""
    return ",".join([local(k, CHICAGO, "%m/%d/%Y,%H:%M", later=1), *prices(k), "60", str(40 + k)])


def multicharts(k: int) -> str:
    return ",".join([local(k, CHICAGO, "%m/%d/%Y,%H:%M:%S", later=1), *prices(k), str(100 + k)])


def polygon(k: int) -> str:
    o, h, lo, c = prices(k)
    return f"NQH4,{100 + k},{o},{c},{h},{lo},{epoch_s(k)}000000000,40"


def firstrate(k: int) -> str:
    return ",".join([local(k, NEW_YORK, "%Y-%m-%d %H:%M:%S"), *prices(k), str(100 + k)])


def kibot(k: int) -> str:
    return ",".join([local(k, NEW_YORK, "%m/%d/%Y,%H:%M"), *prices(k), str(100 + k)])


def barchart(k: int) -> str:
    newest = COUNT - 1 - k
    return ",".join(
        ["NQH24", local(newest, CHICAGO, "%m/%d/%Y %H:%M"), *prices(newest), "0.25", "0.01%", str(100 + newest), "N/A"]
    )


def databento_pretty(k: int) -> str:
    stamp = local(k, "UTC", "%Y-%m-%dT%H:%M:%S.000000000Z")
    return ",".join([stamp, "33", "1", "750", *prices(k, "{:.9f}"), str(100 + k), "NQH4"])


def databento_fixed(k: int) -> str:
    fixed = (str((ticks + k) * 250_000_000) for ticks in (OPEN, HIGH, LOW, CLOSE))
    return ",".join([f"{epoch_s(k)}000000000", "33", "1", "750", *fixed, str(100 + k), "NQH4"])


DATABENTO = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol"
# name of the file, header, rows, footer, zone that the user has to name, what is noted
FILES = {
    "ninjatrader": ("NQ 03-24.Last.txt", "", ninjatrader, "", None, "stamps taken as the ends of bars"),
    "tradingview": ("NQ_tv.csv", "time,open,high,low,close,Volume,VWAP", tradingview, "", None, "tradingview"),
    "sierrachart": (
        "NQ_sierra.txt",
        "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume",
        sierra,
        "",
        CHICAGO,
        "sierrachart",
    ),
    "motivewave": ("NQ_mw.csv", "Date,Time,Open,High,Low,Last,Volume", motivewave, "", NEW_YORK, "motivewave"),
    "ibkr": ("NQ_ib.csv", "date,open,high,low,close,volume,average,barCount", ibkr, "", NEW_YORK, "ibkr"),
    "tradestation": (
        "NQ_ts.txt",
        '"Date","Time","Open","High","Low","Close","Up","Down"',
        tradestation,
        "",
        CHICAGO,
        "stamps taken as the ends of bars, as tradestation writes them",
    ),
    "polygon": (
        "NQ_flat.csv",
        "ticker,volume,open,close,high,low,window_start,transactions",
        polygon,
        "",
        None,
        "polygon",
    ),
    "firstrate": ("NQ_1min.txt", "", firstrate, "", None, "taken as America/New_York"),
    "kibot": ("NQ_kibot.txt", "", kibot, "", None, "taken as America/New_York"),
    "barchart": (
        "NQ_barchart.csv",
        "Symbol,Time,Open,High,Low,Last,Change,%Chg,Volume,Open Int",
        barchart,
        '"Downloaded from Barchart.com as of 01-03-2024 04:30pm CST"\n',
        CHICAGO,
        "left out the last line",
    ),
}
FORMS = {name: facts for name, facts in FILES.items() if name != "motivewave"}


def written(folder: Path, vendor: str) -> Path:
    name, header, row, footer, *_ = FILES[vendor]
    lines = [*([header] if header else []), *(row(k) for k in range(COUNT))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n" + footer)
    return path


@pytest.mark.parametrize("vendor", FORMS)
def test_a_vendors_file_is_told_by_its_first_line(vendor: str, tmp_path: Path) -> None:
    *_, zone, noted = FILES[vendor]

    read = read_bars(written(tmp_path, vendor), timezone=zone)

    assert read.digest == bars().digest
    assert any(noted in note for note in read.notes), read.notes


@pytest.mark.parametrize("vendor", FILES)
def test_a_vendors_file_is_read_as_the_user_says(vendor: str, tmp_path: Path) -> None:
    zone = FILES[vendor][4]

    read = read_bars(written(tmp_path, vendor), timezone=zone, choices=Choices(layout=vendor))

    assert read.digest == bars().digest and f"read in the form of {vendor}" in read.notes


@pytest.mark.parametrize("row", [databento_pretty, databento_fixed])
def test_databentos_prices_are_read_in_both_ways(row: object, tmp_path: Path) -> None:
    """1e-9 points in whole numbers, or with a point."""
    assert callable(row)
    path = tmp_path / "NQ_db.csv"
    path.write_text("\n".join([DATABENTO, *(row(k) for k in range(COUNT))]) + "\n")

    assert read_bars(path).digest == bars().digest
    assert ingest(path).bars.digest == bars().digest


def test_a_zone_that_a_file_names_behind_its_times_is_used(tmp_path: Path) -> None:
    """Interactive Brokers writes `20240103 08:30:00 US/Central`; a zone that a person names says nothing then."""
    path = tmp_path / "NQ_ib.csv"
    path.write_text("\n".join(["date,open,high,low,close,volume", *(ibkr_zoned(k)[:-11] for k in range(COUNT))]) + "\n")

    assert read_bars(path).digest == bars().digest
    assert any("--timezone UTC is not used" in note for note in read_bars(path, timezone="UTC").notes)


@pytest.mark.parametrize(
    ("written_as", "said"),
    [
        (
            "08:32:00",
            r":4:date: bad_time: '20240103 08:32:00' - a time of US/Central, as in the first row, was expected",
        ),
        ("08:32:00 US/Eastern", ":4:date: bad_time: '20240103 08:32:00 US/Eastern' - a time"),
    ],
)
def test_a_row_of_another_zone_than_the_first_is_refused(written_as: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "NQ_ib.csv"
    text = "\n".join(["date,open,high,low,close,volume", *(ibkr_zoned(k)[:-11] for k in range(COUNT))]) + "\n"
    path.write_text(text.replace("08:32:00 US/Central", written_as))

    with pytest.raises(DataError, match=said):
        read_bars(path)


def test_multicharts_writes_names_between_angles(tmp_path: Path) -> None:
    path = tmp_path / "NQ_mc.txt"
    header = "<Date>, <Time>, <Open>, <High>, <Low>, <Close>, <Volume>"
    path.write_text("\r\n".join([header, *(multicharts(k) for k in range(COUNT))]) + "\r\n")

    assert read_bars(path, timezone=CHICAGO, choices=Choices(layout="multicharts")).digest == bars().digest


def test_a_volume_of_which_one_part_is_no_number_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "tradestation")
    path.write_text(path.read_text().replace(",60,42", ",60,n/a"))

    with pytest.raises(DataError, match=r":4:volume: bad_number: '60 \+ n/a'"):
        read_bars(path, timezone=CHICAGO)


def test_a_decimal_comma_is_called_so(tmp_path: Path) -> None:
    """Correcting rows is no remedy where every row is written so."""
    path = written(tmp_path, "ninjatrader")
    path.write_text(path.read_text().replace(".", ","))

    with pytest.raises(DataError, match=r":open: bad_number: '\d+,\d+' .* Export numbers with a decimal point"):
        read_bars(path)


def test_a_zone_that_the_vendor_does_not_write_is_asked_for(tmp_path: Path) -> None:
    for vendor in ("sierrachart", "ibkr", "barchart"):
        with pytest.raises(DataError, match="naive_time"):
            read_bars(written(tmp_path, vendor))


def test_what_the_user_says_wins_over_the_vendors_habit(tmp_path: Path) -> None:
    """NinjaTrader set to another zone, and a file whose stamps were moved to the start."""
    path = written(tmp_path, "ninjatrader")

    moved = read_bars(path, stamp="start")
    elsewhere = read_bars(path, timezone="America/New_York")

    assert (moved.ts_event_ns - bars().ts_event_ns == NS_PER_MINUTE).all()
    assert (elsewhere.ts_event_ns - bars().ts_event_ns == 5 * 3600 * 10**9).all()


def test_a_row_that_is_written_otherwise_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "kibot")
    path.write_text(path.read_text().replace("01/03/2024,09:32", "2024-01-03,09:32"))

    with pytest.raises(
        DataError, match=r":3:date, time: bad_time: '2024-01-03 09:32' - a time written as in the first"
    ):
        read_bars(path)


def test_a_spread_in_a_vendors_own_symbol_column_is_refused(tmp_path: Path) -> None:
    """Polygon calls the column `ticker`."""
    path = written(tmp_path, "polygon")
    path.write_text(path.read_text().replace("NQH4", "NQH4-NQM4"))

    with pytest.raises(DataError, match=":2:symbol: spread: 'NQH4-NQM4'"):
        read_bars(path)


def test_an_unknown_form_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown --format 'metastock'; known: barchart, databento, firstrate"):
        read_bars(written(tmp_path, "kibot"), choices=Choices(layout="metastock"))


def test_a_vendors_columns_in_parquet_are_read_too(tmp_path: Path) -> None:
    known = bars()
    columns = {name: getattr(known, name) * 0.25 for name in ("open", "high", "low", "close")}
    table = pa.table({"window_start": known.ts_event_ns, **columns, "volume": known.volume})
    pa_parquet.write_table(table.append_column("ticker", pa.array(["NQH4"] * COUNT)), tmp_path / "NQ_flat.parquet")

    assert read_bars(tmp_path / "NQ_flat.parquet").digest == known.digest


def dbn_file(path: Path) -> Path:
    """A DBN file of version 1 as Databento documents it: a prelude, metadata, and a record of 56 bytes a bar."""
    metadata = struct.pack("<16sHQQQQBBB", b"GLBX.MDP3", 7, epoch_s(0) * 10**9, 2**64 - 1, 0, 2**64 - 1, 1, 0, 0)
    metadata += b"\0" * (100 - len(metadata))  # padding up to the length that version 1 fixes
    symbol = struct.pack("<22s", b"NQH4")
    mapping = symbol + struct.pack("<I", 1) + struct.pack("<II", 20240101, 20240301) + struct.pack("<22s", b"750")
    metadata += struct.pack("<I", 0) + struct.pack("<I", 1) + symbol
    metadata += struct.pack("<I", 0) + struct.pack("<I", 0) + struct.pack("<I", 1) + mapping
    known = bars()
    records = b"".join(
        struct.pack(
            "<BBHIQqqqqQ",
            14,  # length in words of four bytes
            33,  # a bar of one minute
            1,
            750,
            int(known.ts_event_ns[k]),
            *(int(getattr(known, name)[k]) * 250_000_000 for name in ("open", "high", "low", "close")),
            int(known.volume[k]),
        )
        for k in range(COUNT)
    )
    content = b"DBN" + struct.pack("<BI", 1, len(metadata)) + metadata + records
    if path.suffix == ".zst":
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(content)
    else:
        path.write_bytes(content)
    return path


@pytest.mark.skipif(importlib.util.find_spec("databento_dbn") is None, reason="the extra dbn is not installed")
@pytest.mark.parametrize("name", ["NQ_db.dbn", "NQ_db.dbn.zst"])
def test_a_dbn_file_is_read(name: str, tmp_path: Path) -> None:
    path = dbn_file(tmp_path / name)

    assert read_bars(path).digest == bars().digest and ingest(path).contracts == ("NQH4",)


@pytest.mark.skipif(importlib.util.find_spec("databento_dbn") is None, reason="the extra dbn is not installed")
def test_a_damaged_dbn_file_is_refused(tmp_path: Path) -> None:
    path = dbn_file(tmp_path / "NQ_db.dbn")
    path.write_bytes(b"XYZ" + path.read_bytes()[3:])

    with pytest.raises(DataError, match=r"unreadable_dbn|no_rows"):
        read_bars(path)


@pytest.mark.skipif(importlib.util.find_spec("databento_dbn") is not None, reason="the extra dbn is installed")
def test_a_dbn_file_without_its_reader_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"need the package databento-dbn: pip install 'trigate\[dbn\]'"):
        read_bars(dbn_file(tmp_path / "NQ_db.dbn"))
