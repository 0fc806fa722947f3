"""Which jumps look like a change of contract that nobody declared, and which are the market's own."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.card import examine
from rl_core.bars.roll_signs import in_roll_week, unnamed_rolls
from rl_core.exchange.calendar import locate
from rl_core.exchange.instruments import instrument
from rl_core.worlds.demo import demo_world
from tests.rl_core.markets import session_minutes

PATH = Path("NQ_D1M.csv")
FIRST = date(2024, 11, 18)  # a Monday; 40 sessions hold the third Friday of December, the 20th
SUNDAY = "2024-12-22T23:00"  # after it


def market(symbol: str = "NQ", *, sessions: int = 40) -> Bars:
    """Quiet sessions at 21,000 points, 0.02 % up or down over the daily break and 0.10 % over a weekend."""
    stamps = session_minutes(sessions, FIRST)
    closed = np.diff(stamps, prepend=stamps[0]) // 3_600_000_000_000
    move = np.where(closed > 24, 84, np.where(closed >= 1, 17, 0))
    move[np.flatnonzero(move)[1::2]] *= -1
    level = (84_000 + np.cumsum(move)).astype(np.int32)
    return Bars(
        instrument=instrument(symbol),
        interval_s=60,
        ts_event_ns=stamps,
        open=level,
        high=level + 2,
        low=level - 2,
        close=level,
        volume=1 + np.arange(len(stamps)) % 50,
    )


def raised(bars: Bars, at: str, ticks: int) -> Bars:
    """The same bars, ``ticks`` higher from a UTC time on."""
    later = bars.ts_event_ns >= np.datetime64(at, "ns").astype(np.int64)
    prices = {name: getattr(bars, name) + np.int32(ticks) * later for name in ("open", "high", "low", "close")}
    return replace(bars, **{name: column.astype(np.int32) for name, column in prices.items()}, digest="")


def expired_at_the_open(bars: Bars) -> Bars:
    """The same bars without those from 09:30 to 17:00 ET on the third Friday: the old contract has expired."""
    located = locate(bars.ts_event_ns, "equity")
    friday = located.session == np.datetime64("2024-12-20").astype("datetime64[D]").astype(int)
    kept = ~(friday & (located.minute_et >= 570) & (located.minute_et < 1020))
    columns = {name: getattr(bars, name)[kept] for name in ("ts_event_ns", "open", "high", "low", "close", "volume")}
    return replace(bars, **columns, contract=bars.contract[kept], digest="")


def suspected(bars: Bars) -> list[str]:
    return [jump.at for jump in examine(bars, PATH).jumps if jump.roll_week]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        *((day, True) for day in ("2023-12-12", "2024-03-12", "2024-06-17", "2024-09-17", "2024-12-16", "2025-03-17")),
        *((day, True) for day in ("2023-12-17", "2024-12-22", "2025-03-23")),
        *((day, False) for day in ("2024-12-24", "2024-12-10", "2025-01-16", "2025-04-09")),
    ],
)
def test_contracts_change_from_nine_days_before_to_the_monday_after_the_third_friday(day: str, expected: bool) -> None:
    assert in_roll_week(pd.Timestamp(f"{day}T23:00", tz="UTC")) is expected


@pytest.mark.parametrize("symbol", ["ES", "NQ", "YM", "RTY", "NKD", "MNQ"])
def test_an_expiry_roll_on_the_sunday_after_the_third_friday_is_suspected(symbol: str) -> None:
    """Nothing trades of the old contract after 09:30 ET on Friday; the new one is 0.3 % above."""
    bars = expired_at_the_open(raised(market(symbol), SUNDAY, 250))

    assert suspected(bars) == ["2024-12-22T23:00:00Z"]


@pytest.mark.parametrize("known", ["2024-12-16T23:00", "2024-12-24T23:00"])
def test_beside_a_known_roll_of_the_quarter_no_other_is_suspected(known: str) -> None:
    bars = expired_at_the_open(raised(market(), SUNDAY, 250))
    contract = (bars.ts_event_ns >= np.datetime64(known, "ns").astype(np.int64)).astype(np.int32)

    assert suspected(replace(bars, contract=contract, digest="")) == []


def test_whoever_reads_bars_is_told_of_rolls_that_nobody_named() -> None:
    bars = raised(raised(market(), "2024-12-17T06:01", 420), "2024-12-18T06:01", 420)
    (told,) = unnamed_rolls(bars)
    named = replace(bars, contract=(np.arange(len(bars)) >= 20_000).astype(np.int32), digest="")

    assert told.startswith(
        "NQ: 2 lasting jumps in roll weeks that no roll explains, the first at 2024-12-17T06:01:00Z; "
    )
    (one,) = unnamed_rolls(raised(market(), "2024-12-17T06:01", 420))
    assert one.startswith("NQ: a lasting jump in roll weeks")
    silent = (market(), named, raised(market("GC"), "2024-12-17T06:01", 420), raised(market(), "2024-12-03T06:01", 420))
    assert [unnamed_rolls(each) for each in silent] == [()] * 4
    assert unnamed_rolls(replace(bars, world="demo")) == ()


def test_an_expiry_roll_in_a_file_whose_friday_is_whole_is_suspected_by_its_size() -> None:
    """1.2 %, twelve usual weekend gaps; the usual one is 0.10 %."""
    assert suspected(raised(market(), SUNDAY, 1000)) == ["2024-12-22T23:00:00Z"]


@pytest.mark.parametrize("at", ["2024-12-15T23:00", SUNDAY])
def test_an_ordinary_weekend_gap_in_roll_week_is_not(at: str) -> None:
    """0.45 % is a lasting jump and four usual weekend gaps."""
    bars = raised(market(), at, 380)

    assert suspected(bars) == [] and len(examine(bars, PATH).jumps) == 1
    assert examine(bars, PATH).warnings == ()


def test_a_roll_over_the_daily_break_and_one_inside_a_session_are_suspected() -> None:
    for at in ("2024-12-17T23:00", "2024-12-17T06:01"):
        assert suspected(raised(market(), at, 420)) == [f"{at}:00Z"]


def test_a_jump_in_another_week_or_of_another_product_is_not() -> None:
    assert suspected(raised(market(), "2024-12-03T06:01", 420)) == []
    assert suspected(raised(market("GC"), "2024-12-17T06:01", 420)) == []


def test_the_demo_world_has_no_rolls_and_gets_no_warning() -> None:
    """250 sessions hold four roll weeks, with gaps in them that a file without a declaration would be asked about."""
    world = demo_world(7, 250).minutes

    assert examine(world, PATH).warnings == ()
    assert examine(replace(world, world=""), PATH).jumps != ()
