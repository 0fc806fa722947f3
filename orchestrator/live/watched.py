"""What a person watches of a run, as its journal grows: prices, orders, the account, what the gate was told."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from orchestrator.journal.lines import Record
from orchestrator.report.filled_by import is_rejected
from orchestrator.report.status import Standings, after
from orchestrator.trader.events import own_from
from rl_core.market.own_bracket import OwnBracket, at_own_prices
from rl_core.market.types import NO_ORDER, Order
from rl_core.trading.hours import MINUTE_NS

Item = TypeVar("Item")

BARS, MARKS, TRADES, DECISIONS, NOTES = 1500, 4000, 200, 60, 12
"""How many of the last of each are shown."""


class Latest(Generic[Item]):
    """The last items of a row that grows, each with its place in the whole row."""

    def __init__(self, most: int) -> None:
        """Keep the last ``most``."""
        self._items: deque[Item] = deque(maxlen=most)
        self.count = 0
        """Of the whole row."""

    def add(self, item: Item) -> None:
        """One more."""
        self._items.append(item)
        self.count += 1

    def since(self, place: int) -> list[Item]:
        """Those from ``place`` on that are still kept."""
        return list(islice(self._items, max(0, len(self._items) - max(0, self.count - place)), None))

    def all(self) -> list[Item]:
        """Those that are kept, the oldest first."""
        return list(self._items)


class WatchedBar(NamedTuple):
    """One bar with what was open at its close; prices in ticks."""

    ts_event_ns: int
    open: int
    high: int
    low: int
    close: int
    stop: int | None = None
    target: int | None = None


class Mark(NamedTuple):
    """The account at one close, in cents."""

    ts_ns: int
    equity: int
    floor: int


class WatchedFill(NamedTuple):
    """One execution."""

    ts_event_ns: int
    price: int
    quantity: int
    reason: str


class Decision(NamedTuple):
    """An entry that the policy wanted, and what became of it so far."""

    closed_ns: int
    quantity: int
    close: int
    context: Mapping[str, Any]
    outcome: str = "asked"
    odds_milli: Mapping[str, int] | None = None
    reason: str = ""
    taken: int | None = None  # contracts that were ordered; None: not known yet
    not_taken: str = ""


class Watched:
    """A fold of the records that came so far."""

    def __init__(self) -> None:
        """Before the first record."""
        self.now = Standings()
        self.records = 0
        self.bars: Latest[WatchedBar] = Latest(BARS)
        self.marks: Latest[Mark] = Latest(MARKS)
        self.fills: Latest[WatchedFill] = Latest(TRADES)
        self.trades: Latest[Mapping[str, Any]] = Latest(TRADES)
        self.decisions: Latest[str] = Latest(DECISIONS)
        self.proposals: dict[str, Decision] = {}
        self.notes: Latest[Record] = Latest(NOTES)
        self.verdicts: Counter[str] = Counter()
        """What the gate said, by its kind."""
        self.session_opened = 0
        """Cents at which the session of the last bar began."""
        self.entries_today = 0
        self._next_opens: int | None = None  # cents at which the next one will, once a session is over
        self._order: Order = NO_ORDER  # the last one
        self._own: OwnBracket | None = None  # the stop and target at prices that it brought
        self.target: int | None = None
        self.plan: Mapping[str, Any] | None = None
        """The last one of a run in advisory mode."""
        self.plan_over = False
        """Whether it was cancelled."""
        self.last_seq = -1
        """Number of the last bar."""

    def take(self, record: Record) -> None:
        """One more record."""
        self.records = record.number
        self.now = after(self.now, record.type, record.payload)
        handler = self._HANDLERS.get(record.type)
        if handler is not None:
            handler(self, record.payload)
        if record.type in _TOLD or is_rejected(record.type, record.payload):
            self.notes.add(record)

    def _on_bar(self, payload: Mapping[str, Any]) -> None:
        if self._next_opens is not None:
            self.session_opened, self.entries_today, self._next_opens = self._next_opens, 0, None
        self.last_seq = payload["seq"]
        known = {name: payload[name] for name in ("ts_event_ns", "open", "high", "low", "close")}
        self.bars.add(WatchedBar(**known, stop=self.now.stop, target=self.target))

    def _on_mark(self, payload: Mapping[str, Any]) -> None:
        self._mark(payload["equity"], payload["floor"])

    def _on_account(self, payload: Mapping[str, Any]) -> None:
        self.session_opened, self.entries_today = payload["cash"], 0
        self._mark(payload["cash"], payload["floor"])

    def _on_session(self, payload: Mapping[str, Any]) -> None:
        self._next_opens = payload["cash"]
        self._mark(payload["cash"], payload["floor"])

    def _mark(self, equity: int, floor: int) -> None:
        if self.now.last_bar_ns is not None:
            self.marks.add(Mark(self.now.last_bar_ns + MINUTE_NS, equity, floor))

    def _on_intent(self, payload: Mapping[str, Any]) -> None:
        self._order = Order(payload["quantity"], payload["stop_ticks"], payload["target_ticks"], False)
        self._own = own_from(payload)
        self.entries_today += 1
        self._update(payload["order"], taken=payload["quantity"])

    def _on_fill(self, payload: Mapping[str, Any]) -> None:
        fill = WatchedFill(*(payload[name] for name in WatchedFill._fields))
        self.fills.add(fill)
        if fill.reason == "entry":
            entry = self.now.entry  # of parts that come one after another, their mean
            assert entry is not None, "an entry has a price"
            side, order = (1 if fill.quantity > 0 else -1), at_own_prices(self._order, self._own, entry)
            self.target = entry + side * order.target_ticks
            self.now = self.now._replace(stop=entry - side * order.stop_ticks)
        elif not self.now.quantity:
            self.target = None

    def _on_plan(self, payload: Mapping[str, Any]) -> None:
        self.plan, self.plan_over = payload, False

    def _on_cancelled(self, payload: Mapping[str, Any]) -> None:
        self.plan_over = True

    def _on_trade(self, payload: Mapping[str, Any]) -> None:
        self.trades.add(payload)

    def _on_proposed(self, payload: Mapping[str, Any]) -> None:
        proposal, name = payload["proposal"], payload["proposal"]["proposal_id"]
        assert self.now.last_bar_ns is not None and self.now.close is not None, "an entry is decided at a close"
        closed_ns = self.now.last_bar_ns + MINUTE_NS
        self.proposals[name] = Decision(closed_ns, payload["quantity"], self.now.close, proposal["context"])
        self.decisions.add(name)
        for old in list(self.proposals)[: len(self.proposals) - DECISIONS]:
            del self.proposals[old]

    def _on_decided(self, payload: Mapping[str, Any]) -> None:
        outcome = payload["outcome"]
        self.verdicts[outcome["kind"]] += 1
        reason = str(outcome.get("reason", outcome.get("cause", "")))
        self._update(payload["proposal"], outcome=outcome["kind"], odds_milli=payload.get("odds_milli"), reason=reason)

    def _on_closed(self, payload: Mapping[str, Any]) -> None:
        self._update(payload["proposal"], not_taken=payload["code"])

    def _on_denied(self, payload: Mapping[str, Any]) -> None:
        self._update(payload["order"], not_taken=f"denied: {payload['code']}")

    def _on_order(self, payload: Mapping[str, Any]) -> None:
        if is_rejected("order", payload):
            self._update(payload["order"], not_taken=f"rejected by the broker: {payload['reason']}")

    def _update(self, name: str, **known: Any) -> None:
        if name in self.proposals:
            self.proposals[name] = self.proposals[name]._replace(**known)

    _HANDLERS: ClassVar[dict[str, Callable[["Watched", Mapping[str, Any]], None]]] = {
        "bar": _on_bar,
        "mark": _on_mark,
        "account_opened": _on_account,
        "session_closed": _on_session,
        "intent": _on_intent,
        "fill": _on_fill,
        "plan": _on_plan,
        "cancelled": _on_cancelled,
        "trade": _on_trade,
        "proposed": _on_proposed,
        "decided": _on_decided,
        "proposal_closed": _on_closed,
        "denied": _on_denied,
        "order": _on_order,
    }


_ACCOUNT_NOTES = ("account_opened", "account_ended", "session_closed", "day_paused", "stood_down", "end")
_ORDER_NOTES = ("flatten", "managed", "stop_kept", "still_open", "cancelled")
_TOLD = frozenset((*_ACCOUNT_NOTES, *_ORDER_NOTES, "operator", "guard", "feed", "flat_time"))
"""Records of which the page tells as they come; orders, fills and verdicts have places of their own."""
