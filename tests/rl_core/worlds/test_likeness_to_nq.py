"""The demo market beside NQ: each statistic within the distance stated for it."""

import functools
from pathlib import Path

import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.exchange.instruments import instrument
from rl_core.worlds.demo import demo_world
from rl_core.worlds.likeness_to_nq import REFERENCE, calibration_table, render
from rl_core.worlds.nq_profile import (
    HALF_HOUR,
    MEAN_ABS_RETURN_BP,
    MINUTES_OF_THEIR_OWN_BP,
    index_in_session,
    mean_abs_return_bp,
)

NQ = Path(__file__).parents[3] / ".." / "shared" / "data" / "NQ_D1M.csv.gz"
SESSIONS = 150


@functools.cache
def demo_table() -> dict[str, float]:
    return calibration_table(demo_world(3, SESSIONS).minutes)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_demo_market_is_as_nq_was(name: str) -> None:
    low, value, high = REFERENCE[name].low, demo_table()[name], REFERENCE[name].high

    assert low <= value <= high, f"{name}: {value:.4g} outside {low:.4g}..{high:.4g}"


@pytest.mark.skipif(not NQ.is_file(), reason="the local sample data is absent")
def test_real_nq_is_within_the_same_distances() -> None:
    """Its volume is imputed in micro contracts, so the session's total is left out."""
    table = calibration_table(read_bars(NQ))

    outside = [name for name, wanted in REFERENCE.items() if not wanted.low <= table[name] <= wanted.high]

    assert outside == ["session_volume"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # statistics of the night, of which there is none
def test_the_statistics_of_a_few_bars_by_hand() -> None:
    """Six minutes from 12:00 ET: closes 80000, 80008, 80000 twice over; every move is 8 ticks, one bp."""
    close = np.tile(np.array([80_000, 80_008, 80_000], np.int32), 500)
    at = 1_735_837_200_000_000_000 + np.arange(len(close)) * 60_000_000_000
    low = close - np.int32(2)
    bars = Bars(
        instrument=instrument("NQ"),
        interval_s=60,
        ts_event_ns=at[:240],
        open=close[:240],
        high=close[:240] + 2,
        low=low[:240],
        close=close[:240],
        volume=np.arange(1, 241),
    )

    table = calibration_table(bars)

    assert table["range_ticks"] == 4.0 and table["median_range_ticks"] == 4.0 and table["body_to_range"] == 0.0
    assert table["zero_share"] == pytest.approx(79 / 239) and table["close_at_extreme"] == 0.0
    assert table["mean_abs_bp"] == pytest.approx(160 / 239, rel=1e-3) and table["session_volume"] == 240 * 241 / 2


def test_the_minute_profile_keeps_the_means_of_its_half_hours() -> None:
    profile = mean_abs_return_bp()

    assert profile.reshape(-1, HALF_HOUR).mean(axis=1) == pytest.approx(MEAN_ABS_RETURN_BP)
    assert profile[index_in_session(9, 30)] == MINUTES_OF_THEIR_OWN_BP[9, 30] and profile.min() > 0.5


def test_the_rendered_table_has_every_statistic_and_marks_what_is_outside() -> None:
    table = {name: wanted.value for name, wanted in REFERENCE.items()} | {"std_bp": 99.0}

    lines = render(table).splitlines()

    assert [line.split()[0] for line in lines[1:]] == list(REFERENCE)
    assert [line.split()[0] for line in lines if line.endswith("outside")] == ["std_bp"]
