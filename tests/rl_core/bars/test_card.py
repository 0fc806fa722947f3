"""The data card: coverage, gaps, profile, rolls, jumps and second bars, by hand; the page needs no network."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.card import agreement, examine
from rl_core.bars.card_page import page
from rl_core.bars.write import write_bars
from rl_core.commands.data_files import FileChoices, FileOptions, check_file
from rl_core.exchange.instruments import instrument
from tests.rl_core.markets import quiet_bars, random_bars, session_minutes
from trigate.errors import ConfigError, DataError

PATH = Path("NQ_D1M.csv")


def without(bars: Bars, rows: list[int]) -> Bars:
    kept = np.setdiff1d(np.arange(len(bars)), rows)
    columns = {name: getattr(bars, name)[kept] for name in ("ts_event_ns", "open", "high", "low", "close", "volume")}
    return replace(bars, **columns, contract=bars.contract[kept], digest="")


def test_coverage_counts_the_intervals_of_every_session() -> None:
    """Monday to Thanksgiving, 13:00 ET: 1,380 minutes a day, 1,140 on the short one; five are left out."""
    card = examine(without(random_bars(0, session_minutes(10)), [100, 101, 102, 2000, 2002]), PATH)

    assert [s.expected for s in card.sessions] == [1380] * 8 + [1140, 1155]
    assert [s.bars for s in card.sessions] == [1377, 1378, *[1380] * 6, 1140, 1155]
    assert card.silent == 5 and [gap.silent for gap in card.gaps] == [3, 1, 1] and card.missing_sessions == ()


def test_a_session_without_a_bar_is_named() -> None:
    card = examine(without(random_bars(0, session_minutes(4)), list(range(1380, 2760))), PATH)

    assert card.missing_sessions == ("2024-11-19",)
    assert card.warnings == ("1 sessions have no bar, the first on 2024-11-19",) and card.silent == 0


def test_the_profile_is_the_spread_of_returns_in_each_half_hour() -> None:
    bars = random_bars(1, session_minutes(3))
    local = pd.DatetimeIndex(bars.ts_event_ns.astype("datetime64[ns]"), tz="UTC").tz_convert("America/New_York")
    ten = np.flatnonzero((local.hour == 10) & (local.minute < 30))

    found = {half.start: half for half in examine(bars, PATH).half_hours}

    expected = np.std(1e4 * (np.log(bars.close[ten] / bars.close[ten - 1])))
    assert found["10:00"].return_std_bp == pytest.approx(expected) and found["10:00"].bars == 90
    assert found["10:00"].range_ticks == pytest.approx((bars.high - bars.low)[ten].mean())
    assert found["17:00"].bars == 0 and found["17:00"].return_std_bp is None
    assert next(iter(found)) == "18:00" and len(found) == 48


def test_a_return_over_a_silent_minute_is_no_return_over_one_minute() -> None:
    """Quiet bars but for a step of 400 ticks over a minute that is missing."""
    bars = quiet_bars(1)
    moved = {
        name: getattr(bars, name) + 400 * (np.arange(len(bars)) > 700) for name in ("open", "high", "low", "close")
    }
    stepped = replace(bars, **{name: column.astype(np.int32) for name, column in moved.items()}, digest="")

    halves = examine(without(stepped, [700]), PATH).half_hours

    assert {half.return_std_bp for half in halves} == {0.0, None}


def test_a_roll_is_listed_with_its_gap_and_its_return_counts_for_nothing() -> None:
    bars = quiet_bars(2)
    at = 700
    moved = {
        name: getattr(bars, name) + 900 * (np.arange(len(bars)) >= at) for name in ("open", "high", "low", "close")
    }
    rolled = replace(
        bars,
        **{name: column.astype(np.int32) for name, column in moved.items()},
        contract=(np.arange(len(bars)) >= at).astype(np.int32),
        digest="",
    )

    card = examine(rolled, PATH)

    assert [(roll.gap_ticks, roll.contract) for roll in card.rolls] == [(900, "")]
    assert [(jump.ticks, jump.explained) for jump in card.jumps] == [(900, True)] and card.warnings == ()
    assert all(half.return_std_bp in (None, 0.0) for half in card.half_hours)


def test_a_regular_session_without_bars_is_a_warning_of_its_own() -> None:
    """Four days; the second has its evening and night, and nothing from 09:30 to 16:00 ET."""
    bars = random_bars(0, session_minutes(4))
    day = 1380 + np.arange(930, 1320)

    card = examine(without(bars, day.tolist()), PATH)

    assert card.missing_sessions == () and card.warnings == (
        "1 sessions have bars but none in regular hours (09:30 to 16:00 ET), the first on 2024-11-19",
    )
    assert examine(without(bars, day[:-1].tolist()), PATH).warnings == ()


def test_minutes_are_held_against_their_seconds() -> None:
    """Two minutes: the first is right, the second's high is a tick off; a third has no seconds, a fourth no minute."""
    start = int(np.datetime64("2025-01-02T14:30", "ns").astype(np.int64))
    second = np.array([0, 30, 60, 90, 180])
    level = np.array([100, 104, 90, 96, 70], np.int32)
    ones = np.ones(5, np.int64)
    seconds = Bars(
        instrument=instrument("NQ"),
        interval_s=1,
        ts_event_ns=start + second * 10**9,
        open=level,
        high=level + 1,
        low=level - 1,
        close=level,
        volume=ones,
    )
    times = start + np.array([0, 60, 120]) * 10**9
    prices = [np.array(x, np.int32) for x in ([100, 90, 1], [105, 98, 1], [99, 89, 1], [104, 96, 1])]
    minutes = Bars(instrument("NQ"), 60, times, *prices, volume=np.array([2, 2, 1]))

    found = agreement(minutes, seconds)

    assert (found.minutes, found.only_minutes, found.only_seconds) == (2, 1, 1)
    assert found.equal == {"open": 1.0, "high": 0.5, "low": 1.0, "close": 1.0, "volume": 1.0}


def test_bars_while_the_exchange_is_closed_have_no_card() -> None:
    bars = quiet_bars(1)
    late = replace(bars, ts_event_ns=bars.ts_event_ns + 10 * 60_000_000_000, digest="")

    with pytest.raises(DataError, match=r"closed_market: '2024-11-18T22:00:00Z'.*and 9 more faults"):
        examine(late, PATH)


def test_the_page_asks_for_nothing_from_outside_and_escapes_what_it_shows() -> None:
    card = examine(random_bars(0, session_minutes(3)), Path("<b>NQ.csv"))

    text = page(card)

    assert not re.search(r"(src|href)=|https?://|@import|<script", text)
    assert "&lt;b&gt;NQ.csv" in text and "<b>NQ" not in text
    assert text.count("<svg") == 4 and card.digest in text


def test_the_bars_that_were_read_are_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "NQ_D1M.parquet"
    write_bars(random_bars(0, session_minutes(1)), path)

    with pytest.raises(ConfigError, match="another --out"):
        check_file(path, FileOptions(None, 60, None), FileChoices(), tmp_path)


@pytest.mark.parametrize("sessions", [1, 2, 6, 7, 8, 10, 12, 23])
def test_names_under_a_drawing_do_not_meet(sessions: int) -> None:
    """A date has ten letters of nine units in a narrow window; it begins, ends, or is centred at its place."""
    html = page(examine(random_bars(0, session_minutes(sessions)), PATH))

    found = re.findall(
        r'<text x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)">(2\d{3}-\d\d-\d\d)<', html.split("</svg>")[0]
    )
    ends = [(float(x) - {"start": 0, "middle": 45, "end": 90}[anchor], date) for x, anchor, date in found]
    lefts = [left for left, _ in ends]
    assert len({date for _, date in ends}) == len(ends) >= min(sessions, 3)
    assert all(after - before >= 90 for before, after in pairwise(lefts))


def test_every_drawing_says_what_it_shows() -> None:
    html = page(examine(random_bars(0, session_minutes(3)), PATH))

    labels = re.findall(r'<svg class="chart"[^>]*role="img" aria-label="([^"]+)"', html)
    assert len(labels) == len(set(labels)) == html.count("<svg") == 4
