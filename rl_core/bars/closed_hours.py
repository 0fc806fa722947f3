"""Bars while the exchange was closed: in a weekend or a daily break, or on a day of which the calendar may be wrong."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rl_core.bars.faults import RowFault
from rl_core.exchange.calendar import OUTSIDE, Located
from rl_core.exchange.instruments import Instrument
from rl_core.exchange.product_hours import EXCHANGE_ZONE, HOURS, clock_minute, ordinarily_open

SATURDAY, FRIDAY, SUNDAY = 5, 4, 6
ZONE_REMEDY = "Check the time zone of the file; remove the row"
CALENDAR_REMEDY = (
    "Do not remove it for this alone: compare with the exchange's hours of that day; if it was open, correct "
    "rl_core/exchange/calendar_overrides.toml, else list the rows for --exclude"
)


class _Kind(NamedTuple):
    """One reason why no session holds a bar."""

    code: str
    wrong: npt.NDArray[np.bool_]
    """[N] of the bars outside every session."""
    expected: str
    remedy: str


def closed_faults(
    ts_event_ns: npt.NDArray[np.int64],
    located: Located,
    lines: npt.NDArray[np.int64],
    contract: Instrument,
) -> list[RowFault]:
    """The bars that no session of the calendar holds.

    Nobody trades in a weekend or in the daily break, so such a bar has the wrong time. On a weekday and at an hour at
    which the product trades on other days, the calendar is as likely to be wrong as the file: holidays differ by
    product, and exchanges change them.

    Args:
        ts_event_ns: [T] starts of the bars, ns UTC.
        located: [T] their places in the calendar of ``contract``.
        lines: [T] where each stands in its file; may be empty for bars that stand in none.
        contract: of the bars.
    """
    rows = np.flatnonzero(located.session == OUTSIDE)
    if not len(rows):
        return []
    at = lines[rows] if len(lines) else rows + 1
    faults = []
    for kind in _kinds(ts_event_ns[rows], contract):
        chosen = rows[kind.wrong]
        if len(chosen):
            faults.append(_fault(kind, chosen, at[kind.wrong], ts_event_ns))
    return faults


def _kinds(ts_event_ns: npt.NDArray[np.int64], contract: Instrument) -> tuple[_Kind, ...]:
    local = pd.DatetimeIndex(ts_event_ns.astype("datetime64[ns]"), tz="UTC").tz_convert(EXCHANGE_ZONE)
    minute = np.asarray(local.hour * 60 + local.minute)
    day = np.asarray(local.day_of_week)
    hours = HOURS[contract.calendar]
    # The week ends on Friday at the close; Saturday, and Sunday before the open, belong to no session.
    weekend = (day == SATURDAY) | ((day == FRIDAY) & (minute >= clock_minute(hours.close)))
    weekend |= (day == SUNDAY) & (minute < clock_minute(hours.open))
    usual = np.array([ordinarily_open(contract.calendar, int(m)) for m in minute], bool)
    family = f"{contract.symbol} ({contract.calendar})"
    expected = "a time in an exchange session was expected, this is "
    return (
        _Kind("weekend", weekend, expected + "a weekend", ZONE_REMEDY),
        _Kind("closed_market", ~weekend & ~usual, expected + f"the daily break of {family}", ZONE_REMEDY),
        _Kind(
            "calendar",
            ~weekend & usual,
            f"the calendar may be wrong: it knows no session of {family} at this time",
            CALENDAR_REMEDY,
        ),
    )


def _fault(
    kind: _Kind, rows: npt.NDArray[np.int64], lines: npt.NDArray[np.int64], ts_event_ns: npt.NDArray[np.int64]
) -> RowFault:
    def shown(k: int) -> str:
        return f"{np.datetime64(int(ts_event_ns[rows[k]]), 'ns').astype('datetime64[s]')}Z"

    return RowFault(code=kind.code, lines=lines, column="time", value=shown, expected=kind.expected, remedy=kind.remedy)
