"""The small inputs of ``../shared/data/faults``: each gets the answer that its README calls right."""

from pathlib import Path
from typing import Any

import pytest

from rl_core.commands.data_files import FileChoices, FileOptions, check_file

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
