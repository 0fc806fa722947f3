"""The time column of a bars file as UTC nanoseconds, whatever way it is written."""

from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rl_core.bars.faults import RowFault
from trigate.errors import ConfigError

_STAMP = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
ZONED = rf"^{_STAMP}(Z|[+-]\d\d:?\d\d)$"
NAIVE = rf"^{_STAMP}$"
EPOCH = r"^\d{9,19}$"
# Nanoseconds per unit, the largest first; an epoch in 2000..2100 fits exactly one.
EPOCH_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
EARLIEST_S, LATEST_S = 946_684_800, 4_102_444_800
NAIVE_REMEDY = 'Name the zone it is in (timezone = "UTC", "America/New_York" or another)'
ISO = "ISO time with a zone such as 2025-01-02T14:30:00Z, or an epoch, was expected"


class Times(NamedTuple):
    """The time column, as far as it could be read."""

    ts_event_ns: npt.NDArray[np.int64]
    """[T] ns UTC; 0 where unreadable."""
    readable: npt.NDArray[np.bool_]
    """[T]"""
    faults: list[RowFault]


def read_times(column: pa.ChunkedArray, lines: npt.NDArray[np.int64], name: str, timezone: str | None) -> Times:
    """Read a time column [T] of strings, integers or timestamps.

    Args:
        column: as the file holds it.
        lines: [T] where each row stands in the file.
        name: of the column, for the error.
        timezone: of times that state none; a zone in the file wins.

    Raises:
        ConfigError: there is no such zone.
    """
    _check_zone(timezone)
    if pa.types.is_timestamp(column.type):
        return _from_timestamps(column, _Place(lines, name), timezone)
    if pa.types.is_integer(column.type):
        return _from_epoch(_filled(column), _Place(lines, name))
    return _from_text(pc.cast(column, pa.string()).combine_chunks(), _Place(lines, name), timezone)


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
        ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigError(f"unknown time zone {timezone!r}: use a name such as America/New_York or UTC") from error


def _from_text(column: pa.StringArray, place: _Place, timezone: str | None) -> Times:
    """Every row must be written as the first one is: zoned, naive or epoch."""
    style = next((style for style in (EPOCH, ZONED, NAIVE) if _matches(column[:1], style)[0]), None)
    same = _matches(column, style) if style else np.zeros(len(column), bool)
    if style and same.all():
        return _of_style(style, column, place, timezone)
    expected = "the same way of writing time as in the first row was expected" if style else ISO
    stray = place.fault("bad_time", ~same, column, expected, "Correct the row, or export the file again")
    stamps, readable = np.zeros(len(column), np.int64), same.copy()
    if style is None:
        return Times(stamps, readable, [stray])
    kept = _of_style(style, column.filter(pa.array(same)), _Place(place.lines[same], place.name), timezone)
    stamps[same], readable[same] = kept.ts_event_ns, kept.readable
    return Times(stamps, readable, [stray, *kept.faults])


def _matches(column: pa.StringArray, style: str) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(pc.match_substring_regex(column, style), False))


def _of_style(style: str, column: pa.StringArray, place: _Place, timezone: str | None) -> Times:
    if style == EPOCH:
        return _from_epoch(pc.cast(column, pa.int64(), safe=False), place)
    stamps, real = _parse_stamps(column, zoned=style == ZONED)
    faults = []
    if not real.all():
        faults.append(place.fault("bad_time", ~real, column, "a date and time that exist were expected", "Correct it"))
    if style == ZONED:
        return Times(np.asarray(stamps).astype(np.int64), real, faults)
    times = _from_timestamps(stamps, place, timezone)
    return Times(times.ts_event_ns, times.readable & real, faults + times.faults)


def _parse_stamps(column: pa.StringArray, *, zoned: bool) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Timestamps [T] in ns, and which of them exist: 2025-02-30 looks right and is not."""
    kind = pa.timestamp("ns", "UTC") if zoned else pa.timestamp("ns")
    try:
        return pc.cast(column, kind), np.ones(len(column), bool)
    except pa.ArrowInvalid:
        parsed = pd.to_datetime(pd.Series(column.to_pylist()), errors="coerce", utc=zoned, format="ISO8601")
        real = parsed.notna().to_numpy()
        filled = parsed.fillna(parsed[real].iloc[0] if real.any() else pd.Timestamp(0, tz="UTC" if zoned else None))
        return pa.array(filled, kind), real


def _from_timestamps(column: pa.Array, place: _Place, timezone: str | None) -> Times:
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    readable = np.asarray(pc.is_valid(column))
    if column.type.tz is not None:
        stamps = pc.cast(column, pa.timestamp("ns", "UTC"), safe=False)
    elif timezone is None:
        fault = place.fault("naive_time", readable, column, "a time zone was expected", NAIVE_REMEDY)
        return Times(np.zeros(len(column), np.int64), np.zeros(len(column), bool), [fault])
    else:
        return _from_local(pc.cast(column, pa.timestamp("ns"), safe=False), readable, place, timezone)
    missing = place.fault("bad_time", ~readable, column, ISO, "Correct the row")
    return Times(_filled(stamps), readable, [] if readable.all() else [missing])


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


def _from_epoch(column: pa.Array | npt.NDArray[np.int64], place: _Place) -> Times:
    values = np.asarray(column, np.int64)
    fits = {unit: _in_years(values // (10**9 // ns)) for unit, ns in EPOCH_UNITS.items()}
    unit = max(fits, key=lambda name: int(fits[name][0]))
    right = fits[unit]
    expected = f"seconds, ms, us or ns since 1970, in years 2000 to 2100, as in the first row ({unit}), were expected"
    faults = [] if right.all() else [place.fault("bad_epoch", ~right, values, expected, "Use one unit in all rows")]
    return Times(np.where(right, values * EPOCH_UNITS[unit], 0), right, faults)


def _in_years(seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    return (seconds >= EARLIEST_S) & (seconds < LATEST_S)


def _filled(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0), np.int64)
