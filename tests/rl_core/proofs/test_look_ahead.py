"""The leak check finds nothing in the project and every leak that is planted on purpose."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder, ladder_of
from rl_core.bars.write import write_bars
from rl_core.exchange.instruments import instrument
from rl_core.features import market_view
from rl_core.features.features import Features, compute_features
from rl_core.features.market_view import MarketView
from rl_core.market.types import SECONDS
from rl_core.proofs.look_ahead import LeakError, LeakReport, SeenBy, check_leaks, refuse_leaks
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from tests.processes.commands import call_here
from tests.rl_core.markets import RULES_FOLDER, random_bars, random_seconds, seen, session_minutes
from trigate.errors import DataError

pytestmark = pytest.mark.usefixtures("optimised")


@cache
def trading() -> Trading:
    config = TradingConfig(rules=RULES_FOLDER / "apex_legacy_50k_eval.toml")
    return compile_trading(config, instrument("NQ"))


BARS = random_bars(3, session_minutes(5)).slice(0, 4_600)


def test_nothing_in_the_project_depends_on_the_future() -> None:
    report = check_leaks(BARS, trading(), moments=3)

    assert report.leaks == []
    assert {"features", "hours.entry_open", "regimes.state", "observation", "legal_actions"} <= set(report.compared)
    assert {"account.floor", "position.stop", "fill.pnl_cents", "reward"} <= set(report.compared)
    assert report.values > 1_000_000 and len(report.moments) == 3


def tomorrow_in_a_feature(view: MarketView) -> MarketView:
    """A feature row holds the next bar's return."""
    values = view.features.values.copy()
    values[:-1, 0] = values[1:, 0]
    return view._replace(features=view.features._replace(values=values))


def whole_file_statistics(view: MarketView) -> MarketView:
    """Features standardised by the mean of the whole file."""
    values = view.features.values - view.features.values.mean(axis=0, keepdims=True)
    return view._replace(features=view.features._replace(values=values.astype(np.float32)))


def atr_of_the_next_bar(view: MarketView) -> MarketView:
    """The bracket is measured with a range that has not happened."""
    total = np.append(view.features.true_range_sum[1:], view.features.true_range_sum[-1])
    return view._replace(features=view.features._replace(true_range_sum=total))


def mask_that_knows(view: MarketView) -> MarketView:
    """Entries are open only before bars that rise."""
    rises = np.append(np.diff(view.bars.close) > 0, True)
    return view._replace(hours=view.hours._replace(entry_open=view.hours.entry_open & rises))


def smoothed_prices(view: MarketView) -> MarketView:
    """Features of a centred mean of the closes: the usual accident with a smoother."""
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
def test_a_leak_planted_on_purpose_is_caught_and_named(
    plant: Callable[[MarketView], MarketView], named: set[str]
) -> None:
    report = check_leaks(BARS, trading(), moments=3, seen_by=SeenBy(lambda bars: plant(seen(bars))))

    assert named <= {leak.what for leak in report.leaks}
    assert all(leak.first <= leak.at for leak in report.leaks)


def test_the_bar_that_shows_a_leak_of_one_bar_is_the_last_one_kept() -> None:
    report = check_leaks(BARS, trading(), moments=2, seen_by=SeenBy(lambda bars: tomorrow_in_a_feature(seen(bars))))

    assert {leak.first == leak.at for leak in report.leaks if leak.what == "features"} == {True}


def test_a_fill_from_the_future_is_caught() -> None:
    """The market's open is the next bar's open: orders fill a minute late, at prices not yet made."""

    def late(bars):  # noqa: ANN001, ANN202
        view = seen(bars)
        opened = np.append(bars.open[1:], bars.close[-1])
        high, low = np.maximum(bars.high, opened), np.minimum(bars.low, opened)
        return view._replace(bars=replace(bars, open=opened, high=high, low=low, digest=""))

    report = check_leaks(BARS, trading(), moments=6, seen_by=SeenBy(late))

    assert {"position.entry", "account.cash", "reward"} & {leak.what for leak in report.leaks}
    assert "features" not in {leak.what for leak in report.leaks}


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]))
def test_random_markets_leak_nothing_whatever_the_moment(seed: int, missing: float) -> None:
    bars = random_bars(seed, session_minutes(5), missing=missing).slice(0, 4_600)

    assert check_leaks(bars, trading(), moments=2, seed=seed).leaks == []


# Rolls and second bars.

ROLL = 3_800  # a minute of the third session, in entry hours


@cache
def rolled_seconds() -> tuple[Bars, Bars]:
    """Four sessions with their seconds; from `ROLL` on 850 ticks higher, in another contract."""
    minutes, seconds = random_seconds(7, session_minutes(4))
    at = minutes.ts_event_ns[ROLL]
    found = []
    for bars in (minutes, seconds):
        after = (bars.ts_event_ns >= at).astype(np.int32)
        prices = {name: getattr(bars, name) + 850 * after for name in ("open", "high", "low", "close")}
        found.append(replace(bars, **prices, contract=after, digest=""))
    return found[0], replace(found[1], contract=np.zeros(len(seconds), np.int32), digest="")


def check(seen_by: SeenBy | None = None) -> LeakReport:
    """One moment in the middle and one shortly before the roll, fills from seconds."""
    minutes, seconds = rolled_seconds()
    by_seconds = trading()._replace(venue=trading().venue._replace(resolution=SECONDS))
    return check_leaks(minutes, by_seconds, seconds=seconds, moments=1, seen_by=seen_by)


def test_neither_later_rolls_nor_later_seconds_change_what_was_before() -> None:
    report = check()

    assert report.leaks == [] and "rungs" in report.compared
    assert len(report.moments) == 3 and ROLL - 4 in report.moments


def adjusted_by_every_roll(view: MarketView) -> MarketView:
    """Fills at back-adjusted prices: each roll in the file moves all bars before it."""
    bars = view.bars
    rolls = np.flatnonzero(np.diff(bars.contract)) + 1
    moved = np.zeros(len(bars), np.int32)
    for at in rolls:
        moved[:at] += bars.open[at] - bars.close[at - 1]
    prices = {name: getattr(bars, name) + moved for name in ("open", "high", "low", "close")}
    return view._replace(bars=replace(bars, **prices, digest=""))


def test_fills_at_prices_adjusted_by_a_later_roll_are_caught() -> None:
    report = check(SeenBy(lambda bars: adjusted_by_every_roll(seen(bars))))

    assert "position.entry" in {leak.what for leak in report.leaks if leak.future == "rolls"}


def seconds_of_the_next_minute(minutes: Bars, seconds: Bars) -> Ladder:
    """Each minute has the rungs of the one after it: the usual accident with stamps of a bar's end."""
    offsets, rungs = ladder_of(minutes, seconds)
    return Ladder(np.append(offsets[1:], offsets[-1:]), rungs)


def test_fills_from_the_seconds_of_the_next_minute_are_caught() -> None:
    report = check(SeenBy(seen, seconds_of_the_next_minute))

    assert "rungs" in {leak.what for leak in report.leaks if leak.future == "seconds"}
    assert {leak.first == leak.at for leak in report.leaks if leak.what == "rungs"} == {True}


def leak_command(folder: Path) -> list[str]:
    """The words of a check with rolls and seconds, on files in ``folder``."""
    minutes, seconds = rolled_seconds()
    write_bars(replace(minutes, contract=np.zeros(len(minutes), np.int32), digest=""), folder / "NQ_D1M.parquet")
    write_bars(seconds, folder / "NQ_D1S.parquet")
    at = np.datetime64(int(minutes.ts_event_ns[ROLL]), "ns").astype("datetime64[s]")
    (folder / "rolls.toml").write_text(f"[[roll]]\nts_event = {at}Z\n")
    files = {"bars": "NQ_D1M.parquet", "seconds": "NQ_D1S.parquet", "rolls": "rolls.toml"}
    words = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    rules = f"rules={RULES_FOLDER / 'apex_legacy_50k_eval.toml'}"
    return ["data", "check-leak", *words, "--moments", "1", "--json", "--set", rules]


def test_the_command_ends_with_100_where_a_feature_reads_the_next_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one function that makes the features is replaced: no setting and no file could plant such a fault."""

    def leaky(*given: Any) -> Features:
        found = compute_features(*given)
        values = found.values.copy()
        values[:-1, 7] = np.log1p(values[1:, 7] ** 2)
        return found._replace(values=values)

    monkeypatch.setattr(market_view, "compute_features", leaky)
    done = call_here("rl-core", *leak_command(tmp_path))

    assert done.returncode == 100, done.stderr
    assert done.stderr.startswith("rl-core: look-ahead: features at bar") and done.stderr.count("\n") == 1
    assert {"features", "observation"} <= {leak["what"] for leak in json.loads(done.stdout)["leaks"]}


def test_the_command_ends_with_0_where_nothing_leaks(tmp_path: Path) -> None:
    done = call_here("rl-core", *leak_command(tmp_path))

    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["leaks"] == []
    assert "rungs" in found["compared"] and ROLL - 4 in found["moments"]


def test_a_short_file_is_refused() -> None:
    with pytest.raises(DataError, match="needs a past of 3,000 bars"):
        check_leaks(BARS.slice(0, 2_000), trading())


def test_a_report_with_a_leak_is_refused_with_100() -> None:
    clean = check_leaks(BARS, trading(), moments=1)
    leaky = check_leaks(BARS, trading(), moments=1, seen_by=SeenBy(lambda bars: tomorrow_in_a_feature(seen(bars))))

    refuse_leaks(clean)
    with pytest.raises(LeakError, match="look-ahead: features at bar") as refused:
        refuse_leaks(leaky)
    assert refused.value.exit_code == 100
