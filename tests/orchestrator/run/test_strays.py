"""A broker that fills a part of an entry after an exit: it is booked where it came, and closed at once."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.lines import Record
from orchestrator.messaging.broker import Execution, OrderState
from orchestrator.report.account_book import account_book, trades_of
from orchestrator.report.reconciliation import reconcile
from orchestrator.report.status import standings
from orchestrator.workers.filled_in_parts import WHOLE, Parts
from orchestrator.workers.simulated_broker import Book, SimulatedBroker
from rl_core.market.told import ToldFill, enter_more
from rl_core.market.types import FLAT
from tests.orchestrator.played_runs import walk
from tests.orchestrator.sent_runs import (
    SentWorld,
    broker_killed_at_every_question,
    killed_at_every_step,
    play_sent,
    records,
    wild,
    written,
)


class Strays(SimulatedBroker):
    """Fills one contract more of a thin bar's entry before its cancel comes, where something of it has left by then."""

    _last = 0  # price

    def cancel(self, order_id: str) -> OrderState:
        """Once for an order."""
        told, ordered = self._book.orders[order_id], self._book.brackets[order_id].quantity
        left = self._book.held.position.quantity != told.filled
        if told.filled and left and abs(told.filled) < abs(ordered) and order_id not in self._strayed:
            self._take("stray", {"order_id": order_id, "price": self._last})
        return super().cancel(order_id)

    def _after(self, type: str, payload: Mapping[str, Any]) -> Book:
        if type == "minute":
            self._last = payload["bar"]["close"]
        if type != "stray":
            return super()._after(type, payload)
        order_id, price = payload["order_id"], payload["price"]
        self._strayed = {*self._strayed, order_id}
        book, ordered = self._book, self._book.brackets[order_id]
        side, held = (1 if ordered.quantity > 0 else -1), book.held
        working, number = held.order, held.executions + 1
        if not held.position.quantity:  # an open position of none, from which it begins
            legs = {"stop": price - side * ordered.stop_ticks, "target": price + side * ordered.target_ticks}
            held = held._replace(position=FLAT._replace(entry=price, stop_ticks=ordered.stop_ticks, **legs))
        after = enter_more(held, ToldFill(number, "entry", side, price, 7), self._venue).state
        more = {"number": number, "leg": "entry", "quantity": side, "price": price, "ts_event_ns": 7}
        told = book.orders[order_id]
        return book._replace(
            held=after._replace(order=working),
            orders={**book.orders, order_id: told.model_copy(update={"filled": told.filled + side})},
            live=order_id,
            kept=(*book.kept, Execution.model_validate({"order_id": order_id, **more})),
        )

    _strayed: set[str] = set()  # noqa: RUF012  (replaced, never changed)


class StrayWorld(SentWorld):
    """Whose account is at such a broker."""

    def broker(self, folder: Path, kind: type[SimulatedBroker] = Strays) -> SimulatedBroker:
        """As its journal says it stands."""
        return super().broker(folder, kind)


def thin(parts: Parts, bars: int = 450) -> StrayWorld:
    """A wild day in which a bar fills three contracts of an entry."""
    return StrayWorld(wild(walk(("2024-06-03",)), 6)[:bars], parts=parts, costs={"volume_share": "0.03"}, **GOES_ON)


GOES_ON = {"rules": "configs/rules/plain_static.toml", "at_target": "trade_on", "risk_dollars": 400}


def strays_in(found: list[Record]) -> tuple[int, int]:
    """Parts of entries that came after an exit: those that joined what was open, and those that found nothing open."""
    held, exited = dict[str, int](), set[str]()
    joined = alone = 0
    for fill in (each.payload for each in found if each.type == "fill"):
        order = fill["order"]
        if fill["reason"] == "entry" and order in exited:
            joined, alone = joined + (held[order] != 0), alone + (held[order] == 0)
        elif fill["reason"] != "entry":
            exited.add(order)
        held[order] = held.get(order, 0) + fill["quantity"]
    return joined, alone


@pytest.mark.parametrize("parts", [WHOLE, Parts(3, 1)], ids=["after all has left", "after a part has left"])
def test_it_is_in_the_books_to_the_cent_and_closed_at_the_next_open(memory: Path, parts: Parts) -> None:
    """Where nothing is open it is a position and a trade of its own, else it joins what is at the mean of both."""
    world = thin(parts)

    assert play_sent(world, memory).complete

    found = records(memory)
    book = account_book(found)
    assert [check.fault for check in reconcile(book, world.trading.venue.terms.tick_value)] == [""] * 4
    joined, alone = strays_in(found)
    assert alone > 0 if parts == WHOLE else joined > 2
    flattened = {each.payload["order"] for each in found if each.type == "flatten"}
    assert len(flattened) >= joined + alone
    told = [each for record in found if record.type == "executions" for each in record.payload["executions"]]
    spent = -sum(each["quantity"] * each["price"] for each in told) * world.trading.venue.terms.tick_value
    paid = sum(abs(each["quantity"]) for each in told) * world.trading.venue.terms.commission
    assert sum(trade.trade.pnl for trade in trades_of(book)) == spent - paid
    assert standings(found).quantity == 0


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[StrayWorld, Path]:
    """The first minutes, with one such part in the eighth, and a run over them that nothing disturbed."""
    world, folder = thin(Parts(3, 1), 12), tmp_path_factory.mktemp("few")
    play_sent(world, folder)
    return world, folder


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(memory: Path, few: tuple[StrayWorld, Path]) -> None:
    world, whole = few

    kinds = killed_at_every_step(partial(play_sent, world), memory, written(whole))

    assert strays_in(records(whole))[0] > 0 and kinds >= {"OrderSent", "ExecutionsAsked", "flatten"}


@pytest.mark.parametrize("done", [False, True], ids=["before its work", "after its work"])
def test_a_broker_killed_at_any_question_changes_no_byte(
    memory: Path, few: tuple[StrayWorld, Path], done: bool
) -> None:
    world, whole = few

    assert broker_killed_at_every_question(world, partial(play_sent, world), memory, written(whole), done=done) > 10
