"""What the pessimistic reading books is a bound: no order in which a bar's prices can have come ends worse."""

import random
from collections import Counter
from typing import NamedTuple

from rl_core.market.account import equity
from rl_core.market.fills import Venue, play_bar
from rl_core.market.types import (
    FLAT,
    INTRADAY,
    NEVER_LOCKS,
    NO_ORDER,
    PESSIMISTIC,
    UNLIMITED,
    Account,
    BarOutcome,
    BarPrices,
    PlainIntegers,
    Position,
    Rules,
    Terms,
)
from tests.rl_core.market.cases import START, Case, draw_case
from tests.rl_core.market.oracle import Walk

XP = PlainIntegers()
CASES, PATHS = 2500, 16


class PathEnd(NamedTuple):
    """Where one order of the prices leaves the account."""

    worth: int  # cents: cash once closed, equity at the close before
    failed: bool
    reason: str


def drawn_path(random_: random.Random, bar: BarPrices) -> list[int]:
    """Turning points from open to close that visit both extremes, in either order, with up to six more between."""
    between = [random_.randint(bar.low, bar.high) for _ in range(random_.randint(0, 6))]
    turns = [bar.high, bar.low, *between]
    random_.shuffle(turns)
    return [bar.open, *turns, bar.close]


def walked(case: Case, path: list[int]) -> PathEnd:
    """The bar traded tick by tick along ``path``."""
    terms, rules, _ = case.venue
    walk = Walk(case.position, case.account, terms, rules)
    if not walk.at(case.bar.open):
        walk = walk.through(*path)
    at_floor = walk.worth(case.bar.close) if rules.kills_open else walk.cash
    return PathEnd(walk.worth(case.bar.close), walk.reason == "liquidation" or at_floor <= walk.floor, walk.reason)


def booked_worth(case: Case, outcome: BarOutcome) -> int:
    """Cents of closed balance and open profit after the bar."""
    return int(equity(outcome.account, outcome.position, case.bar.close, case.venue.terms))


def floor_case(random_: random.Random) -> Case:
    """A bracket whose intraday floor is near enough to meet the bar, with or without a daily loss limit."""
    side, quantity, tick_value = random_.choice((-1, 1)), random_.randint(1, 4), random_.choice((1, 50))
    stop_ticks, opened = random_.randint(4, 30), 1000 + random_.randint(-4, 4)
    high, low = opened + random_.randint(0, 30), opened - random_.randint(0, 30)
    bar = BarPrices(opened, high, low, random_.randint(low, high))
    position = Position(side * quantity, 1000, 1000 - side * stop_ticks, 1000 + side * 3 * stop_ticks, stop_ticks, 0, 1)
    max_loss = random_.randint(6, 40) * quantity * tick_value + random_.randint(0, 40)
    floor = START - random_.randint(max_loss // 2, max_loss)
    cap = random_.choice((NEVER_LOCKS, floor + random_.randint(0, 30) * quantity * tick_value))
    day = START - random_.choice((UNLIMITED, random_.randint(1, max_loss)))
    rules = Rules(start=START, target=3000, max_loss=max_loss, ratchet=INTRADAY, floor_cap=cap)
    venue = Venue(Terms(tick_value, random_.choice((0, 60)), 1), rules, PESSIMISTIC)
    return Case(position, Account(START, floor, day), NO_ORDER, bar, venue)


def held_case(random_: random.Random) -> Case:
    """A case of `draw_case` that holds a position under the pessimistic reading."""
    while (case := draw_case(random_)).position == FLAT or case.order.flatten:
        pass
    return case._replace(venue=case.venue._replace(resolution=PESSIMISTIC))


def test_no_order_of_a_bars_prices_ends_worse_than_what_is_booked() -> None:
    """Forty thousand tick paths; the bound is also met, so it is not one that nothing can reach."""
    random_ = random.Random(11)
    reasons, met = Counter[str](), 0
    for number in range(CASES):
        case = floor_case(random_) if number % 2 else held_case(random_)
        outcome = play_bar(XP, *case)
        booked = booked_worth(case, outcome)
        ends = [walked(case, drawn_path(random_, case.bar)) for _ in range(PATHS)]
        assert booked <= min(end.worth for end in ends), case
        assert outcome.failed or not any(end.failed for end in ends), case
        met += booked == min(end.worth for end in ends)
        reasons.update(end.reason for end in ends)

    assert met > 0.9 * CASES
    assert all(reasons[name] > 500 for name in ("none", "stop", "target", "liquidation", "daily_loss")), reasons
