"""The sample bars on this machine: the tidy ones are read whole, the broken ones are refused."""

import gzip
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.card import DataCard, examine
from rl_core.bars.choices import Choices
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from trigate.errors import DataError

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the local sample data is absent")


def fault(path: Path, timezone: str | None = None) -> str:
    """What the error says behind the file's name."""
    with pytest.raises(DataError) as raised:
        read_bars(path, timezone=timezone)
    return str(raised.value).removeprefix(str(path))


TIDY = {
    "NQ_D1M.csv.gz": (60, 553_083),
    "NQ_1m_202301.csv.gz": (60, 2_762),
    "NQ_5s_202301.csv.gz": (5, 30_279),
    "NQ_1m_20250504.csv.gz": (60, 120),
    "NQ_1s_20250504.csv.gz": (1, 3_056),
    "YM_1m_202201.csv.gz": (60, 13_550),
    "GC_D1M.csv.gz": (60, 6_687),
    "GC_D1S.csv.gz": (1, 50_967),
    "ES_D1M_2013_2020.csv.gz": (60, 19_083),
}


@pytest.mark.parametrize(("name", "interval_s", "rows"), [(name, *facts) for name, facts in TIDY.items()])
def test_real_bars_are_read_whole(name: str, interval_s: int, rows: int) -> None:
    bars = read_bars(SHARED / name, interval_s=interval_s)

    assert len(bars) == rows and bars.notes == () and bars.instrument.symbol == name[:2]


# Where the volume of the next contract took over, as the README of the samples says.
ROLLS = (
    ("2023-12-12T06:01:00Z", 854),
    ("2024-03-12T05:01:00Z", 987),
    ("2024-06-17T05:01:00Z", 1041),
    ("2024-09-17T05:01:00Z", 924),
    ("2024-12-16T23:00:00Z", 1202),
    ("2025-03-17T22:00:00Z", 839),
)


@cache
def nq() -> Bars:
    return read_bars(SHARED / "NQ_D1M.csv.gz")


def row_at(bars: Bars, time: str) -> int:
    at = np.datetime64(time.rstrip("Z"), "ns").astype(np.int64)
    row = int(np.searchsorted(bars.ts_event_ns, at))
    assert bars.ts_event_ns[row] == at
    return row


@pytest.mark.parametrize(("name", "interval_s"), [(name, interval_s) for name, (interval_s, _) in TIDY.items()])
def test_every_bar_of_a_real_file_lies_in_a_session(name: str, interval_s: int) -> None:
    card = examine(nq() if name.startswith("NQ_D1M") else read_bars(SHARED / name, interval_s=interval_s), Path(name))

    assert card.bars == TIDY[name][1]


def test_nq_with_its_six_known_rolls_has_no_unexplained_one(tmp_path: Path) -> None:
    """A gap of +0.42 % on Thursday evening, 12 December 2024, is a false alarm where no roll of that quarter is known.

    Six third Fridays end at 09:29 ET, when the old contract expired. Where nobody says that the contract has changed
    before, the four Sundays after them that open elsewhere are told as well.
    """
    rolls = tmp_path / "rolls.toml"
    rolls.write_text("".join(f"[[roll]]\nts_event = {at}\n" for at, _ in ROLLS))

    plain = examine(nq(), Path("NQ"))
    card = examine(read_bars(SHARED / "NQ_D1M.csv.gz", choices=Choices(rolls=rolls)), Path("NQ"))

    assert [(roll.at, roll.gap_ticks) for roll in card.rolls] == list(ROLLS)
    sundays = ("2023-12-17T23:00:00Z", "2024-03-17T22:00:00Z", "2024-12-22T23:00:00Z", "2025-03-23T22:00:00Z")
    told = sorted([*(at for at, _ in ROLLS), *sundays, "2024-12-12T23:00:00Z"])
    fridays = "6 sessions have bars but none in regular hours (09:30 to 16:00 ET), the first on 2023-12-15"
    assert all(at in said for at, said in zip(told, plain.warnings[:-1], strict=True)) and plain.warnings[-1] == fridays
    assert card.warnings == (fridays,)


def test_the_largest_minute_is_read() -> None:
    """NQ rose by 2.8 % in the minute of 13:19 ET on 9 April 2025."""
    row = row_at(nq(), "2025-04-09T17:19:00Z")

    assert int(nq().close[row]) / int(nq().close[row - 1]) - 1 > 0.025


def test_a_single_bar_of_the_old_contract_is_found_in_real_bars(tmp_path: Path) -> None:
    """The two that were dropped from the file: 1,202 ticks below, at 04:26 and 06:39 on 17 December 2024."""
    row = row_at(nq(), "2024-12-17T00:00:00Z")
    day = nq().slice(row, row + 600)
    columns = {name: getattr(day, name).copy() for name in ("open", "high", "low", "close")}
    for time in ("2024-12-17T04:26:00Z", "2024-12-17T06:39:00Z"):
        for column in columns.values():
            column[np.searchsorted(day.ts_event_ns, np.datetime64(time.rstrip("Z"), "ns").astype(np.int64))] -= 1202
    write_bars(replace(day, **columns, digest=""), tmp_path / "NQ_D1M.csv")

    said = fault(tmp_path / "NQ_D1M.csv")

    assert ": splice: '2024-12-17T04:2" in said and said.endswith("(and 1 more fault)")


def test_minutes_and_seconds_of_the_samples_agree() -> None:
    minutes = read_bars(SHARED / "GC_D1M.csv.gz")
    seconds = read_bars(SHARED / "GC_D1S.csv.gz", interval_s=1)

    found: DataCard = examine(minutes, Path("GC"), seconds=seconds)

    assert found.seconds is not None and found.seconds.equal["close"] > 0.9995 and found.seconds.minutes > 4000


# What the README says is wrong, and the first thing that stands in the way of a reading.
DIRTY = {
    "NQ_30min_mixed_date_formats.csv.gz": ": wrong_interval: '1800 s'",
    "NQ_adjust_seam_and_offgrid_day_1m.csv.gz": ":1:volume: missing_column: 'time,open,high,low,close'",
    "NQ_flextrader_mixed_5m_5s_shifted_columns.csv.gz": ": wrong_interval: '300 s' - bars of 60 s were expected",
    "NQ_montcarlo_5m_sparse_head.csv.gz": ": wrong_interval: '300 s' - bars of 60 s were expected",
    "QQQ_1min_big_holes.parquet": ":1:datetime: missing_column: 'symbol,open,high,low,close,volume,ts'",
    "QQQ_eqker_descending.csv.gz": ":2:open: off_tick: '171.895' - a multiple of the tick 0.25 was expected",
    "QQQ_yfinance_three_header_rows.csv.gz": ":1:datetime: missing_column: 'Price,Close,High,Low,Open,Volume'",
}


BARCHART = "ES_barchart_reversed_trailing_blank_rows.csv.gz"


def test_every_broken_file_is_decided() -> None:
    assert {path.name for path in (SHARED / "dirty").iterdir()} == {*DIRTY, BARCHART}


def test_a_file_as_barchart_writes_it_is_read() -> None:
    """Newest first, `Last` for the close, and 944 rows without anything at the end."""
    bars = read_bars(SHARED / "dirty" / BARCHART, timezone="America/Chicago")

    assert (np.diff(bars.ts_event_ns) > 0).all() and bars.instrument.symbol == "ES"
    assert "left out 944 blank rows at the end" in bars.notes and "read in the form of barchart" in bars.notes
    assert bars.lines[-1] == 2 and int(bars.close[-1]) == 4 * 3235.5


@pytest.mark.parametrize(("name", "said"), DIRTY.items())
def test_broken_files_as_found_are_refused(name: str, said: str) -> None:
    assert fault(SHARED / "dirty" / name, timezone="UTC").startswith(said)


# The same files with the columns renamed: what lies behind the header is found too.
BEHIND_THE_HEADER = {
    "ES_barchart_reversed_trailing_blank_rows.csv.gz": ({b"Time": b"datetime", b"Last": b"close"}, "naive_time"),
    "NQ_adjust_seam_and_offgrid_day_1m.csv.gz": ({b"time": b"datetime", b"close": b"close,volume"}, ":2: short_row"),
    "NQ_flextrader_mixed_5m_5s_shifted_columns.csv.gz": ({b"time,": b"datetime,"}, "wrong_interval"),
    "NQ_montcarlo_5m_sparse_head.csv.gz": ({b"time,": b"datetime,"}, "300-second"),
    "QQQ_yfinance_three_header_rows.csv.gz": ({b"Price": b"datetime"}, ":2:open: bad_number: 'QQQ'"),
}


@pytest.mark.parametrize(("name", "renamed", "expected"), [(n, *facts) for n, facts in BEHIND_THE_HEADER.items()])
def test_broken_files_with_right_columns_are_refused(
    tmp_path: Path, name: str, renamed: dict[bytes, bytes], expected: str
) -> None:
    header, _, rows = gzip.decompress((SHARED / "dirty" / name).read_bytes()).partition(b"\n")
    for old, new in renamed.items():
        header = header.replace(old, new, 1)

    path = tmp_path / f"{name[:2]}_D1M.csv"
    path.write_bytes(header + b"\n" + rows)

    assert expected in fault(path)


def rewritten(name: str, folder: Path, columns: dict[str, str], tick: float, **options: bool) -> Path:
    """A broken file as a careful person would try to bring it in: columns named, prices on a grid, perhaps turned."""
    path = SHARED / "dirty" / name
    table = pd.read_parquet(path).reset_index() if path.suffix == ".parquet" else pd.read_csv(path)
    table = table.rename(columns=columns)
    for column in ("open", "high", "low", "close"):
        table[column] = (table[column].astype(float) / tick).round() * tick
    if "volume" not in table:
        table["volume"] = 1
    table = table[::-1] if options.get("turned") else table
    out = folder / "NQ_D1M.csv"
    table[["datetime", "open", "high", "low", "close", "volume"]].to_csv(out, index=False)
    return out


def test_what_lies_behind_the_first_fault_is_found_too(tmp_path: Path) -> None:
    """Named columns and rounded prices do not make them right: order, interval, holes are told."""
    holes = rewritten("QQQ_1min_big_holes.parquet", tmp_path, {"ts": "datetime"}, 0.25)
    card = examine(read_bars(holes, timezone="UTC"), holes)
    assert len(card.missing_sessions) > 500 and "sessions have no bar" in card.warnings[-1]

    newest = rewritten("QQQ_eqker_descending.csv.gz", tmp_path, {}, 0.25)
    assert ":3:datetime: newest_first" in fault(newest, timezone="America/New_York")
    turned = rewritten("QQQ_eqker_descending.csv.gz", tmp_path, {}, 0.25, turned=True)
    assert len(read_bars(turned, timezone="America/New_York")) > 1000

    seam = rewritten("NQ_adjust_seam_and_offgrid_day_1m.csv.gz", tmp_path, {"time": "datetime"}, 0.25)
    jumps = examine(read_bars(seam), seam).jumps
    assert any(jump.at.startswith("2024-12-03T00:00") and abs(jump.ticks) > 1000 for jump in jumps)
