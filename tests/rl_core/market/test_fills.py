"""One bar: by hand, against a tick-by-tick walk, against arrays, and in the mirror."""

import random
from collections import Counter
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_core.market.fills import Venue, closed_at_last_price, play_bar, trailed
from rl_core.market.types import (
    ADAPTIVE,
    EXIT_NAMES,
    FLAT,
    FLATTEN,
    INTRADAY,
    LIQUIDATION,
    NEVER_LOCKS,
    NO_EXIT,
    NO_ORDER,
    PESSIMISTIC,
    SESSION_END,
    STATIC,
    STOP,
    TARGET,
    Account,
    BarOutcome,
    BarPrices,
    Namespace,
    Order,
    PlainIntegers,
    Position,
    Rules,
    Terms,
)
from tests.rl_core.market.cases import Case, draw_case, mirrored
from tests.rl_core.market.oracle import outcome

XP = PlainIntegers()
MNQ = Terms(tick_value=50, commission=60, slippage_ticks=1)
ROOMY = Rules(start=5_000_000, target=300_000, max_loss=250_000, ratchet=STATIC, floor_cap=NEVER_LOCKS)
ACCOUNT = Account(cash=5_000_000, floor=4_750_000)
LONG = Position(quantity=2, entry=1000, stop=970, target=1090, stop_ticks=30, trailing=0, bars_held=4)
SHORT = Position(quantity=-2, entry=1000, stop=1030, target=910, stop_ticks=30, trailing=0, bars_held=4)


def play(
    position: Position,
    bar: BarPrices,
    *,
    order: Order = NO_ORDER,
    account: Account = ACCOUNT,
    rules: Rules = ROOMY,
    resolution: int = PESSIMISTIC,
) -> BarOutcome:
    return play_bar(XP, position, account, order, bar, Venue(MNQ, rules, resolution))


def play_case(case: Case) -> BarOutcome:
    return play_bar(XP, *case)


def test_an_entry_fills_at_the_open_one_slippage_worse_and_hangs_its_bracket_on_the_fill() -> None:
    """Open 1000, slippage 1: bought at 1001, so 1001 - 30 and 1001 + 90; sold at 999. Two commissions of 60 paid."""
    quiet = BarPrices(1000, 1005, 995, 1002)

    bought = play(FLAT, quiet, order=Order(2, 30, 90, False))
    sold = play(FLAT, quiet, order=Order(-2, 30, 90, False))

    assert bought.position == Position(2, 1001, 971, 1091, 30, 0, 1)
    assert sold.position == Position(-2, 999, 1029, 909, 30, 0, 1)
    assert bought.account.cash == sold.account.cash == 5_000_000 - 2 * 60
    assert bought.risk == 2 * 30 * 50


def test_a_stopped_trade_loses_exactly_what_its_size_was_computed_from() -> None:
    """1 MNQ, stop 30 ticks: fill 1001, stop 971 slips to 970: 31 x 50 + 2 x 60 = 1,670 cents, two commissions only."""
    played = play(FLAT, BarPrices(1000, 1001, 960, 965), order=Order(1, 30, 90, False))

    assert (played.exit_reason, played.exit_price, played.exit_quantity) == (STOP, 970, 1)
    assert played.account.cash == 5_000_000 - 1_670
    assert played.position == FLAT


def test_a_touched_target_is_not_filled_and_one_traded_through_is_at_its_price() -> None:
    """High 1090 = target: still held. High 1091: sold at 1090, (90 x 50 - 60) x 2 = +8,880 cents."""
    touched = play(LONG, BarPrices(1050, 1090, 1040, 1060))
    through = play(LONG, BarPrices(1050, 1091, 1040, 1060))

    assert touched.exit_reason == NO_EXIT
    assert touched.position == LONG._replace(bars_held=5)
    assert (through.exit_reason, through.exit_price) == (TARGET, 1090)
    assert through.account.cash - 5_000_000 == 8_880


def test_a_bar_that_opens_beyond_the_stop_fills_at_its_open() -> None:
    """Stop 970, open 950: the stop price never traded, so 949."""
    played = play(LONG, BarPrices(950, 1200, 940, 1100))
    mirrored_ = play(SHORT, BarPrices(1050, 1060, 800, 900))

    assert (played.exit_reason, played.exit_price) == (STOP, 949)
    assert (mirrored_.exit_reason, mirrored_.exit_price) == (STOP, 1051)


def test_a_bar_that_opens_beyond_the_target_still_fills_at_the_target() -> None:
    """A limit order gets its price; the later fall to the stop is after the exit."""
    played = play(LONG, BarPrices(1100, 1101, 900, 950))

    assert (played.exit_reason, played.exit_price, played.ambiguous) == (TARGET, 1090, False)


def test_with_stop_and_target_in_one_bar_the_pessimist_is_stopped_and_says_so() -> None:
    played = play(LONG, BarPrices(1050, 1100, 960, 1080))

    assert (played.exit_reason, played.exit_price, played.ambiguous) == (STOP, 969, True)


def test_adaptive_takes_the_nearer_extreme_first_and_a_tie_stops() -> None:
    """Open 1040: the target side is 51 away at 1091, the stop side 75 at 965. Open 1030: 65 both."""
    nearer_target = play(LONG, BarPrices(1040, 1091, 965, 1000), resolution=ADAPTIVE)
    tie = play(LONG, BarPrices(1030, 1095, 965, 1000), resolution=ADAPTIVE)
    nearer_stop = play(LONG, BarPrices(1000, 1095, 965, 1000), resolution=ADAPTIVE)

    assert [x.exit_reason for x in (nearer_target, tie, nearer_stop)] == [TARGET, STOP, STOP]


def test_a_floor_that_rose_inside_the_bar_is_no_better_than_a_stop_that_came_before() -> None:
    """3 MNQ from 1000, room $15: at 1020 the floor rises to 1010, which would sell at 1009 for +$11.70.

    But the fall to 970 may have come first, and then the stop at 992 sold at 991: 3 x (-9 x 50 - 60) = -$15.30. That
    account is at its floor of $49,985 and has failed in either order.
    """
    held = Position(quantity=3, entry=1000, stop=992, target=1031, stop_ticks=8, trailing=0, bars_held=1)
    rules = ROOMY._replace(max_loss=1_500, ratchet=INTRADAY)
    account = Account(cash=5_000_000, floor=4_998_500)
    bar = BarPrices(998, 1020, 970, 1005)

    played = play(held, bar, account=account, rules=rules)
    adverse_first = play(held, bar._replace(low=980), account=account, rules=rules, resolution=ADAPTIVE)

    assert (played.exit_reason, played.exit_price, played.failed) == (STOP, 991, True)
    assert played.account.cash - account.cash == -1_530
    assert played.account.floor == 5_001_500
    assert (adverse_first.exit_reason, adverse_first.exit_price) == (STOP, 991)


def test_a_floor_that_meets_the_worst_price_on_its_way_up_acts_there() -> None:
    """2 MNQ, $25 of room: the floor acts at 975 as the bar opens, and at 995 once the price was at 1020.

    The low is 985. From 1000 up to 1010 and down to 985, the floor has risen just to it: out at 984, not at 994.
    """
    rules, account = ROOMY._replace(max_loss=2_500, ratchet=INTRADAY), Account(5_000_000, 4_997_500)

    played = play(LONG, BarPrices(1000, 1020, 985, 1015), account=account, rules=rules)
    harmless = play(LONG, BarPrices(1000, 1009, 985, 1005), account=account, rules=rules)

    assert (played.exit_reason, played.exit_price, played.failed) == (LIQUIDATION, 984, True)
    assert played.account.floor == 4_999_500
    assert (harmless.exit_reason, harmless.failed, harmless.account.floor) == (NO_EXIT, False, 4_998_400)


def test_the_nearer_of_floor_and_stop_acts() -> None:
    """2 contracts x 50 cents: a room of 2,000 is 20 ticks, nearer than the stop at 30; of 4,000 it is farther."""
    bar = BarPrices(1000, 1001, 900, 905)

    liquidated = play(LONG, bar, account=Account(5_000_000, 4_998_000))
    stopped = play(LONG, bar, account=Account(5_000_000, 4_996_000))

    assert (liquidated.exit_reason, liquidated.exit_price, liquidated.failed) == (LIQUIDATION, 979, True)
    assert (stopped.exit_reason, stopped.exit_price, stopped.failed) == (STOP, 969, False)


def test_the_pessimist_moves_an_intraday_floor_to_the_best_price_before_the_worst() -> None:
    """Best 1040 = +4,000 lifts the floor to 4,999,000 (max loss 5,000), which ends the account at 990.

    The stop at 970 may have come before that rise, so the trade is booked there: worse for the profit.
    """
    rules = ROOMY._replace(max_loss=5_000, ratchet=INTRADAY)
    account = Account(5_000_000, 4_995_000)
    bar = BarPrices(1000, 1040, 965, 1000)

    played = play(LONG, bar, account=account, rules=rules)
    adverse_first = play(LONG, bar, account=account, rules=rules, resolution=ADAPTIVE)

    assert (played.exit_reason, played.exit_price, played.account.floor) == (STOP, 969, 4_999_000)
    assert played.failed
    assert (adverse_first.exit_reason, adverse_first.exit_price) == (STOP, 969)


def test_an_extreme_beyond_the_exit_moves_no_floor() -> None:
    """Target 1090 = +9,000 on 2 contracts: the high of 1200 came after the exit."""
    rules = ROOMY._replace(ratchet=INTRADAY)
    played = play(LONG, BarPrices(1050, 1200, 1040, 1150), rules=rules)

    assert played.exit_reason == TARGET
    assert played.account.floor == 5_009_000 - 250_000


def test_a_target_filled_at_the_open_moves_the_floor_like_one_filled_inside() -> None:
    rules = ROOMY._replace(ratchet=INTRADAY)

    at_open = play(LONG, BarPrices(1100, 1101, 1095, 1096), rules=rules)
    inside = play(LONG, BarPrices(1080, 1101, 1075, 1096), rules=rules)

    assert at_open.account == inside.account == Account(5_000_000 + 8_880, 5_009_000 - 250_000)


def test_a_flatten_fills_at_the_open_one_slippage_worse_and_nothing_after_it_counts() -> None:
    """Open 1010: sold at 1009, (9 x 50 - 60) x 2 = +780. The floor saw the open, +1,000, and not the high."""
    order, bar = Order(0, 1, 3, True), BarPrices(1010, 1095, 960, 1000)
    played = play(LONG, bar, order=order, rules=ROOMY._replace(ratchet=INTRADAY))

    assert (played.exit_reason, played.exit_price, played.ambiguous) == (FLATTEN, 1009, False)
    assert played.account == Account(5_000_780, 5_001_000 - 250_000)


def test_an_open_position_lets_no_entry_in() -> None:
    played = play(LONG, BarPrices(1000, 1010, 990, 1005), order=Order(-3, 10, 30, False))

    assert played.position == LONG._replace(bars_held=5)
    assert played.account == ACCOUNT


def test_closing_at_the_last_price_loses_one_slippage_and_is_flagged() -> None:
    """Last close 1010: 1009, (9 x 50 - 60) x 2 = +780 cents."""
    closed = closed_at_last_price(XP, LONG, ACCOUNT, 1010, Venue(MNQ, ROOMY, PESSIMISTIC))
    idle = closed_at_last_price(XP, FLAT, ACCOUNT, 1010, Venue(MNQ, ROOMY, PESSIMISTIC))

    assert (closed.exit_reason, closed.exit_price, closed.account.cash) == (SESSION_END, 1009, 5_000_780)
    assert closed.position == FLAT
    assert (idle.exit_reason, idle.account, idle.exit_quantity) == (NO_EXIT, ACCOUNT, 0)


def test_a_trailing_stop_follows_the_close_by_one_atr_and_never_back() -> None:
    """S = 140 is 10 ticks: close 1050 -> 1040; close 1000 would loosen it; 141 rounds up to 11."""
    on = LONG._replace(trailing=1)

    assert trailed(XP, on, 1050, 140).stop == 1040
    assert trailed(XP, on, 1050, 141).stop == 1039
    assert trailed(XP, on._replace(stop=1035), 1000, 140).stop == 1035
    assert trailed(XP, SHORT._replace(trailing=1), 950, 140).stop == 960
    assert trailed(XP, LONG, 1050, 140) == LONG
    assert trailed(XP, FLAT, 1050, 140) == FLAT


def assert_agrees_with_the_walk(case: Case) -> str:
    played = play_case(case)
    walked = outcome(case.position, case.account, case.order, case.bar, case.venue)
    assert (
        played.position.quantity,
        played.account.cash,
        played.account.floor,
        EXIT_NAMES[played.exit_reason],
        played.exit_price if played.exit_reason else None,
        bool(played.failed),
        bool(played.account.paused),
    ) == walked
    return walked.reason


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_bar_agrees_with_the_tick_by_tick_walk(random_: random.Random) -> None:
    assert assert_agrees_with_the_walk(draw_case(random_)) in EXIT_NAMES


def test_thousands_of_bars_agree_with_the_walk_and_every_exit_occurs() -> None:
    random_ = random.Random(5)

    reasons = Counter(assert_agrees_with_the_walk(draw_case(random_)) for _ in range(6000))

    assert all(reasons[name] > 150 for name in ("none", "stop", "target", "liquidation", "flatten", "daily_loss")), (
        reasons
    )


def test_arrays_and_plain_integers_play_the_same_bar() -> None:
    random_ = random.Random(6)
    cases = [draw_case(random_) for _ in range(4000)]
    together = jax.tree.map(lambda *column: jnp.asarray(np.array(column)), *cases)

    batch = jax.jit(lambda *args: play_bar(cast(Namespace, jnp), *args))(*together)

    one_by_one = [jax.tree.leaves(play_case(c)) for c in cases]
    columns = [np.asarray(leaf) for leaf in jax.tree.leaves(batch)]
    assert all(column.dtype in (np.int32, np.bool_) for column in columns)
    np.testing.assert_array_equal(np.stack(columns, axis=-1).astype(np.int64), np.array(one_by_one, np.int64))


def test_a_short_is_a_long_in_the_mirror() -> None:
    random_ = random.Random(7)
    for case in (draw_case(random_) for _ in range(2000)):
        played, mirror = play_case(case), play_case(mirrored(case))

        assert mirror.account == played.account
        assert (mirror.exit_reason, mirror.failed, mirror.risk) == (played.exit_reason, played.failed, played.risk)
        assert mirror.position.quantity == -played.position.quantity
        assert mirror.position.stop == -played.position.stop
        assert not played.exit_reason or mirror.exit_price == -played.exit_price
        assert mirror.ambiguous == played.ambiguous


def test_the_pessimist_never_earns_more_than_the_adaptive_reading_of_the_same_bar() -> None:
    """Once the bracket is over, so that both are closed balances."""
    random_ = random.Random(8)
    compared = 0
    for case in (draw_case(random_) for _ in range(3000)):
        worst = play_case(case._replace(venue=case.venue._replace(resolution=PESSIMISTIC)))
        other = play_case(case._replace(venue=case.venue._replace(resolution=ADAPTIVE)))
        if worst.exit_reason in (STOP, TARGET) and other.exit_reason in (STOP, TARGET):
            compared += 1
            assert worst.account.cash <= other.account.cash
        assert worst.account.floor >= case.account.floor and other.account.floor >= case.account.floor
    assert compared > 300
