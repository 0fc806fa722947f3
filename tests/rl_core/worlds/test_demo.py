"""The demo market: reproducible, on the calendar, consistent below the minute, and its edge is as declared."""

import functools
import time

import numpy as np
import numpy.typing as npt
import pytest

from rl_core.bars.bars import Bars
from rl_core.exchange.calendar import OUTSIDE, Calendar, Located
from rl_core.exchange.instruments import instrument
from rl_core.worlds.demo import DRIFT_ATR, World, demo_world, draw_bars, fading_drift
from rl_core.worlds.planted_edge import rule_expectancy, true_range_sum

SESSIONS = 40


@functools.cache
def demo() -> World:
    return demo_world(0, SESSIONS, seconds=True)


def located(bars: Bars) -> Located:
    return Calendar.covering(int(bars.ts_event_ns[0]), int(bars.ts_event_ns[-1])).locate(bars.ts_event_ns)


def test_the_same_seed_gives_the_same_bars_and_another_seed_others() -> None:
    alone = demo_world(0, SESSIONS)

    assert alone.minutes.digest == demo().minutes.digest and alone.seconds is None
    assert demo_world(1, 2).minutes.digest != demo_world(2, 2).minutes.digest


def test_every_minute_of_real_sessions_has_a_bar() -> None:
    """From 2024-01-02: 15 January (Martin Luther King) and 19 February (Presidents) close at 13:00 ET."""
    place = located(demo().minutes)

    days, counts = np.unique(place.session, return_counts=True)

    assert OUTSIDE not in days and len(days) == SESSIONS and str(np.datetime64(int(days[0]), "D")) == "2024-01-02"
    short = {str(np.datetime64(int(day), "D")): int(n) for day, n in zip(days, counts, strict=True) if n != 1380}
    assert short == {"2024-01-15": 1140, "2024-02-19": 1140}


def test_bars_are_sound() -> None:
    for bars in (demo().minutes, demo().seconds):
        assert bars is not None and bars.instrument.symbol == "NQ"
        assert (np.diff(bars.ts_event_ns) > 0).all() and (bars.volume >= 1).all() and (bars.low > 0).all()
        assert (bars.high >= np.maximum(bars.open, bars.close)).all()
        assert (bars.low <= np.minimum(bars.open, bars.close)).all()


def test_seconds_add_up_to_their_minutes() -> None:
    minutes, seconds = demo().minutes, demo().seconds
    assert seconds is not None and seconds.interval_s == 1

    starts = np.searchsorted(seconds.ts_event_ns, minutes.ts_event_ns)
    ends = np.append(starts[1:], len(seconds))

    assert np.array_equal(seconds.open[starts], minutes.open)
    assert np.array_equal(seconds.close[ends - 1], minutes.close)
    assert np.array_equal(np.maximum.reduceat(seconds.high, starts), minutes.high)
    assert np.array_equal(np.minimum.reduceat(seconds.low, starts), minutes.low)
    assert np.array_equal(np.add.reduceat(seconds.volume, starts), minutes.volume)


def test_seconds_are_sparse_at_night_and_full_by_day() -> None:
    minutes, seconds = demo().minutes, demo().seconds
    assert seconds is not None
    rows, wanted = (np.bincount(located(bars).minute_et, minlength=1440) for bars in (seconds, minutes))
    share = rows / (60 * wanted.clip(1))

    assert share[570:960].mean() > 0.9 and 0.05 < share[0:180].mean() < 0.6


def feature_rule(bars: Bars) -> npt.NDArray[np.int8]:
    """[T] the rule read off two features: log relative volume above 1.5 and a move beyond 1.2 ATR, in entry hours."""
    place = located(bars)
    atr = np.maximum(1, true_range_sum(bars, place.session) / 14)
    move = np.diff(bars.close, prepend=bars.close[:1]) / atr
    table = np.full((place.session.max() - place.session.min() + 1, 1440), np.nan)
    table[place.session - place.session.min(), place.minute_et] = bars.volume
    table = table[~np.isnan(table).all(axis=1)]
    row = np.unique(place.session, return_inverse=True)[1]
    relative = np.zeros(len(bars))
    for t in np.flatnonzero((place.minute_et >= 570) & (place.minute_et < 945) & (row > 0)):
        past = table[max(0, row[t] - 20) : row[t], place.minute_et[t]]
        relative[t] = np.log((1 + bars.volume[t]) / (1 + np.nanmedian(past)))
    return np.where((relative > 1.5) & (np.abs(move) > 1.2), np.sign(move), 0).astype(np.int8)


def test_the_rule_is_visible_in_the_features_and_hardly_ever_by_chance() -> None:
    """After the first session, which has no past volume, the bars that look so are the signals."""
    bars, signals = demo().minutes, demo().edge.signals
    later = located(bars).session > located(bars).session[0]

    agree = feature_rule(bars)[later] == signals[later]

    assert (~agree).sum() <= 0.01 * (signals[later] != 0).sum()


def test_signals_are_spread_over_the_entry_hours_on_both_sides() -> None:
    signals, place = demo().edge.signals, located(demo().minutes)
    at = np.flatnonzero(signals)

    full = ~np.isin(place.session, [19737, 19772])

    assert 5 <= (signals[full] != 0).sum() / (SESSIONS - 2) <= 8
    assert place.minute_et[at].min() >= 570 and place.minute_et[at].max() < 945
    assert np.diff(at).min() >= 25 and 0.35 < (signals[at] > 0).mean() < 0.65


def test_the_edge_earns_what_is_declared_and_nothing_without_its_drift() -> None:
    """Some 3900 trades of a standard deviation of 1.8 R: the standard error is 0.029 R, without drift 0.040 R."""
    drawn = [draw_bars(seed, 300, drift=fading_drift(DRIFT_ATR)) for seed in (10, 12)]
    with_drift = [rule_expectancy(bars.minutes, bars.signals) for bars in drawn]
    drawn_without = draw_bars(10, 300, drift=fading_drift(0.0))
    without = rule_expectancy(drawn_without.minutes, drawn_without.signals)

    assert np.mean([e.mean_r for e in with_drift]) == pytest.approx(demo().edge.expectancy_r, abs=0.05)
    assert without.mean_r == pytest.approx(0.0, abs=0.08) and without.baseline_r == pytest.approx(0.0, abs=0.05)
    assert min(e.mean_r - 4 * e.standard_error for e in with_drift) > 0
    assert max(e.median_bars_held for e in with_drift) < 30 and min(e.trades for e in with_drift) > 1800


def test_the_declaration_says_what_it_is() -> None:
    edge = demo().edge

    assert "planted edge" in edge.text and "+0.25 R" in edge.text and edge.expectancy_r == 0.25
    assert len(edge.signals) == len(demo().minutes) and edge.signals.dtype == np.int8


def flat_then(*rows: tuple[int, int, int, int]) -> Bars:
    """Fourteen bars of range 4 at 1000 ticks in one session, then these (open, high, low, close)."""
    prices = np.array([(1000, 1002, 998, 1000)] * 14 + list(rows), np.int32)
    at = 1_735_837_200_000_000_000 + np.arange(len(prices)) * 60_000_000_000
    return Bars(instrument("NQ"), 60, at, *prices.T, volume=np.ones(len(prices), np.int64))


BRACKETS = {
    "target needs a tick of trade-through": (1, [(1000, 1018, 999, 1010), (1010, 1019, 1010, 1012)], 3.0, 2),
    "stop": (1, [(1000, 1002, 994, 1000)], -1.0, 1),
    "stop comes first where both are in one bar": (1, [(1000, 1050, 990, 1000)], -1.0, 1),
    "a gap beyond the stop fills at the open": (1, [(1000, 1002, 998, 1000), (988, 990, 985, 990)], -2.0, 2),
    "the session's end closes at the last price": (1, [(1000, 1002, 998, 1000), (1000, 1004, 999, 1003)], 0.5, 2),
    "a short is the mirror": (-1, [(1000, 1001, 981, 990)], 3.0, 1),
}


@pytest.mark.parametrize(("side", "rows", "profit_r", "held"), BRACKETS.values(), ids=BRACKETS)
def test_a_bracket_by_hand(side: int, rows: list[tuple[int, int, int, int]], profit_r: float, held: int) -> None:
    """S = 14 x 4 = 56, so the stop is ceil(168 / 28) = 6 ticks and the target 18."""
    bars = flat_then(*rows)
    signals = np.zeros(len(bars), np.int8)
    signals[13] = side

    expectancy = rule_expectancy(bars, signals)

    assert expectancy.mean_r == profit_r and expectancy.median_bars_held == held and expectancy.trades == 1


def test_sixty_sessions_take_seconds() -> None:
    """The limit allows for a busy machine: 1 s is usual."""
    started = time.process_time()
    demo_world(5, 60)

    assert time.process_time() - started < 10


def test_sessions_begin_at_the_first_trading_day_that_was_asked_for() -> None:
    """2027-07-10 is a Saturday."""
    saturday = int(np.datetime64("2027-07-10").astype(np.int64))

    sessions = np.unique(located(demo_world(8, 3, first_day=saturday).minutes).session)

    assert [str(np.datetime64(int(day), "D")) for day in sessions] == ["2027-07-12", "2027-07-13", "2027-07-14"]
