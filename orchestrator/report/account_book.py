"""A run's journal as tables: bars, trades, proposals with their verdicts, equity points."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.journal.journal import read_journal, refuse_other_run
from orchestrator.journal.lines import NO_DIGEST, Record
from orchestrator.report.filled_by import is_rejected
from orchestrator.run.folder import RunFolder
from orchestrator.trader.events import TradeRecord, own_from, seconds_from
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import NO_ORDER, BarPrices, Order

REJECTED = "rejected_by_the_broker"
TICKS = ("open", "high", "low", "close")


class BarColumns(NamedTuple):
    """The bars of the run [T]."""

    ts_event_ns: npt.NDArray[np.int64]  # start, UTC
    open: npt.NDArray[np.int64]  # ticks
    high: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    close: npt.NDArray[np.int64]
    contract: npt.NDArray[np.int64]  # rolls before it
    volume: npt.NDArray[np.int64]  # contracts

    def holding(self, times_ns: Sequence[int]) -> npt.NDArray[np.int64]:
        """Index of the bar in which each time [N] lies: a broker's executions have times inside a bar."""
        return np.searchsorted(self.ts_event_ns, np.array(times_ns, np.int64), side="right").astype(np.int64) - 1


class Event(NamedTuple):
    """Any record but a bar."""

    type: str
    payload: Mapping[str, Any]
    bar: int  # index of the last bar recorded before it


class BookedTrade(NamedTuple):
    """One round trip and the attempt it belongs to."""

    number: int
    attempt: int
    trade: TradeRecord

    @property
    def r(self) -> float:
        """Net result in units of the trade's risk."""
        return self.trade.pnl / self.trade.risk


class BookedProposal(NamedTuple):
    """An entry that the policy wanted, and what became of it."""

    proposal_id: str
    bar: int  # decided at the close of this one
    order: Order
    context: Mapping[str, Any]
    decided: Mapping[str, Any] | None  # None without a gate
    closed: str  # code, "" if it led to an order that stood
    taken: Order  # NO_ORDER if it led to none
    own: OwnBracket | None = None  # a trader's own stop or target at a price, which stays wherever the entry fills

    @property
    def outcome(self) -> str:
        """approve, veto, resize, gate_failed, or ungated."""
        return "ungated" if self.decided is None else str(self.decided["outcome"]["kind"])


class EquityPoint(NamedTuple):
    """The account at one close; money in cents."""

    bar: int
    attempt: int
    equity: int
    floor: int
    quantity: int
    kind: str  # opened, mark, session_closed, ended


class AccountBook(NamedTuple):
    """What a journal holds."""

    bars: BarColumns
    events: tuple[Event, ...]
    ended: bool
    head: str  # digest of the journal's last record
    records: int
    seconds: tuple[tuple[BarPrices, ...], ...] | None = None  # [T] of every bar; None: they were not read

    def of(self, *types: str) -> list[Event]:
        """The events of these types, in order."""
        return [event for event in self.events if event.type in types]


def read_account_book(folder: RunFolder) -> AccountBook:
    """The tables of a run's journal, which must be what its manifest knows.

    Of a run that has not ended, the bar that was being played last is left out.

    Raises:
        DamagedJournalError: records are lost or damaged.
        ForeignJournalError: the journal is another run's.
        ResourceError: journal or manifest cannot be read.
    """
    manifest = folder.manifest()
    records = read_journal(folder.journal, manifest.known_head)
    first = next(records, None)
    refuse_other_run(folder.journal, first, manifest.run_id)
    return account_book(records if first is None else chain((first,), records))


def account_book(records: Iterable[Record]) -> AccountBook:
    """The tables of ``records``."""
    bars: list[Mapping[str, Any]] = []
    events: list[Event] = []
    head, count, last = NO_DIGEST, 0, ""
    for record in records:
        head, count, last = record.digest, record.number, record.type
        if record.type == "bar":
            bars.append(record.payload)
        else:
            events.append(Event(record.type, record.payload, len(bars) - 1))
    ended = last == "end"
    if not ended and bars:
        # The records of one bar are written one by one: a kill may have left a fill without its trade.
        bars.pop()
        events = [event for event in events if event.bar < len(bars)]
    return AccountBook(_columns(bars), tuple(events), ended, head, count, _seconds(bars))


def trades_of(book: AccountBook) -> list[BookedTrade]:
    """Every closed trade."""
    return [
        BookedTrade(
            event.payload["number"],
            event.payload["attempt"],
            TradeRecord(**{field: event.payload[field] for field in TradeRecord._fields}),
        )
        for event in book.of("trade")
    ]


def proposals_of(book: AccountBook) -> list[BookedProposal]:
    """Every proposal with its verdict and its order."""
    decided = {event.payload["proposal"]: event.payload for event in book.of("decided")}
    closed = {event.payload["proposal"]: event.payload["code"] for event in book.of("proposal_closed")}
    answers = [event.payload for event in book.of("order") if is_rejected(event.type, event.payload)]
    rejected = {answer["order"]: REJECTED for answer in answers}
    denied = {event.payload["order"]: f"denied: {event.payload['code']}" for event in book.of("denied")}
    taken = {event.payload["order"]: _order(event.payload) for event in book.of("intent")}
    proposals = []
    for event in book.of("proposed"):
        name = event.payload["proposal"]["proposal_id"]
        proposals.append(
            BookedProposal(
                proposal_id=name,
                bar=event.bar,
                order=_order(event.payload),
                context=event.payload["proposal"]["context"],
                decided=decided.get(name),
                closed=closed.get(name, denied.get(name, rejected.get(name, ""))),
                taken=taken.get(name, NO_ORDER),
                own=own_from(event.payload),
            )
        )
    return proposals


def equity_points(book: AccountBook, session: npt.NDArray[np.int32]) -> list[EquityPoint]:
    """The account wherever it was recorded; ``session`` [T] is the trading day of each bar."""
    points: list[EquityPoint] = []
    attempt = 1
    for event in book.of("account_opened", "mark", "session_closed", "account_ended"):
        payload = event.payload
        attempt = payload.get("attempt", attempt)
        equity, bar = payload.get("equity", payload.get("cash")), event.bar
        if event.type == "session_closed":
            # It is written when the next session's first bar comes, and belongs to its own last bar.
            bar = int(np.searchsorted(session, payload["session"], side="right")) - 1
        kind = event.type.removeprefix("account_")
        points.append(EquityPoint(bar, attempt, int(equity), payload["floor"], payload.get("quantity", 0), kind))
    return points


def _order(payload: Mapping[str, Any]) -> Order:
    return Order(payload["quantity"], payload["stop_ticks"], payload["target_ticks"], False)


def _seconds(bars: list[Mapping[str, Any]]) -> tuple[tuple[BarPrices, ...], ...] | None:
    frames = [seconds_from(bar) for bar in bars]
    if all(frame is None for frame in frames):
        return None
    return tuple(tuple(row.prices for row in frame or ()) for frame in frames)


def _columns(bars: list[Mapping[str, Any]]) -> BarColumns:
    return BarColumns(
        *(np.array([bar[name] for bar in bars], np.int64) for name in ("ts_event_ns", *TICKS, "contract", "volume"))
    )
