"""One account path over the bars, attempt after attempt, as `orchestrator run --gate off` plays it; no JAX.

Whoever enters is asked through one protocol (`rl_core.evaluation.entrants`), and each session may have an account of
its own instead. The path calls the functions that the trader of a run calls, of `rl_core.market`, at the same moments:
a trading day closes and opens, the order and the bracket meet a bar, the trail follows, whoever enters decides.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.seconds import SecondsByMinute
from rl_core.contract import BUY, HOLD, SELL
from rl_core.evaluation.entrants import Enters, Moment
from rl_core.evaluation.gates import Gate, Wanted
from rl_core.evaluation.path_tables import PathTables
from rl_core.evaluation.quiet_bars import after_quiet_bars
from rl_core.evaluation.span import Span
from rl_core.evaluation.trades import Trades, trades_from
from rl_core.features.market_view import MarketView
from rl_core.features.observation import AccountRoom, Mark, one_observation
from rl_core.market import broker
from rl_core.market.account import limits_today, opening_account
from rl_core.market.attempts import (
    REFUSED_SESSIONS,
    Refusals,
    Status,
    closed_day,
    judged,
    losing_streak_after,
    new_attempt,
    next_day,
    refusals_after,
    stranded,
)
from rl_core.market.broker import XP, BrokerState, BrokerStep, Fill
from rl_core.market.costs import capped, fillable, slippage_ticks
from rl_core.market.days import Days, expired
from rl_core.market.decisions import KnownAtClose, LegalActions, action_mask, legal_actions, managed, order_for
from rl_core.market.fills import Venue
from rl_core.market.own_bracket import at_own_prices
from rl_core.market.types import EXIT_NAMES, BarPrices, Limits
from rl_core.trading.setup import MAX_ENTRIES_PER_SESSION, Trading


class EndedAttempt(NamedTuple):
    """How one account ended."""

    number: int
    status: Status
    session: int  # trading day


class Accounts(NamedTuple):
    """How accounts follow each other on a path."""

    fresh_each_session: bool = False  # else one is carried until it has ended
    most_entries: int = MAX_ENTRIES_PER_SESSION  # of one session, as `orchestrator run` limits them


CARRIED = Accounts()
FRESH = Accounts(fresh_each_session=True, most_entries=1 << 30)


class CarriedPath(NamedTuple):
    """What one account after another did."""

    trades: Trades
    ordered: npt.NDArray[np.int64]  # bars at whose close an entry was ordered
    ended: tuple[EndedAttempt, ...]  # the last attempt is not among them unless it ended


class _Standing(NamedTuple):
    """Where the path stands at a close."""

    broker: BrokerState
    days: Days = Days()
    attempt: int = 1
    status: Status = "active"
    entries: int = 0  # of this session
    ordered: int = -1  # bar at whose close the working order, or that of the open position, was decided
    entry: Fill | None = None
    losing_streak: int = 0  # of the attempt
    refusals: Refusals = Refusals()  # by the gate


def play_carried(
    who: Enters,
    view: MarketView,
    trading: Trading,
    span: Span,
    *,
    seconds: SecondsByMinute | None = None,
    accounts: Accounts = CARRIED,
) -> CarriedPath:
    """Play the bars of ``span`` with one account after another.

    Args:
        who: enters, and manages where it can.
        view: the whole file; bars before the span are seen and not played.
        trading: the account, its rules, costs and hours.
        span: the bars that are played.
        seconds: of the same minutes, where fills read them.
        accounts: how they follow each other.
    """
    return played_again(PathTables(who, view, trading, seconds), span, accounts=accounts)


def played_again(
    tables: PathTables, span: Span, *, accounts: Accounts = CARRIED, gate: Gate | None = None
) -> CarriedPath:
    """Play the bars of ``span`` as `play_carried` does, over tables that several paths share.

    Args:
        tables: whoever enters, bars and setting.
        span: the bars that are played.
        accounts: how they follow each other.
        gate: reviews every entry; None: all of them are ordered.
    """
    path = _Path(tables, accounts, gate)
    standing = _Standing(BrokerState(opening_account(XP, tables.trading.venue.rules)))
    bar = span.first
    while bar < span.stop:
        standing = path.play(standing, bar, first=bar == span.first)
        standing, bar = path.following(standing, bar, span.stop)
    path.close_session(standing, span.stop - 1)
    return CarriedPath(trades_from(path.trades), np.array(path.ordered, np.int64), tuple(path.ended))


class _Path:
    """The bars and settings of one path, and the trades and attempts that it has ended so far."""

    def __init__(self, tables: PathTables, accounts: Accounts, gate: Gate | None) -> None:
        self._tables, self._accounts, self._gate = tables, accounts, gate
        self._who, self._view, self._trading, self._seconds = tables.who, tables.view, tables.trading, tables.seconds
        self._prices, self._ranges, self._session = tables.prices, tables.ranges, tables.session
        self._flatten_due, self._entry_open, self._last = tables.flatten_due, tables.entry_open, tables.last
        self.trades: list[tuple[int, ...]] = []
        self.ordered: list[int] = []
        self.ended: list[EndedAttempt] = []

    def play(self, standing: _Standing, bar: int, *, first: bool) -> _Standing:
        """Let ``bar`` close, and decide there."""
        if first or self._session[bar] != self._session[bar - 1]:
            standing = standing if first else self.close_session(standing, bar - 1)
            standing = self._open_session(standing, bar, first=first)
        elif self._last[bar - 1]:
            standing = self._go_flat(standing, bar - 1)
        standing = self._meet(standing, bar, None if first else bar - 1)
        return self._decide(standing, bar)

    def following(self, standing: _Standing, bar: int, stop: int) -> tuple[_Standing, int]:
        """The next bar in which anything can happen, ``stop`` at the latest if a position is open, and how it is met.

        Without position and order, only entries and sessions make anything happen; an open bracket waits until a price,
        the clock, the session's end or whoever manages it does.
        """
        held = standing.broker
        if held.order.quantity or held.order.flatten:
            return standing, bar + 1
        if held.position.quantity:
            return self._after_quiet(standing, bar, stop)
        account, max_loss = held.account, self._trading.venue.rules.max_loss
        active = standing.status == "active"
        room = AccountRoom(account.cash, account.floor, max_loss) if active else None
        return standing, self._tables.following(bar, room)

    def _after_quiet(self, standing: _Standing, bar: int, stop: int) -> tuple[_Standing, int]:
        """Past the bars after ``bar`` in which the open bracket meets nothing and whoever manages it holds."""
        held, manages, deeds = standing.broker, self._who.phase != 1, self._tables.held
        if held.position.trailing or self._seconds is not None or (manages and deeds is None):
            return standing, bar + 1
        due, venue = min(stop, self._tables.due(bar)), self._trading.venue
        after, following = after_quiet_bars(held, self._prices, bar + 1, due, venue)
        if deeds is not None:
            deed = deeds.first_deed(held, bar + 1, following)
            if deed < following:
                after, following = after_quiet_bars(held, self._prices, bar + 1, deed, venue)
        return standing._replace(broker=after), following

    def close_session(self, standing: _Standing, bar: int) -> _Standing:
        """Go flat at the close of ``bar``, the session's last; end an account that has no room for a trade."""
        standing = self._go_flat(standing, bar)
        account, days = closed_day(standing.broker.account, standing.days, self._trading.venue.rules)
        budget = self._trading.limits.risk_budget
        refusals = refusals_after(standing.refusals, account, standing.entries, budget)
        standing = standing._replace(broker=standing.broker._replace(account=account), days=days, refusals=refusals)
        if standing.status == "active" and (stranded(account, budget) or refusals.sessions >= REFUSED_SESSIONS):
            return self._end(standing, "stranded", bar)
        return standing

    def _open_session(self, standing: _Standing, bar: int, *, first: bool) -> _Standing:
        """Go on with the account, or open the next one where it has ended."""
        session, rules = self._session[bar], self._trading.venue.rules
        if standing.status == "active" and expired(standing.days, session, rules):
            standing = self._end(standing, "expired", bar)
        standing = standing._replace(entries=0)
        fresh = self._accounts.fresh_each_session
        if standing.status == "active" and not first and not fresh:
            account, days = next_day(standing.broker.account, standing.days, session, rules)
            return standing._replace(broker=standing.broker._replace(account=account), days=days)
        attempt = standing.attempt + (standing.status != "active" or (fresh and not first))
        account, days = new_attempt(session, rules)
        opened = standing.broker._replace(account=account)
        begun = standing._replace(broker=opened, days=days, attempt=attempt, status="active")
        return begun._replace(losing_streak=0, refusals=Refusals())

    def _go_flat(self, standing: _Standing, bar: int) -> _Standing:
        """Close at the last price of ``bar`` what no open comes in time to close; a waiting order lapses."""
        ts = int(self._view.bars.ts_event_ns[bar])
        step = broker.end_session(standing.broker, self._prices[bar][3], ts, self._venue(bar))
        return self._book(standing, step, bar)

    def _meet(self, standing: _Standing, bar: int, before: int | None) -> _Standing:
        """Let the order and the bracket meet ``bar``; what fills may slip was known at the close ``before``."""
        held, bars = standing.broker, self._view.bars
        if broker.untouched(held):
            return self._judge(standing, bar, failed=False)
        frictions = self._trading.frictions
        if frictions is not None and frictions.volume_milli and held.order.quantity:
            held = held._replace(order=capped(XP, held.order, fillable(frictions, int(bars.volume[bar]))))
        seconds = () if self._seconds is None else self._seconds.of(bar)
        prices, ts, venue = BarPrices(*self._prices[bar]), int(bars.ts_event_ns[bar]), self._venue(before)
        if held.order.quantity:
            fill = prices.open + XP.sign(held.order.quantity) * venue.terms.slippage_ticks
            own = self._who.bracket_at(standing.ordered)
            held = held._replace(order=at_own_prices(held.order, own, fill))
        standing = self._book(standing, broker.meet(held, prices, ts, venue, seconds), bar)
        if not standing.broker.position.trailing:
            return standing
        followed = broker.follow(standing.broker, prices.close, self._ranges[bar], self._trading.yardstick)
        return standing._replace(broker=followed)

    def _venue(self, bar: int | None) -> Venue:
        """The venue of fills that follow the close of ``bar``."""
        venue, frictions = self._trading.venue, self._trading.frictions
        if frictions is None or bar is None:
            return venue
        ticks = slippage_ticks(XP, frictions, int(self._view.hours.decision_minute[bar]), self._ranges[bar])
        return venue._replace(terms=venue.terms._replace(slippage_ticks=ticks))

    def _book(self, standing: _Standing, step: BrokerStep, bar: int) -> _Standing:
        """Take over what the broker did in ``bar``, and judge the account."""
        standing = standing._replace(broker=step.state)
        for fill in step.fills:  # an entry may be stopped out in its own bar: two fills, the entry first
            if fill.reason == "entry":
                standing = standing._replace(entry=fill)
            else:
                standing = self._close_trade(standing, fill, int(step.played.risk), bar)
        return self._judge(standing, bar, failed=bool(step.played.failed))

    def _judge(self, standing: _Standing, bar: int, *, failed: bool) -> _Standing:
        """End the attempt if it has passed or failed by ``bar``."""
        if standing.status != "active":
            return standing
        held, rules = standing.broker, self._trading.venue.rules
        status = judged(standing.days, held.account, held.position, rules, failed=failed)
        return standing if status == "active" else self._end(standing, status, bar)

    def _close_trade(self, standing: _Standing, leaving: Fill, risk: int, bar: int) -> _Standing:
        entry = standing.entry
        assert entry is not None, "an exit without an entry"
        gross = (leaving.price - entry.price) * entry.quantity * self._trading.venue.terms.tick_value
        row = {
            "session": self._session[bar],
            "attempt": standing.attempt,
            "quantity": entry.quantity,
            "decided": standing.ordered,
            "entry": entry.price,
            "exit_bar": bar,
            "exit": leaving.price,
            "reason": EXIT_NAMES.index(leaving.reason),
            "pnl_cents": gross - entry.commission - leaving.commission,
            "risk_cents": risk,
        }
        self.trades.append(tuple(row[name] for name in Trades._fields))
        days = standing.days._replace(trades_today=standing.days.trades_today + 1)
        streak = losing_streak_after(standing.losing_streak, row["pnl_cents"])
        return standing._replace(entry=None, days=days, losing_streak=streak)

    def _end(self, standing: _Standing, status: Status, bar: int) -> _Standing:
        self.ended.append(EndedAttempt(standing.attempt, status, self._session[bar]))
        return standing._replace(status=status)

    def _decide(self, standing: _Standing, bar: int) -> _Standing:
        """Flatten if due, else ask whoever enters where there is a choice."""
        held, may_enter = standing.broker, self._tables.may_enter
        if held.position.quantity:
            if self._who.phase == 1 and not self._flatten_due[bar]:
                return standing  # an open bracket leaves no choice to whoever only enters
        elif may_enter is not None and not may_enter[bar]:
            return standing
        venue = self._venue(bar)
        limits = limits_today(XP, self._trading.limits, held.account)
        entry_open = self._entry_open[bar] and standing.status == "active"
        own = self._who.bracket_at(bar)
        known = KnownAtClose(
            close=self._prices[bar][3],
            true_range_sum=self._ranges[bar],
            entry_open=entry_open,
            flatten_due=self._flatten_due[bar],
            yardstick=self._trading.yardstick,
            bracket=None if own is None else own.distances,
        )
        if known.flatten_due and held.position.quantity:
            order = order_for(XP, HOLD, held.position, known, venue.terms, limits)
            return standing._replace(broker=held._replace(order=order))
        legal = legal_actions(XP, held.position, held.account, known, venue.terms, limits)
        mask = action_mask(legal, self._who.phase)
        if not any(mask[1:]):
            return standing
        action = self._who.choose(Moment(bar, mask, lambda: self._observation(standing, bar, legal)))
        return self._act(standing, bar, action, known, venue, limits)

    def _observation(self, standing: _Standing, bar: int, legal: LegalActions) -> npt.NDArray[np.float32]:
        held = standing.broker
        yardstick = self._trading.yardstick
        window = self._view.features.values[bar - yardstick.window + 1 : bar + 1].reshape(-1)
        mark = Mark(self._prices[bar][3], self._ranges[bar], yardstick.atr_bars)
        equity = broker.equity_at(held, mark.close, self._trading.venue)
        room = AccountRoom(equity, held.account.floor, self._trading.venue.rules.max_loss)
        return one_observation(window, held.position, mark, room if self._who.phase == 2 else None, legal.enter)

    def _act(
        self, standing: _Standing, bar: int, action: int, known: KnownAtClose, venue: Venue, limits: Limits
    ) -> _Standing:
        held = standing.broker
        if action == HOLD:
            return standing
        if action not in (BUY, SELL):
            position = managed(XP, action, held.position, known, venue.terms)
            return standing._replace(broker=held._replace(position=position))
        if standing.entries >= self._accounts.most_entries:
            return standing
        order = order_for(XP, action, held.position, known, venue.terms, limits)
        if self._gate is not None:
            said = self._gate.review(Wanted(bar, order, held.account, standing.losing_streak))
            # Floored towards zero on both sides: half of 3 contracts is 1, long or short.
            order = order._replace(quantity=XP.sign(order.quantity) * int(said.share * abs(order.quantity)))
            refusals = standing.refusals._replace(vetoes=standing.refusals.vetoes + said.vetoed)
            standing = standing._replace(refusals=refusals)
        if not order.quantity:
            return standing
        self.ordered.append(bar)
        return standing._replace(broker=held._replace(order=order), entries=standing.entries + 1, ordered=bar)
