"""What is known at each close follows the sessions of the product, not those of the equity index."""

from dataclasses import replace

import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import view_of
from rl_core.trading.hours import EntryHours
from tests.rl_core.markets import legacy_pack, random_bars
from trigate.errors import DataError


def bars_at(symbol: str, first: str, minutes: int) -> Bars:
    """Minute bars of ``symbol`` from a UTC time on."""
    start = np.datetime64(first, "ns").astype(np.int64)
    stamps = start + np.arange(minutes, dtype=np.int64) * 60_000_000_000
    return replace(random_bars(0, stamps), instrument=instrument(symbol), digest="")


def test_gold_is_entered_and_flattened_by_its_own_half_day() -> None:
    """Martin Luther King Day 2024: gold until 14:30 ET, so flat by 14:29 and nothing is entered from 14:24 on."""
    view = view_of(bars_at("GC", "2024-01-15T14:00", 330), legacy_pack(), EntryHours())

    minute = view.hours.decision_minute
    assert (view.located.session >= 0).all()
    assert int(view.hours.minutes_to_flat[minute == 14 * 60][0]) == 29
    assert int(minute[view.hours.flatten_due][0]) == 14 * 60 + 24
    assert int(minute[view.hours.entry_open][-1]) == 14 * 60 + 23


def test_grains_are_flat_before_their_own_close() -> None:
    view = view_of(bars_at("ZC", "2024-01-18T14:30", 290), legacy_pack(), EntryHours())

    assert int(view.hours.decision_minute[view.hours.entry_open][-1]) == 14 * 60 + 13
    assert view.hours.flatten_due[-6:].all()


def test_a_bar_of_an_hour_at_which_only_another_product_trades_is_refused() -> None:
    with pytest.raises(DataError, match="the calendar knows no session of NQ then"):
        view_of(bars_at("NQ", "2024-01-15T17:50", 20), legacy_pack(), EntryHours())
