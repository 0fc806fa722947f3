"""Splices: rows of another contract are found, and the sparse prints of a thin market are not taken for them."""

import numpy as np
import pytest

from rl_core.bars.plausibility import Prices, check_splices

FIVE_MINUTES = 300 * 10**9
# Prints of a thin market, in ticks, and the intervals of five minutes between them: single trades of one to six lots.
FIRST = [20463, 20470, 20465, 20469, 20437, 20475, 20463, 20460]
PRINTS = [*FIRST, 20449, 20437, 20434, 20450, 20447, 20469, 20445, 20420]
APART = [8, 1, 9, 8, 12, 4, 2, 20, 2, 7, 10, 2, 4, 10, 11, 2]


def prices(level: list[int], apart: list[int], *, spread: int = 0) -> Prices:
    at = np.cumsum(np.array(apart, np.int64)) * FIVE_MINUTES
    close = np.array(level, np.int32)
    return Prices(at, close, close + np.int32(spread), close - np.int32(spread), close, np.ones(len(close), np.int64))


def spliced(found: Prices) -> list[int]:
    """Rows that are taken for another contract's."""
    faults = check_splices(found, np.arange(len(found.close)))
    return faults[0].lines.tolist() if faults else []


def test_sparse_single_prints_are_no_splices() -> None:
    """Each lies up to 38 ticks from both neighbours, beyond 0.15 % of the price: the market moved in the silence."""
    assert spliced(prices(PRINTS, APART)) == []


def test_another_contract_in_a_thin_market_is_still_found() -> None:
    """Two prints of a contract that is 700 ticks dearer."""
    level = list(PRINTS)
    level[7] += 700
    level[8] += 700

    assert spliced(prices(level, APART)) == [7, 8]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_short_run_away_from_both_sides_is_a_splice_in_a_liquid_market(length: int) -> None:
    level = [80_000 + k % 3 for k in range(60)]
    for k in range(length):
        level[30 + k] += 900

    assert spliced(prices(level, [1] * 60, spread=4)) == list(range(30, 30 + length))


def test_the_same_distance_after_a_long_silence_is_the_markets_own() -> None:
    """160 ticks in the next minute is another contract (0.15 % is 120); after half an hour of silence it is not."""
    level = [80_000 + k % 3 for k in range(60)]
    level[30] += 160
    silent = [1] * 60
    silent[30] = silent[31] = 6

    assert spliced(prices(level, [1] * 60, spread=4)) == [30]
    assert spliced(prices(level, silent, spread=4)) == []


def test_a_run_that_a_weekend_parts_from_both_sides_is_none() -> None:
    """However far away: over more than four hours a market may go anywhere and come back."""
    level = [80_000 + k % 3 for k in range(60)]
    level[30] += 9_000
    parted = [1] * 60
    parted[30] = parted[31] = 30

    assert spliced(prices(level, [1] * 60, spread=4)) == [30]
    assert spliced(prices(level, parted, spread=4)) == []


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("below", [-1, 1])
def test_a_run_beside_the_first_or_the_last_bar_is_found(length: int, below: int) -> None:
    level = [80_000 + k % 3 for k in range(60)]
    last = len(level) - 1
    for k in range(length):
        level[1 + k] += 900 * below
        level[last - 1 - k] += 900 * below

    found = [*range(1, 1 + length), *range(last - length, last)]
    assert spliced(prices(level, [1] * 60, spread=4)) == found


def test_single_prints_that_jump_about_in_every_interval_are_no_splices() -> None:
    """No two of them overlap, and each is 40 ticks from the one before: that is this market's usual step."""
    level = [20_000 + 40 * (k % 2) for k in range(60)]

    assert spliced(prices(level, [1] * 60)) == []
