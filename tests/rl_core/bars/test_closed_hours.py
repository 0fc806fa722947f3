"""Bars that no session holds: a wrong time is told from a calendar that may be wrong, product by product."""

from pathlib import Path

import numpy as np
import pytest

from rl_core.commands.data_files import FileChoices, FileOptions, check_file
from trigate.errors import DataError

HEADER = "datetime,open,high,low,close,volume\n"


def minutes(first: str, last: str, price: float = 2050.0) -> str:
    """Rows of every minute from ``first`` to ``last``, UTC, both included."""
    stamps = np.arange(np.datetime64(first, "m"), np.datetime64(last, "m") + 1)
    return "".join(f"{stamp}:00Z,{price},{price},{price},{price},{1 + k % 50}\n" for k, stamp in enumerate(stamps))


def checked(path: Path, text: str) -> dict[str, object]:
    path.write_text(HEADER + text)
    return check_file(path, FileOptions(None, 60, None), FileChoices(), None)


def test_gold_trades_until_14_30_on_martin_luther_king_day(tmp_path: Path) -> None:
    """The holiday's 1,230 minutes, then Tuesday's 1,380; the equity calendar would end the first at 13:00 ET."""
    text = minutes("2024-01-14T23:00", "2024-01-15T19:29") + minutes("2024-01-15T23:00", "2024-01-16T21:59")

    summary = checked(tmp_path / "GC_D1M.csv", text)

    assert (summary["bars"], summary["sessions"], summary["silent_intervals"]) == (2610, 2, 0)


@pytest.mark.parametrize(
    ("first", "last", "day"),
    [
        ("2024-12-23T23:00", "2024-12-24T18:44", "Christmas Eve until 13:45 ET"),
        ("2025-01-08T23:00", "2025-01-09T21:59", "the day of mourning as usual"),
        ("2025-08-31T22:00", "2025-09-01T18:29", "Labor Day until 14:30 ET"),
        ("2025-11-27T23:00", "2025-11-28T19:44", "the day after Thanksgiving until 14:45 ET"),
    ],
)
def test_crude_oil_is_read_whole_on_days_when_other_products_differ(
    first: str, last: str, day: str, tmp_path: Path
) -> None:
    summary = checked(tmp_path / "CL_D1M.csv", minutes(first, last, 70.0))

    assert (summary["sessions"], summary["silent_intervals"], summary["warnings"]) == (1, 0, []), day


def test_bars_that_contradict_the_calendar_are_not_to_be_removed(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        checked(tmp_path / "CL_D1M.csv", minutes("2024-12-24T18:40", "2024-12-24T18:49", 70.0))

    told = str(caught.value)
    assert "CL_D1M.csv:7:time: calendar: '2024-12-24T18:45:00Z' - the calendar may be wrong" in told
    assert "CL (energy)" in told and "Do not remove it for this alone" in told and "(and 4 more faults)" in told


@pytest.mark.parametrize(
    ("market", "stamp", "code"),
    [
        ("GC", "2024-01-17T22:30", "closed_market"),  # 17:30 ET, the daily break
        ("GC", "2024-01-20T15:00", "weekend"),
        ("GC", "2024-01-19T22:00", "weekend"),  # Friday after the close
        ("ZC", "2024-01-17T13:50", "closed_market"),  # 08:50 ET, between the evening and the day session
        ("ZC", "2024-01-17T19:20", "closed_market"),  # 14:20 ET, after the day session
        ("ZC", "2024-01-15T16:00", "calendar"),  # Martin Luther King Day
    ],
)
def test_a_time_at_which_the_product_never_trades_is_a_wrong_time(
    market: str, stamp: str, code: str, tmp_path: Path
) -> None:
    price = 450.0 if market == "ZC" else 2050.0

    with pytest.raises(DataError, match=f"time: {code}: '{stamp}:00Z'"):
        checked(tmp_path / f"{market}_D1M.csv", minutes(stamp, stamp, price))


def test_a_grain_session_expects_no_bars_in_its_break(tmp_path: Path) -> None:
    """20:00 to 08:45 and 09:30 to 14:20 ET: 765 and 290 minutes."""
    text = minutes("2024-01-18T01:00", "2024-01-18T13:44", 450.0) + minutes(
        "2024-01-18T14:30", "2024-01-18T19:19", 450.0
    )

    summary = checked(tmp_path / "ZC_D1M.csv", text)

    assert (summary["bars"], summary["sessions"], summary["silent_intervals"]) == (1055, 1, 0)
