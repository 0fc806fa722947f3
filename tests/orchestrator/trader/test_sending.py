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
    MoveStop,
    OperatorAsked,
    OrderAnswered,
    PolicyAnswered,
    Setting,
    Standing,
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
        "a late part",
        "exits both ways",
        "from nothing",
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
    check_executions(SENT.working, (*in_parts, *left[:1]), over=False)
    check_executions(SENT.open, (SENT.execution(2, leg="target", quantity=-1),), over=False)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (SENT.open, ()),
        (SENT.working, (SENT.execution(),)),
        (SENT.open, (SENT.execution(2, quantity=1),)),
        (SENT.open, (SENT.execution(2, leg="other", quantity=-1),)),
    ],
    ids=["nothing left", "an entry after the end", "a second entry", "a part"],
)
def test_a_session_that_is_over_leaves_nothing_open(state: TraderState, told: tuple[Execution, ...]) -> None:
    with pytest.raises(UnexplainedError):
        check_executions(state, told, over=True)


class Leaving:
    """A trader of whose open position parts leave, bar by bar."""

    def __init__(self, setting: Setting = SETTING) -> None:
        self.setting, self.state, self.told = setting, SENT.open, 1

    def bar(self, quantity: int, leg: str = "stop", price: int = 0, close: int = 0) -> Step:
        """One more minute, in which ``quantity`` left at ``price``, each from the entry's own price on."""
        entry, last = self.state.broker.position.entry, self.state.last_bar
        assert last is not None
        ends = {"high": max(entry, entry + close), "low": min(entry, entry + close), "close": entry + close}
        prices = {"open": entry, **ends}
        later = {"seq": last.seq + 1, "ts_event_ns": last.ts_event_ns + 60_000_000_000}
        asked = advance(self.state, SENT.later._replace(bar=last.model_copy(update={**later, **prices})), self.setting)
        assert isinstance(asked.question, AskExecutions)
        self.told += 1
        part = SENT.execution(self.told, leg=leg, quantity=quantity, price=entry + price)
        check_executions(asked.state, (part,), over=False)
        step = advance(asked.state, ExecutionsTold((part,)), self.setting)
        self.state = step.state
        return step


def kinds_of(step: Step) -> list[str]:
    """The types of its records."""
    return [record.type for record in step.records]


def test_an_exit_that_goes_on_later_is_one_trade_with_the_whole_entrys_risk() -> None:
    """Two of twelve at the target, then the stop takes the ten: the mean of 15 up and 30 down, rounded up to -22."""
    leaving, whole = Leaving(), SENT.bracket.quantity

    first = leaving.bar(-2, "target", 15)
    held = first.state.broker.position
    last = leaving.bar(-(whole - 2), "stop", -30)

    assert kinds_of(first) == ["fill", "mark"] and first.records[1].payload["quantity"] == held.quantity == whole - 2
    assert (held.stop, held.target) == (SENT.open.broker.position.stop, SENT.open.broker.position.target)
    assert kinds_of(last)[:2] == ["fill", "trade"] and last.state.open_trade is None
    trade = last.records[1].payload
    made = (2 * 15 - 10 * 30) * 50 - 2 * whole * 60
    assert (trade["quantity"], trade["exit"] - trade["entry"], trade["pnl"]) == (whole, -22, made)
    assert (trade["reason"], trade["risk"]) == ("stop", whole * SENT.bracket.stop_ticks * 50)
    assert last.state.broker.account.cash == SENT.open.broker.account.cash + made + whole * 60
    assert last.state.days.trades_today == 1


def test_what_a_person_wants_flat_is_asked_for_once_however_long_it_takes() -> None:
    """Also where trading is resumed before the last part is gone: the broker closes what it was asked to close."""
    leaving = Leaving()
    asked = on(leaving.state, OperatorAsked("flat"))
    leaving.state = on(asked.state, SENT.answer("filled", SENT.bracket.quantity)).state

    first = leaving.bar(-5, "other")
    again = on(first.state, OperatorAsked("flat"))
    resumed = on(first.state, OperatorAsked("trading"))
    leaving.state = resumed.state
    last = leaving.bar(-7, "other")

    assert isinstance(asked.question, FlattenOrder) and kinds_of(first) == ["fill", "mark"]
    assert first.question is again.question is resumed.question is None
    assert [each.payload["reason"] for each in last.records if each.type in ("fill", "trade")] == ["flatten"] * 2
    assert last.state.status == "active" and last.state.broker.position.quantity == 0


@pytest.mark.parametrize(("asked", "moves"), [("halted", True), ("flat", False)])
def test_a_trail_leaves_alone_what_is_being_closed(asked: Standing, moves: bool) -> None:
    """A close far above the entry; of what goes on, a part has left at the target."""
    leaving = Leaving()
    trailing = SENT.open.broker.position._replace(trailing=1)
    leaving.state = on(
        SENT.open._replace(broker=SENT.open.broker._replace(position=trailing)), OperatorAsked(asked)
    ).state
    if asked == "flat":
        leaving.state = on(leaving.state, SENT.answer("filled", SENT.bracket.quantity)).state

    step = leaving.bar(-5, "other" if asked == "flat" else "target", close=80)

    assert isinstance(step.question, MoveStop) == moves


def test_an_account_whose_end_is_reached_while_a_part_is_open_ends_flat() -> None:
    """The rest is asked to be closed, and the account ends with the balance that this leaves."""
    leaving = Leaving()
    room = SENT.open.broker.account.cash - SENT.open.broker.account.floor

    reached = leaving.bar(-1, "stop", -30, close=-(room // (11 * 50)) - 1)
    leaving.state = on(reached.state, SENT.answer("filled", SENT.bracket.quantity)).state
    last = leaving.bar(-11, "other", -200)

    assert isinstance(reached.question, FlattenOrder) and kinds_of(reached) == ["fill", "mark", "flatten"]
    assert reached.state.status == "active" and reached.state.failing
    assert kinds_of(last)[:3] == ["fill", "trade", "account_ended"] and not last.state.failing
    assert last.records[2].payload["cash"] == last.state.broker.account.cash
    assert last.records[2].payload["status"] == last.state.status == "failed"


def test_what_the_firm_began_to_close_it_closes_though_we_ask_for_it_meanwhile() -> None:
    """A part that nobody of us closed ends the account; the rest leaves for the same reason, not as flattened."""
    leaving = Leaving()

    begun = leaving.bar(-1, "other")
    leaving.state = on(begun.state, SENT.answer("filled", SENT.bracket.quantity)).state
    last = leaving.bar(-11, "other")

    assert isinstance(begun.question, FlattenOrder) and begun.state.failing
    assert [each.payload["reason"] for each in last.records if each.type in ("fill", "trade")] == ["liquidation"] * 2
    assert last.state.status == "failed"


def test_a_part_is_no_answer_of_a_broker_that_says_nothing_is_open() -> None:
    """A move of a stop came too late, and the broker has to tell how all of it left."""
    sent = MoveStop(SENT.bracket.order_id, 1, SENT.open.broker.position.stop + 1)
    asked = on(SENT.open._replace(waits_for="order", sent=sent), SENT.answer("filled", SENT.bracket.quantity))

    assert isinstance(asked.question, AskExecutions)
    with pytest.raises(UnexplainedError, match="-1 contracts left of 12, and nothing is open by its own word"):
        check_executions(asked.state, (SENT.execution(2, leg="stop", quantity=-1),), over=False)


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
