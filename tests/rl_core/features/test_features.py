"""The eleven features: by a slow reimplementation, as a stream, from mid-file, and with the future replaced."""

from fractions import Fraction
from itertools import pairwise
from math import log
from statistics import median

import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.numbers import LARGEST_VOLUME
from rl_core.exchange.instruments import instrument
from rl_core.features.features import (
    FEATURE_NAMES,
    FIRST_WARM,
    LONG_BARS,
    WINDOW,
    FeatureStream,
    StreamedBar,
    compute_features,
    fingerprint,
    true_ranges,
)
from rl_core.features.market_view import MarketView
from rl_core.market.yardstick import USUAL, Yardstick
from tests.rl_core.markets import random_bars, seen, session_minutes, small_view, with_noise_after


@pytest.fixture(scope="module")
def long_sparse() -> MarketView:
    """24 sessions with seven minutes of ten missing, so that medians and gaps matter."""
    return seen(random_bars(4, session_minutes(24), missing=0.7))


def slow_true_range(bars: Bars, session: np.ndarray, t: int) -> int:
    high, low = int(bars.high[t]), int(bars.low[t])
    if t == 0 or session[t] != session[t - 1]:
        return high - low
    before = int(bars.close[t - 1])
    return max(high - low, abs(high - before), abs(low - before))


def slow_ema(closes: list[int], length: int) -> float:
    value = float(closes[0])
    for close in closes[1:]:
        value = value * (1 - 2 / (length + 1)) + close * 2 / (length + 1)
    return value


def slow_rsi(closes: list[int]) -> float:
    changes = [b - a for a, b in pairwise(closes)]
    gain, loss = sum(c for c in changes if c > 0), -sum(c for c in changes if c < 0)
    return 50.0 if gain + loss == 0 else 100.0 * gain / (gain + loss)


def slow_relative_volume(view: MarketView, t: int) -> float:
    session, minute = view.located.session, view.located.minute_et
    days = sorted({int(day) for day in session[: t + 1]} - {int(session[t])})[-20:]
    same = [int(view.bars.volume[i]) for i in range(t) if session[i] in days and minute[i] == minute[t]]
    volume = int(view.bars.volume[t])
    return log((1 + volume) / (1 + (median(same) if same else volume)))


def slow_row(view: MarketView, t: int) -> list[float]:
    """Row ``t`` by the words of the design, in plain Python."""
    bars, session = view.bars, view.located.session
    close = [int(c) for c in bars.close[: t + 1]]
    ranges = [slow_true_range(bars, session, i) for i in range(t - LONG_BARS + 1, t + 1)]
    atr = max(1.0, sum(ranges[-14:]) / 14)
    minute = int(view.hours.decision_minute[t])
    row = [
        (close[-1] - close[-2]) / atr,
        slow_relative_volume(view, t),
        (close[-1] - sum(close[-5:]) / 5) / atr,
        (close[-1] - sum(close[-20:]) / 20) / atr,
        slow_rsi(close[-15:]) / 50 - 1,
        (slow_ema(close[-120:], 12) - slow_ema(close[-120:], 26)) / atr,
        (close[-1] - close[-11]) / atr,
        log(atr / max(1.0, sum(ranges) / LONG_BARS)),
        minute / 1440,
        (minute - 570) / 390,
        int(view.hours.minutes_to_flat[t]) / 390,
    ]
    return [min(10.0, max(-10.0, x)) for x in row]


OTHER = Yardstick(atr_bars=5, window=7)


def in_lengths(view: MarketView, yardstick: Yardstick) -> MarketView:
    """The same bars seen through another window and ATR."""
    features = compute_features(view.bars, view.located.session, view.located.minute_et, view.hours, yardstick)
    return view._replace(features=features, yardstick=yardstick)


def streamed(view: MarketView, start: int) -> list[tuple[np.ndarray, int, bool]]:
    """What a stream that starts at bar ``start`` says of every bar from there on."""
    stream, bars = FeatureStream(view.yardstick), view.bars
    columns = (bars.high, bars.low, bars.close, bars.volume, view.located.session, view.located.minute_et)
    columns += (view.hours.decision_minute, view.hours.minutes_to_flat)
    rows = zip(*(column[start:].tolist() for column in columns), strict=True)
    return [stream.push(StreamedBar(*row)) for row in rows]


def test_rows_equal_the_formulas_in_plain_python(long_sparse: MarketView) -> None:
    for view in (small_view(), long_sparse):
        generator = np.random.default_rng(1)
        for t in [LONG_BARS, len(view.bars) - 1, *generator.integers(LONG_BARS, len(view.bars), 12).tolist()]:
            np.testing.assert_allclose(view.features.values[t], slow_row(view, t), rtol=2e-6, atol=2e-6)


def test_the_usual_volume_is_the_median_of_twenty_sessions_not_more(long_sparse: MarketView) -> None:
    """Session 24 has 23 before it: the oldest three must not count."""
    last = np.flatnonzero(long_sparse.located.session == long_sparse.located.session[-1])

    slow = [slow_relative_volume(long_sparse, int(t)) for t in last[::16]]

    np.testing.assert_allclose(long_sparse.features.values[last[::16], 1], slow, rtol=1e-6, atol=1e-6)


def test_the_true_range_sum_is_exact_and_a_session_starts_without_a_close_before_it() -> None:
    view = small_view()
    session, total = view.located.session, view.features.true_range_sum
    first = int(np.flatnonzero(session[1:] != session[:-1])[0]) + 1

    ranges = true_ranges(view.bars, session)

    assert ranges[first] == view.bars.high[first] - view.bars.low[first]
    for t in (5, 13, 14, first, first + 3, len(total) - 1):
        expected = sum(slow_true_range(view.bars, session, i) for i in range(max(0, t - 13), t + 1))
        assert total[t] == expected


def test_a_gap_between_sessions_is_not_a_true_range() -> None:
    """Two sessions, ranges of 4; the second opens 1,000 ticks higher: still 4. Inside a session the gap counts."""
    ts = session_minutes(2)[[0, 1, 1380, 1381]]
    close = np.array([100, 100, 1100, 1150], np.int32)
    bars = Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=ts,
        open=close,
        high=close + 2,
        low=close - 2,
        close=close,
        volume=np.ones(4, np.int64),
    )

    assert true_ranges(bars, np.array([1, 1, 2, 2], np.int32)).tolist() == [4, 4, 4, 52]


@pytest.mark.parametrize(("missing", "yardstick"), [(0.0, USUAL), (0.3, USUAL), (0.3, OTHER)])
def test_a_stream_gives_the_batch_bit_for_bit(missing: float, yardstick: Yardstick) -> None:
    view = in_lengths(small_view(2, 3, missing), yardstick)

    rows = streamed(view, 0)

    np.testing.assert_array_equal(np.stack([row for row, _, _ in rows]), view.features.values)
    assert [total for _, total, _ in rows] == view.features.true_range_sum.tolist()
    assert [warm for _, _, warm in rows] == view.features.warm.tolist()


def test_a_stream_started_in_mid_file_gives_the_batch_bit_for_bit_once_it_knows_twenty_sessions(
    long_sparse: MarketView,
) -> None:
    session = long_sparse.located.session
    days = np.unique(session)
    start = int(np.flatnonzero(session == days[1])[100])
    known = int(np.flatnonzero(session == days[22])[0])

    rows = streamed(long_sparse, start)

    assert len(rows) - (known - start) > 500
    late = np.stack([row for row, _, _ in rows])[known - start :]
    np.testing.assert_array_equal(late, long_sparse.features.values[known:])
    assert all(warm for _, _, warm in rows[known - start :])


def test_prices_alone_are_remembered_for_a_long_window_only() -> None:
    """Every price feature of a stream started later is right as soon as its row is given."""
    view, start = small_view(), 700
    prices = [i for i, name in enumerate(FEATURE_NAMES) if name != "relative_volume"]

    rows = streamed(view, start)

    late = np.stack([row for row, _, _ in rows])[LONG_BARS:]
    np.testing.assert_array_equal(late[:, prices], view.features.values[start + LONG_BARS :][:, prices])
    assert [warm for _, _, warm in rows].index(True) == FIRST_WARM


def test_another_atr_divides_by_its_own_bars_and_another_window_is_warm_sooner() -> None:
    """Five true ranges instead of fourteen: what is measured in ATRs changes by their ratio, the clock does not."""
    usual, other = small_view(), in_lengths(small_view(), OTHER)
    t, session = LONG_BARS + 40, usual.located.session
    ranges = [slow_true_range(usual.bars, session, i) for i in range(t - 13, t + 1)]
    ratio = (sum(ranges) / 14) / (sum(ranges[-5:]) / 5)

    assert other.features.true_range_sum[t] == sum(ranges[-5:])
    in_atr = FEATURE_NAMES.index("momentum10_atr")
    assert other.features.values[t, in_atr] == pytest.approx(usual.features.values[t, in_atr] * ratio, rel=1e-6)
    np.testing.assert_array_equal(other.features.values[:, 8:], usual.features.values[:, 8:])
    assert np.flatnonzero(other.features.warm)[0] == np.flatnonzero(usual.features.warm)[0] - 13


def test_a_bar_is_warm_once_every_row_of_the_window_is_given() -> None:
    view = small_view()
    first = int(np.flatnonzero(view.features.warm)[0])

    given = np.any(view.features.values != 0, axis=1)

    assert given[first - WINDOW + 1 : first + 1].all()
    assert not given[first - WINDOW]


@pytest.mark.parametrize("last", [1390, 2047, 2760, 4000])
def test_replacing_the_future_by_noise_or_cutting_it_off_changes_no_row_before(last: int) -> None:
    bars = random_bars(0, session_minutes(3))
    whole = seen(bars).features

    for other in (seen(with_noise_after(bars, last)).features, seen(bars.slice(0, last + 1)).features):
        for a, b in zip(whole, other, strict=True):
            np.testing.assert_array_equal(a[: last + 1], b[: last + 1])
    assert not np.array_equal(whole.values, seen(with_noise_after(bars, last)).features.values)


def test_rows_are_finite_clipped_and_single_precision() -> None:
    wild = seen(random_bars(3, session_minutes(2), spread=3000.0)).features.values

    assert wild.dtype == np.float32
    assert np.isfinite(wild).all()
    assert np.abs(wild).max() <= 10.0


def test_the_largest_volumes_that_a_file_may_hold_sum_within_64_bits() -> None:
    """A session of 10^9 contracts a minute that falls a million ticks: the pass still says what exact integers say."""
    minutes = session_minutes(2)
    close = 1_200_000 - np.arange(len(minutes), dtype=np.int32) * 400
    bars = Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=minutes,
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=np.full(len(minutes), LARGEST_VOLUME),
    )
    view = seen(bars)

    np.testing.assert_array_equal(np.stack([row for row, _, _ in streamed(view, 0)]), view.features.values)


def test_a_flat_market_divides_by_nothing() -> None:
    ts = session_minutes(2)
    price = np.full(len(ts), 80_000, np.int32)
    bars = Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=ts,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.zeros(len(ts), np.int64),
    )

    values = seen(bars).features.values

    assert np.all(values[LONG_BARS:, :8] == 0)


def test_the_fingerprint_is_that_of_these_features() -> None:
    """It changes when names, order, parameters or version do; then checkpoints of before are refused."""
    assert fingerprint().parts["names"] == list(FEATURE_NAMES)
    assert fingerprint().digest == "25edf9b7a4d993e14b4a5f38d8779f654771ecd4792da0bce431331daa3bbf03"


def test_the_fingerprint_names_window_atr_and_an_unusual_bracket() -> None:
    """A usual bracket is not named, so that checkpoints from before it could be set keep their digest."""
    other = fingerprint(OTHER._replace(stop_atr=Fraction(2), trail_atr=Fraction(1))).parts

    assert fingerprint().parts.keys() & {"stop_atr", "target_stops", "trail_atr"} == set()
    assert (other["window"], other["atr_bars"], other["stop_atr"]) == (7, 5, 2.0)
    assert "target_stops" not in other and "trail_atr" not in other
    assert len(FEATURE_NAMES) == 11
