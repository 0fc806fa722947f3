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
from orchestrator.workers.filled_in_parts import WHOLE, Parts, entered_at, in_parts, left_open, sized
from rl_core.market import broker
from rl_core.market import types as market
from rl_core.market.account import opening_account
from rl_core.market.broker import XP, BrokerState, BrokerStep, Fill
from rl_core.market.costs import capped
from rl_core.market.fills import Venue, open_bar
from rl_core.market.own_bracket import OwnBracket, at_own_prices
from rl_core.market.told import ENTRY, FLATTENING, ToldFill, taken_together
from rl_core.market.types import NO_ORDER, BarPrices, Order, Position

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
    closing: Leg | None = None  # whose rest closes at the next open, of a stop or of what is no leg of the bracket


class Meets(NamedTuple):
    """What a bar lets fill, and at which costs."""

    most: int  # contracts of an entry
    most_left: int  # contracts of an exit
    venue: Venue


class SimulatedBroker:
    """One account; a bar fills what works. Orders are market entries with a bracket, one at a time."""

    def __init__(self, venue: Venue, max_quantity: int, journal: Journal | None = None, parts: Parts = WHOLE) -> None:
        """A new account, or the one of the journal.

        Args:
            venue: costs, and the account's rules.
            max_quantity: the most contracts of an order.
            journal: what it remembers; without one it forgets with its process.
            parts: executions that fills come in.
        """
        self._venue, self._most, self._journal, self._parts = venue, max_quantity, journal, parts
        self._book = Book(BrokerState(opening_account(XP, venue.rules)), {}, {})
        while journal is not None and (record := journal.next_recorded()) is not None:
            self._book = self._after(record.type, record.payload)
            journal.append(record.type, record.payload, sync=record.synced)

    @classmethod
    def open(cls, venue: Venue, max_quantity: int, path: Path, parts: Parts = WHOLE) -> Self:
        """The broker whose journal lies at ``path``, as it stood; a new one where there is none.

        Raises:
            ResourceError, DamagedJournalError: the journal cannot be held or used.
        """
        return cls(venue, max_quantity, Journal.open(path), parts)

    def submit(self, bracket: Bracket) -> OrderState:
        """Take the bracket, or reject it whole; an id that came before is not taken again."""
        if bracket.order_id not in self._book.orders:
            self._take("submit", bracket.model_dump(exclude_none=True))
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
        if self._book.held.order.flatten:
            return self.state(order_id).model_copy(update={"reason": "it is being closed"})
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
                return book._replace(held=book.held._replace(order=FLATTENING))
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
                return self._met(self._book, bar, (), Meets(bar.volume, bar.volume, self._venue))
            case "minute":
                minute = MarketMinute.model_validate_json(json.dumps(payload))
                how = Meets(minute.fillable, self._most, self._with_slippage(minute.slippage_ticks))
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

    def _met(self, book: Book, bar: Bar, seconds: Sequence[BarPrices], how: Meets) -> Book:
        """A bar fills the working order, no more of it than traded; the rest is cancelled: no order lives two bars."""
        held, wanted, terms = book.held, book.held.order, how.venue.terms
        book = book._replace(last_bar=bar.seq)
        filling = self._filling(book, bar, how) if wanted.quantity else wanted
        prices = BarPrices(bar.open, bar.high, bar.low, bar.close)
        met = broker.meet(held._replace(order=filling), prices, bar.ts_event_ns, how.venue, seconds)
        if wanted.quantity:
            status = "filled" if filling.quantity == wanted.quantity else "cancelled"
            state = book.orders[book.live].model_copy(update={"status": status, "filled": filling.quantity})
            book = book._replace(orders={**book.orders, book.live: state})
        opened = open_bar(XP, held.position, held.account, filling, prices, terms).position
        return self._with_fills(book, met, opened, how)

    def _filling(self, book: Book, bar: Bar, how: Meets) -> Order:
        """As much of the working order as fills, its legs at their own prices if they have any; none beyond these."""
        filling, bracket = capped(XP, book.held.order, how.most), book.brackets[book.live]
        fill = bar.open + XP.sign(filling.quantity) * how.venue.terms.slippage_ticks
        return at_own_prices(filling, own_of(bracket), fill)

    def _closed(self, over: MarketOver) -> Book:
        """Whoever holds over the end of a session leaves at its last price."""
        book = _for(self._book, over.account)._replace(last_over=over.after)
        book = _without_its_order(book) if book.held.order.quantity else book
        venue = self._with_slippage(over.slippage_ticks)
        met = broker.end_session(book.held, over.close, over.ts_event_ns, venue)
        return self._with_fills(book, met, book.held.position, None)

    def _with_fills(self, book: Book, met: BrokerStep, opened: Position, how: Meets | None) -> Book:
        """The book after its fills, each of which is to be told; without a ``how`` all that is ``opened`` leaves."""
        held, told, closing = met.state, list[ToldFill](), None
        for fill in met.fills:
            first = book.held.executions + len(told) + 1
            if fill.reason == ENTRY:
                split = in_parts(fill, "entry", first, self._parts.of_a_fill)
                opened = entered_at(opened, taken_together(split).price, own_of(book.brackets[book.live]))
                held = held._replace(position=opened._replace(bars_held=1)) if held.position.quantity else held
            else:
                leg, whole = _leg_of(fill, book), abs(fill.quantity)
                leaves = whole if how is None else min(how.most_left, self._parts.left_at_once(whole))
                split = in_parts(sized(fill, leaves), leg, first, self._parts.of_an_exit)
                if leaves < whole:
                    held = left_open(met, opened, whole - leaves, leg, self._venue.terms)
                    closing = leg if held.order.flatten else None
            told += split
        held = held._replace(executions=book.held.executions + len(told))
        kept = (*book.kept, *(_execution(each, book.live) for each in told))
        live = book.live if held.position.quantity else ""
        return book._replace(held=held, kept=kept, live=live, closing=closing)


def own_of(bracket: Bracket) -> OwnBracket:
    """The legs of a bracket, at distances or at prices."""
    distances = market.Bracket(bracket.stop_ticks, bracket.target_ticks)
    return OwnBracket(distances, bracket.stop_price, bracket.target_price)


def _for(book: Book, account: AccountThen) -> Book:
    """The book with the account as the firm knows it."""
    known = account.model_dump(exclude={"kind"})
    return book._replace(held=book.held._replace(account=book.held.account._replace(**known)))


def _leg_of(fill: Fill, book: Book) -> Leg:
    """What an exit is told as; what closes the rest of a stop at the market is still the stop."""
    if fill.reason == "flatten" and book.closing is not None:
        return book.closing
    return LEGS.get(fill.reason, "other")


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
