"""The small inputs of ``../shared/data/faults``: each gets the answer that its README calls right."""

from pathlib import Path
from typing import Any

import pytest

from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.commands.data_files import FileChoices, FileOptions, check_file
from trigate.errors import ConfigError, DataError

FAULTS = Path(__file__).parents[3] / ".." / "shared" / "data" / "faults"
pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason="the local inputs of known faults are absent")


def checked(name: str, **options: Any) -> dict[str, Any]:
    reading = FileOptions(None, 60, None)._replace(**options)
    return check_file(FAULTS / name, reading, FileChoices(), None)


def test_gold_on_a_holiday_is_read_whole() -> None:
    summary = checked("GC_mlk_2024_D1M.csv")

    assert (summary["bars"], summary["sessions"]) == (2610, 2)


def test_crude_oil_is_read_whole_when_only_equity_products_closed_early() -> None:
    summary = checked("CL_two_holidays_D1M.csv.gz")

    assert summary["sessions"] == 2 and summary["last"] == "2025-01-09T21:59:00Z"


@pytest.mark.parametrize("name", ["GC_ticks_times_tick_D1M.csv", "GC_ticks_times_tick_D1M.parquet"])
def test_prices_that_were_computed_are_read(name: str, tmp_path: Path) -> None:
    bars = read_bars(FAULTS / name)
    write_bars(bars, tmp_path / "GC_D1M.csv")

    assert read_bars(tmp_path / "GC_D1M.csv").digest == bars.digest
    assert bars.digest == read_bars(FAULTS / "GC_fixed_times_1e9_D1M.parquet").digest


def test_end_stamps_over_whole_sessions_are_named_and_read(tmp_path: Path) -> None:
    name = "NQ_full_end_stamped_D1M.csv"
    with pytest.raises(DataError, match=r"end_stamps.*--stamp end"):
        checked(name)

    summary = checked(name, stamp="end")

    assert summary["sessions"] == 2 and summary["first"] == "2024-01-01T23:00:00Z"


def test_end_stamps_of_regular_hours_are_warned_of_and_read() -> None:
    name = "NQ_rth_end_stamped_D1M.csv"

    assert "--stamp end" in str(checked(name)["warnings"])
    assert checked(name, stamp="end")["warnings"] == [] and checked(name, stamp="end")["first"].endswith("14:30:00Z")


def test_a_spread_is_no_market() -> None:
    with pytest.raises(DataError, match="spread: 'NQH4-NQM4'"):
        checked("NQ_spread_symbol_D1M.csv")


@pytest.mark.parametrize("zone", ["America", ""])
def test_what_is_no_zone_is_refused_in_one_line(zone: str) -> None:
    with pytest.raises(ConfigError, match="unknown time zone") as caught:
        checked("NQ_any_D1M.csv", timezone=zone)

    assert "\n" not in str(caught.value)


def test_sparse_prints_of_a_thin_market_are_no_splices() -> None:
    summary = checked("MGC_thin_5m.csv.gz", interval_s=300, market="MGC")

    assert summary["bars"] == 73 and summary["sessions"] == 2
