"""Sessions around some bars: as this machine keeps them from an earlier look, else from the calendar library."""

import hashlib
import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from rl_core.exchange.product_hours import EXCHANGE_ZONE, Family
from rl_core.exchange.sessions import Sessions
from trigate.errors import ResourceError
from trigate.user_cache import user_cache
from trigate.whole_files import write_whole

# Sessions that meet no bar but frame the first and the last one: longer than any closure.
MARGIN = timedelta(days=10)
EPOCH = date(1970, 1, 1)
NS_PER_SECOND = 1_000_000_000
LIBRARY = "pandas_market_calendars"
# What the sessions follow from, beside the library and the clock changes of the exchange's zone.
SOURCES = ("calendar_overrides.toml", "product_hours.py", "schedules.py")


def sessions_between(family: Family, first_ns: int, last_ns: int) -> Sessions:
    """The sessions [S] of ``family`` from before the day of ``first_ns`` to after that of ``last_ns``, read-only."""
    first, last = _day(first_ns) - MARGIN, _day(last_ns) + MARGIN
    known = _sessions_of_years(family, first.year, last.year)
    start = np.searchsorted(known.trade_date, (first - EPOCH).days, side="left")
    rows = slice(start, np.searchsorted(known.trade_date, (last - EPOCH).days, side="right"))
    columns: Any = known
    return Sessions(*(column[rows] for column in columns))


# A command asks for several parts of the same years, and the library takes as long for a week as for a year.
@lru_cache(maxsize=64)
def _sessions_of_years(family: Family, first: int, last: int) -> Sessions:
    """The sessions [S] of ``family`` in whole years, read-only."""
    path = user_cache() / "sessions" / f"{family}-{first}-{last}-{_origin(first, last)}.npz"
    sessions = _kept(path)
    if sessions is None:
        # Slow to load: pandas and the library cost a process half a second.
        from rl_core.exchange.schedules import library_sessions

        sessions = library_sessions(family, first, last)
        _keep(sessions, path)
    for column in sessions:
        column.flags.writeable = False
    return sessions


def _kept(path: Path) -> Sessions | None:
    """What an earlier look kept; None where nothing whole is there, which is then made again."""
    try:
        with np.load(path, allow_pickle=False) as columns:
            return Sessions(*(columns[name] for name in Sessions._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _keep(sessions: Sessions, path: Path) -> None:
    """Write for the next look; a home folder without room or leave costs the next look its seconds, and no more."""
    written = io.BytesIO()
    np.savez(written, **sessions._asdict())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, written.getvalue())
    except (OSError, ResourceError):
        return


@cache
def _sources() -> bytes:
    """The library's version and our corrections and code, as bytes."""
    here = resources.files("rl_core.exchange")
    return metadata.version(LIBRARY).encode() + b"".join(here.joinpath(name).read_bytes() for name in SOURCES)


def _origin(first: int, last: int) -> str:
    """16 hex digits that change with anything that the sessions of these years follow from."""
    zone = ZoneInfo(EXCHANGE_ZONE)
    days = (EPOCH.replace(year=year) + timedelta(days=n) for year in range(first, last + 1) for n in range(366))
    offsets = (datetime(day.year, day.month, day.day, 12, tzinfo=zone).utcoffset() for day in days)
    return hashlib.sha256(_sources() + repr([str(offset) for offset in offsets]).encode()).hexdigest()[:16]


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // NS_PER_SECOND, UTC).date()
