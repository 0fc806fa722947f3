"""The simulated broker as an adapter: the fills of `rl_core.market`, orders by their id, and a journal of its own.

What is asked of it is written down before it is answered, and everything else follows from that. So a broker that was
killed stands, once its journal is read again, where its last answer said it did.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from orchestrator.journal.journal import Journal
from orchestrator.messaging.broker import Bracket, Execution, Leg, OrderId, OrderState
from orchestrator.messaging.catalogue import Bar
from rl_core.market import broker
from rl_core.market.account import opening_account
from rl_core.market.broker import XP, BrokerState
from rl_core.market.costs import capped
from rl_core.market.fills import Venue
from rl_core.market.types import NO_ORDER, BarPrices, Order

LEGS: dict[str, Leg] = {"entry": "entry", "stop": "stop", "target": "target"}


class Book(NamedTuple):
    """Everything that the broker knows; a fold of its journal."""

    held: BrokerState
    orders: Mapping[OrderId, OrderState]
    brackets: Mapping[OrderId, Bracket]
    live: OrderId = ""  # the order that works, or whose position is open
    kept: tuple[Execution, ...] = ()  # not acknowledged
    last_bar: int = -1


class SimulatedBroker:
    """One account; a bar fills what works. Orders are market entries with a bracket, one at a time."""

    def __init__(self, venue: Venue, max_quantity: int, journal: Journal | None = None) -> None:
        """``max_quantity`` is the most contracts of an order; without a ``journal`` it forgets with its process."""
        self._venue, self._most, self._journal = venue, max_quantity, journal
        self._book = Book(BrokerState(opening_account(XP, venue.rules)), {}, {})
        while journal is not None and (record := journal.next_recorded()) is not None:
            self._book = self._after(record.type, record.payload)
            journal.append(record.type, record.payload, sync=record.synced)

    @classmethod
    def open(cls, venue: Venue, max_quantity: int, path: Path) -> Self:
        """The broker whose journal lies at ``path``, as it stood; a new one where there is none.

        Raises:
            ResourceError, DamagedJournalError: the journal cannot be held or used.
        """
        return cls(venue, max_quantity, Journal.open(path))

    def submit(self, bracket: Bracket) -> OrderState:
        """Take the bracket, or reject it whole; an id that came before is not taken again."""
        if bracket.order_id not in self._book.orders:
            self._take("submit", bracket.model_dump())
        elif self._book.brackets[bracket.order_id] != bracket:
            return OrderState(order_id=bracket.order_id, status="rejected", reason="the id is another bracket's")
        return self.state(bracket.order_id)

    def cancel(self, order_id: OrderId) -> OrderState:
        """Let nothing more of an entry fill."""
        if order_id == self._book.live and self._book.held.order.quantity:
            self._take("cancel", {"order_id": order_id})
        return self.state(order_id)

    def flatten(self, order_id: OrderId) -> OrderState:
        """Close at the next open what is open of an order, and let nothing more of it fill."""
        if order_id == self._book.live and not self._book.held.order.flatten:
            self._take("flatten", {"order_id": order_id})
        return self.state(order_id)

    def state(self, order_id: OrderId) -> OrderState:
        """How an order stands."""
        return self._book.orders.get(order_id, OrderState(order_id=order_id, status="unknown"))

    def executions(self, after: int) -> tuple[Execution, ...]:
        """Those above ``after`` that were not acknowledged."""
        return tuple(execution for execution in self._book.kept if execution.number > after)

    def acknowledge(self, through: int) -> None:
        """Forget the executions up to that number."""
        if any(execution.number <= through for execution in self._book.kept):
            self._take("acknowledge", {"through": through})

    def trade(self, bar: Bar) -> None:
        """The market trades; a bar that was known already changes nothing."""
        if bar.seq > self._book.last_bar:
            self._take("bar", bar.model_dump(exclude={"kind"}))

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()

    def _take(self, type: str, payload: dict[str, Any]) -> None:
        """Write down what was asked, then let it count: what is not on disk was never answered."""
        after = self._after(type, payload)
        if self._journal is not None:
            self._journal.append(type, payload, sync=type != "bar" or after.kept != self._book.kept)
        self._book = after

    def _after(self, type: str, payload: Mapping[str, Any]) -> Book:
        book = self._book
        match type:
            case "submit":
                return self._submitted(Bracket.model_validate(payload))
            case "cancel":
                return _without_its_order(book)
            case "flatten" if book.held.position.quantity:
                return book._replace(held=book.held._replace(order=Order(0, 0, 0, True)))
            case "flatten":
                return _without_its_order(book)
            case "acknowledge":
                return book._replace(kept=tuple(each for each in book.kept if each.number > payload["through"]))
            case "bar":
                return self._met(Bar.model_validate(payload))
        raise AssertionError(type)

    def _submitted(self, bracket: Bracket) -> Book:
        book, name = self._book, bracket.order_id
        why = self._unfit(bracket)
        state = OrderState(order_id=name, status="rejected" if why else "working", reason=why)
        book = book._replace(orders={**book.orders, name: state}, brackets={**book.brackets, name: bracket})
        if why:
            return book
        order = Order(bracket.quantity, bracket.stop_ticks, bracket.target_ticks, False)
        return book._replace(held=book.held._replace(order=order), live=name)

    def _unfit(self, bracket: Bracket) -> str:
        if not 0 < abs(bracket.quantity) <= self._most:
            return f"quantity {bracket.quantity}, at most {self._most}"
        if min(bracket.stop_ticks, bracket.target_ticks) <= 0:
            return "a stop or target that is none"
        return f"order {self._book.live} is open" if self._book.live else ""

    def _met(self, bar: Bar) -> Book:
        """A bar fills the working order, no more of it than traded; the rest is cancelled: no order lives two bars."""
        book, wanted = self._book._replace(last_bar=bar.seq), self._book.held.order
        filling = capped(XP, wanted, bar.volume) if wanted.quantity else wanted
        prices = BarPrices(bar.open, bar.high, bar.low, bar.close)
        met = broker.meet(book.held._replace(order=filling), prices, bar.ts_event_ns, self._venue)
        told = tuple(
            Execution(
                number=fill.execution,
                order_id=book.live,
                leg=LEGS.get(fill.reason, "other"),
                quantity=fill.quantity,
                price=fill.price,
                ts_event_ns=fill.ts_event_ns,
            )
            for fill in met.fills
        )
        if wanted.quantity:
            status = "filled" if filling == wanted else "cancelled"
            state = book.orders[book.live].model_copy(update={"status": status, "filled": filling.quantity})
            book = book._replace(orders={**book.orders, book.live: state})
        live = book.live if met.state.position.quantity else ""
        return book._replace(held=met.state, kept=(*book.kept, *told), live=live)


def _without_its_order(book: Book) -> Book:
    """The book with its working entry cancelled, of which nothing has filled."""
    told = book.orders[book.live].model_copy(update={"status": "cancelled"})
    return book._replace(held=book.held._replace(order=NO_ORDER), orders={**book.orders, book.live: told}, live="")
