"""When a close decides an entry, must flatten, and how far the flat time is; on normal, short and shifted days."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from rl_core.exchange.calendar import Calendar
from rl_core.trading.hours import EntryHours, Hours, hours_of
from tests.rl_core.markets import legacy_pack, random_bars, seen, session_minutes


def at(*closes: str, buffer: int = 5, flat_by: str = "16:59") -> Hours:
    """The hours at these closes, each given as exchange-local time."""
    stamps = pd.DatetimeIndex(closes).tz_localize("America/New_York").tz_convert("UTC")
    starts = np.asarray(stamps.tz_localize(None), "datetime64[ns]").astype(np.int64) - 60_000_000_000
    located = Calendar.covering(int(starts.min()), int(starts.max())).locate(starts)
    pack = legacy_pack()
    pack = pack.model_copy(update={"session": pack.session.model_copy(update={"flat_by": flat_by})})
    return hours_of(starts, located, pack, EntryHours(close_buffer_minutes=buffer))


def test_entries_are_decided_from_0930_to_1545_inclusive() -> None:
    """The first decision of the day sees the bar of 09:29 and is filled at the open of 09:30."""
    day = "2024-11-20 "
    hours = at(*(day + t for t in ("09:29", "09:30", "09:31", "12:00", "15:44", "15:45", "15:46", "18:30")))

    assert hours.entry_open.tolist() == [False, True, True, True, True, True, False, False]
    assert hours.decision_minute.tolist() == [569, 570, 571, 720, 944, 945, 946, 1110]


def test_flatten_is_due_five_minutes_before_the_flat_time_and_stays_due_to_the_close() -> None:
    day = "2024-11-20 "
    hours = at(*(day + t for t in ("16:53", "16:54", "16:58", "16:59", "17:00")))

    assert hours.minutes_to_flat.tolist() == [6, 5, 1, 0, 0]
    assert hours.flatten_due.tolist() == [False, True, True, True, True]


def test_an_evening_bar_belongs_to_the_next_days_flat_time() -> None:
    """18:01 to 16:59 the next day is 22 h 58 min; midnight to 16:59 is 1,019 min."""
    hours = at("2024-11-20 18:01", "2024-11-21 00:00", "2024-11-21 00:01")

    assert hours.minutes_to_flat.tolist() == [1378, 1019, 1018]
    assert hours.decision_minute.tolist() == [1081, 0, 1]
    assert not hours.flatten_due.any()


@pytest.mark.parametrize(
    ("day", "close"),
    [("2024-11-28", "13:00"), ("2024-11-29", "13:15"), ("2024-12-24", "13:15"), ("2025-01-09", "09:30")],
)
def test_a_short_day_is_flat_a_minute_before_its_early_close(day: str, close: str) -> None:
    closed = pd.Timestamp(f"{day} {close}")
    before = [str(closed - pd.Timedelta(minutes=m)) for m in (7, 6, 2, 1, 0)]

    hours = at(*before)

    assert hours.minutes_to_flat.tolist() == [6, 5, 1, 0, 0]
    assert hours.flatten_due.tolist() == [False, True, True, True, True]
    assert not hours.entry_open[1:].any()


@pytest.mark.parametrize("day", ["2024-11-01", "2024-11-04", "2025-03-07", "2025-03-10"])
def test_local_hours_hold_on_both_sides_of_a_clock_change(day: str) -> None:
    hours = at(f"{day} 09:29", f"{day} 09:30", f"{day} 16:54")

    assert hours.entry_open.tolist() == [False, True, False]
    assert hours.minutes_to_flat.tolist() == [450, 449, 5]


def test_another_flat_time_moves_everything_with_it() -> None:
    """Flat by 16:10 ET: due at 16:05, and after it nothing is left until the evening."""
    day = "2024-11-20 "
    hours = at(*(day + t for t in ("16:04", "16:05", "16:10", "16:40", "17:00", "18:01")), flat_by="16:10")

    assert hours.flatten_due.tolist() == [False, True, True, True, True, False]
    assert hours.minutes_to_flat.tolist() == [6, 5, 0, 0, 0, 1329]


def test_every_minute_of_a_thanksgiving_week_is_due_only_at_the_end_of_its_session() -> None:
    view = seen(random_bars(0, session_minutes(5, date(2024, 11, 25))))
    session, due = view.located.session, view.hours.flatten_due

    for day in np.unique(session):
        of_day = due[session == day]
        assert of_day.any()
        assert not np.any(of_day[:-1] & ~of_day[1:]), "due never ends within a session"
    assert not np.any(due & view.hours.entry_open)


def test_entry_hours_outside_a_day_are_refused() -> None:
    with pytest.raises(ValidationError):
        EntryHours(last_minute=1440)
    with pytest.raises(ValidationError):
        EntryHours.model_validate({"first": 570})


def test_the_last_bar_of_a_session_is_the_one_no_open_before_the_flat_time_follows() -> None:
    """Full: the bar of 16:58 (its next opens at 16:59). Silent from 16:50 on: a bar of 16:59 is too late to fill."""
    minutes = session_minutes(1)
    full = seen(random_bars(0, minutes))
    local = pd.DatetimeIndex(minutes.astype("datetime64[ns]"), tz="UTC").tz_convert("America/New_York")
    minute = np.asarray(local.hour * 60 + local.minute)
    silent = seen(random_bars(0, minutes[(minute < 16 * 60 + 51) | (minute == 16 * 60 + 59) | (minute >= 18 * 60)]))
    in_time = seen(random_bars(0, minutes[(minute < 16 * 60 + 51) | (minute == 16 * 60 + 58) | (minute >= 18 * 60)]))

    assert np.flatnonzero(full.last_in_session).tolist() == [1378, 1379]
    assert np.flatnonzero(silent.last_in_session).tolist() == [1370, 1371]
    assert np.flatnonzero(in_time.last_in_session).tolist() == [1371]
