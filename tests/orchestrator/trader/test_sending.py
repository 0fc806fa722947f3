"""What the trader makes of a broker's word: its waits, races of a cancel, and what no record explains."""

import pytest

from llm_gate.contract import Approve
from orchestrator.messaging.broker import Execution, Holdings
from orchestrator.trader.machine import advance
from orchestrator.trader.sending import UnexplainedError, check_answer, check_executions, check_holdings
from orchestrator.trader.state import (
    AskExecutions,
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
    SubmitOrder,
    TraderState,
)
from rl_core.contract import BUY, HOLD
from tests.orchestrator.driven_trader import Drive, reviewed
from tests.orchestrator.sent_order import SENT, SETTING, on

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
    [(SENT.submitted, OrderAnswered, "bar"), (on(SENT.working, SENT.later).state, ExecutionsTold, "order")],
    ids=["order", "executions"],
)
def test_a_wait_for_the_broker_takes_its_word_alone(state: TraderState, takes: type[Event], leads_to: str) -> None:
    """Nothing filled in the bar that waited, so the order is cancelled before its close is decided."""
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
            (SENT.execution(quantity=1), SENT.execution(2, leg="stop", quantity=-2), SENT.execution(3, quantity=1)),
            "-2 contracts left of 2, and more than were open by then",
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
    ],
    ids=[
        "of another",
        "a gap",
        "too many",
        "the wrong way",
        "a part too many",
        "parts both ways",
        "an exit too early",
        "exits both ways",
        "from nothing",
    ],
)
def test_executions_that_nothing_explains_are_refused(told: tuple[Execution, ...], said: str) -> None:
    with pytest.raises(UnexplainedError, match=said):
        check_executions(SENT.working, told)


def test_executions_that_the_order_explains_are_not() -> None:
    whole = SENT.bracket.quantity
    for told in ((), (SENT.execution(),), (SENT.execution(), SENT.execution(2, leg="stop", quantity=-whole))):
        check_executions(SENT.working, told)
    check_executions(SENT.open, (SENT.execution(2, leg="other", quantity=-whole),))
    in_parts = (SENT.execution(quantity=1), SENT.execution(2, quantity=1))
    left = (SENT.execution(3, leg="stop", quantity=-1), SENT.execution(4, leg="target", quantity=-1))
    check_executions(SENT.working, in_parts)
    check_executions(SENT.working, (*in_parts, *left))
    check_executions(SENT.working, (*in_parts, *left[:1]))
    check_executions(SENT.open, (SENT.execution(2, leg="target", quantity=-1),))


def test_what_nobody_asked_to_close_was_the_firm_and_ends_the_attempt() -> None:
    """An adapter that told anything else so, such as a fill that was taken back, would fail the account by mistake."""
    asked, whole = on(SENT.working, SENT.later), SENT.bracket.quantity

    closed = on(asked.state, ExecutionsTold((SENT.execution(), SENT.execution(2, leg="other", quantity=-whole))))

    assert [each.payload["reason"] for each in closed.records if each.type == "trade"] == ["liquidation"]
    assert closed.state.status == "failed"


@pytest.mark.parametrize("told", [(), (SENT.execution(2, leg="other", quantity=-1),)], ids=["nothing", "a part"])
def test_what_is_open_where_there_are_no_more_bars_is_unexplained(told: tuple[Execution, ...]) -> None:
    """It was asked to close everything; before it was, and where bars are to come, the books wait for the rest."""
    asked = SENT.open._replace(waits_for="executions", over="asked")
    for state in (SENT.open._replace(due=BarsEnded()), asked._replace(due=SENT.later)):
        check_executions(state, told)

    with pytest.raises(UnexplainedError, match="contracts are open that it was asked to close, and there are no more"):
        check_executions(asked._replace(due=BarsEnded()), told)


def test_a_second_entry_is_unexplained_while_a_position_is_open() -> None:
    with pytest.raises(UnexplainedError, match="1 contracts entered where 0 were wanted and 12 held"):
        check_executions(SENT.open, (SENT.execution(2, quantity=1),))


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
