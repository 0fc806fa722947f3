"""Random bars, orders, positions and accounts in which every exit happens often."""

import random
from typing import NamedTuple

from rl_core.market.fills import Venue
from rl_core.market.types import (
    FLAT,
    NEVER_LOCKS,
    NO_ORDER,
    UNLIMITED,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)

START = 1_000_000


class Case(NamedTuple):
    """Everything that one bar needs."""

    position: Position
    account: Account
    order: Order
    bar: BarPrices
    venue: Venue


def draw_case(random_: random.Random) -> Case:
    """One case; a held bracket may be profitable, trailed above its entry, or gapped over."""
    side, quantity, level = random_.choice((-1, 1)), random_.randint(1, 4), random_.choice((1000, -1000))
    stop_ticks = random_.randint(1, 12)
    terms = Terms(random_.choice((1, 50, 125)), random_.choice((0, 60)), random_.choice((0, 1, 2)))
    opened = level + random_.randint(-30, 30)
    up, down = random_.randint(0, 40), random_.randint(0, 40)
    bar = BarPrices(opened, opened + up, opened - down, opened + random_.randint(-down, up))

    position, order = FLAT, NO_ORDER
    kind = random_.choice(("enter", "held", "held", "flatten", "idle"))
    if kind == "enter":
        order = Order(side * quantity, stop_ticks, 3 * stop_ticks, False)
    elif kind in ("held", "flatten"):
        target = level + side * 3 * stop_ticks
        stop = level + side * random_.randint(-stop_ticks, 3 * stop_ticks - 1)
        position = Position(side * quantity, level, stop, target, stop_ticks, random_.randint(0, 1), 3)
        order = Order(0, 1, 3, kind == "flatten")

    max_loss = random_.randint(1, 40) * quantity * terms.tick_value + random_.randint(0, 60)
    cash = START + random_.randint(-2000, 2000)
    room = random_.randint(1, max_loss)
    cap = random_.choice((NEVER_LOCKS, START, cash - room, cash + 100))
    rules = Rules(
        START,
        3000,
        max_loss,
        random_.randrange(4),
        max(cap, cash - room),
        kills_open=random_.choice((1, 1, 1, 0)),
        daily_counts_open=random_.choice((1, 1, 0)),
        daily_fails=random_.randrange(2),
    )
    day_room = random_.choice((UNLIMITED, random_.randint(1, max_loss), room, 2 * max_loss))
    account = Account(cash, cash - room, cash - day_room)
    return Case(position, account, order, bar, Venue(terms, rules, random_.randrange(2)))


def mirrored(case: Case) -> Case:
    """The same case with every price negated and every side turned."""
    p, o, b = case.position, case.order, case.bar
    return case._replace(
        position=p._replace(quantity=-p.quantity, entry=-p.entry, stop=-p.stop, target=-p.target),
        order=o._replace(quantity=-o.quantity),
        bar=BarPrices(-b.open, -b.low, -b.high, -b.close),
    )
