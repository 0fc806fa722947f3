"""Exchange sessions of one product family: when each opens and closes, and which one a bar belongs to."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rl_core.exchange.kept_sessions import sessions_between
from rl_core.exchange.product_hours import EXCHANGE_ZONE, Family

OUTSIDE = -1
NS_PER_MINUTE = 60_000_000_000
MINUTES_PER_DAY = 1440


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
    """Sessions in order of time, half open: a bar belongs to one that is open at its start."""

    open_ns: npt.NDArray[np.int64]
    """[S] ns UTC; in the evening before the trade date, or late on it after some holidays of the grains."""
    close_ns: npt.NDArray[np.int64]
    """[S] ns UTC; on short days earlier than the family's usual close."""
    trade_date: npt.NDArray[np.int32]
    """[S] days since 1970-01-01."""
    open_minute_et: npt.NDArray[np.int32]
    """[S] minute of the exchange-local day at the open."""
    break_start_ns: npt.NDArray[np.int64]
    """[S] ns UTC; start of a break inside the session, as the grains have one."""
    break_end_ns: npt.NDArray[np.int64]
    """[S] ns UTC; equal to its start where there is no break."""

    @classmethod
    def covering(cls, first_ns: int, last_ns: int, family: Family = "equity") -> Self:
        """The sessions of ``family`` from before ``first_ns`` to after ``last_ns``, both ns UTC."""
        return cls(*sessions_between(family, first_ns, last_ns))

    @property
    def length_ns(self) -> npt.NDArray[np.int64]:
        """[S] ns of each session in which the market is open: without its break."""
        return np.asarray(self.close_ns - self.open_ns - (self.break_end_ns - self.break_start_ns))

    def locate(self, ts_ns: npt.NDArray[np.int64]) -> Located:
        """Place bars [T] by their start, ns UTC.

        Clocks change at 02:00 on a Sunday, when the exchange is closed: no session holds a change, so inside
        one the local minute can be counted from its open.
        """
        assert ts_ns.ndim == 1 and ts_ns.dtype == np.int64
        assert len(ts_ns) == 0 or self.open_ns[0] <= ts_ns.min() <= ts_ns.max() < self.close_ns[-1], "not covered"
        at = np.searchsorted(self.open_ns, ts_ns, side="right") - 1
        inside = (ts_ns < self.close_ns[at]) & ~((ts_ns >= self.break_start_ns[at]) & (ts_ns < self.break_end_ns[at]))
        minute = (self.open_minute_et[at] + (ts_ns - self.open_ns[at]) // NS_PER_MINUTE) % MINUTES_PER_DAY
        if not inside.all():
            minute[~inside] = _local_minute(ts_ns[~inside])
        return Located(
            session=np.where(inside, self.trade_date[at], OUTSIDE).astype(np.int32),
            minute_et=minute.astype(np.int32),
            open_ns=np.where(inside, self.open_ns[at], 0),
            close_ns=np.where(inside, self.close_ns[at], 0),
        )


def locate(ts_event_ns: npt.NDArray[np.int64], family: Family) -> Located:
    """The places of bars [T], one at least, in order of time, in the sessions of ``family``."""
    return Calendar.covering(int(ts_event_ns[0]), int(ts_event_ns[-1]), family).locate(ts_event_ns)


def _local_minute(ts_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    import pandas as pd  # slow to load

    local = pd.DatetimeIndex(ts_ns.astype("datetime64[ns]"), tz="UTC").tz_convert(EXCHANGE_ZONE)
    return np.asarray(local.hour * 60 + local.minute, np.int64)
