"""The engine is one: trader and broker over plain integers play what the environment plays, to the cent."""

from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from orchestrator.messaging.catalogue import Bar
from orchestrator.trader.machine import advance, opening_state
from orchestrator.trader.seen_at_close import CloseView, CloseViewStream
from orchestrator.trader.state import AskPolicy, BarClosed, BarsEnded, PolicyAnswered, Setting, Step, TraderState
from rl_core.contract import HOLD
from rl_core.envs.env import Env, EnvParams, EnvState, new_accounts
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.features.market_view import MarketView, view_of
from rl_core.market import broker
from rl_core.market.broker import BrokerState
from rl_core.market.fills import Venue
from rl_core.market.types import (
    ADAPTIVE,
    EXIT_NAMES,
    FLAT,
    INTRADAY,
    NO_ORDER,
    PESSIMISTIC,
    STATIC,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.trading.hours import MINUTE_NS, EntryHours
from tests.rl_core.markets import legacy_pack, mnq_limits, mnq_venue, random_bars, session_minutes

SESSIONS, ACCOUNTS = 4, 6
FULL_ROOM = (1.0, 1.0)
SILENT_FROM = int(np.datetime64("2024-11-19T21:53", "ns").astype(np.int64))
LEGACY = legacy_pack().compiled()
TIGHT = LEGACY._replace(max_loss=90_000)
TIGHTER = LEGACY._replace(max_loss=60_000)  # a wider stop leaves the floor less often in its way
ROOMY = LEGACY._replace(max_loss=2_000_000, target=9_000_000, ratchet=STATIC)
OTHER = Yardstick(5, 7, Fraction(9, 4), Fraction(7, 5), Fraction(3, 5))
CASES = [
    (Env(1), mnq_venue(rules=TIGHT), {"stop", "target", "liquidation"}),
    (Env(1), mnq_venue(rules=ROOMY), {"stop", "target", "flatten", "session_end"}),
    (Env(2), mnq_venue(rules=ROOMY), {"stop", "target", "flatten", "session_end"}),
    (Env(2), mnq_venue(ADAPTIVE, TIGHT), {"stop", "target", "liquidation"}),
    (Env(2, OTHER), mnq_venue(rules=TIGHTER), {"stop", "target", "flatten", "liquidation"}),
]


@cache
def view(yardstick: Yardstick = USUAL) -> MarketView:
    """Four sessions in which one minute in twenty has no bar; the first only warms up.

    On the second day nothing trades from 16:53 to 16:59 New York time: no open comes before the flat time.
    """
    minutes = session_minutes(SESSIONS)
    silent = (minutes >= SILENT_FROM) & (minutes < SILENT_FROM + 6 * MINUTE_NS)
    return view_of(random_bars(11, minutes[~silent], missing=0.05), legacy_pack(), EntryHours(), yardstick)


@cache
def views(yardstick: Yardstick) -> tuple[list[Bar], list[CloseView]]:
    """The same bars as the trader sees them, one by one."""
    bars = view().bars
    columns = (bars.ts_event_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    names = ("ts_event_ns", "open", "high", "low", "close", "volume")
    shown = [Bar(seq=t, **dict(zip(names, row, strict=True))) for t, row in enumerate(rows)]
    stream = CloseViewStream(int(bars.ts_event_ns[0]), legacy_pack(), EntryHours(), yardstick=yardstick)
    return shown, [stream.push(bar) for bar in shown]


class Played(NamedTuple):
    """One account in the environment: lists by step, from its start to its end."""

    start: int
    values: np.ndarray[Any, Any]  # [K, O]
    mask: np.ndarray[Any, Any]  # [K, A]
    action: list[int]
    account: list[tuple[int, int]]  # after each step
    position: list[tuple[int, ...]]
    trades: list[tuple[int, int, int, str]]  # pnl, risk, side, reason


def chosen(mask: np.ndarray[Any, Any], dice: np.ndarray[Any, Any], late: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Any legal action [B], by the first account at every close, by the last nearly never; late entries by all.

    Args:
        mask: [B, A].
        dice: [B, 1 + A] uniform.
        late: [B] bool: little moves from here on, so that positions live to the flat time.
    """
    any_legal = np.where(mask, dice[:, 1:], -1.0).argmax(axis=1)
    patience = np.where(late, np.where(mask[:, 1], 0.3, 0.99), np.resize(np.linspace(0.0, 0.99, ACCOUNTS), len(mask)))
    return np.where(dice[:, 0] < patience, 0, any_legal).astype(np.int32)


def played(env: Env, venue: Venue, seed: int) -> list[Played]:
    """Accounts with full room from the first entry minute of each warm session to its end, under random actions."""
    market, params = make_market(view(env.yardstick)), EnvParams(venue, mnq_limits(), *FULL_ROOM)
    starts = np.asarray(market.starts)[: int(market.start_count)]
    _, begins = np.unique(view().located.session[starts], return_index=True)
    bar = np.repeat(starts[begins], ACCOUNTS)
    steps = stepped(env, market, params, bar, seed)
    return [one_account(steps, b, int(start)) for b, start in enumerate(bar)]


def stepped(env: Env, market: MarketArrays, params: EnvParams, bar: np.ndarray[Any, Any], seed: int) -> list[Any]:
    """(observation, action, result, live) of every step."""
    count, rules = len(bar), params.venue.rules
    zeros = jnp.zeros(count, jnp.int32)
    state = EnvState(jnp.asarray(bar), Position(*(zeros for _ in FLAT)), new_accounts(rules, count))
    observe, step = jax.jit(env.observe), jax.jit(env.step)
    late = view().hours.decision_minute >= 15 * 60 + 41
    dice, live, steps = np.random.default_rng(seed), np.ones(count, bool), []
    while live.any():
        shown = jax.device_get(observe(market, params, state))
        action = chosen(
            shown.legal_actions, dice.uniform(size=(count, 1 + env.num_actions)), late[np.asarray(state.bar)]
        )
        result = jax.device_get(step(market, params, state, jnp.asarray(action)))
        steps.append((shown, action, result, live))
        live = live & ~(result.terminated | result.truncated)
        state = jax.tree.map(lambda new, old, on=live: jnp.where(on, new, old), result.state, state)
    return steps


def one_account(steps: list[Any], b: int, start: int) -> Played:
    """Account ``b`` of the batch."""
    own = [step for step in steps if step[3][b]]
    results = [result for _, _, result, _ in own]
    trades = [
        (int(t.pnl_cents[b]), int(t.risk_cents[b]), int(t.side[b]), EXIT_NAMES[t.reason[b]])
        for t in (result.trade for result in results)
        if t.closed[b]
    ]
    return Played(
        start=start,
        values=np.stack([shown.values[b] for shown, *_ in own]),
        mask=np.stack([shown.legal_actions[b] for shown, *_ in own]),
        action=[int(action[b]) for _, action, *_ in own],
        account=[(int(r.state.account.cash[b]), int(r.state.account.floor[b])) for r in results],
        position=[tuple(int(field[b]) for field in r.state.position) for r in results],
        trades=trades,
    )


class Replay:
    """The trader over the bars of one environment account, given the actions that were chosen there."""

    def __init__(self, env: Env, venue: Venue, reference: Played) -> None:
        plain = Setting("0" * 32, env.phase, venue, mnq_limits(), False, False, Decimal(0), 1000)
        self.setting = plain._replace(yardstick=env.yardstick)
        self.reference, self.asked = reference, 0
        self.trades: list[tuple[int, int, int, str]] = []
        self.state: TraderState = opening_state(self.setting)

    def take(self, step: Step) -> AskPolicy | None:
        """Keep the state and the trades."""
        self.state = step.state
        closed = [record.payload for record in step.records if record.type == "trade"]
        self.trades += [(p["pnl"], p["risk"], int(np.sign(p["quantity"])), p["reason"]) for p in closed]
        assert step.question is None or isinstance(step.question, AskPolicy), "nothing is gated here"
        return step.question

    def play(self) -> None:
        """From the account's start to its session's last bar, and its end."""
        bars, all_views = views(self.setting.yardstick)
        session, t = all_views[self.reference.start].session, self.reference.start
        while t < len(bars) and all_views[t].session == session:
            k = t - self.reference.start
            question = self.take(advance(self.state, BarClosed(bars[t], all_views[t]), self.setting))
            self.compare_state(k - 1, last=bool(view().last_in_session[t]))
            if k < len(self.reference.action):
                self.decide(k, question)
            else:
                # Only the environment knows already that no open will come in time.
                assert question is None or view().last_in_session[t], "the environment's episode is over"
                if question is not None:
                    self.take(advance(self.state, PolicyAnswered(HOLD, "policy"), self.setting))
            t += 1
        self.take(advance(self.state, BarsEnded(), self.setting))

    def compare_state(self, k: int, *, last: bool) -> None:
        """After step k: the same position and account, except that the trader goes flat at its next event."""
        if not 0 <= k < len(self.reference.account) or last:
            return
        account = self.state.broker.account
        assert (account.cash, account.floor) == self.reference.account[k]
        assert tuple(int(field) for field in self.state.broker.position) == self.reference.position[k]

    def decide(self, k: int, question: AskPolicy | None) -> None:
        """The same observation and mask; then the environment's action."""
        mask, values = self.reference.mask[k], self.reference.values[k]
        if question is None:
            assert not mask[1:].any()
            return
        assert question.legal_actions == tuple(mask.tolist())
        size = 11 * self.setting.yardstick.window
        np.testing.assert_array_equal(question.observation[:size], values[:size])
        np.testing.assert_array_max_ulp(question.observation[size:], values[size:], 2)
        self.asked += 1
        assert self.take(advance(self.state, PolicyAnswered(self.reference.action[k], "policy"), self.setting)) is None


@pytest.mark.parametrize(("env", "venue", "expected"), CASES)
def test_trader_and_environment_play_the_same_sessions(env: Env, venue: Venue, expected: set[str]) -> None:
    """Observation, mask, position, cash and floor at every close, and every trade, for the same random actions."""
    accounts = played(env, venue, seed=env.phase)
    reasons: set[str] = set()
    asked = 0

    for account in accounts:
        replay = Replay(env, venue, account)
        replay.play()

        assert replay.trades == account.trades
        assert replay.state.broker.account[:2] == account.account[-1]
        assert replay.state.broker.position == FLAT
        reasons |= {trade[-1] for trade in account.trades}
        asked += replay.asked

    assert len(accounts) == 3 * ACCOUNTS and asked > 500
    assert reasons >= expected


TERMS = Terms(tick_value=50, commission=60, slippage_ticks=1)
RULES = Rules(start=5_000_000, target=300_000, max_loss=250_000, ratchet=INTRADAY, floor_cap=5_010_000)
VENUE = Venue(TERMS, RULES, PESSIMISTIC)
FRESH = BrokerState(Account(5_000_000, 4_750_000))


def test_an_entry_and_its_stop_in_one_bar_are_two_numbered_fills() -> None:
    """In at 101 with two contracts, stop 91, out at 90: 2 x -11 x 50 - 4 x 60 = -1,340 cents."""
    working = FRESH._replace(order=Order(2, 10, 30, False), executions=7)

    met = broker.meet(working, BarPrices(100, 102, 90, 95), 60, VENUE)

    assert [fill._asdict() for fill in met.fills] == [
        {
            "execution": 8,
            "quantity": 2,
            "price": 101,
            "commission": 120,
            "ts_event_ns": 60,
            "reason": "entry",
            "parts": 1,
        },
        {
            "execution": 9,
            "quantity": -2,
            "price": 90,
            "commission": 120,
            "ts_event_ns": 60,
            "reason": "stop",
            "parts": 1,
        },
    ]
    assert met.state == BrokerState(met.state.account, FLAT, NO_ORDER, 9)
    assert met.state.account.cash == 5_000_000 - 1340


def test_an_order_meets_one_bar_only() -> None:
    met = broker.meet(FRESH._replace(order=Order(-1, 10, 30, False)), BarPrices(100, 101, 99, 100), 0, VENUE)
    again = broker.meet(met.state, BarPrices(100, 101, 99, 100), 60, VENUE)

    assert (met.state.position.quantity, met.state.position.entry, met.state.order) == (-1, 99, NO_ORDER)
    assert again.fills == () and again.state.position.bars_held == 2


def test_nothing_survives_the_session() -> None:
    """Long one from 101, out at the last close of 105 less a tick: 3 ticks x 50 - 120."""
    held = broker.meet(FRESH._replace(order=Order(1, 10, 30, False)), BarPrices(100, 106, 99, 105), 0, VENUE).state

    ended = broker.end_session(held._replace(order=Order(0, 0, 0, True)), 105, 60, VENUE)
    idle = broker.end_session(FRESH._replace(order=Order(1, 10, 30, False)), 105, 60, VENUE)

    assert [(fill.quantity, fill.price, fill.reason) for fill in ended.fills] == [(-1, 104, "session_end")]
    assert ended.state.account.cash == 5_000_000 + 150 - 120
    assert (ended.state.position, ended.state.order) == (FLAT, NO_ORDER)
    assert (idle.fills, idle.state.order, idle.state.account) == ((), NO_ORDER, FRESH.account)


def test_equity_adds_the_open_profit() -> None:
    held = broker.meet(FRESH._replace(order=Order(2, 10, 30, False)), BarPrices(100, 106, 99, 105), 0, VENUE).state

    assert broker.equity_at(held, 111, VENUE) == 5_000_000 - 120 + 10 * 2 * 50
