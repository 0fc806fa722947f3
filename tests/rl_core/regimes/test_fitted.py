"""Regimes: arrays equal to the stream, what is fitted comes from the training split alone."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from rl_core.features.features import StreamedBar
from rl_core.features.market_view import MarketView
from rl_core.regimes import fitted as regime_model
from rl_core.regimes.fitted import LABELS, RegimeModel, StateStream, fit_regimes, read_model, wild_percents, write_model
from rl_core.regimes.hidden_markov import fit
from rl_core.regimes.labels import Regime, RegimeStream, Thresholds, compute_regimes
from rl_core.regimes.stability import periods, stability, summary
from tests.rl_core.markets import random_bars, seen, session_minutes, small_view, with_noise_after
from trigate.errors import DataError, ResourceError

FIT = 9_000


@cache
def view() -> MarketView:
    """24 sessions with gaps, so that the oldest sessions are forgotten."""
    return seen(random_bars(6, session_minutes(24), missing=0.6))


@cache
def model() -> RegimeModel:
    return fit_regimes(view(), FIT)


def streamed(of: MarketView) -> list[StreamedBar]:
    columns = (of.bars.high, of.bars.low, of.bars.close, of.bars.volume, of.located.session)
    columns += (of.located.minute_et, of.hours.decision_minute, of.hours.minutes_to_flat)
    return [StreamedBar(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def regimes_of_stream(of: MarketView, thresholds: Thresholds) -> list[Regime]:
    stream, totals = RegimeStream(thresholds), of.features.true_range_sum.tolist()
    return [stream.push(bar, total) for bar, total in zip(streamed(of), totals, strict=True)]


@pytest.mark.parametrize("thresholds", [Thresholds(), Thresholds(900, 20, 85)])
def test_the_arrays_are_the_stream_bar_for_bar(thresholds: Thresholds) -> None:
    for of in (view(), small_view(2)):
        batch = compute_regimes(of, thresholds)

        assert [batch.at(t) for t in range(len(of.bars))] == regimes_of_stream(of, thresholds)


def test_hidden_states_of_the_stream_are_the_batch_bit_for_bit() -> None:
    stream = StateStream(model())

    rows = np.stack([stream.push(bar) for bar in streamed(view())])

    np.testing.assert_array_equal(rows, model().states(view()))


def test_a_stream_started_in_mid_file_is_right_from_the_next_session() -> None:
    session = view().located.session
    start, opens = 3_000, 3_000 + int(np.flatnonzero(session[3_000:] != session[3_000])[0])
    stream = StateStream(model())

    rows = np.stack([stream.push(bar) for bar in streamed(view())[start:]])

    np.testing.assert_array_equal(rows[opens - start :], model().states(view())[opens:])


def test_bars_after_the_training_split_change_nothing_that_was_fitted() -> None:
    noisy = seen(with_noise_after(view().bars, FIT - 1))

    assert fit_regimes(noisy, FIT) == model()
    assert fit_regimes(view(), FIT + 2000) != model()


def test_later_bars_change_no_hidden_state_before_them() -> None:
    noisy = seen(with_noise_after(view().bars, 10_000))

    before, after = model().states(view()), model().states(noisy)

    np.testing.assert_array_equal(before[:10_001], after[:10_001])
    assert not np.array_equal(before, after)


def test_thresholds_split_the_training_bars_in_halves_and_thirds() -> None:
    warm = np.flatnonzero(view().features.warm[:FIT])

    regimes = compute_regimes(view(), model().thresholds)

    assert np.mean(regimes.direction[warm] == 1) == pytest.approx(0.5, abs=0.02)
    shares = np.bincount(regimes.volatility[warm], minlength=3) / len(warm)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)


def test_hidden_states_find_a_market_that_became_wild() -> None:
    """Sessions 8 to 10 move four times as far a minute as those before: the wilder state holds most of them."""
    quiet = random_bars(1, session_minutes(10), spread=4.0)
    wild = random_bars(1, quiet.ts_event_ns, spread=16.0)
    session = seen(quiet).located.session
    from_here = int(np.flatnonzero(session == np.unique(session)[7])[0])
    names = ("open", "high", "low", "close", "volume")
    mixed = {n: np.append(getattr(quiet, n)[:from_here], getattr(wild, n)[from_here:]) for n in names}
    of = seen(replace(quiet, **mixed, digest=""))

    state = fit_regimes(of, len(of.bars)).states(of).argmax(axis=1)

    assert state[:from_here].mean() < 0.1 and state[from_here:].mean() > 0.9


def test_a_model_that_cannot_be_written_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"cannot write \S+none/regimes\.json"):
        write_model(model(), tmp_path / "none" / "regimes.json")


def test_a_kept_model_is_read_back_and_anything_else_refused(tmp_path: Path) -> None:
    write_model(model(), tmp_path / "regimes.json")

    assert read_model(tmp_path / "regimes.json") == model()
    (tmp_path / "other.json").write_text("{}")
    for name in ("other.json", "none.json"):
        with pytest.raises(DataError, match="is no regime model"):
            read_model(tmp_path / name)


def test_too_few_bars_are_refused() -> None:
    with pytest.raises(DataError, match="need 1,000 bars"):
        fit_regimes(view(), 2000)


def test_a_summary_by_hand() -> None:
    """0 0 1 | 1 0: 3 of 5 are 0; stays 2, 1, 1, 1; moves within sessions 0-0, 0-1, 1-0."""
    share, mean_bars, moves = summary(np.array([0, 0, 1, 1, 0]), np.array([7, 7, 7, 8, 8]), 2)

    assert share.tolist() == [0.6, 0.4] and mean_bars.tolist() == [1.5, 1.0]
    assert moves.tolist() == [[0.5, 0.5], [1.0, 0.0]]


def test_the_stability_table_has_every_kind_in_every_half_year() -> None:
    rows = stability(view(), model())

    assert {(row.period, row.kind) for row in rows} == {("2024-H2", k) for k in ("direction", "volatility", "state")}
    for row in rows:
        assert row.share.sum() == pytest.approx(1) and row.bars == int(view().features.warm.sum())
        np.testing.assert_allclose(row.moves.sum(axis=1), 1)
    assert rows[0].row()["labels"] == ["down", "flat", "up"]
    assert rows[2].row()["labels"] == ["calm", "wild"], "as evaluations and pages call them"


def test_half_years_are_those_of_the_trading_day() -> None:
    """The session of 1 July 2024 opens on Sunday 30 June: it belongs to the second half."""
    from datetime import date

    of = seen(random_bars(0, session_minutes(2, date(2024, 6, 28))))

    assert np.unique(periods(of)[of.located.session == of.located.session[-1]]).tolist() == ["2024-H2"]
    assert periods(of)[0] == "2024-H1"


def test_the_model_keeps_the_shares_of_the_labels_it_was_fitted_on() -> None:
    """For a later look at whether they still hold: as counted one by one, and the hidden state as its filter says."""
    warm = np.flatnonzero(view().features.warm[:FIT])
    regimes = compute_regimes(view(), model().thresholds)
    labels = [regimes.at(t).label for t in warm]

    assert model().label_shares == pytest.approx([labels.count(label) / len(warm) for label in LABELS])
    wild = wild_percents(model().states(view())[warm])
    assert wild.min() >= 0 and wild.max() <= 100
    assert model().wild_share == pytest.approx(float((wild >= 50).mean()))


def test_sessions_that_stand_for_all_are_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for 3 of 24 sessions, the hidden states are those of the first, a middle and the last one."""
    session = view().located.session
    days = np.unique(session)
    seen_by_fit: list[set[int]] = []

    def spied(values, of, states):  # noqa: ANN001, ANN202
        seen_by_fit.append(set(of.tolist()))
        return fit(values, of, states)

    monkeypatch.setattr(regime_model, "fit", spied)
    monkeypatch.setattr(regime_model, "MOST_SESSIONS", 3)

    few = fit_regimes(view(), len(session))

    assert seen_by_fit == [{int(days[0]), int(days[12]), int(days[-1])}]
    assert few.thresholds == fit_regimes(view(), len(session)).thresholds
