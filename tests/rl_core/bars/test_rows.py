"""Rows of a growing file are read as strictly as a whole file, each for itself."""

from pathlib import Path

import pytest

from rl_core.bars.read import read_bars
from rl_core.bars.rows import BadRow, BarRow, RowReader
from rl_core.exchange.instruments import instrument

HEADER = b"datetime,open,high,low,close,volume"
GOOD = b"2024-01-03T14:30:00Z,17000.25,17001,17000,17000.5,12"
ROW = BarRow(1_704_292_200_000_000_000, 68001, 68004, 68000, 68002, 12)


def reader(header: bytes = HEADER) -> RowReader:
    return RowReader(Path("NQ_live.csv"), header, instrument("NQ"), timezone=None, stamp=None)


def test_a_row_is_what_the_reader_of_whole_files_makes_of_it(tmp_path: Path) -> None:
    (tmp_path / "NQ_live.csv").write_bytes(HEADER + b"\n" + GOOD + b"\n")
    bars = read_bars(tmp_path / "NQ_live.csv")

    assert reader().read([GOOD], 2) == [ROW]
    assert [int(getattr(bars, name)[0]) for name in BarRow._fields] == list(ROW)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"2024-01-03T14:31:00Z,17000.25,17001,17000", "NQ_live.csv:101: short_row"),
        (b"2024-01-03T14:31:00Z,17000.25,17001,17000,abc,12", "NQ_live.csv:101:close: bad_number"),
        (b"2024-01-03T14:31:00Z,17000.3,17001,17000,17000.5,12", "NQ_live.csv:101:open: off_tick"),
        (b"2024-01-03T14:31:00Z,17000.25,16999,17000,17000.5,12", "NQ_live.csv:101:high: "),
        (b"yesterday,17000.25,17001,17000,17000.5,12", "NQ_live.csv:101:datetime: "),
        (b'2024-01-03T14:31:00Z,"17000.25,17001,17000,17000.5,12', "NQ_live.csv:101: short_row"),
        (b"2024-01-03T14:31:00Z,17000.25,17001,17000,17000.5,1\0", "NQ_live.csv:101: nul_byte"),
        (b"2024-01-03T14:31:00Z,17000.25,17001,17000,17000.5,\xff", "NQ_live.csv:101: not_utf8"),
    ],
)
def test_a_bad_row_names_its_line_and_leaves_its_neighbours_whole(line: bytes, fault: str) -> None:
    before, bad, after = reader().read([GOOD, line, GOOD], 100)

    assert (before, after) == (ROW, ROW)
    assert isinstance(bad, BadRow) and bad.fault.startswith(fault)


def test_a_row_of_nothing_at_the_end_is_a_bad_row_and_no_end_of_the_file() -> None:
    """A whole file may end in what a spreadsheet leaves behind; rows that come are each one or none."""
    before, bad = reader().read([GOOD, b",,,,,"], 2)

    assert before == ROW and isinstance(bad, BadRow) and "blank rows only" in bad.fault


def test_a_header_that_no_row_can_be_read_by_says_so() -> None:
    assert reader().header_fault() == "" and reader(b"20240103 143100;1;1;1;1;1").header_fault() == ""
    assert "NQ_live.csv:1:volume: missing_column" in reader(HEADER.rpartition(b",")[0]).header_fault()


def test_a_tick_is_a_bar_of_one_price_at_any_moment() -> None:
    """Two of one time and one out of order are read too: what order they come in is for others to judge."""
    ticks = RowReader(
        Path("feed"), b"ts_event,side,price,size", instrument("NQ"), timezone=None, stamp=None, kind="ticks"
    )
    at = (1_704_292_200_000_000_001, 1_704_292_200_000_000_001, 1_704_292_199_500_000_000)
    found = ticks.read(
        [f"{at[0]},B,17000.25,3".encode(), f"{at[1]},B,17000.25,3".encode(), b"1704292199.5,B,17001,1"], 1
    )

    assert found[:2] == [BarRow(ts, 68001, 68001, 68001, 68001, 3) for ts in at[:2]]
    assert found[2] == BarRow(at[2], 68004, 68004, 68004, 68004, 1)
    assert (
        "datetime, price, volume are needed"
        in RowReader(Path("feed"), HEADER, instrument("NQ"), timezone=None, stamp=None, kind="ticks").header_fault()
    )


def test_rolls_are_read_where_the_file_counts_them() -> None:
    """A part of a file begins with any count; one that steps back is a bad row."""
    rows = reader(HEADER + b",roll_index").read([GOOD + b",2", GOOD + b",3", GOOD + b",-1"], 2)

    assert rows[:2] == [ROW._replace(contract=2), ROW._replace(contract=3)]
    assert isinstance(rows[2], BadRow) and ":4:roll_index: bad_roll" in rows[2].fault


def test_a_vendors_file_without_a_header_begins_with_a_row() -> None:
    """NinjaTrader stamps the end of a bar, in UTC."""
    line = b"20240103 143100;17000.25;17001;17000;17000.5;12"

    assert not (vendors := reader(line)).has_header
    assert vendors.read([line], 1) == [ROW]


def test_no_row_of_a_file_without_our_columns_is_a_bar() -> None:
    (bad,) = reader(b"datetime,open,high,low,volume").read([b"2024-01-03T14:30:00Z,1,1,1,1"], 2)

    assert isinstance(bad, BadRow) and bad.fault.startswith("NQ_live.csv:1:close: missing_column")
