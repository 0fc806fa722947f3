"""Which session a bar belongs to, on days that are known."""

import csv
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from rl_core.exchange.calendar import MINUTES_PER_DAY, NS_PER_MINUTE, OUTSIDE, Calendar
from rl_core.exchange.product_hours import HOURS, Family
from rl_core.exchange.schedules import overrides

FAMILY_TABLE = Path(__file__).parents[2] / "golden" / "calendars_by_family_2015_2027.csv"
GOLDEN_TABLE = Path(__file__).parents[2] / "golden" / "calendar_2015_2027.csv"
NEW_YORK = ZoneInfo("America/New_York")


def ns(local: str) -> int:
    """UTC nanoseconds of a New York time."""
    return int(datetime.fromisoformat(local).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def located_session(local: str) -> str | None:
    """The trade date of the bar that starts at a New York time; None outside."""
    at = np.array([ns(local)])
    day = int(Calendar.covering(int(at[0]), int(at[0])).locate(at).session[0])
    return None if day == OUTSIDE else str(np.datetime64(day, "D"))


GOLDEN = {
    "an ordinary Tuesday opens on Monday evening": ("2025-03-18", "2025-03-17T18:00", "2025-03-18T17:00"),
    "Monday opens on Sunday evening": ("2025-03-17", "2025-03-16T18:00", "2025-03-17T17:00"),
    "the day after the clock goes forward": ("2025-03-10", "2025-03-09T18:00", "2025-03-10T17:00"),
    "the day after the clock goes back": ("2024-11-04", "2024-11-03T18:00", "2024-11-04T17:00"),
    "Thanksgiving": ("2024-11-28", "2024-11-27T18:00", "2024-11-28T13:00"),
    "the day after Thanksgiving": ("2024-11-29", "2024-11-28T18:00", "2024-11-29T13:15"),
    "Christmas Eve": ("2024-12-24", "2024-12-23T18:00", "2024-12-24T13:15"),
    "3 July": ("2024-07-03", "2024-07-02T18:00", "2024-07-03T13:15"),
    "Independence Day": ("2024-07-04", "2024-07-03T18:00", "2024-07-04T13:00"),
    "Presidents' Day": ("2025-02-17", "2025-02-16T18:00", "2025-02-17T13:00"),
    "Good Friday with a payrolls report": ("2023-04-07", "2023-04-06T18:00", "2023-04-07T09:15"),
    "a national day of mourning": ("2025-01-09", "2025-01-08T18:00", "2025-01-09T09:30"),
}


@pytest.mark.parametrize(("day", "opened", "closed"), GOLDEN.values(), ids=GOLDEN)
def test_sessions_open_and_close_when_the_exchange_did(day: str, opened: str, closed: str) -> None:
    calendar = Calendar.covering(ns(opened), ns(closed))

    at = np.flatnonzero(calendar.trade_date == np.datetime64(day).astype("datetime64[D]").astype(int))

    assert calendar.open_ns[at].tolist() == [ns(opened)] and calendar.close_ns[at].tolist() == [ns(closed)]
    assert calendar.open_minute_et[at].tolist() == [18 * 60]


@pytest.mark.parametrize("day", ["2024-12-25", "2025-01-01", "2024-03-29", "2025-04-18", "2025-03-15"])
def test_days_without_a_session_have_none(day: str) -> None:
    """Christmas, New Year, two Good Fridays without a payrolls report, a Saturday."""
    assert located_session(f"{day}T10:00") is None


def test_a_bar_belongs_to_the_session_that_holds_its_start() -> None:
    """The break is 17:00 to 18:00 ET; the evening belongs to the next trade date, Friday's to none."""
    assert located_session("2025-03-18T16:59") == "2025-03-18"
    assert located_session("2025-03-18T17:00") is None
    assert located_session("2025-03-18T17:59") is None
    assert located_session("2025-03-18T18:00") == "2025-03-19"
    assert located_session("2025-03-19T00:00") == "2025-03-19"
    assert located_session("2025-03-21T18:00") is None
    assert located_session("2025-03-16T18:00") == "2025-03-17"
    assert located_session("2024-11-29T13:14") == "2024-11-29"
    assert located_session("2024-11-29T13:15") is None


@pytest.mark.parametrize("sunday", [date(2025, 3, 9), date(2024, 11, 3), date(2025, 6, 1)])
def test_local_minutes_follow_the_clock_over_its_changes(sunday: date) -> None:
    """Every minute of four days around it, inside sessions and outside, against the zone's own arithmetic."""
    start = ns(f"{sunday}T00:00") - MINUTES_PER_DAY * NS_PER_MINUTE
    at = start + np.arange(4 * MINUTES_PER_DAY) * NS_PER_MINUTE
    local = [datetime.fromtimestamp(int(t) // 10**9, NEW_YORK) for t in at]

    located = Calendar.covering(int(at[0]), int(at[-1])).locate(at)

    assert located.minute_et.tolist() == [t.hour * 60 + t.minute for t in local]
    assert 0 < (located.session == OUTSIDE).sum() < len(at)


def test_many_bars_and_one_bar_are_located_alike() -> None:
    at = ns("2025-03-13T12:00") + np.arange(0, 7 * MINUTES_PER_DAY, 97) * NS_PER_MINUTE
    calendar = Calendar.covering(int(at[0]), int(at[-1]))

    together = calendar.locate(at)

    alone = [calendar.locate(at[i : i + 1]) for i in range(len(at))]
    for name in together._fields:
        assert getattr(together, name).tolist() == [int(getattr(one, name)[0]) for one in alone]


def test_bars_know_when_their_session_opens_and_closes() -> None:
    at = np.array([ns("2024-11-29T09:30"), ns("2024-11-29T15:00")])

    located = Calendar.covering(int(at[0]), int(at[-1])).locate(at)

    assert located.open_ns.tolist() == [ns("2024-11-28T18:00"), 0]
    assert located.close_ns.tolist() == [ns("2024-11-29T13:15"), 0]


def test_a_time_that_the_calendar_does_not_cover_is_our_mistake() -> None:
    calendar = Calendar.covering(ns("2025-03-17T12:00"), ns("2025-03-18T12:00"))

    with pytest.raises(AssertionError, match="not covered"):
        calendar.locate(np.array([ns("2025-06-17T12:00")]))


def test_sessions_do_not_overlap_over_many_years() -> None:
    calendar = Calendar.covering(ns("2010-01-04T12:00"), ns("2026-12-30T12:00"))

    assert (calendar.open_ns[1:] >= calendar.close_ns[:-1] + 45 * NS_PER_MINUTE).all()
    assert (np.diff(calendar.trade_date) > 0).all() and len(calendar.trade_date) > 17 * 250


def golden_days() -> dict[date, str]:
    """Close (ET, or "none") of every day of the table, and of the ordinary weekdays between them."""
    with GOLDEN_TABLE.open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["source"] and row["day"] for row in rows) and len({row["trade_date"] for row in rows}) == len(rows)
    table = {date.fromisoformat(row["trade_date"]): row["close_et"] for row in rows}
    days = (date(2015, 1, 1) + timedelta(n) for n in range((date(2028, 1, 1) - date(2015, 1, 1)).days))
    return {
        day: table.get(day, "17:15" if day <= date(2015, 9, 18) else "17:00")
        for day in days
        if day.weekday() < 5 or day in table
    }


def test_every_session_from_2015_to_2027_is_that_of_the_golden_table() -> None:
    """3,391 weekdays: the table holds the exceptions, written from the exchange's rules; the rest close at 17:00 ET."""
    golden = golden_days()
    calendar = Calendar.covering(ns("2015-01-02T12:00"), ns("2027-12-30T12:00"))
    sessions = {
        date(1970, 1, 1) + timedelta(int(day)): (int(opened), int(closed))
        for day, opened, closed in zip(calendar.trade_date, calendar.open_ns, calendar.close_ns, strict=True)
    }

    expected = {
        day: (ns(f"{day - timedelta(1)}T18:00"), ns(f"{day}T{close}"))
        for day, close in golden.items()
        if close != "none"
    }

    assert {day: times for day, times in sessions.items() if date(2015, 1, 1) <= day <= date(2027, 12, 31)} == expected


def exceptions(family: Family) -> dict[date, dict[str, str]]:
    """The days on which ``family`` did not keep its ordinary hours, as the table of the families has them."""
    with FAMILY_TABLE.open() as file:
        rows = [row for row in csv.DictReader(file) if row["calendar"] == family]
    assert all(row["source"] and row["day"] for row in rows) and len({row["trade_date"] for row in rows}) == len(rows)
    return {date.fromisoformat(row["trade_date"]): row for row in rows}


def ordinary_close(family: Family, day: date) -> str:
    """NYMEX and COMEX closed at 17:15 ET until 18 September 2015, as the equity products did."""
    return "17:15" if family in ("metals", "energy") and day <= date(2015, 9, 18) else HOURS[family].close


@pytest.mark.parametrize("family", ["metals", "energy", "fx", "rates", "grains"])
def test_every_session_of_a_family_from_2015_to_2027_is_that_of_its_golden_table(family: Family) -> None:
    """Every weekday: the table holds the exceptions, written from the exchange's rules without the library."""
    table = exceptions(family)
    calendar = Calendar.covering(ns("2015-01-02T12:00"), ns("2027-12-30T12:00"), family)
    expected = {}
    for number in range((date(2028, 1, 1) - date(2015, 1, 1)).days):
        day = date(2015, 1, 1) + timedelta(number)
        row = table.get(day, {"open_et": "", "close_et": ordinary_close(family, day)})
        if day.weekday() < 5 and row["close_et"] != "none":
            evening = f"{day - timedelta(1)}T{HOURS[family].open}"
            opened = f"{day}T{row['open_et']}" if row["open_et"] else evening
            expected[day] = (ns(opened), ns(f"{day}T{row['close_et']}"))

    sessions = {
        date(1970, 1, 1) + timedelta(int(day)): (int(opened), int(closed))
        for day, opened, closed in zip(calendar.trade_date, calendar.open_ns, calendar.close_ns, strict=True)
    }

    assert {day: at for day, at in sessions.items() if date(2015, 1, 1) <= day <= date(2027, 12, 31)} == expected


def test_families_differ_where_the_exchange_says_so() -> None:
    """2025-01-09: equity until 09:30, rates and grains until 13:15, the rest as usual; two days of real CL bars."""

    def session(local: str, family: Family) -> str | None:
        at = np.array([ns(local)])
        day = int(Calendar.covering(int(at[0]), int(at[0]), family).locate(at).session[0])
        return None if day == OUTSIDE else str(np.datetime64(day, "D"))

    open_at = {family: session("2025-01-09T13:14", family) is not None for family in HOURS}
    assert open_at == {"equity": False, "metals": True, "energy": True, "fx": True, "rates": True, "grains": True}
    assert session("2025-01-09T13:15", "rates") is None and session("2025-01-09T13:15", "grains") is None
    assert session("2025-09-01T14:29", "energy") == "2025-09-01" and session("2025-09-01T14:30", "energy") is None
    assert session("2025-11-28T14:44", "energy") == "2025-11-28" and session("2025-11-28T14:45", "energy") is None
    assert session("2024-01-15T14:29", "metals") == "2024-01-15" and session("2024-01-15T14:30", "metals") is None


def test_grains_pause_between_their_evening_and_their_day_session() -> None:
    calendar = Calendar.covering(ns("2025-03-18T12:00"), ns("2025-03-18T12:00"), "grains")
    clocks = ["19:59", "20:00", "08:44", "08:45", "09:29", "09:30", "14:19", "14:20"]
    days = ["2025-03-17"] * 2 + ["2025-03-18"] * 6
    at = np.array([ns(f"{day}T{clock}") for day, clock in zip(days, clocks, strict=True)])

    located = calendar.locate(at)

    assert (located.session != OUTSIDE).tolist() == [False, True, True, False, False, True, True, False]
    index = int(np.searchsorted(calendar.trade_date, np.datetime64("2025-03-18").astype("datetime64[D]").astype(int)))
    assert calendar.length_ns[index] == (1100 - 45) * NS_PER_MINUTE
    assert located.minute_et[5] == 9 * 60 + 30


def test_every_override_says_where_it_comes_from() -> None:
    found = overrides()

    assert len(found.day) == 15 and all(len(entry.source) > 20 for entry in (*found.day, *found.hours))
    assert all(entry.close is not None or entry.open is not None for entry in found.day)


def test_sessions_closed_a_quarter_of_an_hour_later_until_september_2015() -> None:
    """CME moved the maintenance break from 17:15 to 17:00 ET on 21 September 2015; early closes were the same."""
    assert located_session("2015-09-17T17:14") == "2015-09-17" and located_session("2015-09-17T17:15") is None
    assert located_session("2015-09-21T17:00") is None and located_session("2012-11-16T17:00") is None
    assert located_session("2014-11-28T13:15") is None


def test_what_is_shared_cannot_be_written_to() -> None:
    """Sessions of the same years are looked up once; whoever changed them would change them for all."""
    day_ns = MINUTES_PER_DAY * NS_PER_MINUTE
    calendar, again = Calendar.covering(0, NS_PER_MINUTE), Calendar.covering(5 * day_ns, 9 * day_ns)

    assert len(calendar.open_ns) != len(again.open_ns) and calendar.open_ns.base is again.open_ns.base
    with pytest.raises(ValueError, match="read-only"):
        calendar.close_ns[0] = 0
