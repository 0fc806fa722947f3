"""How a simulated broker fills in parts: several executions for one fill, and an exit of which a part is left open."""

from typing import NamedTuple

from orchestrator.messaging.broker import Leg
from rl_core.market.broker import BrokerState, BrokerStep, Fill
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.told import FLATTENING, ToldFill
from rl_core.market.types import NO_ORDER, Position, Terms

SECOND_NS = 1_000_000_000


class Parts(NamedTuple):
    """In how many executions fills come."""

    of_a_fill: int = 1  # as far as it has contracts for them
    a_bar: int = 0  # of an exit, that one bar fills: the rest stays open for the next; 0: all of them

    @property
    def of_an_exit(self) -> int:
        """Executions of an exit in one bar."""
        return self.a_bar or self.of_a_fill

    def left_at_once(self, contracts: int) -> int:
        """How many of so many ``contracts`` leave in the bar in which they are to leave."""
        return sum(_sizes(contracts, self.of_a_fill)[: self.of_an_exit])


WHOLE = Parts()


def in_parts(fill: Fill, leg: Leg, first: int, parts: int) -> list[ToldFill]:
    """The fill in ``parts`` of at least a contract each, a second apart; each but a target's a tick worse than before.

    A market takes what is offered at a price and goes on to the next, and a target is a limit. ``first`` is the number
    of the first execution.
    """
    side = 1 if fill.quantity > 0 else -1
    return [
        ToldFill(
            execution=first + n,
            leg=leg,
            quantity=side * size,
            price=fill.price + (0 if leg == "target" else side * n),
            ts_event_ns=fill.ts_event_ns + n * SECOND_NS,
        )
        for n, size in enumerate(_sizes(abs(fill.quantity), parts))
    ]


def sized(fill: Fill, contracts: int) -> Fill:
    """So many ``contracts`` of the fill."""
    return fill._replace(quantity=contracts if fill.quantity > 0 else -contracts)


def _sizes(contracts: int, parts: int) -> list[int]:
    count = min(parts, contracts)
    return [contracts // count + (n < contracts % count) for n in range(count)]


def entered_at(position: Position, price: int, own: OwnBracket) -> Position:
    """Stop and target are distances from the mean price of what filled, or prices of their ``own``, which stay."""
    moved = price - position.entry
    stop, target = position.stop + moved, position.target + moved
    return position._replace(
        entry=price,
        stop=stop if own.stop is None else own.stop,
        target=target if own.target is None else own.target,
    )


def left_open(met: BrokerStep, opened: Position, contracts: int, leg: Leg, terms: Terms) -> BrokerState:
    """What the broker holds where so many ``contracts`` of an exit stay open: as they were, before the exit.

    A stop that was reached, and whatever else closes at the market, goes on at the next open; a target is a limit, and
    stays where it is, beside its stop.

    Args:
        met: the bar, as it closes the whole position.
        opened: the position that it closes.
        contracts: of it that stay open.
        leg: that closes it.
        terms: of a contract.
    """
    stays = opened._replace(quantity=contracts if opened.quantity > 0 else -contracts, bars_held=opened.bars_held + 1)
    made = (met.played.exit_price - stays.entry) * stays.quantity * terms.tick_value - contracts * terms.commission
    account = met.state.account._replace(cash=met.state.account.cash - made)
    return met.state._replace(account=account, position=stays, order=NO_ORDER if leg == "target" else FLATTENING)
