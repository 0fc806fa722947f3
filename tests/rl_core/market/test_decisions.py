"""What may be decided at a close, and what a decision does at once."""

import random
from fractions import Fraction
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.contract import BUY, DISABLE_TRAIL, ENABLE_TRAIL, HOLD, MOVE_STOP_TO_BREAKEVEN, SELL
from rl_core.market.decisions import KnownAtClose, LegalActions, legal_actions, managed, order_for
from rl_core.market.types import (
    AT_DAILY_LOSS,
    AT_TARGET,
    FLAT,
    NO_ORDER,
    Account,
    Bracket,
    Limits,
    Namespace,
    Order,
    PlainIntegers,
    Position,
    Terms,
)
from rl_core.market.yardstick import Yardstick

XP = PlainIntegers()
MNQ = Terms(tick_value=50, commission=60, slippage_ticks=1)
LIMITS = Limits(risk_budget=50_000, max_quantity=10)
RICH = Account(5_000_000, 4_750_000)
OPEN = KnownAtClose(close=1000, true_range_sum=280, entry_open=True, flatten_due=False)
LONG = Position(2, 1000, 970, 1090, 30, 0, 4)
SHORT = Position(-2, 1000, 1030, 910, 30, 0, 4)


def legal(
    position: Position = FLAT, account: Account = RICH, decision: KnownAtClose = OPEN, limits: Limits = LIMITS
) -> LegalActions:
    return legal_actions(XP, position, account, decision, MNQ, limits)


def test_when_flat_in_hours_and_affordable_only_entries_are_legal() -> None:
    assert legal() == LegalActions(enter=True, breakeven=False, enable_trail=False, disable_trail=False)


@pytest.mark.parametrize(
    "decision", [OPEN._replace(entry_open=False), OPEN._replace(flatten_due=True), OPEN._replace(true_range_sum=99_999)]
)
def test_no_entry_out_of_hours_near_the_flat_time_or_when_one_contract_is_too_much(decision: KnownAtClose) -> None:
    assert not any(legal(decision=decision))


@pytest.mark.parametrize(
    "guarded",
    [
        {"decision": OPEN._replace(entry_open=False)},
        {"decision": OPEN._replace(flatten_due=True)},
        {"account": RICH._replace(paused=AT_DAILY_LOSS)},
        {"account": RICH._replace(paused=AT_TARGET)},
        {"account": RICH._replace(floor=RICH.cash - 16_700)},
        {"account": RICH._replace(day_floor=RICH.cash - 16_700)},
        {"limits": LIMITS._replace(max_stop_percent=33)},
        {"limits": LIMITS._replace(risk_budget=1_669)},
        {"limits": LIMITS._replace(max_quantity=0)},
        {"position": LONG},
    ],
    ids=lambda guarded: "-".join(guarded),
)
def test_each_guard_alone_masks_an_entry(guarded: dict[str, Any]) -> None:
    """The stop is a third of the target; 10 MNQ lose 16,700 cents at it, one loses 1,670."""
    assert legal().enter and not legal(**guarded).enter


def test_an_entry_needs_more_room_than_its_stop_and_costs() -> None:
    """10 MNQ at a stop of 30 ticks lose 10 x 1,670 = 16,700 cents: that room is not enough, one cent more is."""
    assert not legal(account=Account(5_000_000, 5_000_000 - 16_700)).enter
    assert legal(account=Account(5_000_000, 5_000_000 - 16_701)).enter


def test_an_open_position_lets_no_entry_in_but_may_be_managed() -> None:
    assert legal(LONG) == LegalActions(enter=False, breakeven=False, enable_trail=True, disable_trail=False)
    assert legal(LONG._replace(trailing=1)) == LegalActions(False, False, enable_trail=False, disable_trail=True)


@pytest.mark.parametrize(("position", "sign"), [(LONG, 1), (SHORT, -1)])
def test_breakeven_is_legal_once_the_close_is_beyond_the_ticks_that_pay_the_costs(
    position: Position, sign: int
) -> None:
    """170 cents are 3.4 ticks, so 4: not legal at 4 ticks in favour, legal at 5."""
    at, beyond = (OPEN._replace(close=1000 + sign * ticks) for ticks in (4, 5))

    assert not legal(position, decision=at).breakeven
    assert legal(position, decision=beyond).breakeven
    assert managed(XP, MOVE_STOP_TO_BREAKEVEN, position, beyond, MNQ) == position._replace(stop=1000 + sign * 4)


def test_breakeven_never_loosens_a_stop_that_is_already_better() -> None:
    assert not legal(LONG._replace(stop=1004), decision=OPEN._replace(close=1050)).breakeven
    assert not legal(LONG._replace(stop=1020), decision=OPEN._replace(close=1050)).breakeven


def test_at_the_flat_time_only_hold_is_legal_and_every_action_flattens() -> None:
    due = OPEN._replace(flatten_due=True, close=1050)
    for position in (LONG, SHORT, LONG._replace(trailing=1)):
        assert not any(legal(position, decision=due))
        for action in range(6):
            order = order_for(XP, action, position, due, MNQ, LIMITS)
            assert (order.flatten, order.quantity) == (True, 0)
    assert order_for(XP, BUY, FLAT, due, MNQ, LIMITS)._replace(stop_ticks=0, target_ticks=0) == NO_ORDER


def test_an_order_carries_its_bracket_as_offsets() -> None:
    """S = 280: stop 30 ticks, target 90; $500 would buy 29, the cap is 10."""
    assert order_for(XP, BUY, FLAT, OPEN, MNQ, LIMITS) == Order(10, 30, 90, False)
    assert order_for(XP, SELL, FLAT, OPEN, MNQ, LIMITS) == Order(-10, 30, 90, False)
    assert order_for(XP, HOLD, FLAT, OPEN, MNQ, LIMITS).quantity == 0
    assert order_for(XP, BUY, LONG, OPEN, MNQ, LIMITS).quantity == 0


def test_another_bracket_moves_stop_target_and_trail() -> None:
    """S = 280 of 10 bars: ATR 28; stop 2 ATR = 56, target 1.5 stops = 84, trail 0.5 ATR = 14."""
    other = OPEN._replace(yardstick=Yardstick(10, 20, Fraction(2), Fraction(3, 2), Fraction(1, 2)))

    assert order_for(XP, BUY, FLAT, other, MNQ, LIMITS) == Order(10, 56, 84, False)
    assert managed(XP, ENABLE_TRAIL, LONG, other._replace(close=1050), MNQ) == LONG._replace(stop=1036, trailing=1)


def test_a_pack_that_limits_the_stop_asks_the_brackets_own_target() -> None:
    """A stop may be 50 % of its target: with targets of 2 stops it is, with 1.99 it is not."""
    half = LIMITS._replace(max_stop_percent=50)
    two, less = (OPEN._replace(yardstick=Yardstick(target_stops=Fraction(stops))) for stops in ("2", "1.99"))

    assert (legal(decision=two, limits=half).enter, legal(decision=less, limits=half).enter) == (True, False)


def test_enabling_the_trail_follows_this_close_and_disabling_leaves_the_stop() -> None:
    """S = 280 is 20 ticks: close 1050 puts the stop at 1030; the target stays."""
    after = OPEN._replace(close=1050)
    on = managed(XP, ENABLE_TRAIL, LONG, after, MNQ)

    assert on == LONG._replace(stop=1030, trailing=1)
    assert managed(XP, DISABLE_TRAIL, on, after._replace(close=1080), MNQ) == on._replace(trailing=0)
    assert managed(XP, ENABLE_TRAIL, SHORT, OPEN._replace(close=950), MNQ).stop == 970
    assert managed(XP, ENABLE_TRAIL, LONG._replace(stop=1004), OPEN, MNQ).stop == 1004


def test_hold_changes_nothing() -> None:
    for position in (FLAT, LONG, SHORT, LONG._replace(trailing=1)):
        assert managed(XP, HOLD, position, OPEN._replace(close=1050), MNQ) == position


def test_an_entry_may_bring_its_own_bracket() -> None:
    """100 ticks lose $50, $0.50 of slippage and $1.20 of commissions a contract: 500 // 51.70 is 9."""
    own = OPEN._replace(bracket=Bracket(100, 50))

    assert order_for(XP, SELL, FLAT, own, MNQ, LIMITS) == Order(-9, 100, 50, False)
    assert legal(FLAT, decision=own).enter


def test_an_own_stop_is_held_to_the_packs_ratio_of_stop_to_target() -> None:
    """100 of 50 ticks are 200 %; the usual bracket's stop is a third of its target."""
    own, strict = OPEN._replace(bracket=Bracket(100, 50)), LIMITS._replace(max_stop_percent=199)

    assert not legal(FLAT, decision=own, limits=strict).enter
    assert legal(FLAT, decision=own, limits=strict._replace(max_stop_percent=200)).enter
    assert legal(FLAT, decision=OPEN, limits=strict).enter


def draw(random_: random.Random, *, own: bool) -> tuple[Position, Account, tuple[Any, ...], Limits, int]:
    side = random_.choice((-1, 0, 1))
    held = Position(
        side * 3, 1000, 1000 - side * random_.randint(-20, 30), 1000 + side * 90, 30, random_.randint(0, 1), 2
    )
    decision = (
        1000 + random_.randint(-60, 60),
        random_.randint(0, 900),
        random_.random() < 0.8,
        random_.random() < 0.2,
        Bracket(random_.randint(1, 90), random_.randint(1, 90)) if own else None,
    )
    account = Account(5_000_000, 5_000_000 - random_.randint(0, 60_000))
    return held if side else FLAT, account, decision, Limits(random_.randint(0, 60_000), 10), random_.randrange(6)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("other", [Yardstick(), Yardstick(5, 20, Fraction(9, 4), Fraction(5, 3), Fraction(3, 5))])
def test_arrays_and_plain_integers_decide_the_same(other: Yardstick, own: bool) -> None:
    random_ = random.Random(3)
    cases = [draw(random_, own=own) for _ in range(2000)]
    stated = list(zip(*cases, strict=True))[:4]
    columns = [jax.tree.map(lambda *leaves: jnp.asarray(np.array(leaves)), *parts) for parts in stated]
    actions = jnp.array([case[4] for case in cases])

    def decide(xp: Namespace, p: tuple, a: tuple, known: tuple, lim: tuple, action: object) -> tuple:
        p, a, lim, d = Position(*p), Account(*a), Limits(*lim), KnownAtClose(*known[:4], other, known[4])
        return (
            legal_actions(xp, p, a, d, MNQ, lim),
            order_for(xp, action, p, d, MNQ, lim),
            managed(xp, action, p, d, MNQ),
        )

    batch = jax.jit(lambda *args: decide(cast(Namespace, jnp), *args))(*columns, actions)

    one_by_one = np.array([jax.tree.leaves(decide(XP, *case)) for case in cases], np.int64)
    np.testing.assert_array_equal(np.stack(jax.tree.leaves(batch), axis=-1).astype(np.int64), one_by_one)
    assert 0.05 < one_by_one[:, 0].mean() < 0.5, "both answers must occur"
