"""A trader whose order was sent to a broker, at each step of the order's life."""

from typing import Any

from llm_gate.contract import Approve
from orchestrator.messaging.broker import Execution, OrderState
from orchestrator.trader.machine import advance
from orchestrator.trader.state import (
    BarClosed,
    Event,
    ExecutionsTold,
    OrderAnswered,
    PolicyAnswered,
    Setting,
    Step,
    SubmitOrder,
    TraderState,
)
from rl_core.contract import BUY, HOLD
from tests.orchestrator.driven_trader import Drive, Minute, settings_for

QUIET = Minute(0, False, 0, 10, 10, 4, 280, HOLD, Approve())
SETTING: Setting = settings_for(phase=1, gated=False, sends=True)


def on(state: TraderState, event: Event) -> Step:
    """One event."""
    return advance(state, event, SETTING)


class Sent:
    """A trader whose order was submitted, and the bar that comes after it."""

    def __init__(self) -> None:
        drive = Drive(SETTING)
        self.first = BarClosed(drive._bar(QUIET), drive._view(QUIET))
        asked = on(drive.state, self.first)
        submitted = on(asked.state, PolicyAnswered(BUY, "policy"))
        assert isinstance(submitted.question, SubmitOrder)
        self.submitted, self.bracket = submitted.state, submitted.question.bracket
        drive.minute, drive.seq = 1, 1
        self.later = BarClosed(drive._bar(QUIET), drive._view(QUIET))

    def answer(self, status: str, filled: int = 0) -> OrderAnswered:
        """The broker's word on the order."""
        named = {"order_id": self.bracket.order_id, "status": status, "filled": filled}
        return OrderAnswered(OrderState.model_validate(named))

    @property
    def working(self) -> TraderState:
        """Once the broker has taken the order."""
        return on(self.submitted, self.answer("working")).state

    def execution(self, number: int = 1, **changed: Any) -> Execution:
        """The entry as it was ordered, unless ``changed``."""
        at = {"number": number, "order_id": self.bracket.order_id, "leg": "entry", "price": self.later.bar.open + 1}
        usual = {**at, "quantity": self.bracket.quantity, "ts_event_ns": self.later.bar.ts_event_ns}
        return Execution.model_validate({**usual, **changed})

    @property
    def open(self) -> TraderState:
        """Once it has filled."""
        asked = on(self.working, self.later)
        return on(asked.state, ExecutionsTold((self.execution(),))).state


SENT = Sent()


def kinds_of(step: Step) -> list[str]:
    """The types of its records."""
    return [record.type for record in step.records]
