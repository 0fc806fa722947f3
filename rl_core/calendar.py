"""Exchange sessions of CME equity-index futures: when each opens and closes, and which one a bar belongs to."""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandas_market_calendars as market_calendars

CALENDAR_NAME = "CME Globex Equity"
EXCHANGE_ZONE = "America/New_York"
OUTSIDE = -1
NS_PER_MINUTE = 60_000_000_000
MINUTES_PER_DAY = 1440

# Sessions the library has wrong: trade date -> (close, ET; None = no session; source).
OVERRIDES: dict[date, tuple[str | None, str]] = {
    date(2024, 3, 29): (None, "Good Friday without a payrolls report; NQ minute bars have none from 28 March 17:00 ET"),
    date(2025, 1, 9): ("09:30", "national day of mourning; the last NQ minute bar starts at 09:29 ET"),
    date(2025, 4, 18): (None, "Good Friday without a payrolls report; NQ minute bars have none from 17 April 17:00 ET"),
}

# Sessions that meet no bar but frame the first and the last one: longer than any closure.
_MARGIN = pd.Timedelta(days=10)


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
    """[S] ns UTC; 17:00 ET, earlier on short days."""
    trade_date: npt.NDArray[np.int32]
    """[S] days since 1970-01-01."""
    open_minute_et: npt.NDArray[np.int32]
    """[S] minute of the exchange-local day at the open."""

    @classmethod
    def covering(cls, first_ns: int, last_ns: int) -> Self:
        """The sessions from before ``first_ns`` to after ``last_ns``, both ns UTC."""
        first, last = (pd.Timestamp(ns, unit="ns").normalize() for ns in (first_ns, last_ns))
        library = market_calendars.get_calendar(CALENDAR_NAME)
        schedule = library.schedule(first - _MARGIN, last + _MARGIN, market_times=["market_open", "market_close"])
        schedule = _with_overrides(schedule)
        opens = pd.DatetimeIndex(schedule["market_open"])
        local = opens.tz_convert(EXCHANGE_ZONE)
        return cls(
            open_ns=_nanoseconds(opens),
            close_ns=_nanoseconds(pd.DatetimeIndex(schedule["market_close"])),
            trade_date=_day_numbers(pd.DatetimeIndex(schedule.index)),
            open_minute_et=np.asarray(local.hour * 60 + local.minute, np.int32),
        )

    def locate(self, ts_ns: npt.NDArray[np.int64]) -> Located:
        """Place bars [T] by their start, ns UTC.

        No session holds a change of the clock (02:00 on a Sunday), so inside one the local minute is
        counted from its open.
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


def _with_overrides(schedule: pd.DataFrame) -> pd.DataFrame:
    """The library's schedule [S rows by trade date] corrected by ``OVERRIDES``."""
    for day, (close, _source) in OVERRIDES.items():
        stamp = pd.Timestamp(day)
        if stamp not in schedule.index:
            continue
        if close is None:
            schedule = schedule.drop(index=stamp)
        else:
            schedule.loc[stamp, "market_close"] = pd.Timestamp(f"{day} {close}", tz=EXCHANGE_ZONE).tz_convert("UTC")
    return schedule


def _nanoseconds(stamps: pd.DatetimeIndex) -> npt.NDArray[np.int64]:
    return np.asarray(stamps.tz_convert("UTC").tz_localize(None), "datetime64[ns]").astype(np.int64)


def _day_numbers(dates: pd.DatetimeIndex) -> npt.NDArray[np.int32]:
    return np.asarray(dates, "datetime64[D]").astype(np.int32)


def _local_minute(ts_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    local = pd.DatetimeIndex(ts_ns.astype("datetime64[ns]"), tz="UTC").tz_convert(EXCHANGE_ZONE)
    return np.asarray(local.hour * 60 + local.minute, np.int64)
