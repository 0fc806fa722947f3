"""A vendor's file becomes one series: outrights only, rolled by volume, never back, prices as they traded."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from rl_core.bars.choices import read_roll_schedule
from rl_core.bars.ingest import ingest
from rl_core.bars.read import read_bars
from rl_core.commands.data_files import FileOptions, ingest_file
from tests.rl_core.bars.vendor_files import vendor_rows, write_vendor
from trigate.errors import ConfigError, DataError

READING = FileOptions(None, 60, None)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        ingest(path)
    return str(raised.value).removeprefix(str(path))


def test_the_front_contract_is_chosen_by_yesterdays_volume(tmp_path: Path) -> None:
    """NQH5 first trades more in session 3 (from 0), so it is the front from session 4 on."""
    vendor = vendor_rows(fronts=(0, 0, 0, 1, 1, 1))
    done = ingest(write_vendor(tmp_path / "vendor.csv", vendor.rows))

    roll = int(np.flatnonzero(np.diff(done.bars.contract))[0]) + 1
    assert done.contracts == ("NQZ4", "NQH5", "NQM5") and done.schedule.first == "NQZ4"
    assert [r.contract for r in done.schedule.roll] == ["NQH5"]
    assert done.bars.close[roll:].tolist() == vendor.front_close[vendor.session_starts[4] :].tolist()
    before = vendor.front_close[: vendor.session_starts[3]]
    assert done.bars.close[: len(before)].tolist() == before.tolist()
    assert set(done.bars.contract.tolist()) == {0, 1} and (np.diff(done.bars.ts_event_ns) > 0).all()


def test_the_front_never_goes_back(tmp_path: Path) -> None:
    """The old contract trades more again in session 3: it stays left."""
    rows = vendor_rows(fronts=(0, 1, 1, 0, 0, 1)).rows

    done = ingest(write_vendor(tmp_path / "vendor.csv", rows))

    assert [roll.contract for roll in done.schedule.roll] == ["NQH5"]
    assert (np.diff(done.bars.contract) >= 0).all()


def test_a_contract_that_has_expired_is_left_even_if_nothing_traded_more(tmp_path: Path) -> None:
    """NQZ4's last session is session 2 and had the most volume: session 3 must not be empty."""
    vendor = vendor_rows(fronts=(0, 0, 0, 1, 1, 1))
    cut = vendor.session_starts[3]
    kept = [row for row in vendor.rows if not row.endswith(",NQZ4")]
    expiring = [row for row in vendor_rows(fronts=(0,) * 6).rows if row.endswith(",NQZ4")][:cut]

    done = ingest(write_vendor(tmp_path / "vendor.csv", expiring + kept))

    assert len(done.bars) == 360 and done.bars.contract.tolist() == [0] * 180 + [1] * 180


def test_spreads_are_left_out_and_counted_and_their_negative_prices_are_no_fault(tmp_path: Path) -> None:
    rows = vendor_rows().rows
    spreads = sum("-NQ" in row for row in rows)

    done = ingest(write_vendor(tmp_path / "vendor.csv", rows))

    assert done.spread_rows == spreads > 100 and done.rows == len(rows)
    assert f"{spreads} spread rows left out, 1 rolls by volume" in done.bars.notes[-1]
    assert any(f",{price}," in row for row in rows for price in ("-212.5",))


def test_what_is_written_is_read_back_with_its_rolls(tmp_path: Path) -> None:
    source = write_vendor(tmp_path / "vendor.csv", vendor_rows().rows)
    found = ingest_file(source, READING, None, tmp_path / "out")

    bars = read_bars(tmp_path / "out" / "NQ_D1M.parquet")
    card = json.loads((tmp_path / "out" / "data.json").read_text())
    schedule = read_roll_schedule(tmp_path / "out" / "rolls.toml")

    assert bars.digest == found["digest"] == card["digest"] and bars.contract.max() == 1
    assert schedule.roll[0].contract == "NQH5" and "NQH5" in schedule.roll[0].source
    assert tomllib.loads((tmp_path / "out" / "rolls.toml").read_text())["first"] == "NQZ4"
    assert [roll["contract"] for roll in card["rolls"]] == ["NQH5"]
    assert "<h2>Rolls</h2>" in (tmp_path / "out" / "data.html").read_text()


def test_the_order_of_the_rows_of_different_contracts_does_not_matter(tmp_path: Path) -> None:
    rows = vendor_rows().rows
    by_symbol = sorted(rows, key=lambda row: row.rpartition(",")[2])

    one, other = (
        ingest(write_vendor(tmp_path / f"{k}.csv", order)).bars.digest for k, order in enumerate((rows, by_symbol))
    )

    assert one == other


def test_a_fault_is_named_by_the_line_of_the_vendors_file(tmp_path: Path) -> None:
    rows = vendor_rows().rows
    line = next(k for k, row in enumerate(rows) if row.endswith(",NQH5"))
    doubled = [*rows[: line + 1], rows[line], *rows[line + 1 :]]
    off = [*rows[:line], rows[line].replace(".0,", ".1,", 1).replace(".5,", ".6,", 1), *rows[line + 1 :]]

    assert refused(write_vendor(tmp_path / "a.csv", doubled)).startswith(f":{line + 3}:ts_event: duplicate_row")
    assert refused(write_vendor(tmp_path / "b.csv", off)).startswith(f":{line + 2}:")


def test_symbols_that_are_no_contract_of_the_market_are_refused(tmp_path: Path) -> None:
    rows = vendor_rows().rows

    strange = refused(write_vendor(tmp_path / "a.csv", [*rows, rows[0].replace("NQZ4", "NQ FUT")]))
    foreign = refused(write_vendor(tmp_path / "b.csv", [*rows, rows[0].replace("NQZ4", "ESZ4")]))

    assert f":{len(rows) + 2}:symbol: unknown_symbol: 'NQ FUT'" in strange
    assert f":{len(rows) + 2}:symbol: other_market: 'ESZ4'" in foreign


def test_a_file_without_outrights_or_symbols_is_refused(tmp_path: Path) -> None:
    spreads = [row for row in vendor_rows().rows if "-NQ" in row]
    plain = tmp_path / "NQ_D1M.csv"
    plain.write_text("datetime,open,high,low,close,volume\n2025-01-02T14:30:00Z,21000,21000,21000,21000,1\n")

    assert "no_outright" in refused(write_vendor(tmp_path / "NQ_vendor.csv", spreads))
    assert ":1:symbol: missing_column" in refused(plain)
    with pytest.raises(ConfigError, match="which market"):
        ingest(write_vendor(tmp_path / "vendor.csv", spreads))


@pytest.mark.parametrize(
    ("symbols", "expected"), [(("NQZ9", "NQH0"), ("NQZ9", "NQH0")), (("NQZ24", "NQH25"), ("NQZ24", "NQH25"))]
)
def test_expiries_are_ordered_over_a_decade(
    tmp_path: Path, symbols: tuple[str, str], expected: tuple[str, ...]
) -> None:
    """Seen from 2024, Z9 is December 2029 and H0 March 2030."""
    renamed = dict(zip(("NQZ4", "NQH5"), symbols, strict=True))
    rows = []
    for row in vendor_rows().rows:
        head, _, symbol = row.rpartition(",")
        if symbol in renamed:
            rows.append(f"{head},{renamed[symbol]}")

    assert ingest(write_vendor(tmp_path / "vendor.csv", rows)).contracts == expected
