"""When each product family trades: the sessions of the calendar library, with packaged corrections of its errors."""

import tomllib
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandas_market_calendars as market_calendars
from pydantic import BaseModel, ConfigDict, Field

from rl_core.exchange.product_hours import EXCHANGE_ZONE, HOURS, Family, clock_minute
from rl_core.exchange.sessions import Sessions

OVERRIDES_FILE = "calendar_overrides.toml"
LIBRARY_NAMES: dict[Family, str] = {
    "equity": "CME Globex Equity",
    "metals": "CMEGlobex_GC",
    "energy": "CMEGlobex_CL",
    "fx": "CMEGlobex_FX",
    "rates": "CME Globex Interest Rate Products",
    "grains": "CMEGlobex_Grains",
}
CHECKED_YEARS = (2015, 2027)
"""The first and the last year whose holidays and short days a golden table holds."""
CLOCK = r"^\d\d:\d\d$"


class DayOverride(BaseModel):
    """Trade dates that the library has wrong, for some families."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    calendars: tuple[Family, ...] = Field(min_length=1)
    dates: tuple[date, ...] = Field(min_length=1)
    close: str | None = Field(None, pattern=r"^(none|\d\d:\d\d)$", description="exchange time; none = no session")
    open: str | None = Field(None, pattern=CLOCK, description="exchange time on the trade date itself: a late open")
    source: str = Field(min_length=1)


class HoursOverride(BaseModel):
    """A time when ordinary days closed at another hour than today; early closes stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    calendars: tuple[Family, ...] = Field(min_length=1)
    first: date
    last: date
    close: str = Field(pattern=CLOCK, description="exchange time")
    source: str = Field(min_length=1)


class Overrides(BaseModel):
    """What replaces the library's sessions, each with its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    hours: tuple[HoursOverride, ...]
    day: tuple[DayOverride, ...]


def library_sessions(family: Family, first: int, last: int) -> Sessions:
    """The sessions [S] of ``family`` in the whole years ``first`` to ``last``."""
    library = market_calendars.get_calendar(LIBRARY_NAMES[family])
    schedule = library.schedule(f"{first}-01-01", f"{last}-12-31", market_times=["market_open", "market_close"])
    days = schedule[["market_open", "market_close"]].copy()
    for era in overrides().hours:
        if family in era.calendars:
            days = _of_era(days, era, family)
    for day in overrides().day:
        if family in day.calendars:
            days = _with_day(days, day, family)
    days = days.sort_index()
    opens, closes = pd.DatetimeIndex(days["market_open"]), pd.DatetimeIndex(days["market_close"])
    local = opens.tz_convert(EXCHANGE_ZONE)
    dates = pd.DatetimeIndex(days.index)
    start, end = _breaks(dates, _nanoseconds(opens), _nanoseconds(closes), family)
    return Sessions(
        open_ns=_nanoseconds(opens),
        close_ns=_nanoseconds(closes),
        trade_date=np.asarray(dates, "datetime64[D]").astype(np.int32),
        open_minute_et=np.asarray(local.hour * 60 + local.minute, np.int32),
        break_start_ns=start,
        break_end_ns=end,
    )


@cache
def overrides() -> Overrides:
    """The packaged corrections of the library."""
    text = resources.files("rl_core.exchange").joinpath(OVERRIDES_FILE).read_text(encoding="utf-8")
    return Overrides.model_validate(tomllib.loads(text))


def _of_era(days: pd.DataFrame, era: HoursOverride, family: Family) -> pd.DataFrame:
    """Ordinary days of a time when the market closed at another hour; early closes were the same."""
    usual = HOURS[family].close
    closes = days["market_close"].copy()
    ordinary = closes.dt.tz_convert(EXCHANGE_ZONE).dt.strftime("%H:%M") == usual
    of_era = (days.index >= pd.Timestamp(era.first)) & (days.index <= pd.Timestamp(era.last))
    closes[ordinary & of_era] += pd.Timedelta(f"{era.close}:00") - pd.Timedelta(f"{usual}:00")
    return days.assign(market_close=closes)


def _with_day(days: pd.DataFrame, wrong: DayOverride, family: Family) -> pd.DataFrame:
    """The schedule with the dates of ``wrong`` replaced, added or taken out, as far as it covers them."""
    rows: dict[Any, tuple[Any, ...]] = dict(zip(days.index, days.itertuples(index=False, name=None), strict=True))
    covered = [pd.Timestamp(day) for day in wrong.dates if days.index[0] <= pd.Timestamp(day) <= days.index[-1]]
    for stamp in covered:
        known = rows.pop(stamp, None)
        if wrong.close == "none":
            continue
        opened, closed = known if known is not None else _usual_times(stamp, family)
        day = stamp.date()
        rows[stamp] = (
            opened if wrong.open is None else _at(day, wrong.open),
            closed if wrong.close is None else _at(day, wrong.close),
        )
    stamps = sorted(rows)
    columns: list[Literal["market_open", "market_close"]] = ["market_open", "market_close"]
    return pd.DataFrame([rows[stamp] for stamp in stamps], index=pd.DatetimeIndex(stamps), columns=columns)


def _usual_times(stamp: pd.Timestamp, family: Family) -> tuple[pd.Timestamp, pd.Timestamp]:
    hours = HOURS[family]
    return _at((stamp - pd.Timedelta(days=1)).date(), hours.open), _at(stamp.date(), hours.close)


def _at(day: date, clock: str) -> pd.Timestamp:
    return pd.Timestamp(f"{day} {clock}", tz=EXCHANGE_ZONE).tz_convert("UTC")


def _breaks(
    dates: pd.DatetimeIndex, open_ns: npt.NDArray[np.int64], close_ns: npt.NDArray[np.int64], family: Family
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and end [S] of the break inside each session; a late open comes after it, so that none is left."""
    pause = HOURS[family].pause
    if pause is None:
        return open_ns, open_ns
    minutes = (pd.Timedelta(minutes=clock_minute(clock)) for clock in pause)
    # No clock changes on a weekday, so adding minutes to local midnight is the local time.
    start, end = (_nanoseconds(pd.DatetimeIndex(dates.tz_localize(EXCHANGE_ZONE) + minute)) for minute in minutes)
    return np.clip(start, open_ns, close_ns), np.clip(end, open_ns, close_ns)


def _nanoseconds(stamps: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    return np.asarray(stamps.tz_convert("UTC").tz_localize(None), "datetime64[ns]").astype(np.int64)
