"""The command `orchestrator feed`: recorded bars played into a growing csv or to a port, as a feed would give them."""

import re
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import uuid4

import numpy as np
import typer

from orchestrator.clock import Deadline, MarketClock, wall_time_ns
from orchestrator.messaging.row_feed import RowFeed
from orchestrator.run.rehearsal import MOST_SPEED, Rehearsal, write_rehearsal
from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import read_seconds
from rl_core.bars.write import write_bars
from rl_core.checkpoints.provenance import declared
from rl_core.commands.options import Stamped, Timezone
from rl_core.exchange.calendar import Located, locate
from rl_core.trading.hours import MINUTE_NS
from trigate.errors import ConfigError, DataError
from trigate.whole_files import disk_faults, write_whole

CLOCK_SUFFIX = ".clock"
LOOK_S = 0.01


def feed(
    bars: Annotated[Path, typer.Argument(help="Recorded minute bars.")],
    to: Annotated[Path, typer.Option(help="The csv file that is to grow; its clock is written beside it.")],
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Of 127.0.0.1: --to keeps the history, and bars come from here; 0: any."),
    ] = None,
    seconds: Annotated[
        Path | None, typer.Option(help="--port: second bars of the same market, played in the place of the minutes.")
    ] = None,
    stay: Annotated[float, typer.Option(min=0, help="--port: end so many seconds after nobody asks any more.")] = 60.0,
    speed: Annotated[float, typer.Option(min=0.001, max=MOST_SPEED, help="700: a day in two minutes.")] = 700.0,
    sessions: Annotated[int, typer.Option(min=1, help="So many of the last are played; the others are history.")] = 1,
    begin: Annotated[
        str, typer.Option("--from", help="HH:MM in New York at which the first of them begins.")
    ] = "18:00",
    wait: Annotated[float, typer.Option(min=0, help="Seconds before the first bar, to start a run in.")] = 10.0,
    market: Annotated[str | None, typer.Option(help="Contract of the bars.")] = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
) -> None:
    """Play recorded bars into a csv file that grows, or to a port, each when it is over, for a run in paper mode."""
    if to.suffix != ".csv":
        raise ConfigError(f"--to {to}: a file that ends in .csv was expected, as its rows are appended")
    if to.exists():
        raise ConfigError(f"--to {to}: is there already; remove it, or name another file")
    if seconds is not None and port is None:
        raise ConfigError("--seconds: seconds come from a port, as --to holds minutes; name one with --port")
    played = declared(bars, read_bars(bars, market=market, timezone=timezone, stamp=stamp))
    first, rows = _first_played(bars, played, sessions, begin), _rows(played, to)
    coming = _Coming(rows[first + 1 :], (played.ts_event_ns[first:] + MINUTE_NS).tolist())
    if seconds is not None:
        of_seconds = read_seconds(seconds, played, timezone=timezone, stamp=stamp)
        coming = _seconds_coming(seconds, of_seconds, int(played.ts_event_ns[first]), to)
    served = None if port is None else RowFeed(uuid4().hex, rows[0].strip(), port=port)
    with ExitStack() as held:
        if served is not None:
            held.callback(served.close)
        write_whole(to, "".join(rows[: first + 1]))  # the header stands above them
        clock_file = to.with_name(to.name + CLOCK_SUFFIX)
        starts_ns, starts_wall_ns = int(played.ts_event_ns[first]), wall_time_ns() + int(wait * 1e9)
        rehearsal = Rehearsal(market_ns=starts_ns, wall_ns=starts_wall_ns, speed=speed, world=played.world)
        write_rehearsal(clock_file, rehearsal)
        takes_s = (coming.over_ns[-1] - starts_ns) / 1e9 / speed + wait
        kind = "" if seconds is None else " seconds"
        typer.echo(
            f"{first:,} bars of history stand in {to}; {len(coming.rows):,}{kind} follow within {takes_s:,.0f} s"
        )
        fed = "" if served is None else f" --feed {served.address}"
        fed += "" if seconds is None else " --set feed.rows=seconds"
        typer.echo(f"orchestrator run --mode paper --bars {to}{fed} --clock {clock_file}")
        clock = MarketClock(rehearsal.pace)
        if served is None:
            _append(coming, to, clock)
        else:
            _serve(coming, served, clock, stay)


class _Coming(NamedTuple):
    """What is played."""

    rows: list[str]
    """With their line ends."""
    over_ns: list[int]
    """When each is over."""


def _seconds_coming(path: Path, seconds: Bars, starts_ns: int, to: Path) -> _Coming:
    """The rows of the seconds from then on, which lie in the file ``path``.

    Raises:
        DataError: there is none.
    """
    part = seconds.slice(int(np.searchsorted(seconds.ts_event_ns, starts_ns)), len(seconds))
    if not len(part):
        raise DataError(f"{path}: ends before the first minute that is played; give the seconds of the same time")
    return _Coming(_rows(part, to)[1:], (part.ts_event_ns + NS_PER_SECOND).tolist())


def _first_played(path: Path, bars: Bars, sessions: int, begin: str) -> int:
    """The first bar that is played: at ``begin`` or later in the first of the last ``sessions``.

    Raises:
        ConfigError: no bar comes before it, or ``begin`` is no time.
    """
    found = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", begin)
    if found is None:
        raise ConfigError(f"--from {begin!r}: a time like 09:30 was expected")
    located: Located = locate(bars.ts_event_ns, bars.instrument.calendar)
    days = np.unique(located.session[located.session >= 0])
    if len(days) <= sessions:
        raise ConfigError(
            f"{path}: holds {len(days)} sessions, and --sessions {sessions} leaves none as history: play fewer"
        )
    in_first = np.flatnonzero(located.session == days[-sessions])
    # A session begins in the evening: minutes count from its open, so that 09:30 comes after 18:00.
    opened = (
        located.minute_et[in_first[0]] - (bars.ts_event_ns[in_first[0]] - located.open_ns[in_first[0]]) // MINUTE_NS
    )
    since_open = (located.minute_et[in_first] - opened) % 1440
    wanted = (int(found[1]) * 60 + int(found[2]) - opened) % 1440
    late = np.flatnonzero(since_open >= wanted)
    if not len(late):
        raise ConfigError(f"--from {begin}: the session has no bar then or later")
    return int(in_first[late[0]])


def _rows(bars: Bars, to: Path) -> list[str]:
    """The header and the rows of ``bars`` as a csv file has them."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder, to.name)
        write_bars(bars, scratch)
        return scratch.read_text(encoding="utf-8").splitlines(keepends=True)


def _append(coming: _Coming, to: Path, clock: MarketClock) -> None:
    """Append each row to the file ``to`` once its bar is over by the ``clock``."""
    with disk_faults(to), to.open("a", encoding="utf-8") as file:
        for row, over_ns in zip(*coming, strict=True):
            while clock.now_ns() < over_ns:
                time.sleep(LOOK_S)
            file.write(row)
            file.flush()


def _serve(coming: _Coming, served: RowFeed, clock: MarketClock, stay_s: float) -> None:
    """Give each row to whoever asks once its bar is over; then until nobody has asked for ``stay_s``."""
    for row, over_ns in zip(*coming, strict=True):
        while clock.now_ns() < over_ns:
            served.serve(LOOK_S)
        served.append(row.strip())
    left = Deadline(stay_s)
    while not left.expired:
        if served.serve(min(left.remaining(), 1.0)):
            left = Deadline(stay_s)
