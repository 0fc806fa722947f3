"""The values of the trading state machine: its state, the events it takes, and the step that collects what follows."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Concatenate, Literal, NamedTuple, ParamSpec

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, Reviewed
from orchestrator.messaging.broker import Bracket, Execution, MarketMoves, MarketOver, OrderState
from orchestrator.messaging.catalogue import Bar, Seconds
from orchestrator.trader.events import OpenTrade, Recorded
from orchestrator.trader.guards import OFF, Effect, GuardName, Guards
from orchestrator.trader.seen_at_close import CloseView
from rl_core.market.attempts import Refusals, Status
from rl_core.market.broker import BrokerState
from rl_core.market.days import Days
from rl_core.market.fills import Venue
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import Frictions, Limits, Order
from rl_core.market.yardstick import USUAL, Yardstick

P = ParamSpec("P")

PolicySource = Literal["policy", "timeout", "unreachable", "failed", "malformed", "refused", "illegal", "late"]
"""``late``: the bar was over for too long when it came, so nobody was asked."""
WaitsFor = Literal["bar", "action", "verdict", "order", "executions", "end"]
"""What the trader waits for; the table at the top of machine.py says what each leads to."""


Standing = Literal["trading", "halted", "flat"]
"""How a person wants the run to stand: trade; take no further entry; take none, and close what is open."""


class Setting(NamedTuple):
    """What holds for the whole run."""

    run_id: str
    phase: int  # of the policy: 1 enters, 2 also manages
    venue: Venue
    limits: Limits
    gated: bool  # False: every proposal is taken
    shadow: bool  # the gate judges, and does not act
    fail_factor: Decimal  # share of the size when the gate fails: 0 veto, 1 approve
    max_entries_per_session: int
    frictions: Frictions | None = None  # None: slippage is fixed and every order fills whole
    guards: Guards = OFF
    yardstick: Yardstick = USUAL  # of bracket, ATR and window
    advises: bool = False  # each order is also a plan, told to a person
    sends: bool = False  # orders are sent to a broker, and its executions are the fills
    entries: Mapping[int, OwnBracket | None] | None = None
    """A trader's own, in the place of a policy: by the number of the bar, its bracket, None being the usual one."""

    def own_at(self, bar: Bar | None) -> OwnBracket | None:
        """The bracket that an entry at this close brings; None: the usual one."""
        return None if self.entries is None or bar is None else self.entries.get(bar.seq)


class Pending(NamedTuple):
    """A proposal that waits for its verdict."""

    proposal: EntryProposal
    order: Order


class Guarded(NamedTuple):
    """What the guards must know besides account and clock."""

    opened: int = 0  # balance in cents at which the session opened
    silent: int = 0  # answers in a row that were not the policy's own
    lost: bool = False  # the day's loss was reached this session
    told: frozenset[tuple[GuardName, Effect]] = frozenset()  # what acted this session, and stands in the record


class SubmitOrder(NamedTuple):
    """Take an entry with its stop and target."""

    bracket: Bracket

    @property
    def order_id(self) -> str:
        """Of the order that it is about."""
        return self.bracket.order_id


class CancelOrder(NamedTuple):
    """Let nothing more of an entry fill."""

    order_id: str


class CancelRest(NamedTuple):
    """Let nothing more fill of an entry that a bar has left a rest of."""

    order_id: str
    filled: int  # contracts of it by the record, signed
    ordered: int
    code: str = "volume"  # why it has not filled


class FlattenOrder(NamedTuple):
    """Close what is open of an order."""

    order_id: str


class MoveStop(NamedTuple):
    """Let the stop of what is open of an order stand elsewhere."""

    order_id: str
    revision: int  # number of the move among those of the order, from 1
    stop: int  # ticks


Sent = SubmitOrder | CancelOrder | CancelRest | FlattenOrder | MoveStop


class TraderState(NamedTuple):
    """Everything that a restart must know; a fold of the journal."""

    broker: BrokerState
    attempt: int = 1
    status: Status = "active"
    session: int = -1
    last_bar: Bar | None = None
    view: CloseView | None = None  # at the close of ``last_bar``
    waits_for: WaitsFor = "bar"
    pending: Pending | None = None
    order_id: str = ""  # of the working order or the open position
    own: OwnBracket | None = None  # what its entry brought with it
    stray: bool = False  # a part of it entered after an exit: what is open of it is to be closed
    open_trade: OpenTrade | None = None
    failing: bool = False  # the account's end was reached while a part of an exit was still open
    trades: int = 0
    losing_streak: int = 0
    entries_this_session: int = 0
    refusals: Refusals = Refusals()
    days: Days = Days()
    standing: Standing = "trading"
    guarded: Guarded = Guarded()
    sent: Sent | None = None  # asked of the broker, and not answered
    moves: int = 0  # of the order's stop, that a broker was asked for
    closing: bool = False  # the last bar's close goes on once the broker has answered
    over: Literal["", "asked", "carried"] = ""  # how far a session's end is that a broker has not closed: carried.py
    due: "Due | None" = None  # what waits for the broker's executions; None: nothing but what they tell
    told: tuple[Execution, ...] | None = None  # them, while it is applied; None: fills are computed here


class BarClosed(NamedTuple):
    """A bar closed."""

    bar: Bar
    view: CloseView
    seconds: Seconds = ()


class PolicyAnswered(NamedTuple):
    """The policy chose, or failed to (HOLD)."""

    action: int
    source: PolicySource


class GateAnswered(NamedTuple):
    """The gate judged, or failed to."""

    reviewed: Reviewed


class BarsEnded(NamedTuple):
    """There are no more bars."""


class OperatorAsked(NamedTuple):
    """A person wants the run to stand so from now on."""

    standing: Standing


class FlatTimePassed(NamedTuple):
    """By the clock the flat time is over, and no bar has come that could close what is open."""


class OrderAnswered(NamedTuple):
    """The broker says how an order stands."""

    state: OrderState


class ExecutionsTold(NamedTuple):
    """What the broker has executed since it was last asked."""

    executions: tuple[Execution, ...]


Due = BarClosed | BarsEnded | FlatTimePassed
Event = Due | PolicyAnswered | GateAnswered | OperatorAsked | OrderAnswered | ExecutionsTold


class AskPolicy(NamedTuple):
    """Which action?"""

    observation: npt.NDArray[np.float32]  # [O]
    legal_actions: tuple[bool, ...]  # [A]


class AskGate(NamedTuple):
    """Approve, veto or shrink?"""

    proposal: EntryProposal


class AskExecutions(NamedTuple):
    """What has been executed above the number ``after``, once a simulated market has moved?"""

    after: int
    moves: MarketMoves | None  # None: it stands still

    @property
    def over(self) -> bool:
        """Whether a session is over, so that everything closes."""
        return isinstance(self.moves, MarketOver)


Question = AskPolicy | AskGate | AskExecutions | Sent


class Step(NamedTuple):
    """What one event has led to so far."""

    state: TraderState
    records: tuple[Recorded, ...] = ()
    question: Question | None = None

    def then(self, change: Callable[Concatenate[TraderState, P], "Step"], *args: P.args, **kwargs: P.kwargs) -> "Step":
        """This step and what ``change`` makes of its state: the records add up, and the last question is asked."""
        after = change(self.state, *args, **kwargs)
        return after if not self.records else Step(after.state, self.records + after.records, after.question)

    def record(self, *records: Recorded) -> "Step":
        """This step with more records at its end."""
        return self._replace(records=self.records + records)
