"""The simulated broker as an adapter: the fills of `rl_core.market`, orders by their id, and a journal of its own.

What is asked of it is written down before it is answered, and everything else follows from that. So a broker that was
killed stands, once its journal is read again, where its last answer said it did.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from orchestrator.journal.journal import Journal
from orchestrator.messaging.broker import (
    AccountThen,
    Bracket,
    Execution,
    Holdings,
    Leg,
    MarketMinute,
    MarketMoves,
    MarketOver,
    OrderId,
    OrderState,
)
from orchestrator.messaging.catalogue import Bar
from rl_core.market import broker
from rl_core.market.account import opening_account
from rl_core.market.broker import XP, BrokerState, BrokerStep, Fill
from rl_core.market.costs import capped
from rl_core.market.fills import Venue
from rl_core.market.told import ENTRY, ToldFill, taken_together
from rl_core.market.types import NO_ORDER, BarPrices, Order, Position

SECOND_NS = 1_000_000_000
MOVES = ("bar", "minute", "over")
"""Records of a market that moved; told again, it moves the same way."""
LEGS: dict[str, Leg] = {"entry": "entry", "stop": "stop", "target": "target"}


class Book(NamedTuple):
    """Everything that the broker knows; a fold of its journal."""

    held: BrokerState
    orders: Mapping[OrderId, OrderState]
    brackets: Mapping[OrderId, Bracket]
    live: OrderId = ""  # the order that works, or whose position is open
    revision: int = 0  # of the last move of its stop
    kept: tuple[Execution, ...] = ()  # not acknowledged
    last_bar: int = -1
    last_over: int = -1  # bar after which the market closed last


class SimulatedBroker:
    """One account; a bar fills what works. Orders are market entries with a bracket, one at a time."""

    def __init__(self, venue: Venue, max_quantity: int, journal: Journal | None = None, parts: int = 1) -> None:
        """A new account, or the one of the journal.

        Args:
            venue: costs, and the account's rules.
            max_quantity: the most contracts of an order.
            journal: what it remembers; without one it forgets with its process.
            parts: executions that a fill comes in, as far as it has contracts for them.
        """
        self._venue, self._most, self._journal, self._parts = venue, max_quantity, journal, parts
        self._book = Book(BrokerState(opening_account(XP, venue.rules)), {}, {})
        while journal is not None and (record := journal.next_recorded()) is not None:
            self._book = self._after(record.type, record.payload)
            journal.append(record.type, record.payload, sync=record.synced)

    @classmethod
    def open(cls, venue: Venue, max_quantity: int, path: Path, parts: int = 1) -> Self:
        """The broker whose journal lies at ``path``, as it stood; a new one where there is none.

        Raises:
            ResourceError, DamagedJournalError: the journal cannot be held or used.
        """
        return cls(venue, max_quantity, Journal.open(path), parts)

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

    def move_stop(self, order_id: OrderId, revision: int, stop: int) -> OrderState:
        """Let the stop of what is open stand elsewhere; a move that came before moves nothing."""
        held = self._book.held.position
        if order_id != self._book.live or not held.quantity:
            return self.state(order_id)
        if (held.target - stop) * held.quantity <= 0:
            return self.state(order_id).model_copy(update={"reason": "a stop at the target or beyond it"})
        if revision > self._book.revision:
            self._take("move_stop", {"order_id": order_id, "revision": revision, "stop": stop})
        return self.state(order_id)

    def state(self, order_id: OrderId) -> OrderState:
        """How an order stands."""
        told = self._book.orders.get(order_id, OrderState(order_id=order_id, status="unknown"))
        return told.model_copy(update={"stop": self._stop()}) if order_id == self._book.live else told

    def executions(self, after: int) -> tuple[Execution, ...]:
        """Those above ``after`` that were not acknowledged."""
        return tuple(execution for execution in self._book.kept if execution.number > after)

    def acknowledge(self, through: int) -> None:
        """Forget the executions up to that number."""
        if any(execution.number <= through for execution in self._book.kept):
            self._take("acknowledge", {"through": through})

    def holdings(self) -> Holdings:
        """What is held and works now."""
        held = self._book.held
        working = (self._book.live,) if held.order.quantity else ()
        quantity = held.position.quantity
        return Holdings(quantity=quantity, working=working, executions=held.executions, stop=self._stop())

    def move(self, by: MarketMoves) -> None:
        """Let a minute trade, or a session end, for the account as it is told; the same again changes nothing."""
        if isinstance(by, MarketMinute) and by.bar.seq > self._book.last_bar:
            self._take("minute", by.model_dump(mode="json", exclude={"kind"}))
        if isinstance(by, MarketOver) and by.after > self._book.last_over:
            self._take("over", by.model_dump(mode="json", exclude={"kind"}))

    def trade(self, bar: Bar) -> None:
        """The market trades for the account as it is known here; a bar that was known already changes nothing."""
        if bar.seq > self._book.last_bar:
            self._take("bar", bar.model_dump(exclude={"kind"}))

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()

    def _stop(self) -> int | None:
        held = self._book.held.position
        return held.stop if held.quantity else None

    def _take(self, type: str, payload: dict[str, Any]) -> None:
        """Write down what was asked, then let it count: what is not on disk was never answered."""
        after = self._after(type, payload)
        if self._journal is not None:
            self._journal.append(type, payload, sync=type not in MOVES or after.kept != self._book.kept)
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
            case "move_stop":
                moved = book.held.position._replace(stop=payload["stop"])
                return book._replace(held=book.held._replace(position=moved), revision=payload["revision"])
            case "acknowledge":
                return book._replace(kept=tuple(each for each in book.kept if each.number > payload["through"]))
            case _:
                return self._moved(type, payload)

    def _moved(self, type: str, payload: Mapping[str, Any]) -> Book:
        match type:
            case "bar":
                bar = Bar.model_validate(payload)
                return self._met(self._book, bar, (), (bar.volume, self._venue))
            case "minute":
                minute = MarketMinute.model_validate_json(json.dumps(payload))
                how = minute.fillable, self._with_slippage(minute.slippage_ticks)
                seconds = [BarPrices(*row[1:]) for row in minute.seconds]
                return self._met(_for(self._book, minute.account), minute.bar, seconds, how)
            case "over":
                return self._closed(MarketOver.model_validate_json(json.dumps(payload)))
        raise AssertionError(type)

    def _submitted(self, bracket: Bracket) -> Book:
        book, name = self._book, bracket.order_id
        why = self._unfit(bracket)
        state = OrderState(order_id=name, status="rejected" if why else "working", reason=why)
        book = book._replace(orders={**book.orders, name: state}, brackets={**book.brackets, name: bracket})
        if why:
            return book
        order = Order(bracket.quantity, bracket.stop_ticks, bracket.target_ticks, False)
        return book._replace(held=book.held._replace(order=order), live=name, revision=0)

    def _unfit(self, bracket: Bracket) -> str:
        if not 0 < abs(bracket.quantity) <= self._most:
            return f"quantity {bracket.quantity}, at most {self._most}"
        if min(bracket.stop_ticks, bracket.target_ticks) <= 0:
            return "a stop or target that is none"
        return f"order {self._book.live} is open" if self._book.live else ""

    def _with_slippage(self, ticks: int) -> Venue:
        return self._venue._replace(terms=self._venue.terms._replace(slippage_ticks=ticks))

    def _met(self, book: Book, bar: Bar, seconds: Sequence[BarPrices], how: tuple[int, Venue]) -> Book:
        """A bar fills the working order, no more of it than traded; the rest is cancelled: no order lives two bars."""
        (most, venue), wanted = how, book.held.order
        book = book._replace(last_bar=bar.seq)
        filling = capped(XP, wanted, most) if wanted.quantity else wanted
        prices = BarPrices(bar.open, bar.high, bar.low, bar.close)
        met = broker.meet(book.held._replace(order=filling), prices, bar.ts_event_ns, venue, seconds)
        if wanted.quantity:
            status = "filled" if filling == wanted else "cancelled"
            state = book.orders[book.live].model_copy(update={"status": status, "filled": filling.quantity})
            book = book._replace(orders={**book.orders, book.live: state})
        return _with_fills(book, met, self._parts)

    def _closed(self, over: MarketOver) -> Book:
        """Whoever holds over the end of a session leaves at its last price."""
        book = _for(self._book, over.account)._replace(last_over=over.after)
        book = _without_its_order(book) if book.held.order.quantity else book
        venue = self._with_slippage(over.slippage_ticks)
        met = broker.end_session(book.held, over.close, over.ts_event_ns, venue)
        return _with_fills(book, met, self._parts)


def _for(book: Book, account: AccountThen) -> Book:
    """The book with the account as the firm knows it."""
    known = account.model_dump(exclude={"kind"})
    return book._replace(held=book.held._replace(account=book.held.account._replace(**known)))


def _with_fills(book: Book, met: BrokerStep, parts: int) -> Book:
    """The book after its fills, each of which is to be told, in so many ``parts``."""
    held, told = met.state, list[ToldFill]()
    for fill in met.fills:
        first = book.held.executions + len(told) + 1
        split = _in_parts(fill, first, parts)
        if fill.reason == ENTRY and held.position.quantity:
            held = held._replace(position=_entered_at(held.position, taken_together(split).price))
        told += split
    held = held._replace(executions=book.held.executions + len(told))
    kept = tuple(_execution(each, book.live) for each in told)
    return book._replace(held=held, kept=(*book.kept, *kept), live=book.live if held.position.quantity else "")


def _in_parts(fill: Fill, first: int, parts: int) -> list[ToldFill]:
    """The fill in ``parts`` of at least a contract each, a second apart; each but a target's a tick worse than before.

    A market takes what is offered at a price and goes on to the next, and a target is a limit.
    """
    leg = LEGS.get(fill.reason, "other")
    contracts, side = abs(fill.quantity), 1 if fill.quantity > 0 else -1
    count = min(parts, contracts)
    sizes = [contracts // count + (n < contracts % count) for n in range(count)]
    return [
        ToldFill(
            execution=first + n,
            leg=leg,
            quantity=side * size,
            price=fill.price + (0 if leg == "target" else side * n),
            ts_event_ns=fill.ts_event_ns + n * SECOND_NS,
        )
        for n, size in enumerate(sizes)
    ]


def _entered_at(position: Position, price: int) -> Position:
    """Stop and target are distances from the mean price of what filled."""
    moved = price - position.entry
    return position._replace(entry=price, stop=position.stop + moved, target=position.target + moved)


def _execution(fill: ToldFill, order_id: OrderId) -> Execution:
    leg: Leg = LEGS.get(fill.leg, "other")
    return Execution(
        number=fill.execution,
        order_id=order_id,
        leg=leg,
        quantity=fill.quantity,
        price=fill.price,
        ts_event_ns=fill.ts_event_ns,
    )


def _without_its_order(book: Book) -> Book:
    """The book with its working entry cancelled, of which nothing has filled."""
    told = book.orders[book.live].model_copy(update={"status": "cancelled"})
    return book._replace(held=book.held._replace(order=NO_ORDER), orders={**book.orders, book.live: told}, live="")
