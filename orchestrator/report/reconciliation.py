"""Whether the books agree to the cent: trades with prices, fills with trades, cash with fills."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.report.account_book import AccountBook, BookedTrade, trades_of
from orchestrator.report.formats import dollars
from orchestrator.trader.events import TradeRecord
from rl_core.market.told import MeanPrice, mean_price

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
        _check_fills(book, trades, tick_value),
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


def _check_fills(book: AccountBook, trades: list[BookedTrade], tick_value: int) -> BookStatement:
    fills = [event.payload for event in book.of("fill")]
    statement = f"{len(fills)} fills, numbered without gaps: each is of the entry or the exit of exactly one trade"
    last = 0
    if any(fill["execution"] != (last := last + fill.get("parts", 1)) for fill in fills):
        return BookStatement(statement, "the execution numbers have a gap")
    rounds = _rounds(fills)
    is_open = bool(rounds) and sum(fill["quantity"] for fill in rounds[-1]) != 0
    for round_, booked in zip(rounds, trades, strict=False):
        if fault := _round_fault(round_, booked.trade, tick_value):
            return BookStatement(statement, f"trade {booked.number}: {fault}")
    if len(trades) > len(rounds):
        return BookStatement(statement, f"no fill for order {trades[len(rounds)].trade.order_id}")
    if len(rounds) - len(trades) != (is_open and not book.ended):
        return BookStatement(statement, f"the fill of order {rounds[-1][0]['order']} belongs to no trade")
    return BookStatement(statement + (" (the last are of the open position)" if is_open else ""), "")


def _rounds(fills: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The fills by the position that they are of, from flat to flat; the last of them may be open."""
    rounds: list[list[Mapping[str, Any]]] = []
    held = 0
    for fill in fills:
        if not held:
            rounds.append([])
        rounds[-1].append(fill)
        held += fill["quantity"]
    return rounds


def _round_fault(fills: list[Mapping[str, Any]], trade: TradeRecord, tick_value: int) -> str:
    """How the trade differs from the fills that it is to be of, "" if it does not."""
    entered = [fill for fill in fills if fill["reason"] == "entry"]
    left, began = [fill for fill in fills if fill["reason"] != "entry"], _Cash()
    for fill in entered:
        began = _after_fill(began, fill, tick_value)
    if any(fill["order"] != trade.order_id for fill in fills):
        return f"no fill for order {trade.order_id}"
    first_ns = fills[0]["ts_event_ns"]
    if (began.quantity, began.entry, first_ns) != (trade.quantity, trade.entry, trade.entry_ns):
        return "it was entered otherwise"
    whole, total = abs(trade.quantity), sum(abs(fill["quantity"]) * fill["price"] for fill in left)
    if sum(fill["quantity"] for fill in left) != -trade.quantity or left[-1]["ts_event_ns"] != trade.exit_ns:
        return "it was left otherwise"
    if max(left, key=lambda fill: abs(fill["quantity"]))["reason"] != trade.reason:
        return f"most of it left for another reason than {trade.reason}"
    # One price in whole ticks for several fills: what it is better by than their sum was paid with the costs.
    better = trade.exit * whole - total if trade.quantity > 0 else total - trade.exit * whole
    if abs(better) >= whole:
        return f"its exit {trade.exit} is not the mean price of what left"
    paid = sum(fill["commission"] for fill in fills) + (better + _rests(entered) - _rests(fills)) * tick_value
    return "" if paid == trade.costs else f"its fills cost {paid} cents, and it {trade.costs}"


def _rests(fills: Iterable[Mapping[str, Any]]) -> int:
    """Ticks x contracts that the mean prices of a position, as it grew by ``fills``, are better than what was paid."""
    held, rests = _Cash(), 0
    for fill in fills:
        rests += _mean_entry(held, fill).rest if fill["reason"] == "entry" else 0
        held = _after_fill(held, fill, 0)
    return rests


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
    cash, quantity = account.cash - fill["commission"], account.quantity + fill["quantity"]
    if fill["reason"] == "entry":
        return _Cash(cash, quantity, _mean_entry(account, fill).price)
    made = (account.entry - fill["price"]) * fill["quantity"] * tick_value
    return _Cash(cash + made, quantity, account.entry if quantity else 0)


def _mean_entry(account: _Cash, fill: Mapping[str, Any]) -> MeanPrice:
    """The price of the position that the entry makes; a later part of one counts at the mean of both."""
    total = abs(account.quantity) * account.entry + abs(fill["quantity"]) * fill["price"]
    return mean_price(account.quantity + fill["quantity"], total)


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
    brought = _brought_by_what_is_open(book, tick_value)
    statement = f"sum of trade results = change of cash over all attempts ({len(opened)}) = {dollars(change)}"
    if change != pnl + brought:
        return BookStatement(statement, f"the trades add up to {pnl} cents, the cash changed by {change}")
    told = f" ({dollars(brought)} of it by the open position so far, costs included)" if brought else ""
    return BookStatement(statement + told, "")


def _brought_by_what_is_open(book: AccountBook, tick_value: int) -> int:
    """Cents that the fills of a position that is still open have changed the balance by."""
    rounds = _rounds(event.payload for event in book.of("fill"))
    account = _Cash()
    for fill in rounds[-1] if rounds else ():
        account = _after_fill(account, fill, tick_value)
    return account.cash if account.quantity else 0
