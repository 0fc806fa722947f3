"""Vendors that stamp a bar with its end: read with ``--stamp end``, and recognised where nobody said so."""

from pathlib import Path

import numpy as np
import pytest

from rl_core.bars.read import read_bars
from rl_core.commands.data_files import FileChoices, FileOptions, check_file
from trigate.errors import DataError

FULL = [("2024-01-02T23:00", "2024-01-03T21:59"), ("2024-01-03T23:00", "2024-01-04T21:59")]  # two sessions, UTC starts
REGULAR = [("2024-01-03T14:30", "2024-01-03T20:59"), ("2024-01-04T14:30", "2024-01-04T20:59")]


def written(path: Path, spans: list[tuple[str, str]], *, later: int = 0, step: int = 1) -> Path:
    """Minutes of the spans in a file, each stamped ``later`` minutes after its start."""
    parts = [np.arange(np.datetime64(first, "m"), np.datetime64(last, "m") + 1, step) for first, last in spans]
    rows = [
        f"{stamp + np.timedelta64(later, 'm')}:00Z,{20000 + k % 9},{20001 + k % 9},20000,20000,{1 + k}"
        for k, stamp in enumerate(np.concatenate(parts))
    ]
    path.write_text("\n".join(["datetime,open,high,low,close,volume", *rows]) + "\n")
    return path


def checked(path: Path, **options: object) -> dict[str, object]:
    reading = FileOptions(None, 60, None)._replace(**options)  # type: ignore[arg-type]
    return check_file(path, reading, FileChoices(), None)


def test_end_stamps_read_as_such_are_the_bars_of_their_starts(tmp_path: Path) -> None:
    starts, ends = written(tmp_path / "NQ_a.csv", FULL), written(tmp_path / "NQ_b.csv", FULL, later=1)

    assert read_bars(ends, stamp="end").digest == read_bars(starts).digest == read_bars(starts, stamp="start").digest
    assert checked(ends, stamp="end")["warnings"] == []


def test_whole_sessions_of_end_stamps_are_refused_with_the_convention_named(tmp_path: Path) -> None:
    """18:01 to 17:00 ET: the bar at the close is the last minute's, and none stands at the open."""
    path = written(tmp_path / "NQ_D1M.csv", FULL, later=1)

    with pytest.raises(DataError, match=r"1381:time: end_stamps: '2024-01-03T22:00:00Z' - .*2 sessions have a bar"):
        checked(path)
    with pytest.raises(DataError, match=r"Read it with --stamp end$"):
        checked(path)


def test_a_wrong_zone_is_not_taken_for_end_stamps(tmp_path: Path) -> None:
    """An hour late, so the last hour lies in the break."""
    with pytest.raises(DataError, match="closed_market"):
        checked(written(tmp_path / "NQ_D1M.csv", FULL, later=60))


@pytest.mark.parametrize(("later", "step", "interval_s"), [(1, 1, 60), (5, 5, 300)])
def test_regular_hours_of_end_stamps_get_a_warning(tmp_path: Path, later: int, step: int, interval_s: int) -> None:
    path = written(tmp_path / "NQ_D1M.csv", REGULAR, later=later, step=step)

    warned = checked(path, interval_s=interval_s)["warnings"]

    assert f"bars run from 09:3{later} to 16:00 ET" in str(warned) and "--stamp end" in str(warned)
    assert checked(path, interval_s=interval_s, stamp="end")["warnings"] == []


def test_regular_hours_of_start_stamps_get_none(tmp_path: Path) -> None:
    assert checked(written(tmp_path / "NQ_D1M.csv", REGULAR))["warnings"] == []


def test_regular_hours_of_start_stamps_that_are_read_as_ends_get_a_warning(tmp_path: Path) -> None:
    """Each bar would be known a minute before it was over."""
    warned = checked(written(tmp_path / "NQ_D1M.csv", REGULAR), stamp="end")["warnings"]

    assert "bars run from 09:29 to 15:58 ET" in str(warned) and "leave it out" in str(warned)


def test_a_stray_bar_at_a_close_is_no_convention(tmp_path: Path) -> None:
    """Sessions with a bar at their open are stamped by their starts, so the one at 17:00 ET has a wrong time."""
    path = written(tmp_path / "NQ_D1M.csv", [(FULL[0][0], "2024-01-03T22:00"), FULL[1]])

    with pytest.raises(DataError, match=r"1382:time: closed_market: '2024-01-03T22:00:00Z'"):
        checked(path)


def test_a_regular_day_that_begins_late_and_ends_in_time_gets_no_warning(tmp_path: Path) -> None:
    """Nothing traded in the first minute; the last bar starts at 15:59."""
    path = written(tmp_path / "NQ_D1M.csv", [("2024-01-03T14:31", "2024-01-03T20:59")])

    assert checked(path)["warnings"] == []
