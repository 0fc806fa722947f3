"""What the trader makes of a broker's word: its waits, races of a cancel, and what no record explains."""

from typing import Any

import pytest
from driven_trader import Drive, Minute, reviewed, settings_for

from llm_gate.contract import Approve
from orchestrator.messaging.broker import Execution, Holdings, OrderState
from orchestrator.trader.machine import advance
from orchestrator.trader.sending import UnexplainedError, check_answer, check_executions, check_holdings
from orchestrator.trader.state import (
    AskExecutions,
    BarClosed,
    BarsEnded,
    CancelOrder,
    Event,
    ExecutionsTold,
    FlattenOrder,
    FlatTimePassed,
    GateAnswered,
    OperatorAsked,
    OrderAnswered,
    PolicyAnswered,
    Setting,
    Step,
    SubmitOrder,
    TraderState,
)
from rl_core.contract import BUY, HOLD

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
EVENTS: tuple[Event, ...] = (
    SENT.later,
    PolicyAnswered(HOLD, "policy"),
    OperatorAsked("halted"),
    FlatTimePassed(),
    BarsEnded(),
    SENT.answer("working"),
    ExecutionsTold(()),
)


@pytest.mark.parametrize(
    ("state", "takes", "leads_to"),
    [(SENT.submitted, OrderAnswered, "bar"), (on(SENT.working, SENT.later).state, ExecutionsTold, "action")],
    ids=["order", "executions"],
)
def test_a_wait_for_the_broker_takes_its_word_alone(state: TraderState, takes: type[Event], leads_to: str) -> None:
    """Nothing filled, so the policy is asked at the close of the bar that waited."""
    for event in EVENTS:
        if isinstance(event, takes):
            assert on(state, event).state.waits_for == leads_to
            continue
        with pytest.raises(AssertionError, match=f"{type(event).__name__} while it waits for {state.waits_for}"):
            on(state, event)


def test_a_broker_is_asked_before_a_bar_and_before_an_end_where_something_works_or_is_open() -> None:
    """A bar moves the simulated market; an end closes it."""
    for state in (SENT.working, SENT.open):
        for event, over in ((SENT.later, False), (BarsEnded(), True), (FlatTimePassed(), True)):
            question = on(state, event).question
            assert isinstance(question, AskExecutions) and question.over == over

    flat = on(SENT.submitted, SENT.answer("rejected")).state
    assert not isinstance(on(flat, SENT.later).question, AskExecutions)


@pytest.mark.parametrize(("status", "code"), [("rejected", "rejected"), ("cancelled", "broker")])
def test_what_a_broker_does_not_take_works_nowhere(status: str, code: str) -> None:
    step = on(SENT.submitted, SENT.answer(status))

    assert step.state.broker.order.quantity == 0
    assert [(each.type, each.payload["code"]) for each in step.records] == [("cancelled", code)]


@pytest.mark.parametrize("status", ["working", "filled"])
def test_what_it_takes_works_until_executions_are_told(status: str) -> None:
    step = on(SENT.submitted, SENT.answer(status, SENT.bracket.quantity if status == "filled" else 0))

    assert step.state.broker.order.quantity == SENT.bracket.quantity and step.records == ()


def test_a_cancel_counts_once_the_broker_says_so() -> None:
    asked = on(SENT.working, OperatorAsked("halted"))
    cancelled = on(asked.state, SENT.answer("cancelled"))

    assert asked.question == CancelOrder(SENT.bracket.order_id) and asked.records == ()
    assert asked.state.broker.order.quantity == SENT.bracket.quantity
    assert cancelled.state.broker.order.quantity == 0
    assert [each.payload["code"] for each in cancelled.records] == ["operator"]


def test_an_entry_that_filled_before_its_cancel_came_stands() -> None:
    asked = on(SENT.working, OperatorAsked("halted"))
    raced = on(asked.state, SENT.answer("filled", SENT.bracket.quantity)).state
    told = on(on(raced, SENT.later).state, ExecutionsTold((SENT.execution(),))).state

    assert raced.broker.order.quantity == SENT.bracket.quantity
    assert told.broker.position.quantity == SENT.bracket.quantity


def test_what_is_to_go_flat_is_asked_of_the_broker() -> None:
    asked = on(SENT.open, OperatorAsked("flat"))

    assert asked.question == FlattenOrder(SENT.bracket.order_id)
    assert [each.type for each in asked.records] == ["flatten"]
    assert on(asked.state, SENT.answer("filled", SENT.bracket.quantity)).state.waits_for == "bar"


def test_parts_of_an_entry_are_one_position_with_one_bracket() -> None:
    """One contract at the open and a tick, one a tick worse: a mean of half a tick more is rounded in our favour."""
    asked = on(SENT.working, SENT.later)
    first = SENT.later.bar.open + 1

    step = on(asked.state, ExecutionsTold((SENT.execution(quantity=1), SENT.execution(2, quantity=1, price=first + 1))))

    position, (fill,) = step.state.broker.position, [each.payload for each in step.records if each.type == "fill"]
    assert (position.quantity, position.entry, position.stop) == (2, first, first - SENT.bracket.stop_ticks)
    assert (fill["quantity"], fill["price"], fill["execution"], fill["parts"]) == (2, first, 2, 2)
    assert fill["commission"] == 2 * 60 + 50, "the rest of a tick that one contract paid"
    assert step.state.broker.executions == 2


def test_a_part_that_filled_is_the_position_and_the_rest_is_cancelled() -> None:
    asked = on(SENT.working, SENT.later)
    step = on(asked.state, ExecutionsTold((SENT.execution(quantity=1),)))

    assert step.state.broker.position.quantity == 1 < SENT.bracket.quantity
    assert "volume" in [each.payload.get("code") for each in step.records]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ((SENT.execution(order_id="by-hand"),), "number 1 is of order by-hand"),
        ((SENT.execution(2),), "they do not follow number 0"),
        ((SENT.execution(quantity=SENT.bracket.quantity + 1),), "contracts entered where"),
        ((SENT.execution(quantity=-1),), "contracts entered where"),
        ((SENT.execution(), SENT.execution(2, quantity=1)), "contracts entered where"),
        (
            (SENT.execution(quantity=SENT.bracket.quantity + 1), SENT.execution(2, quantity=-1)),
            "contracts entered where",
        ),
        (
            (SENT.execution(quantity=1), SENT.execution(2, leg="stop", quantity=-1), SENT.execution(3, quantity=1)),
            "a part of the entry came after an exit",
        ),
        (
            (SENT.execution(quantity=2), SENT.execution(2, leg="stop", quantity=-1)),
            "-1 contracts left where 2 were open, and no run books an exit that goes on later",
        ),
        (
            (
                SENT.execution(quantity=1),
                SENT.execution(2, leg="stop", quantity=-2),
                SENT.execution(3, leg="stop", quantity=1),
            ),
            "-1 contracts left where 1 were open",
        ),
        ((SENT.execution(leg="stop", quantity=-1),), "-1 contracts left where 0 were open"),
        ((SENT.execution(), SENT.execution(2, leg="stop", quantity=-1)), "-1 contracts left where"),
    ],
    ids=[
        "of another",
        "a gap",
        "too many",
        "the wrong way",
        "a part too many",
        "parts both ways",
        "a late part",
        "it goes on",
        "exits both ways",
        "from nothing",
        "half of it",
    ],
)
def test_executions_that_nothing_explains_are_refused(told: tuple[Execution, ...], said: str) -> None:
    with pytest.raises(UnexplainedError, match=said):
        check_executions(SENT.working, told, over=False)


def test_executions_that_the_order_explains_are_not() -> None:
    whole = SENT.bracket.quantity
    for told in ((), (SENT.execution(),), (SENT.execution(), SENT.execution(2, leg="stop", quantity=-whole))):
        check_executions(SENT.working, told, over=False)
    check_executions(SENT.open, (SENT.execution(2, leg="other", quantity=-whole),), over=True)
    in_parts = (SENT.execution(quantity=1), SENT.execution(2, quantity=1))
    left = (SENT.execution(3, leg="stop", quantity=-1), SENT.execution(4, leg="target", quantity=-1))
    check_executions(SENT.working, in_parts, over=False)
    check_executions(SENT.working, (*in_parts, *left), over=False)


@pytest.mark.parametrize(
    ("state", "told"),
    [(SENT.open, ()), (SENT.working, (SENT.execution(),)), (SENT.open, (SENT.execution(2, quantity=1),))],
    ids=["nothing left", "an entry after the end", "a second entry"],
)
def test_a_session_that_is_over_leaves_nothing_open(state: TraderState, told: tuple[Execution, ...]) -> None:
    with pytest.raises(UnexplainedError):
        check_executions(state, told, over=True)


def test_an_answer_that_cannot_be_one_is_refused() -> None:
    order_id = SENT.bracket.order_id
    taken, cancel = SubmitOrder(SENT.bracket), CancelOrder(order_id)

    for sent, status in ((taken, "unknown"), (cancel, "unknown"), (cancel, "rejected")):
        with pytest.raises(UnexplainedError, match=f"says {status} of order {order_id}, which was sent"):
            check_answer(SENT.open._replace(sent=sent), SENT.answer(status).state)
    check_answer(SENT.open._replace(sent=taken), SENT.answer("rejected").state)
    check_answer(SENT.open._replace(sent=cancel), SENT.answer("cancelled").state)


def held(quantity: int, *working: str, executions: int) -> Holdings:
    """What a broker says that it holds, with the stop that the record knows."""
    stop = SENT.open.broker.position.stop if quantity else None
    return Holdings(quantity=quantity, working=working, executions=executions, stop=stop)


def test_what_was_not_taken_yet_explains_what_the_record_does_not_know() -> None:
    """An order that is not answered may work there or not; one that works may have filled meanwhile."""
    order_id, whole = SENT.bracket.order_id, SENT.bracket.quantity
    waiting = on(SENT.working, SENT.later).state

    for state in (SENT.submitted, SENT.working):
        check_holdings(state, held(0, order_id, executions=0), ())
    check_holdings(SENT.submitted, held(0, executions=0), ())
    check_holdings(waiting, held(0, executions=0), ())  # the market may have let nothing of it fill
    check_holdings(waiting, held(whole, executions=1), (SENT.execution(),))
    check_holdings(SENT.open, held(whole, executions=1), ())


@pytest.mark.parametrize(
    ("state", "there", "said"),
    [
        (SENT.working, held(0, executions=0), "works by the record, and not there"),
        (SENT.open, held(0, executions=1), "it holds 0 contracts"),
        (SENT.open, held(SENT.bracket.quantity, "other", executions=1), "order other works there"),
        (SENT.open, held(SENT.bracket.quantity, executions=0), "it has lost its own record"),
        (SENT.open, held(SENT.bracket.quantity, executions=2), "counts 2 executions and tells 0 after number 1"),
    ],
    ids=["gone", "closed", "foreign", "lost", "not told"],
)
def test_what_is_left_unexplained_is_named(state: TraderState, there: Holdings, said: str) -> None:
    with pytest.raises(UnexplainedError, match=said):
        check_holdings(state, there, ())


def test_a_gated_run_asks_its_gate_first() -> None:
    """The order is sent once it is approved, and not before."""
    setting = SETTING._replace(gated=True)
    asked = advance(Drive(setting).state, SENT.first, setting)
    proposed = advance(asked.state, PolicyAnswered(BUY, "policy"), setting)
    verdict = GateAnswered(reviewed(proposed.question, Approve()))  # type: ignore[arg-type]

    assert proposed.state.waits_for == "verdict"
    assert isinstance(advance(proposed.state, verdict, setting).question, SubmitOrder)
