"""The sample bars on this machine: the tidy ones are read whole, the broken ones are refused."""

import gzip
from pathlib import Path

import pytest

from rl_core.bars import read_bars
from rl_core.errors import DataError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
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


DIRTY = {
    "ES_barchart_reversed_trailing_blank_rows.csv.gz": "missing_column",
    "NQ_30min_mixed_date_formats.csv.gz": "bad_time",
    "NQ_adjust_seam_and_offgrid_day_1m.csv.gz": "missing_column",
    "NQ_flextrader_mixed_5m_5s_shifted_columns.csv.gz": "missing_column",
    "NQ_montcarlo_5m_sparse_head.csv.gz": "missing_column",
    "QQQ_1min_big_holes.parquet": "missing_column",
    "QQQ_eqker_descending.csv.gz": "off_tick",
    "QQQ_yfinance_three_header_rows.csv.gz": "missing_column",
}


@pytest.mark.parametrize(("name", "code"), DIRTY.items())
def test_broken_files_as_found_are_refused(name: str, code: str) -> None:
    assert code in fault(SHARED / "dirty" / name, timezone="UTC")


# The same files with the columns renamed: what lies behind the header is found too.
BEHIND_THE_HEADER = {
    "ES_barchart_reversed_trailing_blank_rows.csv.gz": ({b"Time": b"datetime", b"Last": b"close"}, "bad_time"),
    "NQ_adjust_seam_and_offgrid_day_1m.csv.gz": ({b"time": b"datetime", b"close": b"close,volume"}, "short_row"),
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
