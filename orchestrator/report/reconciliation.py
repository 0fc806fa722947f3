"""Whether the books agree to the cent: trades with prices, fills with trades, cash with fills."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from orchestrator.report.account_book import AccountBook, BookedTrade, trades_of
from orchestrator.report.formats import dollars

MONEY = ("account_opened", "fill", "mark", "session_closed", "account_ended")


class BookStatement(NamedTuple):
    """One statement about the books."""

    statement: str
    fault: str  # "" if it holds

    @property
    def holds(self) -> bool:
        """Whether it is true."""
        return not self.fault


class _Cash(NamedTuple):
    """The account as the fills make it."""

    cash: int = 0
    quantity: int = 0
    entry: int = 0


def reconcile(book: AccountBook, tick_value: int) -> tuple[BookStatement, ...]:
    """Every check; ``tick_value`` in cents per tick and contract."""
    trades = trades_of(book)
    return (
        _check_prices(trades, tick_value),
        _check_fills(book, trades),
        _check_cash(book, tick_value),
        _check_total(book, trades, tick_value),
    )


def _check_prices(trades: list[BookedTrade], tick_value: int) -> BookStatement:
    statement = (
        f"{len(trades)} trades: gross = (exit - entry) × quantity × {dollars(tick_value)} a tick, net = gross - costs"
    )
    for booked in trades:
        trade = booked.trade
        gross = (trade.exit - trade.entry) * trade.quantity * tick_value
        if trade.gross != gross or trade.pnl != gross - trade.costs:
            fault = f"trade {booked.number}: gross {trade.gross}, costs {trade.costs}, result {trade.pnl} cents; "
            return BookStatement(statement, f"{fault}its prices give a gross of {gross}")
    return BookStatement(statement, "")


def _check_fills(book: AccountBook, trades: list[BookedTrade]) -> BookStatement:
    fills = [event.payload for event in book.of("fill")]
    statement = f"{len(fills)} fills, numbered without gaps: each is the entry or the exit of exactly one trade"
    last = 0
    if any(fill["execution"] != (last := last + fill.get("parts", 1)) for fill in fills):
        return BookStatement(statement, "the execution numbers have a gap")
    filled = Counter(_fill_key(fill) for fill in fills)
    traded = Counter(key for booked in trades for key in _trade_keys(booked))
    untraded, missing = filled - traded, traded - filled
    if missing:
        return BookStatement(statement, f"no fill for order {min(missing)[0]}")
    if untraded and not (not book.ended and sum(untraded.values()) == 1 and fills[-1]["reason"] == "entry"):
        return BookStatement(statement, f"the fill of order {min(untraded)[0]} belongs to no trade")
    paid = sum(fill["commission"] for fill in fills[: 2 * len(trades)])
    costs = sum(booked.trade.costs for booked in trades)
    if paid != costs:
        return BookStatement(statement, f"the fills paid {paid} cents of commission, the trades {costs}")
    return BookStatement(statement + (" (the last is the entry of the open position)" if untraded else ""), "")


def _fill_key(fill: Mapping[str, Any]) -> tuple[str, int, int, int, str]:
    return fill["order"], fill["quantity"], fill["price"], fill["ts_event_ns"], fill["reason"]


def _trade_keys(booked: BookedTrade) -> tuple[tuple[str, int, int, int, str], ...]:
    trade = booked.trade
    return (
        (trade.order_id, trade.quantity, trade.entry, trade.entry_ns, "entry"),
        (trade.order_id, -trade.quantity, trade.exit, trade.exit_ns, trade.reason),
    )


def _check_cash(book: AccountBook, tick_value: int) -> BookStatement:
    account, compared = _Cash(), 0
    for event in book.of(*MONEY):
        if event.type == "account_opened":
            account = _Cash(event.payload["cash"])
            continue
        if event.type == "fill":
            account = _after_fill(account, event.payload, tick_value)
            continue
        compared += 1
        open_profit = (int(book.bars.close[event.bar]) - account.entry) * account.quantity * tick_value
        due = account.cash + (open_profit if event.type == "mark" else 0)
        recorded = event.payload["equity" if event.type == "mark" else "cash"]
        if recorded != due:
            fault = f"{event.type} at bar {event.bar}: recorded {recorded} cents, the fills give {due}"
            return BookStatement("every recorded balance = cash + open profit - costs, as the fills make it", fault)
    return BookStatement(f"all {compared:,} recorded balances = cash + open profit - costs, as the fills make it", "")


def _after_fill(account: _Cash, fill: Mapping[str, Any], tick_value: int) -> _Cash:
    cash = account.cash - fill["commission"]
    if fill["reason"] == "entry":
        return _Cash(cash, fill["quantity"], fill["price"])
    return _Cash(cash + (fill["price"] - account.entry) * account.quantity * tick_value)


def _check_total(book: AccountBook, trades: list[BookedTrade], tick_value: int) -> BookStatement:
    pnl = sum(booked.trade.pnl for booked in trades)
    opened = {event.payload["attempt"]: event.payload["cash"] for event in book.of("account_opened")}
    last, attempt, entry = dict(opened), 1, _Cash()
    for event in book.of(*MONEY):
        payload = event.payload
        attempt = payload.get("attempt", attempt)
        if event.type == "fill":
            entry = _after_fill(entry, payload, tick_value)
        elif event.type == "mark":
            open_profit = (int(book.bars.close[event.bar]) - entry.entry) * entry.quantity * tick_value
            last[attempt] = payload["equity"] - open_profit
        else:
            last[attempt] = payload["cash"]
    change = sum(last[number] - opened[number] for number in opened)
    paid = sum(event.payload["commission"] for event in book.of("fill")[2 * len(trades) :])
    statement = f"sum of trade results = change of cash over all attempts ({len(opened)}) = {dollars(change)}"
    if change != pnl - paid:
        return BookStatement(statement, f"the trades add up to {pnl} cents, the cash changed by {change}")
    return BookStatement(statement + (f" ({dollars(paid)} paid to enter the open position)" if paid else ""), "")
