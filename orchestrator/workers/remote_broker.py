"""A broker behind a socket as an adapter: every call has a deadline, and only its own answer counts."""

from typing import Protocol, TypeVar

from pydantic import BaseModel

from orchestrator.messaging.broker import (
    Acknowledge,
    Bracket,
    Done,
    Execution,
    Executions,
    ExecutionsAfter,
    Holdings,
    HoldingsAsked,
    MarketMoves,
    OrderAsked,
    OrderId,
    OrderState,
    StopAsked,
)
from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.runner_end import NoReplyError
from orchestrator.messaging.wire import Received

BROKER = "broker"
DEADLINE_S = 1.0
Answer = TypeVar("Answer", bound=BaseModel)


class Asking(Protocol):
    """Sends a worker a question and waits for its answer."""

    def request(self, worker: str, message: BaseModel, *, deadline_s: float) -> Received:
        """The answer; NoReplyError if none comes in time."""


class RemoteBroker:
    """Asks the broker worker; NoReplyError, a ProcessNotReadyError, says that nothing is known of what it did."""

    def __init__(self, connections: Asking, *, deadline_s: float = DEADLINE_S) -> None:
        """``deadline_s`` is of each call in all."""
        self._connections, self.deadline_s = connections, deadline_s

    def submit(self, bracket: Bracket) -> OrderState:
        """The order's state, taken or rejected whole; the same id is the same order."""
        return self._about(bracket.order_id, bracket)

    def cancel(self, order_id: OrderId) -> OrderState:
        """The state once nothing more of the entry can fill."""
        return self._about(order_id, OrderAsked(order_id=order_id, wanted="cancel"))

    def flatten(self, order_id: OrderId) -> OrderState:
        """The state once what is open is being closed."""
        return self._about(order_id, OrderAsked(order_id=order_id, wanted="flatten"))

    def move_stop(self, order_id: OrderId, revision: int, stop: int) -> OrderState:
        """The state with the stop that is in force once the move was taken or refused."""
        return self._about(order_id, StopAsked(order_id=order_id, revision=revision, stop=stop))

    def state(self, order_id: OrderId) -> OrderState:
        """How an order stands."""
        return self._about(order_id, OrderAsked(order_id=order_id, wanted="state"))

    def executions(self, after: int) -> list[Execution]:
        """All above ``after`` that are kept, in as many messages as they need."""
        found: list[Execution] = []
        while more := self._asked(ExecutionsAfter(after=after), Executions).executions:
            if more[-1].number <= after:  # one that tells the same again and again would never come to an end
                told = f"asked for executions above {after} it told {more[-1].number} last"
                raise NoReplyError(BROKER, "refused", told)
            found += more
            after = more[-1].number
        return found

    def acknowledge(self, through: int) -> None:
        """Let the broker forget the executions up to that number."""
        self._asked(Acknowledge(through=through), Done)

    def holdings(self) -> Holdings:
        """What is held and works now."""
        return self._asked(HoldingsAsked(), Holdings)

    def move(self, by: MarketMoves) -> None:
        """Move the simulated market; what it knows already changes nothing."""
        self._asked(by, Done)

    def trade(self, bar: Bar) -> None:
        """Move the simulated market by a bar; one that the broker knows already changes nothing."""
        self._asked(bar, Done)

    def _about(self, order_id: OrderId, question: BaseModel) -> OrderState:
        state = self._asked(question, OrderState)
        if state.order_id != order_id:
            raise NoReplyError(BROKER, "refused", f"it answered about order {state.order_id}, not {order_id}")
        return state

    def _asked(self, question: BaseModel, kind: type[Answer]) -> Answer:
        answer = self._connections.request(BROKER, question, deadline_s=self.deadline_s).message
        if not isinstance(answer, kind):
            raise NoReplyError(BROKER, "refused", f"{type(answer).__name__} is no answer to its question")
        return answer
