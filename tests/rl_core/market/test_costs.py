"""Distances, costs and sizes by hand and against exact fractions."""

from fractions import Fraction
from math import ceil

import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.exchange.instruments import instrument
from rl_core.market.costs import (
    breakeven_ticks,
    round_trip_costs,
    size,
    stop_distance,
    stop_loss,
    stop_slippage,
    target_distance,
    trail_distance,
)
from rl_core.market.types import Limits, PlainIntegers, Terms
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.rules.pack import terms_of

XP = PlainIntegers()
MNQ, NQ, ES = (terms_of(instrument(symbol)) for symbol in ("MNQ", "NQ", "ES"))


def test_the_stop_is_one_and_a_half_atr_rounded_up() -> None:
    """S = 280: ATR 20 ticks, stop 30. S = 281: 30.107, stop 31. S = 0: at least one tick."""
    assert [stop_distance(XP, s) for s in (280, 281, 0, 9, 10)] == [30, 31, 1, 1, 2]
    assert target_distance(30) == 90


def test_distances_equal_exact_fractions_for_plain_integers_and_arrays() -> None:
    sums = np.arange(0, 5000)
    stops = [max(1, ceil(Fraction(3 * int(s), 28))) for s in sums]
    trails = [max(1, ceil(Fraction(int(s), 14))) for s in sums]

    assert [stop_distance(XP, int(s)) for s in sums] == stops
    assert [trail_distance(XP, int(s)) for s in sums] == trails
    assert stop_distance(jnp, jnp.asarray(sums, jnp.int32)).tolist() == stops
    assert trail_distance(jnp, jnp.asarray(sums, jnp.int32)).tolist() == trails


@pytest.mark.parametrize(
    "other", [Yardstick(5), Yardstick(14, 20, Fraction(9, 4), Fraction(5, 3), Fraction(3, 5)), Yardstick(120, 1)]
)
def test_distances_of_another_yardstick_equal_exact_fractions(other: Yardstick) -> None:
    """Of 2.25 ATRs of 14 bars: 9 S / 56; of a target of 5/3 stops: no tick is lost to rounding."""
    sums = np.arange(0, 3000)
    exact = [(Fraction(int(s)) * other.stop_atr, Fraction(int(s)) * other.trail_atr) for s in sums]
    stops, trails = ([max(1, ceil(of[k] / other.atr_bars)) for of in exact] for k in (0, 1))

    assert [stop_distance(XP, int(s), other) for s in sums] == stops
    assert [trail_distance(XP, int(s), other) for s in sums] == trails
    assert stop_distance(jnp, jnp.asarray(sums, jnp.int32), other).tolist() == stops
    assert [target_distance(stop, other) for stop in stops] == [ceil(stop * other.target_stops) for stop in stops]


def test_the_largest_settings_stay_within_an_int32() -> None:
    """19.99 ATRs over 120 bars of 8,000 ticks each."""
    widest, total = Yardstick(120, 20, Fraction("19.99"), Fraction("19.99"), Fraction("19.99")), 120 * 8000
    stop = ceil(Fraction("19.99") * 8000)

    assert int(stop_distance(jnp, jnp.int32(total), widest)) == stop
    assert int(target_distance(jnp.int32(stop), widest)) == ceil(Fraction("19.99") * stop)


def test_a_usual_yardstick_is_what_it_always_was() -> None:
    assert (14, 20, Fraction(3, 2), 3, 1) == USUAL


def test_a_stop_slips_at_least_one_tick() -> None:
    assert stop_slippage(XP, Terms(50, 60, 0)) == 1
    assert stop_slippage(XP, Terms(50, 60, 2)) == 2


def test_a_round_trip_charges_each_side_once() -> None:
    """MNQ: 2 x 60 + 1 tick x 50 = 170 cents; NQ: 2 x 250 + 500 = 1,000. Never three commissions."""
    assert round_trip_costs(XP, MNQ) == 170
    assert round_trip_costs(XP, NQ) == 1_000


def test_five_hundred_dollars_buy_29_micros_or_3_minis_at_a_stop_of_30_ticks() -> None:
    """MNQ: 30 x 50 + 170 = 1,670 and 50,000 // 1,670 = 29; NQ: 30 x 500 + 1,000 = 16,000 and 50,000 // 16,000 = 3."""
    generous = Limits(risk_budget=50_000, max_quantity=100)

    assert stop_loss(XP, 30, MNQ) == 1_670
    assert size(XP, 30, MNQ, generous) == 29
    assert stop_loss(XP, 30, NQ) == 16_000
    assert size(XP, 30, NQ, generous) == 3


def test_a_size_is_capped_and_falls_to_zero_when_one_contract_is_too_much() -> None:
    assert size(XP, 30, MNQ, Limits(50_000, 10)) == 10
    assert size(XP, 30, MNQ, Limits(1_670, 10)) == 1
    assert size(XP, 30, MNQ, Limits(1_669, 10)) == 0


@pytest.mark.parametrize("terms", [MNQ, NQ, ES])
def test_a_size_is_the_largest_whose_stopped_trade_stays_in_the_budget(terms: Terms) -> None:
    for stop_ticks in range(1, 200, 7):
        quantity = size(XP, stop_ticks, terms, Limits(50_000, 10_000))
        one = stop_ticks * terms.tick_value + 2 * terms.commission + terms.tick_value

        assert quantity * one <= 50_000 < (quantity + 1) * one


def test_breakeven_covers_the_round_trip_rounded_against_us() -> None:
    """MNQ: 170 / 50 = 3.4, so 4 ticks: stopped there, 3 ticks after slippage pay 150 of 120. NQ: 1,000 / 500 = 2."""
    assert breakeven_ticks(XP, MNQ) == 4
    assert breakeven_ticks(XP, NQ) == 2
    assert breakeven_ticks(jnp, Terms(*(jnp.asarray(x) for x in MNQ))).tolist() == 4
    for terms in (MNQ, NQ, ES):
        left = (breakeven_ticks(XP, terms) - stop_slippage(XP, terms)) * terms.tick_value - 2 * terms.commission
        assert 0 <= left < terms.tick_value
