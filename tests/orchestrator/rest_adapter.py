"""A broker adapter over a REST gateway that does nothing exactly once: a tag of ours is all that names an order.

What it shows: which of the protocol's promises the gateway keeps, and which the adapter has to, in a journal of its own
(`tests/orchestrator/rest_gateway.py` is what it speaks with; docs/extending.md says which broker says what).
"""

import http.client
import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.messaging.broker import Bracket, Execution, Holdings, Leg, OrderId, OrderState, Status
from trigate.errors import ProcessNotReadyError

LIMIT, MARKET, STOP = 1, 2, 4
OPEN = 1
STATUSES: dict[int, Status] = {1: "working", 2: "filled", 3: "cancelled", 5: "rejected"}
LEGS: dict[int, Leg] = {STOP: "stop", LIMIT: "target"}
BUY, SELL = 0, 1
FLATTENS = "/flatten"
"""Ends the tag of the order that closes another; no order of the run can be named so."""
LOOKS = 3
Row = dict[str, Any]


class RestAdapter:
    """One account of the gateway, that nobody else trades."""

    def __init__(self, port: int, folder: Path, *, tick: float, deadline_s: float = 5.0) -> None:
        """What was answered before a kill is read from ``folder``; all else is the gateway's to know."""
        self.account = "REST-1"
        self._port, self._tick, self._deadline_s = port, tick, deadline_s
        self._rejected: dict[OrderId, str] = {}
        self._moves: dict[OrderId, tuple[int, int]] = {}
        self._told: list[Execution] = []
        self._numbers: dict[str, int] = {}
        """Of the gateway's trades."""
        path = folder / "adapter.jsonl"
        text = path.read_text() if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a kill leaves half a line, of which nothing was answered
        self._file = path.open("w")
        self._file.write(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))

    def close(self) -> None:
        """Let go of the journal."""
        self._file.close()

    def submit(self, bracket: Bracket) -> OrderState:
        """Place it under its id as the tag, unless that was done; the gateway refuses a tag that it has."""
        known = self.state(bracket.order_id)
        if known.status != "unknown":
            return known
        if bracket.stop_price is not None or bracket.target_price is not None:
            return self._reject(bracket.order_id, "no legs at prices: brackets are distances there")
        body = self._body(bracket.order_id, MARKET, bracket.quantity)
        body |= {"stopLossBracket": {"ticks": bracket.stop_ticks, "type": STOP}}
        body |= {"takeProfitBracket": {"ticks": bracket.target_ticks, "type": LIMIT}}
        answer = self._ask("Order/place", body)
        known = self.state(bracket.order_id)
        # A tag in use is refused too: a request that was lost may have come after we had looked.
        if known.status == "unknown":
            return self._reject(bracket.order_id, str(answer["errorMessage"]))
        return known

    def cancel(self, order_id: OrderId) -> OrderState:
        """Cancel the entry alone; where it was too late the state says so."""
        self._cancel(self._named(order_id))
        return self.state(order_id)

    def flatten(self, order_id: OrderId) -> OrderState:
        """Take away entry and legs, then close what is open by then: never both a leg and the closing order.

        Asked again, the gateway refuses the closing order, whose tag it has.
        """
        orders = self._orders()
        entry = _tagged(orders, order_id)
        if entry is None:
            return self.state(order_id)
        for each in (entry, *_legs_of(orders, entry)):
            self._cancel(each)
        orders = self._orders()
        if open_ := _open(orders, _tagged(orders, order_id)):
            self._ask("Order/place", self._body(order_id + FLATTENS, MARKET, -open_))
        return self.state(order_id)

    def move_stop(self, order_id: OrderId, revision: int, stop: int) -> OrderState:
        """Write the move down, then make it; the gateway knows no number of a move."""
        if revision > self._moves.get(order_id, (0, 0))[0]:
            self._note({"move": [order_id, revision, stop]})
        # The last one, whichever was asked for: it may have been written down and not made.
        price = self._moves[order_id][1] * self._tick
        orders = self._orders()
        for leg in _legs_of(orders, _tagged(orders, order_id)):
            if leg["type"] == STOP and leg["status"] == OPEN:
                self._ask("Order/modify", {"orderId": leg["id"], "stopPrice": price})
        return self.state(order_id)

    def state(self, order_id: OrderId) -> OrderState:
        """By the gateway's word; what it rejected it has forgotten, and we have not."""
        if order_id in self._rejected:
            return OrderState(order_id=order_id, status="rejected", reason=self._rejected[order_id])
        orders = self._orders()
        entry = _tagged(orders, order_id)
        if entry is None:
            return OrderState(order_id=order_id, status="unknown")
        stop = self._stop_of(_legs_of(orders, entry)) if _open(orders, entry) else None
        return OrderState(order_id=order_id, status=STATUSES[entry["status"]], filled=_signed(entry), stop=stop)

    def executions(self, after: int) -> Sequence[Execution]:
        """Numbered here, and written down before they are told."""
        self._number_trades()
        return self._told[after : after + 64]

    def acknowledge(self, through: int) -> None:
        """Nothing is forgotten: a day has few trades."""

    def holdings(self) -> Holdings:
        """Three requests are no moment: they count where no trade came in between."""
        for _ in range(LOOKS):
            self._number_trades()
            before = len(self._told)
            orders = self._orders()
            held = sum(row["size"] if row["type"] == 1 else -row["size"] for row in self._list("Position/searchOpen"))
            self._number_trades()
            if len(self._told) == before:
                working = tuple(each["customTag"] for each in orders if _is_entry(each) and each["status"] == OPEN)
                legs = [each for each in orders if each["customTag"] is None]
                stop = self._stop_of(legs) if held else None
                return Holdings(quantity=held, working=working, executions=before, stop=stop)
        raise ProcessNotReadyError("trades kept coming while the account was looked at")

    def _number_trades(self) -> None:
        """Give every trade that is new the next number; one that was voided is undone by one the other way."""
        trades = sorted(self._list("Trade/search"), key=lambda row: int(row["id"]))
        orders = self._orders() if any(str(row["id"]) not in self._numbers for row in trades) else []
        for row in trades:
            if str(row["id"]) not in self._numbers:
                order_id, leg = _whose(orders, row["orderId"])
                self._number(str(row["id"]), row, order_id, leg)
            if row["voided"] and f"{row['id']} voided" not in self._numbers:
                undone = self._told[self._numbers[str(row["id"])] - 1]
                self._number(f"{row['id']} voided", {**row, "side": 1 - row["side"]}, undone.order_id, "other")

    def _number(self, trade: str, row: Row, order_id: OrderId, leg: Leg) -> None:
        ticks = row["price"] / self._tick
        assert ticks == round(ticks), f"trade {trade} at {row['price']}, which is no tick: an average?"
        moment = datetime.fromisoformat(row["creationTimestamp"])
        quantity = row["size"] if row["side"] == BUY else -row["size"]
        execution = Execution(
            number=len(self._told) + 1,
            order_id=order_id,
            leg=leg,
            quantity=quantity,
            price=round(ticks),
            ts_event_ns=int(moment.timestamp()) * 10**9,
        )
        self._note({"trade": trade, "execution": execution.model_dump(mode="json")})

    def _stop_of(self, legs: Sequence[Row]) -> int | None:
        stops = [each["stopPrice"] for each in legs if each["type"] == STOP and each["status"] == OPEN]
        return round(stops[0] / self._tick) if stops else None

    def _reject(self, order_id: OrderId, reason: str) -> OrderState:
        self._note({"rejected": order_id, "reason": reason})
        return self.state(order_id)

    def _body(self, tag: str, kind: int, quantity: int) -> Row:
        side = BUY if quantity > 0 else SELL
        return {"accountId": 1, "customTag": tag, "type": kind, "side": side, "size": abs(quantity)}

    def _cancel(self, order: Row | None) -> None:
        if order is not None and order["status"] == OPEN:
            self._ask("Order/cancel", {"orderId": order["id"]})

    def _named(self, order_id: OrderId) -> Row | None:
        return _tagged(self._orders(), order_id)

    def _orders(self) -> list[Row]:
        return self._list("Order/search")

    def _list(self, path: str) -> list[Row]:
        answer = self._ask(path, {"accountId": 1})
        return list(answer[{"O": "orders", "T": "trades", "P": "positions"}[path[0]]])

    def _ask(self, path: str, body: Row) -> Row:
        """One request on a connection of its own, so that no late answer is read as another's.

        Raises:
            ProcessNotReadyError: no answer in time, which tells nothing of what was done.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._deadline_s)
        try:
            connection.request("POST", f"/api/{path}", json.dumps(body), {"Content-Type": "application/json"})
            return dict(json.loads(connection.getresponse().read()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProcessNotReadyError(f"{path}: {error}") from error
        finally:
            connection.close()

    def _note(self, record: Row) -> None:
        """Write down what is going to be answered or done, before it is."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self._take(record)

    def _take(self, record: Row) -> None:
        if "rejected" in record:
            self._rejected[record["rejected"]] = record["reason"]
        elif "move" in record:
            order_id, revision, stop = record["move"]
            self._moves[order_id] = (revision, stop)
        else:
            self._told.append(Execution.model_validate(record["execution"]))
            self._numbers[record["trade"]] = len(self._told)


def _tagged(orders: Sequence[Row], tag: str) -> Row | None:
    return next((each for each in orders if each["customTag"] == tag), None)


def _is_entry(order: Row) -> bool:
    return order["customTag"] is not None and not order["customTag"].endswith(FLATTENS)


def _legs_of(orders: Sequence[Row], entry: Row | None) -> list[Row]:
    """The legs that the gateway made of an entry: they name none, and came after it and before the next entry."""
    if entry is None:
        return []
    later = [each["id"] for each in orders if _is_entry(each) and each["id"] > entry["id"]]
    last = min(later, default=float("inf"))
    return [each for each in orders if each["customTag"] is None and entry["id"] < each["id"] < last]


def _whose(orders: Sequence[Row], number: int) -> tuple[OrderId, Leg]:
    """The order of ours, and its leg, that the gateway's order ``number`` is; a stranger's is told by its number."""
    order = next(each for each in orders if each["id"] == number)
    if _is_entry(order):
        return order["customTag"], "entry"
    if order["customTag"] is not None:
        return order["customTag"].removesuffix(FLATTENS), "other"
    entries = [each for each in orders if _is_entry(each) and each["id"] < number]
    if not entries:
        return f"foreign.{number}", "other"
    return max(entries, key=lambda each: int(each["id"]))["customTag"], LEGS.get(order["type"], "other")


def _signed(order: Row) -> int:
    return int(order["fillVolume"] if order["side"] == BUY else -order["fillVolume"])


def _open(orders: Sequence[Row], entry: Row | None) -> int:
    """Contracts of an entry that neither a leg nor a flatten has closed, signed."""
    if entry is None:
        return 0
    closing = _tagged(orders, entry["customTag"] + FLATTENS)
    ways_out = [*_legs_of(orders, entry), *([closing] if closing else [])]
    return _signed(entry) + sum(_signed(each) for each in ways_out)
