"""Files as programs really export them: what has one meaning is read, what has two is refused with a remedy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.choices import Choices
from rl_core.bars.read import read_bars
from trigate.errors import DataError

HEADER = "timestamp,open,high,low,close,volume"
UTC = "%Y-%m-%dT%H:%M:%SZ"
START = np.datetime64("2024-01-03T17:58", "s")  # crosses noon in Chicago, so that AM and PM are told apart
COUNT = 4
Row = Callable[[str, int], str]


def plain(at: str, k: int) -> str:
    return f"{at},{16800 + k}.25,{16801 + k},{16799 + k}.5,{16800 + k}.5,{1200 + k}"


def written(path: Path, form: str, *, header: str = HEADER, row: Row = plain, start: np.datetime64 = START) -> Path:
    """A file of `COUNT` minutes from ``start``, each time written as ``form`` says."""
    times = [(start + np.timedelta64(k, "m")).item().strftime(form) for k in range(COUNT)]
    path.write_text("\n".join([header, *(row(at, k) for k, at in enumerate(times))]) + "\n")
    return path


Columns = tuple[list[int], list[int], list[int], list[int]]


def read(bars: Bars) -> Columns:
    """Start, open, low and volume of each."""
    return bars.ts_event_ns.tolist(), bars.open.tolist(), bars.low.tolist(), bars.volume.tolist()


def meant(start: np.datetime64 = START) -> Columns:
    """The same of what `plain` writes."""
    stamps = start.astype("datetime64[ns]").astype(np.int64) + 60 * 10**9 * np.arange(COUNT)
    rows = range(COUNT)
    return stamps.tolist(), [67_201 + 4 * k for k in rows], [67_198 + 4 * k for k in rows], [1200 + k for k in rows]


@pytest.mark.parametrize("form", ["%Y-%m-%d %I:%M:%S %p", "%Y/%m/%d %I:%M %p", "%Y.%m.%d %H:%M"])
def test_a_year_that_comes_first_has_one_meaning(form: str, tmp_path: Path) -> None:
    """11:58 PM would be read as 11:58 by whoever ignores what stands behind it."""
    night = np.datetime64("2024-01-03T23:58", "s")
    assert read(read_bars(written(tmp_path / "NQ.csv", form, start=night), timezone="UTC")) == meant(night)


@pytest.mark.parametrize("form", ["%m/%d/%Y %I:%M:%S %p", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S"])
def test_a_day_above_twelve_decides_the_order_for_all_rows(form: str, tmp_path: Path) -> None:
    """The first rows fit both orders; 13 in a later one is no month."""
    midnight = np.datetime64("2024-02-12T23:58", "s")

    bars = read_bars(written(tmp_path / "NQ.csv", form, start=midnight), timezone="UTC")

    assert read(bars) == meant(midnight)
    which = "day" if form.startswith("%d") else "month"
    shown = np.datetime64("2024-02-13T00:00", "s").item().strftime(form)
    assert f"dates read {which} first: {shown} has no other meaning" in bars.notes


@pytest.mark.parametrize("header", [HEADER, HEADER.replace("timestamp", "date,time")])
def test_dates_that_fit_both_orders_are_refused(header: str, tmp_path: Path) -> None:
    form = "%m/%d/%Y %I:%M %p" if header == HEADER else "%m/%d/%Y,%I:%M %p"
    with pytest.raises(
        DataError, match=r":2:[a-z, ]+: date_order: '01/03/2024 .* Export dates as 2024-01-31; .*--format"
    ):
        read_bars(written(tmp_path / "NQ.csv", form, header=header), timezone="UTC")


def test_rows_that_contradict_each_other_decide_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "NQ.csv", "%d/%m/%Y %H:%M", start=np.datetime64("2024-02-12T23:58", "s"))
    path.write_text(path.read_text().replace("13/02/2024 00:01", "02/13/2024 00:01"))

    with pytest.raises(DataError, match="date_order"):
        read_bars(path, timezone="UTC")


def test_a_vendors_own_order_is_told(tmp_path: Path) -> None:
    path = written(tmp_path / "NQ.csv", "%m/%d/%Y,%I:%M %p", header=HEADER.replace("timestamp", "Date,Time"))

    bars = read_bars(path, timezone="UTC", stamp="start", choices=Choices(layout="tradestation"))

    assert read(bars) == meant()
    assert "dates read month first: as the vendor writes them; no row decides it" in bars.notes


def test_the_rows_are_believed_before_the_vendors_habit(tmp_path: Path) -> None:
    """MotiveWave writes as the computer's language does; its first row alone looks like a month."""
    midnight = np.datetime64("2024-02-12T23:58", "s")
    path = written(
        tmp_path / "NQ.csv", "%d/%m/%Y,%H:%M", header=HEADER.replace("timestamp", "Date,Time"), start=midnight
    )

    assert read(read_bars(path, timezone="UTC", choices=Choices(layout="motivewave"))) == meant(midnight)


def test_a_dash_in_interactive_brokers_times_is_utc(tmp_path: Path) -> None:
    """A zone that is given for it says nothing, and that is told."""
    path = written(tmp_path / "NQ.csv", "%Y%m%d-%H:%M:%S", header=HEADER.replace("timestamp", "date"))

    assert read(read_bars(path)) == meant()
    bars = read_bars(path, timezone="America/Chicago")

    assert read(bars) == meant()
    assert any("--timezone America/Chicago is not used" in note for note in bars.notes)


def test_a_volume_may_have_an_exponent(tmp_path: Path) -> None:
    """As pandas writes a column of floats."""

    def row(at: str, k: int) -> str:
        return plain(at, k).rsplit(",", 1)[0] + f",{1200 + k:.3e}"

    assert read(read_bars(written(tmp_path / "NQ.csv", UTC, row=row))) == meant()


def test_a_price_with_an_exponent_stays_refused(tmp_path: Path) -> None:
    """1.68E+04 is 16,800 and may have been 16,843.25: the digits that a spreadsheet cut are lost."""

    def row(at: str, k: int) -> str:
        return plain(at, k).replace(f"{16801 + k},", "1.6801E+04,")

    with pytest.raises(DataError, match=r":2:high: bad_number: '1\.6801E\+04'"):
        read_bars(written(tmp_path / "NQ.csv", UTC, row=row))


@pytest.mark.parametrize("value", ["1.2e", "e3", "1e+999", "0x1p4", "1e3e3", "1.2345e3"])
def test_what_only_resembles_an_exponent_or_leaves_a_fraction_is_refused(value: str, tmp_path: Path) -> None:
    path = written(tmp_path / "NQ.csv", UTC, row=lambda at, k: plain(at, k).rsplit(",", 1)[0] + f",{value}")
    with pytest.raises(DataError, match=r":2:volume: bad_(number|volume)"):
        read_bars(path)
