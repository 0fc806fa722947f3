"""What the trader sees bar by bar is what training saw in one pass, whatever came before and whatever comes after."""

from functools import cache

import numpy as np
import pytest

from orchestrator.messaging.catalogue import Bar
from orchestrator.trader.seen_at_close import CloseView, CloseViewStream, CloseViewTable
from rl_core.bars.bars import Bars
from rl_core.features.features import VOLUME_SESSIONS
from rl_core.features.market_view import MarketView
from rl_core.regimes.fitted import Frozen, fit_regimes, wild_percents
from rl_core.regimes.labels import Thresholds, compute_regimes
from rl_core.trading.hours import EntryHours
from tests.rl_core.markets import legacy_pack, random_bars, seen, session_minutes, with_noise_after
from trigate.errors import DataError

SESSIONS = 25
NAMES = ("ts_event_ns", "open", "high", "low", "close", "volume")


@cache
def view() -> MarketView:
    """Twenty-five thin sessions with a half day, so that every memory is full and forgets."""
    return seen(random_bars(4, session_minutes(SESSIONS), missing=0.75))


@cache
def fitted() -> Frozen:
    """As a checkpoint holds them, from the first fifteen sessions."""
    session = view().located.session
    return Frozen(fit_regimes(view(), int(np.searchsorted(session, np.unique(session)[15]))), "", "")


def shown(bars: Bars, first: int = 0, stop: int | None = None) -> list[CloseView]:
    """The views of bars [first, stop), from an empty past."""
    columns = [getattr(bars, name)[first:stop].tolist() for name in NAMES]
    stream = CloseViewStream(int(bars.ts_event_ns[first]), legacy_pack(), EntryHours(), fitted())
    rows = zip(*columns, strict=True)
    return [stream.push(Bar(seq=t, **dict(zip(NAMES, row, strict=True)))) for t, row in enumerate(rows)]


@cache
def from_the_start() -> list[CloseView]:
    """Every bar's view."""
    return shown(view().bars)


@pytest.mark.parametrize("taken", [3, 19, 1400, 7000])
def test_a_history_taken_at_once_is_as_one_shown_bar_by_bar(taken: int) -> None:
    """Shorter than a window, than what warms it, in the midst of a session and longer than the longest memory."""
    bars = view().bars
    stream = CloseViewStream(int(bars.ts_event_ns[0]), legacy_pack(), EntryHours(), fitted())
    stream.take_history(bars.slice(0, taken))
    columns = [getattr(bars, name)[taken : taken + 200].tolist() for name in NAMES]
    for t, row in enumerate(zip(*columns, strict=True), taken):
        at_close, usual = stream.push(Bar(seq=t, **dict(zip(NAMES, row, strict=True)))), from_the_start()[t]
        assert at_close.window.tobytes() == usual.window.tobytes()
        assert at_close._replace(window=usual.window) == usual


def test_the_stream_equals_the_batch_bit_for_bit() -> None:
    features, hours, session = view().features, view().hours, view().located.session
    for t, at_close in enumerate(from_the_start()):
        rows = features.values[max(0, t - 19) : t + 1]
        assert at_close.window.tobytes() == rows.tobytes()
        assert at_close.true_range_sum == features.true_range_sum[t]
        assert at_close.entry_open == (hours.entry_open[t] and features.warm[t])
        assert (at_close.flatten_due, at_close.minutes_to_flat) == (hours.flatten_due[t], hours.minutes_to_flat[t])
        assert at_close.session == session[t]
    assert any(at_close.entry_open for at_close in from_the_start())


def test_regimes_are_labelled_by_what_was_fitted_and_the_hidden_state_is_filtered() -> None:
    """As the batch has them; without a fitted model the usual thresholds hold and no hidden state is known."""
    model = fitted().model
    assert model is not None and model.thresholds != Thresholds()
    regimes, wild = compute_regimes(view(), model.thresholds), wild_percents(model.states(view()))

    for t, at_close in enumerate(from_the_start()):
        assert (at_close.regime, at_close.wild_percent) == (regimes.at(t), wild[t])

    plain = CloseViewStream(int(view().bars.ts_event_ns[0]), legacy_pack(), EntryHours())
    first = plain.push(Bar(seq=0, **{name: int(getattr(view().bars, name)[0]) for name in NAMES}))
    assert (first.regime, first.wild_percent) == (compute_regimes(view()).at(0), None)


def test_the_table_equals_the_stream_bit_for_bit() -> None:
    """Asked in any order for the bars from the second on: a run over a file sees what one bar by bar would see."""
    bars = view().bars
    table = CloseViewTable(bars, 1, legacy_pack(), EntryHours(), fitted())
    asked = [(t, _bar(bars, t)) for t in reversed(range(1, len(bars)))]

    for t, bar in asked:
        own, streamed = table.push(bar), from_the_start()[t]
        assert own.window.tobytes() == streamed.window.tobytes()
        assert own._replace(window=streamed.window) == streamed


@pytest.mark.parametrize("changed", ["ts_event_ns", "open", "high", "low", "close", "volume", "seq"])
def test_the_table_refuses_a_bar_that_its_file_does_not_hold(changed: str) -> None:
    bars = view().bars.slice(0, 3)
    table = CloseViewTable(bars, 0, legacy_pack(), EntryHours())
    bar = _bar(bars, 2, first=0)

    with pytest.raises(DataError, match="file_changed"):
        table.push(bar.model_copy(update={changed: getattr(bar, changed) + 1}))


def _bar(bars: Bars, t: int, *, first: int = 1) -> Bar:
    """The bar at ``t``, numbered from ``first`` on."""
    return Bar(seq=t - first, **{name: int(getattr(bars, name)[t]) for name in NAMES})


def test_after_a_bounded_history_the_views_are_those_of_the_whole_past() -> None:
    """The history that a run shows: whole sessions before the first traded one, two more than the longest memory."""
    session = view().located.session
    days = np.unique(session)
    first = int(np.searchsorted(session, days[-1]))
    history = int(np.searchsorted(session, days[-1 - VOLUME_SESSIONS - 2]))
    assert history > 0

    late = shown(view().bars, history)[first - history :]

    for own, whole in zip(late, from_the_start()[first:], strict=True):
        assert own.window.tobytes() == whole.window.tobytes()
        assert own._replace(window=whole.window) == whole
    assert {view.regime.volatility_percentile for view in late} != {50}


def test_replacing_the_future_by_noise_changes_nothing_up_to_then() -> None:
    last = len(view().bars) - 200
    noisy = shown(with_noise_after(view().bars, last))

    same = [a.window.tobytes() == b.window.tobytes() for a, b in zip(noisy, from_the_start(), strict=True)]
    rest = [a[1:] == b[1:] for a, b in zip(noisy, from_the_start(), strict=True)]

    assert all(same[: last + 1]) and all(rest[: last + 1])
    assert not any(same[last + 1 :])


def test_a_bar_outside_every_session_is_refused() -> None:
    """Saturday noon."""
    saturday = int(np.datetime64("2024-11-23T12:00", "ns").astype(np.int64))
    stream = CloseViewStream(saturday - 86_400 * 10**9, legacy_pack(), EntryHours())

    with pytest.raises(DataError, match="bar 7: closed_market"):
        stream.push(Bar(seq=7, ts_event_ns=saturday, open=1, high=1, low=1, close=1, volume=1))


def test_a_run_may_last_longer_than_the_calendar_first_read() -> None:
    """Two years on, a Monday morning in New York."""
    start = int(np.datetime64("2023-01-09T15:00", "ns").astype(np.int64))
    later = int(np.datetime64("2025-01-13T15:00", "ns").astype(np.int64))
    stream = CloseViewStream(start, legacy_pack(), EntryHours())
    flat = {"open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}

    views = [stream.push(Bar(seq=i, ts_event_ns=ts, **flat)) for i, ts in enumerate((start, later))]

    assert [view.minutes_to_flat for view in views] == [16 * 60 + 59 - 10 * 60 - 1] * 2
