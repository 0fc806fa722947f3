"""What a broker is asked and what it answers: the protocol of an adapter, and its messages.

| asked | answer | asked again, after a kill or a lost answer |
|---|---|---|
| `submit` | the order's state | the same id is the same order: nothing trades twice |
| `cancel` | the state then; what has filled stays filled | the same |
| `flatten` | the state then; what is open closes at the next fill | the same |
| `move_stop` | the state then, with the stop that is in force | the same; an older move moves nothing |
| `state` | the state; ``unknown`` of an id that never came | the same |
| `executions` | every execution above a number, dense from 1 | the same until they are acknowledged |
| `acknowledge` | none | the same |
| `holdings` | contracts held and their stop, orders that work, number of the last execution | what holds then |

Entry, stop and target are one order: taken or rejected whole, so that no position is ever without its stop. A call
that raises ProcessNotReadyError tells nothing of what the broker did: the order is neither taken nor rejected until
the same question has been answered.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

from pydantic import Field

from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.wire import Message, catalogue_of
from trigate.errors import DataError

OrderId = str
Status = Literal["working", "filled", "cancelled", "rejected", "unknown"]
"""``cancelled`` may have filled in part: its rest is gone, and the stop covers what has filled."""
Leg = Literal["entry", "stop", "target", "other"]
"""``other`` closes by neither leg: the flatten that was asked for; where none was, the firm's liquidation."""
MOST_EXECUTIONS = 64
"""In one message."""
ID_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class ExecutionGapError(DataError):
    """Executions are missing, also after they were asked for again: the position is not known, so nothing may trade."""


class Bracket(Message):
    """An entry at the market with its stop and its target: distances from the fill, or prices that stay where they are.

    Where the market would fill it at or beyond one of these prices, all of it is cancelled, and nothing fills.
    """

    kind: Literal["bracket"] = "bracket"
    order_id: OrderId = Field(pattern=ID_PATTERN)
    quantity: int = Field(description="contracts, signed: bought > 0, sold < 0")
    stop_ticks: int
    target_ticks: int
    stop_price: int | None = Field(None, description="ticks: the stop stands there, in the place of its distance")
    target_price: int | None = Field(None, description="the same of the target")


class OrderState(Message):
    """How an order stands."""

    kind: Literal["order_state"] = "order_state"
    order_id: OrderId
    status: Status
    filled: int = Field(0, description="contracts of the entry, signed")
    reason: str = Field("", max_length=200)
    stop: int | None = Field(None, description="ticks: where the stop of what is open of it stands; none of it is open")


class Execution(Message):
    """One fill; numbered by the broker without gaps, from 1, over all orders of the account.

    One that was taken back is told as one the other way, of an order that never was: no order explains it, so the run
    stops and names it.
    """

    kind: Literal["execution"] = "execution"
    number: int = Field(gt=0)
    order_id: OrderId
    leg: Leg
    quantity: int = Field(description="contracts, signed as bought or sold")
    price: int = Field(description="ticks")
    ts_event_ns: int


class OrderAsked(Message):
    """What is to be done with an order, or only asked of it."""

    kind: Literal["order_asked"] = "order_asked"
    order_id: OrderId = Field(pattern=ID_PATTERN)
    wanted: Literal["state", "cancel", "flatten"]


class StopAsked(Message):
    """The stop of what is open of an order is to stand elsewhere; its target stays."""

    kind: Literal["stop_asked"] = "stop_asked"
    order_id: OrderId = Field(pattern=ID_PATTERN)
    revision: int = Field(gt=0, description="number of the move among those of the order, from 1")
    stop: int = Field(description="ticks")


class ExecutionsAfter(Message):
    """Which executions are there above ``after``?"""

    kind: Literal["executions_after"] = "executions_after"
    after: int = Field(ge=0)


class Executions(Message):
    """The first of them; ask again above the last until none comes."""

    kind: Literal["executions"] = "executions"
    executions: tuple[Execution, ...] = Field(max_length=MOST_EXECUTIONS)


class Acknowledge(Message):
    """The executions up to ``through`` are on the asker's disk."""

    kind: Literal["acknowledge"] = "acknowledge"
    through: int = Field(ge=0)


class HoldingsAsked(Message):
    """What does the broker hold for the account now?"""

    kind: Literal["holdings_asked"] = "holdings_asked"


class Holdings(Message):
    """What a restart is compared with."""

    kind: Literal["holdings"] = "holdings"
    quantity: int = Field(description="contracts held, signed")
    working: tuple[OrderId, ...] = Field(max_length=MOST_EXECUTIONS, description="orders of which an entry can fill")
    executions: int = Field(ge=0, description="number of the last execution, 0 before the first")
    stop: int | None = Field(None, description="ticks: where the stop of what is held stands")


class Done(Message):
    """It is done, and nothing is to be told."""

    kind: Literal["done"] = "done"


class AccountThen(Message):
    """What the firm behind a simulated market knows of the account: by these numbers it closes a position itself."""

    kind: Literal["account_then"] = "account_then"
    cash: int
    floor: int
    day_floor: int
    locked: int


class MarketMinute(Message):
    """Moves a simulated market by one minute; one that it knows already changes nothing."""

    kind: Literal["market_minute"] = "market_minute"
    bar: Bar
    seconds: tuple[tuple[int, int, int, int, int], ...] = Field((), max_length=60)
    slippage_ticks: int
    fillable: int = Field(ge=0, description="contracts of an entry that it fills at most")
    account: AccountThen


class MarketOver(Message):
    """The market closes after bar ``after``: a working entry is cancelled, what is open leaves at the last price."""

    kind: Literal["market_over"] = "market_over"
    after: int = Field(ge=0)
    close: int
    ts_event_ns: int
    slippage_ticks: int
    account: AccountThen


MarketMoves = MarketMinute | MarketOver
BROKER_CATALOGUE = catalogue_of(
    (
        Bracket,
        OrderState,
        OrderAsked,
        StopAsked,
        ExecutionsAfter,
        Executions,
        Acknowledge,
        HoldingsAsked,
        Holdings,
        Done,
        Execution,
        Bar,
        AccountThen,
        MarketMinute,
        MarketOver,
    )
)
"""Of a broker behind a socket; `Bar`, `MarketMinute` and `MarketOver` move a simulated market, answered by `Done`."""


class BrokerAdapter(Protocol):
    """A broker as the orchestrator trades through it; every call may raise ProcessNotReadyError, and be made again."""

    def submit(self, bracket: Bracket) -> OrderState:
        """Take the bracket, or reject it whole; one whose id came before is not taken again, and its state is told."""

    def cancel(self, order_id: OrderId) -> OrderState:
        """Let nothing more of an entry fill; what has filled keeps its stop and target."""

    def flatten(self, order_id: OrderId) -> OrderState:
        """Close at the market what is open of an order, and let nothing more of it fill."""

    def move_stop(self, order_id: OrderId, revision: int, stop: int) -> OrderState:
        """Let the stop of what is open stand at ``stop`` ticks, or leave it where it is: the answer says where.

        The position is never without a stop meanwhile. A ``revision`` that came before, or an older one, moves nothing.
        """

    def state(self, order_id: OrderId) -> OrderState:
        """How an order stands."""

    def executions(self, after: int) -> Sequence[Execution]:
        """Those numbered above ``after``, in order; each is kept until it is acknowledged."""

    def acknowledge(self, through: int) -> None:
        """The executions up to that number are on the orchestrator's disk."""

    def holdings(self) -> Holdings:
        """What is held and works now."""


@runtime_checkable
class SimulatedMarket(Protocol):
    """A market that stands still until it is moved; an adapter of a real broker has none."""

    def move(self, by: MarketMoves) -> None:
        """Let a minute trade, or a session end; the same again changes nothing."""

    def trade(self, bar: Bar) -> None:
        """Let a bar trade in which no more fills than its volume; the same again changes nothing."""


def new_executions(broker: BrokerAdapter, last: int) -> list[Execution]:
    """The executions after number ``last``, each once and in order; where one is missing they are asked for again.

    Raises:
        ExecutionGapError: one is still missing.
        ProcessNotReadyError: the broker does not answer.
    """
    for _ in range(2):
        found = {execution.number: execution for execution in broker.executions(last) if execution.number > last}
        if sorted(found) == list(range(last + 1, last + 1 + len(found))):
            return [found[number] for number in sorted(found)]
    missing = min(set(range(last + 1, max(found))) - set(found))
    raise ExecutionGapError(f"the broker does not tell execution {missing}, and told {max(found)}; nothing may trade")
