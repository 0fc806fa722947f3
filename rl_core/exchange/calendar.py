"""Exchange sessions of CME equity-index futures: when each opens and closes, and which one a bar belongs to."""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandas_market_calendars as market_calendars
from pydantic import BaseModel, ConfigDict, Field

OVERRIDES_FILE = "calendar_overrides.toml"
CALENDAR_NAME = "CME Globex Equity"
EXCHANGE_ZONE = "America/New_York"
REGULAR_CLOSE = "17:00"  # as the library has it on ordinary days
OUTSIDE = -1
NS_PER_MINUTE = 60_000_000_000
MINUTES_PER_DAY = 1440

# Sessions that meet no bar but frame the first and the last one: longer than any closure.
_MARGIN = pd.Timedelta(days=10)


class DayOverride(BaseModel):
    """One trade date that the library has wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    date: date
    close: str = Field(pattern=r"^(none|\d\d:\d\d)$", description="exchange time; none = no session")
    source: str = Field(min_length=1)


class HoursOverride(BaseModel):
    """A time when ordinary days closed at another hour than today; early closes stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    first: date
    last: date
    close: str = Field(pattern=r"^\d\d:\d\d$", description="exchange time")
    source: str = Field(min_length=1)


class Overrides(BaseModel):
    """What replaces the library's sessions, each with its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    hours: tuple[HoursOverride, ...]
    day: tuple[DayOverride, ...]


class Located(NamedTuple):
    """Where each bar lies in its session."""

    session: npt.NDArray[np.int32]
    """[T] trade date, days since 1970-01-01; -1 outside any session."""
    minute_et: npt.NDArray[np.int32]
    """[T] minute of the exchange-local day at the bar's start, 0..1439."""
    open_ns: npt.NDArray[np.int64]
    """[T] start of the bar's session, ns UTC; 0 outside."""
    close_ns: npt.NDArray[np.int64]
    """[T] end of the bar's session, ns UTC; 0 outside."""


@dataclass(frozen=True)
class Calendar:
    """Sessions in order of time, half open: a bar belongs to one when ``open_ns <= ts < close_ns``."""

    open_ns: npt.NDArray[np.int64]
    """[S] ns UTC; 18:00 ET the evening before the trade date."""
    close_ns: npt.NDArray[np.int64]
    """[S] ns UTC; 17:00 ET (17:15 until September 2015), earlier on short days."""
    trade_date: npt.NDArray[np.int32]
    """[S] days since 1970-01-01."""
    open_minute_et: npt.NDArray[np.int32]
    """[S] minute of the exchange-local day at the open."""

    @classmethod
    def covering(cls, first_ns: int, last_ns: int) -> Self:
        """The sessions from before ``first_ns`` to after ``last_ns``, both ns UTC."""
        first, last = (pd.Timestamp(ns, unit="ns").normalize() for ns in (first_ns, last_ns))
        return cls(*_sessions(first, last))

    def locate(self, ts_ns: npt.NDArray[np.int64]) -> Located:
        """Place bars [T] by their start, ns UTC.

        Clocks change at 02:00 on a Sunday, when the exchange is closed: no session holds a change, so inside
        one the local minute can be counted from its open.
        """
        assert ts_ns.ndim == 1 and ts_ns.dtype == np.int64
        assert len(ts_ns) == 0 or self.open_ns[0] <= ts_ns.min() <= ts_ns.max() < self.close_ns[-1], "not covered"
        at = np.searchsorted(self.open_ns, ts_ns, side="right") - 1
        inside = ts_ns < self.close_ns[at]
        minute = (self.open_minute_et[at] + (ts_ns - self.open_ns[at]) // NS_PER_MINUTE) % MINUTES_PER_DAY
        if not inside.all():
            minute[~inside] = _local_minute(ts_ns[~inside])
        return Located(
            session=np.where(inside, self.trade_date[at], OUTSIDE).astype(np.int32),
            minute_et=minute.astype(np.int32),
            open_ns=np.where(inside, self.open_ns[at], 0),
            close_ns=np.where(inside, self.close_ns[at], 0),
        )


@lru_cache(maxsize=64)
def _sessions(first: pd.Timestamp, last: pd.Timestamp) -> tuple[npt.NDArray[Any], ...]:
    """The fields of a `Calendar` from before the day ``first`` to after ``last``, for all who ask to read."""
    library = market_calendars.get_calendar(CALENDAR_NAME)
    schedule = library.schedule(first - _MARGIN, last + _MARGIN, market_times=["market_open", "market_close"])
    schedule = _with_overrides(schedule)
    opens = pd.DatetimeIndex(schedule["market_open"])
    local = opens.tz_convert(EXCHANGE_ZONE)
    fields = (
        _nanoseconds(opens),
        _nanoseconds(pd.DatetimeIndex(schedule["market_close"])),
        _day_numbers(pd.DatetimeIndex(schedule.index)),
        np.asarray(local.hour * 60 + local.minute, np.int32),
    )
    for field in fields:
        field.flags.writeable = False
    return fields


@cache
def overrides() -> Overrides:
    """The packaged corrections of the library."""
    text = resources.files("rl_core.exchange").joinpath(OVERRIDES_FILE).read_text(encoding="utf-8")
    return Overrides.model_validate(tomllib.loads(text))


def _with_overrides(schedule: pd.DataFrame) -> pd.DataFrame:
    """The library's schedule [S rows by trade date] with the packaged corrections."""
    corrected, closes = overrides(), schedule["market_close"].copy()
    for era in corrected.hours:
        ordinary = closes.dt.tz_convert(EXCHANGE_ZONE).dt.strftime("%H:%M") == REGULAR_CLOSE
        of_era = (schedule.index >= pd.Timestamp(era.first)) & (schedule.index <= pd.Timestamp(era.last))
        closes[ordinary & of_era] += pd.Timedelta(f"{era.close}:00") - pd.Timedelta(f"{REGULAR_CLOSE}:00")
    for day in corrected.day:
        stamp = pd.Timestamp(day.date)
        if stamp not in schedule.index:
            continue
        if day.close == "none":
            schedule, closes = schedule.drop(index=stamp), closes.drop(index=stamp)
        else:
            closes = closes.mask(
                closes.index == stamp, pd.Timestamp(f"{day.date} {day.close}", tz=EXCHANGE_ZONE).tz_convert("UTC")
            )
    return schedule.assign(market_close=closes)


def _nanoseconds(stamps: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    return np.asarray(stamps.tz_convert("UTC").tz_localize(None), "datetime64[ns]").astype(np.int64)


def _day_numbers(dates: pd.DatetimeIndex) -> npt.NDArray[np.int32]:
    return np.asarray(dates, "datetime64[D]").astype(np.int32)


def _local_minute(ts_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    local = pd.DatetimeIndex(ts_ns.astype("datetime64[ns]"), tz="UTC").tz_convert(EXCHANGE_ZONE)
    return np.asarray(local.hour * 60 + local.minute, np.int64)
