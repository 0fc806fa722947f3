"""What a run asks its broker, in which order, and what stands in the journal before it goes on.

| step | in the journal | then |
|---|---|---|
| 1 | `intent`, on disk | the order is submitted by its id |
| 2 | `order`, the broker's answer, on disk | the next bar is asked for |
| 3 | `bar` | a simulated market moves by it; executions are asked for |
| 4 | `executions`, on disk if there are any | they are acknowledged, and become fills and trades |

Killed between any two steps, a run asks the same again: an id is one order, a bar moves the market once, and
executions are kept until they are acknowledged. Before its first question a start compares what the broker holds with
the record.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from orchestrator.journal.lines import Record
from orchestrator.messaging.broker import (
    BrokerAdapter,
    Execution,
    Holdings,
    MarketMinute,
    MarketMoves,
    OrderState,
    SimulatedMarket,
    new_executions,
)
from orchestrator.trader import events
from orchestrator.trader.events import Recorded
from orchestrator.trader.sending import check_answer, check_executions, check_holdings
from orchestrator.trader.state import (
    AskExecutions,
    CancelOrder,
    CancelRest,
    ExecutionsTold,
    FlattenOrder,
    MoveStop,
    OrderAnswered,
    Sent,
    SubmitOrder,
    TraderState,
)


class OrderSent(NamedTuple):
    """How does the order stand, now that this is asked of it?"""

    sent: Sent


class ExecutionsAsked(NamedTuple):
    """Which executions are there above ``after``, once a simulated market has moved?"""

    after: int
    moves: MarketMoves | None


class Acknowledged(NamedTuple):
    """Those up to ``through`` are on disk."""

    through: int


class HoldingsWanted(NamedTuple):
    """What does the broker hold?"""


BrokerAsked = OrderSent | ExecutionsAsked | Acknowledged | HoldingsWanted
BrokerAnswer = OrderState | tuple[Execution, ...] | Holdings | None
Asking = Generator[BrokerAsked, Any, Any]


class BrokerQuestions:
    """The runner's questions to a broker: recorded answers are taken from the record."""

    def __init__(
        self,
        next_recorded: Callable[[], Record | None],
        recorded: Callable[..., Record | None],
        note: Callable[[Recorded], None],
    ) -> None:
        """Nothing is compared yet.

        Args:
            next_recorded: tells what comes next in the record, None where it ends.
            recorded: the same of an input, which has to be of the given type.
            note: writes a record, or compares it with the one that comes next.
        """
        self._next_recorded, self._recorded, self._note = next_recorded, recorded, note
        self._compared = False

    def ask(self, question: AskExecutions | Sent, state: TraderState) -> Asking:
        """The event that answers the trader's question."""
        if isinstance(question, AskExecutions):
            return (yield from self._executions(question, state))
        return (yield from self._order(question, state))

    def compare(self, state: TraderState, taken: tuple[Execution, ...] = ()) -> Asking:
        """Once, before the first question of a start: compare what the broker holds with the record.

        Args:
            state: by the record.
            taken: executions that are recorded and not in ``state`` yet.

        Raises:
            UnexplainedError: they differ.
            ExecutionGapError: it does not tell every execution.
        """
        if self._compared:
            return
        last = taken[-1].number if taken else state.broker.executions
        kept: tuple[Execution, ...] = yield ExecutionsAsked(last, None)
        held: Holdings = yield HoldingsWanted()
        check_holdings(state, held, kept, taken)
        yield Acknowledged(last)
        self._compared = True

    def _order(self, sent: Sent, state: TraderState) -> Asking:
        recorded = self._recorded("order")
        if recorded is None:
            yield from self.compare(state)
            answer: OrderState = yield OrderSent(sent)
        else:
            answer = events.order_from(recorded.payload)
        check_answer(state, answer)
        self._note(events.order_answered(answer))
        return OrderAnswered(answer)

    def _executions(self, question: AskExecutions, state: TraderState) -> Asking:
        recorded = self._recorded("executions")
        if recorded is None:
            yield from self.compare(state)
            told: tuple[Execution, ...] = yield ExecutionsAsked(question.after, question.moves)
        else:
            told = events.executions_from(recorded.payload)
        check_executions(state, told)
        self._note(events.executions_told(told, _bar_of(question.moves, state)))
        if told and self._next_recorded() is None:  # a run that was killed here may have no further question
            yield from self.compare(state, told)
            yield Acknowledged(told[-1].number)
        return ExecutionsTold(told)


def _bar_of(moves: MarketMoves | None, state: TraderState) -> int:
    """The bar that was met, or the last one before an end or between two."""
    if moves is None:
        assert state.last_bar is not None, "something was open, so a bar has been"
        return state.last_bar.seq
    return moves.bar.seq if isinstance(moves, MarketMinute) else moves.after


class BrokerDesk:
    """Asks a broker through the adapter protocol; moves its market first, where that is a simulated one."""

    def __init__(self, broker: BrokerAdapter, market: SimulatedMarket | None) -> None:
        """``market`` is None where prices are made elsewhere."""
        self._broker, self._market = broker, market

    def ask(self, asked: BrokerAsked) -> BrokerAnswer:
        """The broker's answer.

        Raises:
            ExecutionGapError: it does not tell every execution.
            ProcessNotReadyError: it does not answer.
        """
        match asked:
            case OrderSent(sent):
                return self._sent(sent)
            case ExecutionsAsked(after, moves):
                if moves is not None and self._market is not None:
                    self._market.move(moves)
                return tuple(new_executions(self._broker, after))
            case Acknowledged(through):
                self._broker.acknowledge(through)
                return None
            case HoldingsWanted():
                return self._broker.holdings()

    def _sent(self, sent: Sent) -> OrderState:
        match sent:
            case SubmitOrder(bracket):
                return self._broker.submit(bracket)
            case CancelOrder(order_id) | CancelRest(order_id):
                return self._broker.cancel(order_id)
            case FlattenOrder(order_id):
                return self._broker.flatten(order_id)
            case MoveStop(order_id, revision, stop):
                return self._broker.move_stop(order_id, revision, stop)
