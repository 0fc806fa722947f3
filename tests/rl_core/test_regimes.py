"""The regime by hand, and from a bounded past only."""

import numpy as np
import pytest

from rl_core.features import StreamedBar
from rl_core.regimes import Regime, RegimeStream

CLOSE = 80_000


def bar(close: int = CLOSE, session: int = 1, minute_et: int = 600, decision: int = 601) -> StreamedBar:
    """One bar; volume and range do not matter here."""
    return StreamedBar(close, close, close, 1, session, minute_et, decision, 60)


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
    """A stream that saw wild early sessions agrees with one that never did."""
    dice = np.random.default_rng(0)
    days = np.repeat(np.arange(5, 26), 20).tolist()
    recent = [(day, int(dice.integers(79_000, 81_000)), int(dice.integers(100, 500))) for day in days]
    old, fresh = RegimeStream(), RegimeStream()
    for t in range(500):
        old.push(bar(90_000 + t, session=t // 100), 9_999)

    last: list[Regime] = [Regime(0, 0, 0, 0, "", "")] * 2
    for day, close, total in recent:
        last = [stream.push(bar(close, session=day), total) for stream in (old, fresh)]

    assert last[0] == last[1]
