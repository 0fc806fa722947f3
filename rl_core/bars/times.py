"""The time column of a bars file as UTC nanoseconds, whatever way it is written."""

import re
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.bars.arrow_columns import as_numpy
from rl_core.bars.date_orders import YEAR_FIRST, DateOrder, date_order, forms_of
from rl_core.bars.faults import RowFault
from rl_core.bars.layouts import OTHER_FORM, UTC_BY_FORM, Stamp
from trigate.errors import ConfigError

_STAMP = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
ZONED = rf"^{_STAMP}(Z| ?UTC| ?GMT| ?[+-]\d\d(:?\d\d)?)$"
NAIVE = rf"^{_STAMP}$"
EPOCH = r"^\d{9,19}(\.\d{1,9})?$"
# Nanoseconds per unit, the largest first; an epoch in 2000..2100 fits exactly one.
EPOCH_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
EARLIEST_S, LATEST_S = 946_684_800, 4_102_444_800
NAIVE_REMEDY = "Name the zone it is in: --timezone UTC, America/New_York or another"
ISO = "ISO time with a zone such as 2025-01-02T14:30:00Z, or an epoch, was expected"


class Times(NamedTuple):
    """The time column, as far as it could be read."""

    ts_event_ns: npt.NDArray[np.int64]
    """[T] ns UTC; 0 where unreadable."""
    readable: npt.NDArray[np.bool_]
    """[T]"""
    faults: list[RowFault]
    zone_unused: bool = False
    """Every time states its own zone, or is an epoch: a zone that was given says nothing."""
    note: str = ""
    """In which order day and month were read, and why, where a date could be read in both."""


class Clock(NamedTuple):
    """How the times of a file are to be understood."""

    timezone: str | None = None
    """Of times that state none; a zone in the file wins."""
    stamp: Stamp = "start"
    """Which end of its bar a time marks."""
    formats: tuple[str, ...] = ()
    """As of ``strptime``, the first that fits the first row; none: ISO or an epoch."""


def read_times(column: pa.ChunkedArray, lines: npt.NDArray[np.int64], name: str, clock: Clock) -> Times:
    """Read a time column [T] of strings, integers or timestamps.

    Args:
        column: as the file holds it.
        lines: [T] where each row stands in the file.
        name: of the column, for the error.
        clock: how it is to be understood; the stamps come back as they stand, whichever end they mark.

    Raises:
        ConfigError: there is no such zone.
    """
    _check_zone(clock.timezone)
    place, timezone = _Place(lines, name), clock.timezone
    if pa.types.is_timestamp(column.type):
        return _from_timestamps(column, place, timezone)
    if pa.types.is_integer(column.type):
        return _from_epoch(_filled(column), np.zeros(len(column)), place)
    if pa.types.is_floating(column.type):
        return _from_real_epoch(as_numpy(pc.cast(column, pa.float64()), np.nan), place)
    text = pc.cast(column, pa.string()).combine_chunks()
    named = _zone_of(text)
    if named is not None:
        return _of_named_zone(text, place, named, clock)
    if not clock.formats and any(_matches(text[:1], style)[0] for style in (EPOCH, ZONED, NAIVE)):
        return _from_text(text, place, timezone)  # nearly every file: pandas need not be loaded
    return _of_unlike_form(text, place, clock)


class _Place(NamedTuple):
    lines: npt.NDArray[np.int64]
    name: str

    def fault(self, code: str, wrong: npt.NDArray[np.bool_], shown: Any, expected: str, remedy: str) -> RowFault:
        """The rows in ``wrong`` [T]; ``shown`` [T] holds what to quote."""
        rows = np.flatnonzero(wrong)
        return RowFault(
            code=code,
            lines=self.lines[rows],
            column=self.name,
            value=lambda k: shown[int(rows[k])],
            expected=expected,
            remedy=remedy,
        )


def _check_zone(timezone: str | None) -> None:
    try:
        if timezone is not None:
            ZoneInfo(timezone)
            pc.assume_timezone(pa.array([0], pa.timestamp("ns")), timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError, pa.ArrowException) as error:  # "America" is a folder
        raise ConfigError(f"unknown time zone {timezone!r}: use a name such as America/New_York or UTC") from error


def _zone_of(column: pa.StringArray) -> str | None:
    """The known zone that the first row names behind its time, as in ``20240102 09:30:00 US/Eastern``."""
    named = re.search(r"\d ([A-Z][A-Za-z]*/[A-Za-z_/]+)$", str(column[0]))
    try:
        return None if named is None or ZoneInfo(named.group(1)) is None else named.group(1)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _of_named_zone(column: pa.StringArray, place: _Place, named: str, clock: Clock) -> Times:
    """Times that all state the zone ``named`` behind them."""
    same = as_numpy(pc.ends_with(column, f" {named}"), False)
    bare = pc.replace_substring_regex(column, rf" {re.escape(named)}$", "")
    known = _format_of(bare, clock.formats)
    times = _from_text(bare, place, named) if known is None else _from_format(bare, known, place, named)
    expected = f"a time of {named}, as in the first row, was expected"
    stray = place.fault("bad_time", ~same, column, expected, "Correct the row, or export the file in UTC")
    faults = times.faults if same.all() else [*times.faults, stray]
    return Times(times.ts_event_ns, times.readable & same, faults, zone_unused=True)


def _of_unlike_form(column: pa.StringArray, place: _Place, clock: Clock) -> Times:
    """Times written as the vendor does, or in another way whose meaning the rows themselves prove."""
    order = date_order(column)
    known = _format_of(column, forms_of(order)) if order is not None else None
    known = known or _format_of(column, clock.formats)
    if known is None and order is None and not _matches(column[:1], NAIVE)[0]:
        known = _format_of(column, YEAR_FIRST)
    if known is None:
        return _from_text(column, place, clock.timezone) if order is None else _of_either_order(column, place)
    times = _from_format(column, known, place, UTC_BY_FORM.get(known, clock.timezone))
    return times._replace(zone_unused=known in UTC_BY_FORM, note=_order_note(known, order))


def _of_either_order(column: pa.StringArray, place: _Place) -> Times:
    """No times: a guess at the order of day and month would move bars by months."""
    wrong = np.ones(len(column), bool)
    expected = "a date whose day and month can be told apart was expected, and no row of the file decides it"
    remedy = f"Export dates as 2024-01-31; {OTHER_FORM}"
    fault = place.fault("date_order", wrong, column, expected, remedy)
    return Times(np.zeros(len(column), np.int64), ~wrong, [fault])


def _order_note(known: str, order: DateOrder | None) -> str:
    """Which order was read, for people; empty where a date has but one."""
    if order is None:
        return ""
    which = "day" if known.startswith("%d") else "month"
    why = f"{order.shown} has no other meaning" if order.shown else "as the vendor writes them; no row decides it"
    return f"dates read {which} first: {why}"


def _from_text(column: pa.StringArray, place: _Place, timezone: str | None) -> Times:
    """Every row must be written as the first one is: zoned, naive or epoch."""
    style = next((style for style in (EPOCH, ZONED, NAIVE) if _matches(column[:1], style)[0]), None)
    same = _matches(column, style) if style else np.zeros(len(column), bool)
    if style and same.all():
        return _of_style(style, column, place, timezone)
    expected = "the same way of writing time as in the first row was expected" if style else ISO
    remedy = "Correct the row, or export the file again"
    stray = place.fault("bad_time", ~same, column, expected, remedy if style else f"{remedy}; {OTHER_FORM}")
    stamps, readable = np.zeros(len(column), np.int64), same.copy()
    if style is None:
        return Times(stamps, readable, [stray])
    kept = _of_style(style, column.filter(pa.array(same)), _Place(place.lines[same], place.name), timezone)
    stamps[same], readable[same] = kept.ts_event_ns, kept.readable
    return Times(stamps, readable, [stray, *kept.faults], kept.zone_unused)


def _matches(column: pa.StringArray, style: str) -> npt.NDArray[np.bool_]:
    return as_numpy(pc.match_substring_regex(column, style), False)


def _of_style(style: str, column: pa.StringArray, place: _Place, timezone: str | None) -> Times:
    if style == EPOCH:
        parts = pc.split_pattern(column, ".", max_splits=1)
        whole = as_numpy(pc.cast(pc.list_element(parts, 0), pa.int64()))
        # Nanoseconds have no fraction, and as real numbers they would seem to have one.
        pointed = as_numpy(pc.match_substring(column, "."))
        return _from_epoch(whole, np.where(pointed, as_numpy(pc.cast(column, pa.float64())) - whole, 0.0), place)
    stamps, real = _parse_stamps(column, zoned=style == ZONED)
    faults = []
    if not real.all():
        faults.append(place.fault("bad_time", ~real, column, "a date and time that exist were expected", "Correct it"))
    if style == ZONED:
        return Times(as_numpy(pc.cast(stamps, pa.int64())), real, faults, zone_unused=True)
    times = _from_timestamps(stamps, place, timezone)
    return Times(times.ts_event_ns, times.readable & real, faults + times.faults)


def _parse_stamps(column: pa.StringArray, *, zoned: bool) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Timestamps [T] in ns, and which of them exist: 2025-02-30 looks right and is not."""
    kind = pa.timestamp("ns", "UTC") if zoned else pa.timestamp("ns")
    if zoned:
        for written, plain in ((r" ?(UTC|GMT)$", "Z"), (r" ?([+-]\d\d)$", r"\1:00"), (r" ([+-]\d\d:?\d\d)$", r"\1")):
            column = pc.replace_substring_regex(column, written, plain)
    try:
        return pc.cast(column, kind), np.ones(len(column), bool)
    except pa.ArrowInvalid:
        import pandas as pd  # half a second that most files need not cost

        parsed = pd.to_datetime(pd.Series(column.to_pylist()), errors="coerce", utc=zoned, format="ISO8601")
        real = parsed.notna().to_numpy()
        filled = parsed.fillna(parsed[real].iloc[0] if real.any() else pd.Timestamp(0, tz="UTC" if zoned else None))
        return pa.array(filled, kind), real


def _from_timestamps(column: pa.Array, place: _Place, timezone: str | None) -> Times:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    readable = as_numpy(pc.is_valid(column))
    if column.type.tz is not None:
        stamps = pc.cast(column, pa.timestamp("ns", "UTC"), safe=False)
    elif timezone is None:
        fault = place.fault("naive_time", readable, column, "a time zone was expected", NAIVE_REMEDY)
        return Times(np.zeros(len(column), np.int64), np.zeros(len(column), bool), [fault])
    else:
        return _from_local(pc.cast(column, pa.timestamp("ns"), safe=False), readable, place, timezone)
    missing = place.fault("bad_time", ~readable, column, ISO, "Correct the row")
    return Times(_filled(stamps), readable, [] if readable.all() else [missing], zone_unused=True)


def _from_local(column: pa.Array, readable: npt.NDArray[np.bool_], place: _Place, timezone: str) -> Times:
    """Naive times of a zone; the hour that a change of the clock doubles or leaves out is refused."""
    early, late = (
        _filled(pc.assume_timezone(column, timezone, ambiguous=choice, nonexistent=choice))
        for choice in ("earliest", "latest")
    )
    clear = early == late
    missing = place.fault("bad_time", ~readable, column, ISO, "Correct the row")
    faults = [] if readable.all() else [missing]
    if not clear.all():
        expected = f"a time that {timezone} has exactly once was expected"
        faults.append(place.fault("clock_change", ~clear, column, expected, "Export the file in UTC"))
    return Times(early, readable & clear, faults)


def _format_of(column: pa.StringArray, formats: tuple[str, ...]) -> str | None:
    """The first of ``formats`` that the first row is written in."""
    if not formats:
        return None
    import pandas as pd

    first = pd.Series([" ".join(str(column[0].as_py()).split())])
    fitting = (known for known in formats if pd.to_datetime(first, format=known, errors="coerce").notna().all())
    return next(fitting, None)


def _from_format(column: pa.StringArray, known: str, place: _Place, timezone: str | None) -> Times:
    """Naive times that are all written as ``known`` says."""
    single = pc.utf8_trim_whitespace(pc.replace_substring_regex(column, r"\s+", " "))
    import pandas as pd

    parsed = pd.to_datetime(pd.Series(single.to_pylist()), format=known, errors="coerce")
    real = parsed.notna().to_numpy()
    times = _from_timestamps(pa.array(parsed.fillna(parsed[real].iloc[0]), pa.timestamp("ns")), place, timezone)
    faults = times.faults
    if not real.all():
        expected = f"a time written as in the first row ({known}) was expected"
        stray = place.fault("bad_time", ~real, column, expected, "Correct the row, or export the file again")
        faults = [stray, *faults]
    return Times(times.ts_event_ns, times.readable & real, faults)


def _from_real_epoch(values: npt.NDArray[np.float64], place: _Place) -> Times:
    """Epochs [T] as real numbers; what is no number is no time."""
    finite = np.isfinite(values) & (np.abs(values) < 2**63)
    whole = np.where(finite, np.floor(values), 0).astype(np.int64)
    return _from_epoch(whole, np.where(finite, values - whole, 0.0), place)


def _from_epoch(values: npt.NDArray[np.int64], fraction: npt.NDArray[np.float64], place: _Place) -> Times:
    """Times [T] of epochs in one unit, ``values`` + ``fraction``; a fraction is exact to a microsecond of its unit."""
    fits = {unit: _in_years(values // (10**9 // ns)) for unit, ns in EPOCH_UNITS.items()}
    unit = max(fits, key=lambda name: int(fits[name][0]))
    right = fits[unit]
    expected = f"seconds, ms, us or ns since 1970, in years 2000 to 2100, as in the first row ({unit}), were expected"
    faults = [] if right.all() else [place.fault("bad_epoch", ~right, values, expected, "Use one unit in all rows")]
    part = np.rint(fraction * 1e6).astype(np.int64) * EPOCH_UNITS[unit] // 1_000_000
    return Times(np.where(right, values * EPOCH_UNITS[unit] + part, 0), right, faults, zone_unused=True)


def _in_years(seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return (seconds >= EARLIEST_S) & (seconds < LATEST_S)


def _filled(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return as_numpy(pc.cast(column, pa.int64()), 0)
