"""The regime by hand, and from a bounded past only."""

from dataclasses import replace

import numpy as np
import pytest

from rl_core.features.features import StreamedBar
from rl_core.regimes.labels import Regime, RegimeStream, _percentiles, compute_regimes
from tests.rl_core.markets import seen_again, small_view

CLOSE = 80_000


def bar(
    close: int = CLOSE, session: int = 1, minute_et: int = 600, decision: int = 601, volume: int = 1
) -> StreamedBar:
    """One bar without a range."""
    return StreamedBar(close, close, close, volume, session, minute_et, decision, 60)


def test_a_trend_is_the_change_of_the_close_in_thousandths_of_atr() -> None:
    """One tick a bar with an ATR of 20 ticks: 15, 60 and 240 ticks are 750, 3,000 and 12,000 thousandths."""
    stream = RegimeStream()
    for t in range(400):
        regime = stream.push(bar(CLOSE + t), 280)

    assert (regime.trend_15_atr_milli, regime.trend_60_atr_milli, regime.trend_240_atr_milli) == (750, 3000, 12000)
    assert regime.label == "up/normal"


def test_a_trend_begins_with_the_bars_there_are_and_an_atr_below_a_tick_counts_as_one() -> None:
    stream = RegimeStream()

    assert stream.push(bar(), 0).trend_15_atr_milli == 0
    assert stream.push(bar(CLOSE - 2), 0).trend_15_atr_milli == -2000


@pytest.mark.parametrize(("step", "direction"), [(1, "up"), (-1, "down"), (0, "flat")])
def test_the_direction_is_that_of_the_hour(step: int, direction: str) -> None:
    stream = RegimeStream()
    for t in range(61):
        regime = stream.push(bar(CLOSE + step * t), 280)

    assert regime.label.partition("/")[0] == direction


def test_volatility_is_ranked_among_past_sessions_of_the_same_half_hour_only() -> None:
    """Ten past values 10 to 100 at 10:00; at 14:00 nothing is known, and today never counts."""
    stream = RegimeStream()
    for day in range(10):
        stream.push(bar(session=day), 10 * (day + 1))
    stream.push(bar(session=10), 5)

    shares = [stream.push(bar(session=10), value).volatility_percentile for value in (10, 55, 101)]

    assert shares == [0, 50, 100]
    assert stream.push(bar(session=10, minute_et=840), 1).volatility_percentile == 50


@pytest.mark.parametrize(("value", "word"), [(32, "calm"), (33, "normal"), (66, "normal"), (67, "wild")])
def test_calm_and_wild_are_the_outer_thirds(value: int, word: str) -> None:
    """Past values 0 to 99, so that the percentile of a value is the value; below 33 is calm, from 67 on wild."""
    stream = RegimeStream()
    for known in range(100):
        stream.push(bar(session=0), known)

    regime = stream.push(bar(session=1), value)

    assert regime.volatility_percentile == value
    assert regime.label == f"flat/{word}"


@pytest.mark.parametrize(
    ("decision", "part"), [(630, "opening"), (631, "midday"), (750, "midday"), (751, "afternoon"), (871, "late")]
)
def test_the_session_has_four_parts(decision: int, part: str) -> None:
    assert RegimeStream().push(bar(decision=decision), 280).session_part == part


def test_only_twenty_sessions_and_240_minutes_are_remembered() -> None:
    """A stream that saw wild early sessions agrees with one that never did, 13 bars of volume later."""
    dice = np.random.default_rng(0)
    days = np.repeat(np.arange(5, 27), 20).tolist()
    recent = [(day, int(dice.integers(79_000, 81_000)), int(dice.integers(100, 500))) for day in days]
    old, fresh = RegimeStream(), RegimeStream()
    for t in range(500):
        old.push(bar(90_000 + t, session=t // 100), 9_999)

    last: list[Regime] = [Regime(0, 0, 0, 0, "", "")] * 2
    for day, close, total in recent:
        last = [stream.push(bar(close, session=day), total) for stream in (old, fresh)]

    assert last[0] == last[1]


def test_volume_of_fourteen_bars_is_ranked_as_the_volatility_is() -> None:
    """Past sums of 14, 28, ... 140 contracts at 10:00: the 75 of today are above the first five."""
    stream = RegimeStream()
    for day, volumes in enumerate([*([day] * 14 for day in range(1, 11)), [5] * 13 + [10]]):
        for volume in volumes[:-1]:
            stream.push(bar(session=day, minute_et=840, volume=volume), 280)
        regime = stream.push(bar(session=day, volume=volumes[-1]), 280)

    assert regime.volume_percentile == 50
    assert stream.push(bar(session=10, volume=100), 280).volume_percentile == 100
    assert stream.push(bar(session=10, minute_et=1080, volume=100), 280).volume_percentile == 50


def place_of(*bars: tuple[int, int, int, int], session: int = 1) -> list[tuple[int, int, int]]:
    """To the high, to the low and off the mean of ``bars`` (high, low, close, volume), with an ATR of 14 ticks."""
    stream = RegimeStream()
    stream.push(StreamedBar(CLOSE + 900, CLOSE - 900, CLOSE, 50, session - 1, 600, 601, 60), 196)
    pushed = [
        stream.push(StreamedBar(CLOSE + high, CLOSE + low, CLOSE + close, volume, session, 600, 601, 60), 196)
        for high, low, close, volume in bars
    ]
    return [(r.to_session_high_atr_milli, r.to_session_low_atr_milli, r.vwap_atr_milli) for r in pushed]


def test_the_place_in_the_session_by_hand() -> None:
    """The mean price is that of 4 contracts at 1 and 2 at 13, 5 ticks; the session before does not count."""
    found = place_of((4, -1, 0, 4), (21, 5, 13, 2))

    assert found == [(4000 // 14, 1000 // 14, -1000 // 14), (8000 // 14, 14_000 // 14, 8000 // 14)]


def test_a_session_without_volume_has_its_first_close_as_its_mean_price() -> None:
    assert [off for _, _, off in place_of((0, 0, 0, 0), (7, -7, -7, 0), (7, 7, 7, 1))] == [0, -500, 0]


@pytest.mark.parametrize("at", [1380 + 700, 2 * 1380 + 15, 2 * 1380 + 700])
def test_later_bars_change_no_percentile(at: int) -> None:
    """From bar ``at`` on every bar is wilder and fuller: ranks before it stay, in its own half-hour and session too."""
    view = small_view()
    later = np.arange(len(view.bars)) >= at
    wild = replace(
        view.bars,
        high=np.where(later, view.bars.high + 400, view.bars.high).astype(np.int32),
        volume=np.where(later, 50 * view.bars.volume + 1000, view.bars.volume),
        digest="",
    )

    known, changed = compute_regimes(view), compute_regimes(seen_again(view, wild))

    for name in ("volatility_percentile", "volume_percentile"):
        was, now = getattr(known, name), getattr(changed, name)
        assert was[:at].tolist() == now[:at].tolist() and len(set(was[:at].tolist())) > 10
        assert (was[at:] != now[at:]).any(), "the bars that were changed do matter"


def test_a_percentile_by_hand_in_the_batch() -> None:
    """Two bars a session of one half-hour: 5 among {1, 9, 3, 7} has two below it, and its own day is no past."""
    total, session = np.array([1, 9, 3, 7, 5, 4]), np.array([1, 1, 2, 2, 3, 3], np.int32)

    assert _percentiles(total, session, np.zeros(6, np.int32)).tolist() == [50, 50, 50, 50, 50, 50]
    assert _percentiles(total + np.array([0, 0, 0, 0, 3, 4]), session, np.zeros(6, np.int32)).tolist()[4:] == [75, 75]
