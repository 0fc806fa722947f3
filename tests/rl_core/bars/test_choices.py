"""Rows left out and rolls named by a person: both recorded, both refused where they do not fit the file."""

from pathlib import Path

import numpy as np
import pytest

from rl_core.bars.choices import Choices
from rl_core.bars.read import read_bars
from rl_core.commands.data_files import FileChoices, FileOptions, check_file
from trigate.errors import ConfigError, DataError, TrigateError

HEADER = "datetime,open,high,low,close,volume"
READING = FileOptions(None, 60, None)


def stamp(k: int) -> str:
    return f"{np.datetime64('2024-12-17T04:00') + np.timedelta64(k, 'm')}:00Z"


def line(k: int, ticks: int = 0) -> str:
    price = 21_000 + 0.25 * (k % 3 + ticks)
    return f"{stamp(k)},{price},{price + 1},{price - 1},{price},{10 + k}"


def bars_file(folder: Path, *, spliced: int | None = None, count: int = 40, rolls_at: int | None = None) -> Path:
    """Quiet minutes; one row of the old contract, or a roll."""
    rows = [line(k, 1000 * (k == spliced) + 900 * (rolls_at is not None and k >= rolls_at)) for k in range(count)]
    path = folder / "NQ_D1M.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def listed(folder: Path, row: int, at: str, name: str = "exclude.toml") -> Path:
    path = folder / name
    path.write_text(f'[[row]]\nline = {row}\nts_event = {at}\nreason = "old contract"\n')
    return path


def rolls_file(folder: Path, *times: str) -> Path:
    path = folder / "rolls.toml"
    rolls = "".join(f'[[roll]]\nts_event = {at}\ncontract = "NQH5"\n' for at in times)
    path.write_text(f'first = "NQZ4"\n{rolls}')
    return path


def said(error: type[TrigateError], path: Path, **choices: Path) -> str:
    with pytest.raises(error) as raised:
        read_bars(path, choices=Choices(**choices))
    return str(raised.value)


def test_a_listed_row_is_left_out_and_recorded(tmp_path: Path) -> None:
    """Line 22 is bar 20: without it the file is 39 quiet minutes."""
    path = bars_file(tmp_path, spliced=20)
    assert ":22:close: splice" in said(DataError, path)

    found = check_file(path, READING, FileChoices(exclude=listed(tmp_path, 22, stamp(20))), tmp_path / "out")

    assert found["bars"] == 39 and found["notes"] == ["left out 1 listed rows: old contract"]
    assert "left out 1 listed rows: old contract" in (tmp_path / "out" / "data.json").read_text()
    assert read_bars(tmp_path / "out" / "NQ_D1M.parquet").digest == found["digest"]


def test_a_list_for_another_file_is_refused(tmp_path: Path) -> None:
    path = bars_file(tmp_path, spliced=20)

    assert ":22: excluded_row: 2024-12-17T04:20" in said(DataError, path, exclude=listed(tmp_path, 22, stamp(21)))
    assert "leaves out row 99" in said(DataError, path, exclude=listed(tmp_path, 99, stamp(20)))


def test_a_short_row_can_be_left_out_and_its_fault_goes_with_it(tmp_path: Path) -> None:
    path = bars_file(tmp_path)
    rows = path.read_text().splitlines()
    rows[10] = rows[10].rpartition(",")[0]
    path.write_text("\n".join(rows) + "\n")

    assert len(read_bars(path, choices=Choices(exclude=listed(tmp_path, 11, stamp(9))))) == 39
    assert ":11: short_row" in said(DataError, path, exclude=listed(tmp_path, 12, stamp(10)))


def test_a_named_roll_explains_its_jump_and_is_carried_by_the_bars(tmp_path: Path) -> None:
    path, rolls = bars_file(tmp_path, rolls_at=25), rolls_file(tmp_path, stamp(25))
    assert "in roll week that no file explains" in check_file(path, READING, FileChoices(), None)["warnings"][0]

    found = check_file(path, READING, FileChoices(rolls=rolls), tmp_path / "out")

    again = read_bars(tmp_path / "out" / "NQ_D1M.parquet")
    assert found["warnings"] == [] and found["rolls"] == 1 and found["lasting_jumps"] == 1
    assert again.contract.tolist() == [0] * 25 + [1] * 15 and again.digest == found["digest"]
    assert again.digest != read_bars(path).digest and again.slice(30, 40).contract.tolist() == [0] * 10


def test_rolls_before_the_first_bar_and_after_the_last_count_for_nothing(tmp_path: Path) -> None:
    path = bars_file(tmp_path, rolls_at=25)
    rolls = rolls_file(tmp_path, "2024-09-17T05:01:00Z", stamp(25), "2025-03-17T22:00:00Z")

    assert read_bars(path, choices=Choices(rolls=rolls)).contract.tolist() == [0] * 25 + [1] * 15


BAD_LISTS = {
    "no TOML": ("[[row", "not valid TOML"),
    "no zone": ("[[roll]]\nts_event = 2024-12-17T04:25:00\n", "roll.0.ts_event"),
    "unknown key": ("rols = 1\n", "rols"),
    "out of order": (
        "[[roll]]\nts_event = 2024-12-17T04:25:00Z\n[[roll]]\nts_event = 2024-12-17T04:24:00Z\n",
        "in order of time",
    ),
}


@pytest.mark.parametrize(("content", "expected"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_list_that_cannot_be_read_is_a_fault_of_the_configuration(
    tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "rolls.toml"
    path.write_text(content)

    assert expected in said(ConfigError, bars_file(tmp_path), rolls=path)
    assert "cannot be read" in said(ConfigError, bars_file(tmp_path), exclude=tmp_path / "none.toml")


@pytest.mark.parametrize(
    "cells", [["0", "1", "0"], ["0", "0", "2"], ["1", "1", "1"], ["0", "0", "-1"], ["0", "0", "x"]]
)
def test_a_roll_index_that_steps_back_or_skips_is_refused(tmp_path: Path, cells: list[str]) -> None:
    path = tmp_path / "NQ_D1M.csv"
    rows = [f"{line(k)},{cell}" for k, cell in enumerate(cells)]
    path.write_text("\n".join([f"{HEADER},roll_index", *rows]) + "\n")

    assert "roll_index: bad_" in said(DataError, path)


def written(folder: Path, rows: list[str]) -> Path:
    path = folder / "NQ_D1M.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_a_short_session_between_two_gaps_is_no_splice(tmp_path: Path) -> None:
    """Two bars 250 points away, a night from their neighbours: real gaps are not rows of another contract."""
    hours = [0, 0, 24, 24, 48, 48]
    rows = [line(60 * hour + k, 1000 * (hour == 24)) for k, hour in enumerate(hours)]
    near = [line(k, 1000 * (hour == 24)) for k, hour in enumerate(hours)]

    assert len(read_bars(written(tmp_path, rows))) == 6
    assert ": splice" in said(DataError, written(tmp_path, near))


def test_flat_bars_without_volume_are_a_filling_and_are_counted(tmp_path: Path) -> None:
    """The same 80 bars with one contract each are a frozen feed."""
    filled = [f"{stamp(k)},21000,21000,21000,21000,0" for k in range(80)]

    found = check_file(written(tmp_path, filled), READING, FileChoices(), None)

    assert found["bars"] == found["bars_without_volume"] == 80
    assert "80 equal bars" in said(DataError, written(tmp_path, [row[:-1] + "1" for row in filled]))
