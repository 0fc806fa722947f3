"""What is in a bars file: coverage, gaps, volatility by half-hour, rolls, anomalies, minutes against seconds."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.bars.choices import RollSchedule
from rl_core.bars.closed_hours import closed_faults
from rl_core.bars.end_stamps import REGULAR_CLOSE, REGULAR_OPEN, end_stamp_faults, regular_hours_warning
from rl_core.bars.faults import refuse
from rl_core.bars.plausibility import Prices, lasting_jumps
from rl_core.bars.roll_signs import looks_like_a_roll, opening_gaps
from rl_core.exchange.calendar import Calendar, Located

LISTED = 50
HALF_HOURS = 48
SHORT_SESSION_NS = 16 * 3_600_000_000_000  # one that closes at 09:30 or earlier has no regular hours


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SessionCoverage(_Part):
    """One exchange session."""

    trade_date: str
    bars: int
    expected: int
    """Intervals between open and close; those without a trade have no bar."""
    close: float
    """Last close, points."""


class Gap(_Part):
    """Intervals inside a session without a bar."""

    after: str
    silent: int


class HalfHour(_Part):
    """What bars that start in one half-hour of the exchange day are like."""

    start: str
    bars: int
    return_std_bp: float | None
    """Standard deviation of the log return over one interval of the same session and contract."""
    range_ticks: float | None
    volume: float | None


class RollRow(_Part):
    """A change of the contract in the file."""

    at: str
    contract: str
    gap_ticks: int
    """First open of the new contract minus the last close of the old one."""
    source: str


class Jump(_Part):
    """A bar that opens far from the close before and stays there."""

    at: str
    line: int
    ticks: int
    percent: float
    explained: bool
    """A roll is known there."""
    roll_week: bool
    """Contracts change then, and the jump is beyond what the market usually does (`rl_core.bars.roll_signs`)."""


class Agreement(_Part):
    """Minute bars against the minutes of second bars."""

    minutes: int
    """In both files."""
    only_minutes: int
    only_seconds: int
    equal: dict[str, float]
    """Share of the common minutes, per column."""


class DataCard(_Part):
    """Everything that is said about one file."""

    file: str
    market: str
    interval_s: int
    bars: int
    first: str
    last: str
    digest: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    sessions: tuple[SessionCoverage, ...]
    missing_sessions: tuple[str, ...]
    silent: int
    """Intervals inside sessions, between their first and last bar, without a bar."""
    gaps: tuple[Gap, ...]
    """The longest."""
    half_hours: tuple[HalfHour, ...]
    rolls: tuple[RollRow, ...]
    jumps: tuple[Jump, ...]
    """The largest."""
    bars_without_volume: int
    seconds: Agreement | None


class _Placed(NamedTuple):
    calendar: Calendar
    located: Located


def examine(bars: Bars, path: Path, *, schedule: RollSchedule | None = None, seconds: Bars | None = None) -> DataCard:
    """The card of ``bars``.

    Args:
        bars: of one market.
        path: where they come from, for the card and for errors.
        schedule: names of the contracts, where they are known.
        seconds: one-second bars of the same market.

    Raises:
        DataError: bars outside every exchange session.
    """
    calendar = Calendar.covering(int(bars.ts_event_ns[0]), int(bars.ts_event_ns[-1]), bars.instrument.calendar)
    placed = _Placed(calendar, calendar.locate(bars.ts_event_ns))
    refuse(path, end_stamp_faults(bars.ts_event_ns, bars.lines, *placed))
    refuse(path, closed_faults(bars.ts_event_ns, placed.located, bars.lines, bars.instrument))
    silent, gaps = _gaps(bars, placed)
    jumps, missing = _jumps(bars, placed.located), _missing_sessions(placed)
    return DataCard(
        file=path.name,
        market=bars.instrument.symbol,
        interval_s=bars.interval_s,
        bars=len(bars),
        first=_utc(bars.ts_event_ns[0]),
        last=_utc(bars.ts_event_ns[-1]),
        digest=bars.digest,
        notes=bars.notes,
        warnings=_warnings(
            jumps,
            missing,
            _without_regular_hours(placed),
            regular_hours_warning(placed.located.minute_et, bars.interval_s),
        ),
        sessions=_sessions(bars, placed),
        missing_sessions=missing,
        silent=silent,
        gaps=gaps,
        half_hours=_half_hours(bars, placed.located),
        rolls=_rolls(bars, schedule or RollSchedule()),
        jumps=jumps,
        bars_without_volume=int((bars.volume == 0).sum()),
        seconds=None if seconds is None else agreement(bars, seconds),
    )


def agreement(minutes: Bars, seconds: Bars) -> Agreement:
    """How far the minutes built from ``seconds`` are those of ``minutes``."""
    minute = seconds.ts_event_ns // (60 * NS_PER_SECOND) * (60 * NS_PER_SECOND)
    starts = np.flatnonzero(np.diff(minute, prepend=minute[:1] - 1))
    stops = np.append(starts[1:], len(minute))
    built = {
        "open": seconds.open[starts],
        "high": np.maximum.reduceat(seconds.high, starts),
        "low": np.minimum.reduceat(seconds.low, starts),
        "close": seconds.close[stops - 1],
        "volume": np.add.reduceat(seconds.volume, starts),
    }
    common, a, b = np.intersect1d(minutes.ts_event_ns, minute[starts], assume_unique=True, return_indices=True)
    inside = (minutes.ts_event_ns >= minute[0]) & (minutes.ts_event_ns <= minute[-1])
    equal = {name: float((getattr(minutes, name)[a] == values[b]).mean()) for name, values in built.items()}
    return Agreement(
        minutes=len(common),
        only_minutes=int(inside.sum()) - len(common),
        only_seconds=len(starts) - len(common),
        equal=equal if len(common) else {},
    )


def _sessions(bars: Bars, placed: _Placed) -> tuple[SessionCoverage, ...]:
    days, first, counts = np.unique(placed.located.session, return_index=True, return_counts=True)
    at = np.searchsorted(placed.calendar.trade_date, days)
    length = placed.calendar.length_ns[at]
    expected = length // (bars.interval_s * NS_PER_SECOND)
    closes = bars.close[first + counts - 1] * float(bars.instrument.tick_size)
    rows = zip(days.tolist(), counts.tolist(), expected.tolist(), closes.tolist(), strict=True)
    return tuple(
        SessionCoverage(trade_date=_day(day), bars=count, expected=whole, close=round(close, 9))
        for day, count, whole, close in rows
    )


def _missing_sessions(placed: _Placed) -> tuple[str, ...]:
    known, present = placed.calendar.trade_date, placed.located.session
    inside = known[(known > present[0]) & (known < present[-1])]
    return tuple(_day(day) for day in np.setdiff1d(inside, present).tolist())


def _gaps(bars: Bars, placed: _Placed) -> tuple[int, tuple[Gap, ...]]:
    """All silent intervals inside sessions, and the longest runs of them; a session's own break is not silence."""
    session = placed.located.session
    apart_ns = np.diff(bars.ts_event_ns) - _break_ns(bars, placed)
    silent = np.where(session[1:] == session[:-1], apart_ns // (bars.interval_s * NS_PER_SECOND) - 1, 0)
    longest = np.argsort(-silent, kind="stable")[:LISTED]
    listed = tuple(Gap(after=_utc(bars.ts_event_ns[k]), silent=int(silent[k])) for k in longest if silent[k] > 0)
    return int(silent.sum()), listed


def _break_ns(bars: Bars, placed: _Placed) -> npt.NDArray[np.int64]:
    """[T-1] ns of the break that lies between each bar and the next."""
    calendar = placed.calendar
    at = np.searchsorted(calendar.trade_date, placed.located.session[1:])
    across = (bars.ts_event_ns[:-1] < calendar.break_end_ns[at]) & (bars.ts_event_ns[1:] >= calendar.break_end_ns[at])
    return np.where(across, calendar.break_end_ns[at] - calendar.break_start_ns[at], 0)


def _half_hours(bars: Bars, located: Located) -> tuple[HalfHour, ...]:
    half = located.minute_et // 30
    returns = np.diff(np.log(bars.close.astype(np.float64))) * 1e4
    usable = (located.session[1:] == located.session[:-1]) & (bars.contract[1:] == bars.contract[:-1])
    usable &= np.diff(bars.ts_event_ns) == bars.interval_s * NS_PER_SECOND
    ranges = (bars.high - bars.low).astype(np.float64)
    half_hours = []
    for k in [*range(36, HALF_HOURS), *range(36)]:  # the exchange day begins at 18:00
        inside, moves = half == k, returns[usable & (half[1:] == k)]
        count = int(inside.sum())
        half_hours.append(
            HalfHour(
                start=f"{k // 2:02d}:{30 * (k % 2):02d}",
                bars=count,
                return_std_bp=float(moves.std()) if len(moves) > 1 else None,
                range_ticks=float(ranges[inside].mean()) if count else None,
                volume=float(bars.volume[inside].mean()) if count else None,
            )
        )
    return tuple(half_hours)


def _rolls(bars: Bars, schedule: RollSchedule) -> tuple[RollRow, ...]:
    at = np.flatnonzero(np.diff(bars.contract)) + 1
    inside = [roll for roll in schedule.roll if _is_inside(roll.ts_event.timestamp(), bars)]
    of_each = inside if len(inside) == len(at) else [None] * len(at)
    return tuple(
        RollRow(
            at=_utc(bars.ts_event_ns[k]),
            contract="" if roll is None else roll.contract,
            gap_ticks=int(bars.open[k]) - int(bars.close[k - 1]),
            source="" if roll is None else roll.source,
        )
        for k, roll in zip(at, of_each, strict=True)
    )


def _is_inside(seconds: float, bars: Bars) -> bool:
    return bool(bars.ts_event_ns[0] < seconds * NS_PER_SECOND <= bars.ts_event_ns[-1])


def _jumps(bars: Bars, located: Located) -> tuple[Jump, ...]:
    prices = Prices(bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = lasting_jumps(prices)
    ticks = bars.open[rows].astype(np.int64) - bars.close[rows - 1]
    order = np.argsort(-np.abs(ticks), kind="stable")[:LISTED]
    gaps = opening_gaps(bars, located.session)
    suspected = [looks_like_a_roll(bars, located, int(row), gaps) for row in rows]
    return tuple(_jump(bars, int(rows[k]), int(ticks[k]), suspected=suspected[k]) for k in order)


def _jump(bars: Bars, row: int, ticks: int, *, suspected: bool) -> Jump:
    return Jump(
        at=_utc(bars.ts_event_ns[row]),
        line=int(bars.lines[row]) if len(bars.lines) else row + 1,
        ticks=ticks,
        percent=round(100 * ticks / int(bars.close[row - 1]), 3),
        explained=bool(bars.contract[row] != bars.contract[row - 1]),
        roll_week=suspected,
    )


def _without_regular_hours(placed: _Placed) -> tuple[str, ...]:
    """Whole sessions that have bars but none in regular hours; the file's first and last may be cut off there."""
    session, minute = placed.located.session, placed.located.minute_et
    days = np.unique(session)[1:-1]
    lasting = placed.calendar.length_ns[np.searchsorted(placed.calendar.trade_date, days)] > SHORT_SESSION_NS
    traded = np.unique(session[(minute >= REGULAR_OPEN) & (minute < REGULAR_CLOSE)])
    return tuple(_day(day) for day in days[lasting & ~np.isin(days, traded)].tolist())


def _warnings(
    jumps: tuple[Jump, ...], missing: tuple[str, ...], empty_days: tuple[str, ...], stamps: str
) -> tuple[str, ...]:
    warnings = [stamps] if stamps else []
    warnings += [
        f"row {jump.line} at {jump.at}: a lasting jump of {jump.ticks:+,} ticks ({jump.percent:+.2f} %) in roll week "
        "that no file explains; name it with --rolls if the contract changes there"
        for jump in sorted(jumps, key=lambda jump: jump.line)
        if jump.roll_week and not jump.explained
    ]
    if missing:
        warnings.append(f"{len(missing)} sessions have no bar, the first on {missing[0]}")
    if empty_days:
        warnings.append(
            f"{len(empty_days)} sessions have bars but none in regular hours (09:30 to 16:00 ET), the first on "
            f"{empty_days[0]}"
        )
    return tuple(warnings)


def _utc(ns: int | np.int64) -> str:
    return f"{np.datetime64(int(ns), 'ns').astype('datetime64[s]')}Z"


def _day(day: int) -> str:
    return str(np.datetime64(int(day), "D"))
