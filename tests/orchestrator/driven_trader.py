"""Minutes, actions and verdicts through the trader, every state and record held against the rules."""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st

from llm_gate.contract import Approve, GateFailed, Outcome, Resize, Reviewed, Veto
from orchestrator.messaging.catalogue import Bar
from orchestrator.trader.events import Recorded
from orchestrator.trader.machine import advance, opening_state
from orchestrator.trader.seen_at_close import CloseView
from orchestrator.trader.state import (
    AskGate,
    AskPolicy,
    BarClosed,
    BarsEnded,
    GateAnswered,
    OperatorAsked,
    PolicyAnswered,
    Setting,
    Standing,
    Step,
)
from rl_core.contract import BUY, HOLD
from rl_core.market.fills import Venue
from rl_core.market.types import (
    ADAPTIVE,
    CLOSED_BALANCE,
    EOD_BALANCE,
    INTRADAY,
    NEVER_LOCKS,
    PESSIMISTIC,
    STATIC,
    Limits,
    Rules,
    Terms,
)
from rl_core.regimes.labels import Regime

TERMS = Terms(tick_value=50, commission=60, slippage_ticks=1)
LIMITS = Limits(risk_budget=50_000, max_quantity=12)
START, FLAT_MINUTE, LAST_MINUTE, BUFFER = 5_000_000, 30, 36, 5
MINUTE_NS = 60_000_000_000
REGIME = Regime(100, -200, 300, 50, "up/normal", "midday")


class Minute(NamedTuple):
    """One bar and what is answered at its close."""

    silent: int  # minutes without a bar before it
    session_break: bool
    gap: int  # ticks from the last close to the open
    up: int
    down: int
    close: int  # share of the range, 0..8
    true_range_sum: int
    action: int  # among the legal ones
    outcome: Outcome
    asked: Standing | None = None  # by a person, before the bar


def settings_for(**changed: Any) -> Setting:
    """A gated account of phase 2 that a few losses end."""
    rules = Rules(START, 60_000, 120_000, INTRADAY, NEVER_LOCKS)
    plain = Setting(
        run_id="ab" * 16,
        phase=2,
        venue=Venue(TERMS, rules, PESSIMISTIC),
        limits=LIMITS,
        gated=True,
        shadow=False,
        fail_factor=Decimal(0),
        max_entries_per_session=3,
    )
    return plain._replace(**changed)


outcomes = st.one_of(
    st.just(Approve()),
    st.just(Veto(reason="no")),
    st.sampled_from(["0.5", "0.25", "0.001", "0.999"]).map(lambda f: Resize(size_factor=Decimal(f), reason="small")),
    st.sampled_from([GateFailed(cause="timeout"), GateFailed(cause="malformed"), GateFailed(cause="foreign")]),
)
minutes = st.builds(
    Minute,
    silent=st.sampled_from([0] * 8 + [1, 4, 9]),
    session_break=st.sampled_from([False] * 30 + [True]),
    gap=st.integers(-6, 6) | st.integers(-60, 60),
    up=st.integers(0, 60),
    down=st.integers(0, 60),
    close=st.integers(0, 8),
    true_range_sum=st.sampled_from([0, 7, 140, 280, 900, 20_000]),
    action=st.integers(0, 11),
    outcome=outcomes,
    asked=st.sampled_from([None] * 12 + ["halted", "flat", "trading", "trading"]),
)
accounts = st.builds(
    lambda ratchet, resolution, gated, shadow, factor: settings_for(
        venue=Venue(TERMS, Rules(START, 60_000, 120_000, ratchet, START + 10_000), resolution),
        gated=gated,
        shadow=shadow,
        fail_factor=Decimal(factor),
    ),
    st.sampled_from([STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY]),
    st.sampled_from([PESSIMISTIC, ADAPTIVE]),
    st.sampled_from([True, True, False]),
    st.sampled_from([False, False, True]),
    st.sampled_from(["0", "1", "0.5"]),
)


class Drive:
    """Plays minutes through the trader and holds every state and record against the rules."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.state = setting, opening_state(setting)
        self.records: list[Recorded] = []
        self.session, self.minute, self.price, self.seq = 0, -1, 80_000, 0
        self.filled, self.cash, self.floor, self.entered = 0, START, 0, 0
        self.contract = 0  # of the bars to come, by its place in the series

    def play(self, minute: Minute) -> None:
        """One bar, its decision and its verdict."""
        self.minute += 1 + minute.silent
        self._heed(minute.asked)
        broken = minute.session_break or self.minute > LAST_MINUTE
        if broken:
            self.session, self.minute, self.entered = self.session + 1, 0, 0
        ended = self.state.status != "active"
        bar, view = self._bar(minute), self._view(minute)
        step = self._take(advance(self.state, BarClosed(bar, view), self.setting))
        opened = [record.payload for record in step.records if record.type == "account_opened"]
        ended = ended or any(record.payload.get("status") == "stranded" for record in step.records)
        assert bool(opened) == (self.seq == 0 or (broken and ended)), "replaced at the next session only"
        self._check_close(bar, view)
        self.seq += 1
        if isinstance(step.question, AskPolicy):
            self._decide(step.question, minute, view)

    def _heed(self, asked: Standing | None) -> None:
        """A person's word between two bars: no entry works after one that ends trading."""
        if asked is None:
            return
        held = self.state.broker.position.quantity
        self._take(advance(self.state, OperatorAsked(asked), self.setting))
        assert self.state.standing == asked
        assert asked == "trading" or self.state.broker.order.quantity == 0
        assert asked != "flat" or self.state.broker.order.flatten == (held != 0)

    def end(self) -> None:
        """No more bars."""
        self._take(advance(self.state, BarsEnded(), self.setting))
        assert self.state.broker.position.quantity == self.state.broker.order.quantity == 0 == self.filled

    def _bar(self, minute: Minute) -> Bar:
        first = self.price + minute.gap
        low, high = first - minute.down, first + minute.up
        self.price = low + (high - low) * minute.close // 8
        ts = (self.session * 1440 + self.minute) * MINUTE_NS
        bar = Bar(seq=self.seq, ts_event_ns=ts, open=first, high=high, low=low, close=self.price, volume=1)
        return bar.model_copy(update={"contract": self.contract})

    def _view(self, minute: Minute) -> CloseView:
        to_flat = max(0, FLAT_MINUTE - self.minute - 1)
        due = to_flat <= BUFFER
        window = np.zeros(220, np.float32)
        return CloseView(window, minute.true_range_sum, not due, due, self.session, to_flat, REGIME, self.minute)

    def _take(self, step: Step) -> Step:
        for record in step.records:
            self._account(record)
        self.records += step.records
        self.state = step.state
        self._check_state()
        return step

    def _account(self, record: Recorded) -> None:
        """Position and cash from the records alone."""
        p = record.payload
        if record.type == "account_opened":
            self.cash, self.floor = START, p["floor"]
        if record.type == "fill":
            before, self.filled = self.filled, self.filled + p["quantity"]
            assert (before == 0) == (p["reason"] == "entry") and (before == 0) != (self.filled == 0)
            self.cash -= p["commission"]
        if record.type == "trade":
            self.cash += p["gross"]
            assert p["pnl"] == p["gross"] - p["costs"]

    def _check_state(self) -> None:
        position, order, account = self.state.broker.position, self.state.broker.order, self.state.broker.account
        assert (position.quantity, account.cash) == (self.filled, self.cash)
        assert abs(position.quantity) + abs(order.quantity) <= LIMITS.max_quantity
        assert not (position.quantity and order.quantity)
        assert account.floor >= self.floor, "the floor never falls"
        self.floor = account.floor
        executions = [record.payload["execution"] for record in self.records if record.type == "fill"]
        assert executions == list(range(1, len(executions) + 1))

    def _check_close(self, bar: Bar, view: CloseView) -> None:
        position = self.state.broker.position
        side = int(np.sign(position.quantity))
        assert self.state.broker.order.quantity == 0, "an order meets one bar only"
        assert side == 0 or (side * (bar.close - position.stop) > 0 and self.state.status == "active")
        assert side == 0 or self.minute < FLAT_MINUTE, "flat before the flat time"
        due = view.flatten_due or self.state.standing == "flat"
        assert self.state.broker.order.flatten == (side != 0 and due)

    def _decide(self, question: AskPolicy, minute: Minute, view: CloseView) -> None:
        mask = question.legal_actions
        may_enter = view.entry_open and self.state.status == "active" and self.filled == 0
        may_enter = may_enter and self.state.standing == "trading"
        assert mask[0] and len(mask) == 6 and question.observation.shape == (228,)
        assert not any(mask[1:3]) or may_enter
        assert not any(mask[3:]) or (self.filled and not view.flatten_due)
        legal = [action for action, allowed in enumerate(mask) if allowed]
        for action in set(range(6)) - set(legal):
            with pytest.raises(AssertionError):
                advance(self.state, PolicyAnswered(action, "policy"), self.setting)
        step = self._take(
            advance(self.state, PolicyAnswered(legal[minute.action % len(legal)], "policy"), self.setting)
        )
        if isinstance(step.question, AskGate):
            assert not [record for record in step.records if record.type == "intent"], "an order without a verdict"
            self._judge(step.question, minute.outcome)
        elif not self.setting.gated:
            self._check_placed(step, Approve())

    def _judge(self, question: AskGate, outcome: Outcome) -> None:
        proposed = question.proposal.quantity
        step = self._take(advance(self.state, GateAnswered(reviewed(question, outcome)), self.setting))
        codes = {Veto: "vetoed", Resize: "resize_to_zero", GateFailed: "gate_failed"}
        wanted = int(self._factor(outcome) * proposed)
        if wanted == 0:
            (record,) = step.records
            assert (record.type, record.payload["code"]) == ("proposal_closed", codes[type(outcome)])
            assert self.state.broker.order.quantity == 0
        else:
            self._check_placed(step, outcome)
            assert abs(self.state.broker.order.quantity) in (0, wanted)
        assert self.state.pending is None

    def _factor(self, outcome: Outcome) -> Decimal:
        if self.setting.shadow or isinstance(outcome, Approve):
            return Decimal(1)
        if isinstance(outcome, Resize):
            return outcome.size_factor
        return Decimal(0) if isinstance(outcome, Veto) else self.setting.fail_factor

    def _check_placed(self, step: Step, outcome: Outcome) -> None:
        kinds = [record.type for record in step.records if record.type in ("intent", "denied")]
        self.entered += kinds == ["intent"]
        assert len(kinds) <= 1 and self.entered <= self.setting.max_entries_per_session, outcome


def reviewed(question: AskGate, outcome: Outcome) -> Reviewed:
    """The gate's reply."""
    return Reviewed(
        proposal_id=question.proposal.proposal_id,
        outcome=outcome,
        probabilities=None,
        latency_s=0.0,
        prompt_digest="0" * 64,
        engine="scripted",
        model="script",
        reason_source="none",
    )


QUIET = Minute(0, False, 0, 10, 10, 4, 280, HOLD, Approve())


def quiet(setting: Setting | None = None, price: int = 80_000) -> Drive:
    """A session of bars that open and close at one price: stop 30 ticks, target 90, 12 contracts."""
    drive = Drive(setting or settings_for())
    drive.price = price
    drive.play(QUIET)
    return drive


def entered(outcome: Outcome, setting: Setting | None = None, action: int = BUY) -> Drive:
    """A proposal at the first close, judged."""
    drive = Drive(setting or settings_for())
    drive.play(QUIET._replace(action=action, outcome=outcome))
    return drive


def types(drive: Drive) -> list[str]:
    """The records, without marks."""
    return [record.type for record in drive.records if record.type != "mark"]
