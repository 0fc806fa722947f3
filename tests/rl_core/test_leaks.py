"""The leak check finds nothing in the project and every leak that is planted on purpose."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_core.errors import DataError
from rl_core.features import compute_features
from rl_core.instruments import instrument
from rl_core.leaks import LeakError, check_leaks, refuse_leaks
from rl_core.trading import Trading, TradingConfig, compile_trading
from rl_core.view import View
from tests.rl_core.markets import RULES_FOLDER, random_bars, seen, session_minutes


@cache
def trading() -> Trading:
    config = TradingConfig(rules=RULES_FOLDER / "apex_legacy_50k_eval.toml")
    return compile_trading(config, instrument("NQ"))


BARS = random_bars(3, session_minutes(6))


def test_nothing_in_the_project_depends_on_the_future() -> None:
    report = check_leaks(BARS, trading(), moments=3)

    assert report.leaks == []
    assert {"features", "hours.entry_open", "regimes.state", "observation", "legal_actions"} <= set(report.compared)
    assert {"account.floor", "position.stop", "fill.pnl_cents", "reward"} <= set(report.compared)
    assert report.values > 1_000_000 and len(report.moments) == 3


def tomorrow_in_a_feature(view: View) -> View:
    """A feature row holds the next bar's return."""
    values = view.features.values.copy()
    values[:-1, 0] = values[1:, 0]
    return view._replace(features=view.features._replace(values=values))


def whole_file_statistics(view: View) -> View:
    """Features standardised by the mean of the whole file."""
    values = view.features.values - view.features.values.mean(axis=0, keepdims=True)
    return view._replace(features=view.features._replace(values=values.astype(np.float32)))


def atr_of_the_next_bar(view: View) -> View:
    """The bracket is measured with a range that has not happened."""
    total = np.append(view.features.true_range_sum[1:], view.features.true_range_sum[-1])
    return view._replace(features=view.features._replace(true_range_sum=total))


def mask_that_knows(view: View) -> View:
    """Entries are open only before bars that rise."""
    rises = np.append(np.diff(view.bars.close) > 0, True)
    return view._replace(hours=view.hours._replace(entry_open=view.hours.entry_open & rises))


def smoothed_prices(view: View) -> View:
    """Features of a centred mean of the closes: the usual accident with a smoother."""
    from dataclasses import replace

    close = view.bars.close.copy()
    close[1:-1] = (view.bars.close[:-2] + view.bars.close[1:-1] + view.bars.close[2:]) // 3
    bars = replace(view.bars, close=close, digest="")
    return view._replace(features=compute_features(bars, view.located.session, view.located.minute_et, view.hours))


PLANTED = {
    tomorrow_in_a_feature: {"features", "observation"},
    whole_file_statistics: {"features", "observation"},
    atr_of_the_next_bar: {"true_range_sum", "regimes.trends"},
    mask_that_knows: {"hours.entry_open", "legal_actions"},
    smoothed_prices: {"features", "observation"},
}


@pytest.mark.parametrize(("plant", "named"), PLANTED.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_leak_planted_on_purpose_is_caught_and_named(plant: Callable[[View], View], named: set[str]) -> None:
    report = check_leaks(BARS, trading(), moments=3, seer=lambda bars: plant(seen(bars)))

    assert named <= {leak.what for leak in report.leaks}
    assert all(leak.first <= leak.at for leak in report.leaks)


def test_the_bar_that_shows_a_leak_of_one_bar_is_the_last_one_kept() -> None:
    report = check_leaks(BARS, trading(), moments=2, seer=lambda bars: tomorrow_in_a_feature(seen(bars)))

    assert {leak.first == leak.at for leak in report.leaks if leak.what == "features"} == {True}


def test_a_fill_from_the_future_is_caught() -> None:
    """The market's open is the next bar's open: orders fill a minute late, at prices not yet made."""
    from dataclasses import replace

    def late(bars):  # noqa: ANN001, ANN202
        view = seen(bars)
        opened = np.append(bars.open[1:], bars.close[-1])
        high, low = np.maximum(bars.high, opened), np.minimum(bars.low, opened)
        return view._replace(bars=replace(bars, open=opened, high=high, low=low, digest=""))

    report = check_leaks(BARS, trading(), moments=6, seer=late)

    assert {"position.entry", "account.cash", "reward"} & {leak.what for leak in report.leaks}
    assert "features" not in {leak.what for leak in report.leaks}


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
def test_random_markets_leak_nothing_whatever_the_moment(seed: int, missing: float) -> None:
    bars = random_bars(seed, session_minutes(5), missing=missing).slice(0, 4_600)

    assert check_leaks(bars, trading(), moments=2, seed=seed).leaks == []


def test_a_short_file_is_refused() -> None:
    with pytest.raises(DataError, match="needs a past of 3,000 bars"):
        check_leaks(BARS.slice(0, 2_000), trading())


def test_the_command_ends_with_100_where_there_is_a_leak() -> None:
    clean = check_leaks(BARS, trading(), moments=1)
    leaky = check_leaks(BARS, trading(), moments=1, seer=lambda bars: tomorrow_in_a_feature(seen(bars)))

    refuse_leaks(clean)
    with pytest.raises(LeakError, match="look-ahead: features at bar") as refused:
        refuse_leaks(leaky)
    assert refused.value.exit_code == 100
