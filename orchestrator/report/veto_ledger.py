"""What a proposal would have earned alone: its fixed bracket run to its end by the market engine, without an account.

The same `rl_core.market.seconds.play_minute` that the broker uses: entry at the next open, flat at the
flat time. No floor ends it and no policy manages it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from orchestrator.report.account_book import BarColumns, BookedProposal
from rl_core.exchange.calendar import locate
from rl_core.exchange.product_hours import Family
from rl_core.market.broker import XP
from rl_core.market.fills import Venue, closed_at_last_price
from rl_core.market.own_bracket import OwnBracket, at_own_prices
from rl_core.market.seconds import play_minute
from rl_core.market.types import (
    EXIT_NAMES,
    FLAT,
    NEVER_LOCKS,
    NO_EXIT,
    NO_ORDER,
    STATIC,
    Account,
    BarOutcome,
    BarPrices,
    Order,
    Rules,
)
from rl_core.rules.pack import RulePack
from rl_core.trading.hours import EntryHours, hours_of, last_of_session

UNREACHABLE = 1 << 60  # cents
NO_RULES = Rules(start=0, target=UNREACHABLE, max_loss=UNREACHABLE, ratchet=STATIC, floor_cap=NEVER_LOCKS)
NO_RULES_ACCOUNT = Account(cash=0, floor=-UNREACHABLE)


class RunBars(NamedTuple):
    """The bars of a run as a bracket meets them."""

    prices: list[BarPrices]
    session: npt.NDArray[np.int32]  # [T] trading day
    last: npt.NDArray[np.bool_]  # [T] no bar of the same session and contract opens before the flat time after it
    flatten_due: npt.NDArray[np.bool_]  # [T] at the close of each bar
    complete: bool  # no bar of the run is missing
    seconds: Sequence[Sequence[BarPrices]] | None = None  # [T] of each bar, where they are known


class BracketResult(NamedTuple):
    """One bracket's end; money in cents, prices in ticks."""

    entry_bar: int
    entry: int
    exit_bar: int
    exit: int
    reason: str
    pnl: int  # after commissions
    risk: int
    ambiguous: bool

    @property
    def r(self) -> float:
        """Net result in units of the risk."""
        return self.pnl / self.risk


class LedgerRow(NamedTuple):
    """A proposal and its bracket's end; None if the session or the bars ended first."""

    proposal: BookedProposal
    result: BracketResult | None


def run_bars_of(
    bars: BarColumns, pack: RulePack, entry: EntryHours, *, complete: bool, family: Family = "equity"
) -> RunBars:
    """The bars of a run under the flat time of ``pack``, in the sessions of the contract's ``family``."""
    columns = (bars.open.tolist(), bars.high.tolist(), bars.low.tolist(), bars.close.tolist())
    prices = [BarPrices(*row) for row in zip(*columns, strict=True)]
    if not prices:
        return RunBars([], np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.bool_), complete)
    located = locate(bars.ts_event_ns, family)
    hours = hours_of(bars.ts_event_ns, located, pack, entry)
    last = last_of_session(bars.ts_event_ns, located.session, hours.minutes_to_flat, bars.contract.astype(np.int32))
    return RunBars(prices, located.session, last, hours.flatten_due, complete)


def veto_ledger(proposals: list[BookedProposal], run_bars: RunBars, venue: Venue) -> list[LedgerRow]:
    """Every proposal at its proposed size, alone; rows overlap, so they are never summed into money."""
    return [LedgerRow(each, play_bracket(run_bars, each.bar, each.order, venue, each.own)) for each in proposals]


def play_bracket(
    run_bars: RunBars, bar: int, order: Order, venue: Venue, own: OwnBracket | None = None
) -> BracketResult | None:
    """The end of ``order``, decided at the close of ``bar``; None if it met no open, or the tape stops too early.

    With a stop or target at a trader's ``own`` price also where the open has passed it.
    """
    free = venue._replace(rules=NO_RULES)
    position, account, working = FLAT, NO_RULES_ACCOUNT, order
    last = bar + int(np.argmax(run_bars.last[bar:]))
    if own is not None and last > bar:
        fill = run_bars.prices[bar + 1].open + XP.sign(order.quantity) * venue.terms.slippage_ticks
        working = at_own_prices(order, own, fill)
        if working == NO_ORDER:
            return None
    for now in range(bar + 1, last + 1):
        seconds = () if run_bars.seconds is None else run_bars.seconds[now]
        played = play_minute(position, account, working, run_bars.prices[now], seconds, free)
        if played.exit_reason != NO_EXIT:
            return _ended(played, bar + 1, now)
        position, account = played.position, played.account
        working = Order(0, 0, 0, True) if run_bars.flatten_due[now] else NO_ORDER
    cut_off = last == len(run_bars.prices) - 1 and not run_bars.complete
    if position.quantity == 0 or cut_off:
        return None
    return _ended(closed_at_last_price(XP, position, account, run_bars.prices[last].close, free), bar + 1, last)


def _ended(played: BarOutcome, entry_bar: int, exit_bar: int) -> BracketResult:
    return BracketResult(
        entry_bar=entry_bar,
        entry=played.entry_price,
        exit_bar=exit_bar,
        exit=played.exit_price,
        reason=EXIT_NAMES[played.exit_reason],
        pnl=played.account.cash,
        risk=played.risk,
        ambiguous=bool(played.ambiguous),
    )
