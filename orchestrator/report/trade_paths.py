"""What a trade went through between its fills: how far behind and ahead it was, and where its stop stood."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from orchestrator.report.account_book import AccountBook, BarColumns, BookedProposal, BookedTrade
from rl_core.market.own_bracket import at_own_prices
from rl_core.market.types import Ticks


class TradePath(NamedTuple):
    """One trade, bar by bar."""

    entry_bar: int
    exit_bar: int
    target: Ticks
    stops: tuple[tuple[int, Ticks], ...]  # (bar from which on, price), the first at the entry
    adverse: Ticks  # furthest that it was behind its entry, from 0 on: the maximum adverse excursion
    favourable: Ticks  # furthest that it was ahead: the maximum favourable excursion


def trade_paths(book: AccountBook, trades: list[BookedTrade], proposals: list[BookedProposal]) -> dict[int, TradePath]:
    """The path of every trade, by its number: one order makes two where a broker fills a part of it after the exit."""
    ordered = {proposal.proposal_id: proposal for proposal in proposals}
    in_force = _stops_in_force(book)
    paths = {}
    for booked in trades:
        trade, proposal = booked.trade, ordered[booked.trade.order_id]
        order = at_own_prices(proposal.taken, proposal.own, trade.entry)
        first, last = (int(bar) for bar in book.bars.holding([trade.entry_ns, trade.exit_ns]))
        side = 1 if trade.quantity > 0 else -1
        stops = [(first, trade.entry - side * order.stop_ticks)]
        for bar in range(first + 1, last + 1):
            if in_force.get(bar, stops[-1][1]) != stops[-1][1]:
                stops.append((bar, in_force[bar]))
        adverse, favourable = _excursions(book.bars, booked, (first, last))
        paths[booked.number] = TradePath(
            first, last, trade.entry + side * order.target_ticks, tuple(stops), adverse, favourable
        )
    return paths


def _stops_in_force(book: AccountBook) -> Mapping[int, Ticks]:
    """The stop of the open position during each bar, as it stood at the close before, managed, trailed or kept."""
    known: dict[int, Ticks] = {}
    for event in book.of("mark", "managed", "stop_kept"):
        if event.type != "mark" or event.payload["quantity"]:
            known[event.bar + 1] = event.payload["stop"]
    return known


def _excursions(bars: BarColumns, booked: BookedTrade, span: tuple[int, int]) -> tuple[Ticks, Ticks]:
    """How far the trade was behind and ahead, in ticks from its entry.

    Of the last bar only what is known to have come before the exit counts: its open and the exit itself, and all of it
    where the trade was closed by the clock at its last price.
    """
    trade, (first, last) = booked.trade, span
    side = 1 if trade.quantity > 0 else -1
    whole = last + (trade.reason == "session_end")
    high, low = (side * (column[first:whole] - trade.entry) for column in (bars.high, bars.low))
    moments = [0, side * (trade.exit - trade.entry)]
    moments += [side * (int(bars.open[last]) - trade.entry)] if last > first else []
    seen = np.concatenate([high, low, np.array(moments, np.int64)])
    return int(max(0, -seen.min())), int(max(0, seen.max()))
