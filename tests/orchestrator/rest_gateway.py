"""A broker behind a REST gateway, in this process, where a tag of ours is all that names an order.

Made after the documented requests of the ProjectX gateway (https://gateway.docs.projectx.com, `Order/place` and its
neighbours), in what matters to an adapter: a tag that is unique to the account, brackets in ticks whose legs are orders
of their own without tag or parent, trades that name a leg's order alone, prices as floats, a net position, and requests
of which either way may be lost. It matches simply, and is no simulation of a market.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

LIMIT, MARKET, STOP = 1, 2, 4
OPEN, FILLED, CANCELLED = 1, 2, 3
BUY, SELL = 0, 1
TICK = 0.25
MOST_CONTRACTS = 15
SLIPPAGE = 1
MOMENT = "2024-01-02T12:53:20Z"
Row = dict[str, Any]


class Gateway:
    """One account at one contract."""

    def __init__(self, price: int, *, listens: bool = True) -> None:
        """Flat; ``price``: ticks, at which every bar opens and closes."""
        self._price, self._lock = price, threading.RLock()
        self.orders: list[Row] = []
        self.trades: list[Row] = []
        self.position = 0
        self.asked = 0
        self.lose: Callable[[int, str], str] = lambda number, path: ""
        """Of the request with that number: "" is answered, "before" never arrives, "after" is done and not answered."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self)) if listens else None
        self.port = self._server.server_address[1] if self._server else 0
        if self._server:
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, path: str, body: Row) -> Row | None:
        """What a request gets; None: it is cut off."""
        with self._lock:
            self.asked += 1
            lost = self.lose(self.asked, path)
            if lost == "before":
                return None
            found = self._requests()[path](body)
            return None if lost else {"success": True, "errorCode": 0, "errorMessage": None, **found}

    def _requests(self) -> dict[str, Callable[[Row], Row]]:
        return {
            "/api/Order/place": self._place,
            "/api/Order/cancel": self._cancel,
            "/api/Order/modify": self._modify,
            "/api/Order/search": lambda body: {"orders": self.orders},
            "/api/Trade/search": lambda body: {"trades": self.trades},
            "/api/Position/searchOpen": lambda body: {"positions": self._positions()},
        }

    def _place(self, body: Row) -> Row:
        legs = [body[name]["ticks"] for name in ("stopLossBracket", "takeProfitBracket") if name in body]
        if any(each["customTag"] == body["customTag"] for each in self.orders):
            return _refused("the tag is in use")
        if not 0 < body["size"] <= MOST_CONTRACTS or any(ticks <= 0 for ticks in legs):
            return _refused("invalid size or bracket")
        order = self._order(body["type"], body["side"], body["size"], tag=body["customTag"])
        order["_legs"] = legs
        return {"orderId": order["id"]}

    def _order(self, kind: int, side: int, size: int, **more: Any) -> Row:
        row: Row = {"id": 100 + len(self.orders), "type": kind, "side": side, "size": size, "fillVolume": 0}
        row |= {"status": OPEN, "limitPrice": None, "stopPrice": None, "customTag": more.pop("tag", None), **more}
        self.orders.append(row)
        return row

    def _cancel(self, body: Row) -> Row:
        order = self._working(body["orderId"])
        if order is None:
            return _refused("the order is not open")
        order["status"] = CANCELLED
        return {}

    def _modify(self, body: Row) -> Row:
        order = self._working(body["orderId"])
        if order is None:
            return _refused("the order is not open")
        stop = body["stopPrice"] / TICK
        if (stop >= self._price) if order["side"] == SELL else (stop <= self._price):
            return _refused("the market is beyond that price")
        order["stopPrice"] = body["stopPrice"]
        return {}

    def _working(self, number: int) -> Row | None:
        return next((each for each in self.orders if each["id"] == number and each["status"] == OPEN), None)

    def _positions(self) -> list[Row]:
        held = abs(self.position)
        return [{"type": 1 if self.position > 0 else 2, "size": held, "averagePrice": 0.1}] if held else []

    def trade(self, low: int, high: int, volume: int) -> None:
        """A bar in which at most ``volume`` contracts are filled, in ticks."""
        with self._lock:
            left = volume
            for order in [each for each in self.orders if each["type"] == MARKET or each.get("_triggered")]:
                slipped = SLIPPAGE if order["side"] == BUY else -SLIPPAGE
                left -= self._filled(order, left, self._price + slipped)
            for order in [each for each in self.orders if each["type"] == STOP and not each.get("_triggered")]:
                stop = round(order["stopPrice"] / TICK)
                if order["status"] == OPEN and (low <= stop if order["side"] == SELL else high >= stop):
                    order["_triggered"] = True
                    left -= self._filled(order, left, stop)
            for order in [each for each in self.orders if each["type"] == LIMIT]:
                limit = round(order["limitPrice"] / TICK)
                if high >= limit if order["side"] == SELL else low <= limit:
                    left -= self._filled(order, left, limit)

    def _filled(self, order: Row, most: int, price: int) -> int:
        """So many contracts of an order that works, and what follows from it."""
        size = min(most, int(order["size"] - order["fillVolume"]))
        if order["status"] != OPEN or size <= 0:
            return 0
        order["fillVolume"] += size
        order["status"] = FILLED if order["fillVolume"] == order["size"] else OPEN
        self.position += size if order["side"] == BUY else -size
        trade = {"id": 9000 + len(self.trades), "orderId": order["id"], "side": order["side"], "size": size}
        self.trades.append({**trade, "price": price * TICK, "voided": False, "creationTimestamp": MOMENT})
        if order.get("_legs"):
            self._protect(order, size, price)
        elif twin := next((each for each in self.orders if each["id"] == order.get("_twin")), None):
            twin["size"] -= size
            twin["status"] = CANCELLED if twin["size"] == 0 else twin["status"]
        return size

    def _protect(self, entry: Row, size: int, price: int) -> None:
        """Stop and target for what has filled: orders of their own, of which one cancels the other."""
        if legs := [each for each in self.orders if each.get("_of") == entry["id"]]:
            for each in legs:
                each["size"] += size
            return
        out, way = (SELL, 1) if entry["side"] == BUY else (BUY, -1)
        distances, of = entry["_legs"], {"_of": entry["id"]}
        stop = self._order(STOP, out, size, stopPrice=(price - way * distances[0]) * TICK, **of)
        target = self._order(LIMIT, out, size, limitPrice=(price + way * distances[1]) * TICK, **of)
        stop["_twin"], target["_twin"] = target["id"], stop["id"]


def _refused(why: str) -> Row:
    return {"success": False, "errorCode": 2, "errorMessage": why}


def _handler_of(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers as the gateway says."""

        def do_POST(self) -> None:
            """One request; what begins with an underscore is the gateway's own and is told to nobody."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = gateway.answer(self.path, body)
            if answer is None:
                self.close_connection = True
                return
            told = json.dumps(_without_own(answer)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler


def _without_own(answer: Row) -> Row:
    def bare(row: Row) -> Row:
        return {key: value for key, value in row.items() if not key.startswith("_")}

    return {key: [bare(row) for row in value] if isinstance(value, list) else value for key, value in answer.items()}
