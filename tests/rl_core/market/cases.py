"""Random bars, orders, positions and accounts in which every exit happens often."""

import random
from typing import NamedTuple

from rl_core.market.fills import Venue
from rl_core.market.types import (
    FLAT,
    INTRADAY,
    NEVER_LOCKS,
    NO_ORDER,
    SECONDS,
    UNLIMITED,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)

START = 1_000_000


class Minute(NamedTuple):
    """A minute and the second that each of its second bars began in."""

    bar: BarPrices
    at: tuple[int, ...]
    seconds: tuple[BarPrices, ...]


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


def draw_minute(random_: random.Random, opened: int, *, calm: int) -> Minute:
    """A minute from ``opened`` on in which up to 60 seconds trade; one in ``calm`` gaps over several levels."""
    at = tuple(sorted(random_.sample(range(60), random_.choice((1, 2, 5, 20, 60)))))
    width, price, seconds = random_.randint(0, 6), opened, []
    for _ in at:
        up, down = random_.randint(0, width), random_.randint(0, width)
        close = price + random_.randint(-down, up)
        seconds.append(BarPrices(price, price + up, price - down, close))
        price = close + (random_.randint(-25, 25) if random_.randrange(calm) == 0 else random_.randint(-2, 2))
    high, low = max(second.high for second in seconds), min(second.low for second in seconds)
    return Minute(BarPrices(opened, high, low, seconds[-1].close), at, tuple(seconds))


def draw_minute_case(random_: random.Random) -> tuple[Case, Minute]:
    """A case whose bar has seconds; in half of them what ends the bracket is a floor that follows its best price."""
    case = draw_case(random_)
    minute = draw_minute(random_, case.bar.open, calm=random_.choice((3, 20)))
    case = case._replace(bar=minute.bar, venue=case.venue._replace(resolution=SECONDS))
    return (_trailed_by_the_floor(random_, case) if random_.randrange(2) else case), minute


def _trailed_by_the_floor(random_: random.Random, case: Case) -> Case:
    """A far bracket from near the open, above an intraday floor, which may lock a little higher, and a daily loss."""
    side, quantity, tick_value = random_.choice((-1, 1)), random_.randint(1, 4), case.venue.terms.tick_value
    entry = case.bar.open + random_.randint(-3, 3)
    position = Position(side * quantity, entry, entry - side * 60, entry + side * 60, 60, 0, 3)
    max_loss = random_.randint(5, 30) * quantity * tick_value + random_.randint(0, 60)
    floor = START - max_loss
    cap = random_.choice((NEVER_LOCKS, floor + random_.randint(0, 30) * quantity * tick_value))
    rules = case.venue.rules._replace(max_loss=max_loss, ratchet=INTRADAY, floor_cap=cap)
    account = Account(START, floor, START - random_.choice((UNLIMITED, random_.randint(1, max_loss))))
    venue = case.venue._replace(rules=rules)
    return case._replace(position=position, order=NO_ORDER, account=account, venue=venue)
