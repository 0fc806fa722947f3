"""Entries and exits that a broker fills in parts, within a bar, between two, and over several."""

import pytest

from orchestrator.messaging.broker import Execution
from orchestrator.trader.machine import advance
from orchestrator.trader.sending import UnexplainedError, check_answer, check_executions
from orchestrator.trader.state import (
    AskExecutions,
    BarClosed,
    CancelRest,
    ExecutionsTold,
    FlattenOrder,
    FlatTimePassed,
    MoveStop,
    OperatorAsked,
    Setting,
    Standing,
    Step,
)
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import NO_ORDER, Bracket
from tests.orchestrator.sent_order import SENT, SETTING, kinds_of, on


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


def rest_of(filled: int) -> Step:
    """A bar in which ``filled`` of the twelve contracts entered."""
    told = (SENT.execution(quantity=filled),) if filled else ()
    return on(on(SENT.working, SENT.later).state, ExecutionsTold(told))


@pytest.mark.parametrize("filled", [0, 1, 11])
def test_what_a_bar_leaves_of_an_entry_is_cancelled_before_the_close_is_decided(filled: int) -> None:
    """The rest works until the broker says that it does not."""
    whole = SENT.bracket.quantity

    asked = rest_of(filled)
    gone = on(asked.state, SENT.answer("cancelled", filled))

    assert asked.question == CancelRest(SENT.bracket.order_id, filled, whole)
    assert kinds_of(asked) == ["fill"] * (filled > 0) and asked.state.broker.order.quantity == whole - filled
    assert gone.state.broker.order.quantity == 0 and gone.state.broker.position.quantity == filled
    assert kinds_of(gone) == ["cancelled", "mark"] and gone.records[0].payload["code"] == "volume"
    assert gone.state.waits_for == ("bar" if filled else "action"), "what is open has nothing to choose in phase 1"


@pytest.mark.parametrize(("filled", "late"), [(0, 1), (1, 1), (10, 1), (10, 2)])
def test_what_fills_before_the_cancel_of_a_rest_came_is_taken_at_once(filled: int, late: int) -> None:
    """Two ticks worse than the bar's fill: the position's price is the mean, with stop and target from there."""
    whole, price = SENT.bracket.quantity, SENT.later.bar.open + 1
    status = "filled" if filled + late == whole else "cancelled"
    number = 2 if filled else 1

    asked = on(rest_of(filled).state, SENT.answer(status, filled + late))
    told = (SENT.execution(number, quantity=late, price=price + 2),)
    check_executions(asked.state, told)
    step = on(asked.state, ExecutionsTold(told))

    assert asked.question == AskExecutions(number - 1, None)
    assert kinds_of(asked) == (["cancelled"] if status == "cancelled" else [])
    position, account = step.state.broker.position, step.state.broker.account
    mean, rest = divmod(2 * late, filled + late)
    assert (position.quantity, position.entry) == (filled + late, price + mean)
    assert (position.stop, position.target) == (
        position.entry - SENT.bracket.stop_ticks,
        position.entry + SENT.bracket.target_ticks,
    )
    paid = (filled + late) * 60 + rest * 50
    assert account.cash == SENT.working.broker.account.cash - paid
    assert kinds_of(step)[:2] == ["fill", "mark"] and step.state.broker.order.quantity == 0
    trade = step.state.open_trade
    assert trade is not None and (trade.entry.quantity, trade.entry.price) == (position.quantity, position.entry)
    assert trade.entry.commission == paid


def test_what_entered_late_may_have_left_already() -> None:
    asked = on(rest_of(10).state, SENT.answer("cancelled", 11))
    told = (SENT.execution(2, quantity=1), SENT.execution(3, leg="stop", quantity=-11))
    check_executions(asked.state, told)

    step = on(asked.state, ExecutionsTold(told))

    assert kinds_of(step)[:4] == ["fill", "fill", "trade", "mark"]
    assert step.records[2].payload["quantity"] == 11 and step.state.broker.position.quantity == 0


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ((), "0 contracts entered where the broker had said 1 more"),
        ((SENT.execution(2, quantity=2),), "2 contracts entered where the broker had said 1 more"),
        ((SENT.execution(2, leg="stop", quantity=-1),), "0 contracts entered where the broker had said 1 more"),
    ],
    ids=["nothing", "more", "an exit alone"],
)
def test_executions_that_are_not_what_the_cancel_said_are_refused(told: tuple[Execution, ...], said: str) -> None:
    asked = on(rest_of(10).state, SENT.answer("cancelled", 11))

    with pytest.raises(UnexplainedError, match=said):
        check_executions(asked.state, told)


@pytest.mark.parametrize(
    ("status", "filled", "said"),
    [
        ("working", 10, "lets the rest work on"),
        ("cancelled", 9, "says that 9 have filled"),
        ("filled", 13, "says that 13 have filled"),
    ],
)
def test_an_answer_to_the_cancel_of_a_rest_that_cannot_be_one_is_refused(status: str, filled: int, said: str) -> None:
    with pytest.raises(UnexplainedError, match=f"{said} of order .*, of which 10 contracts of 12 had filled"):
        check_answer(rest_of(10).state, SENT.answer(status, filled).state)


@pytest.mark.parametrize("left", [1, 2], ids=["joins what is open", "finds nothing open"])
def test_a_part_of_an_entry_that_comes_after_an_exit_is_booked_and_closed(left: int) -> None:
    """Two at 1, of which ``left`` go at -3; then one at 8. What is open is to be closed, and nothing else is done.

    With one open the mean is 4.5: 4, and half a tick a contract is paid. All three together entered at 10/3: 3, and
    one tick is paid.
    """
    price, order_id = SENT.later.bar.open, SENT.bracket.order_id
    told = (SENT.execution(quantity=2), SENT.execution(2, leg="stop", quantity=-left, price=price - 3))
    asked = on(on(SENT.working, SENT.later).state, ExecutionsTold(told))
    check_answer(asked.state, SENT.answer("cancelled", 3).state)
    late = on(asked.state, SENT.answer("cancelled", 3))
    more = (SENT.execution(3, quantity=1, price=price + 8),)
    check_executions(late.state, more)

    step = on(late.state, ExecutionsTold(more))

    held = step.state.broker.position
    assert (held.quantity, held.entry) == (3 - left, price + (4 if left == 1 else 8))
    assert step.question == FlattenOrder(order_id) and kinds_of(step)[-2:] == ["mark", "flatten"]
    cash = SENT.working.broker.account.cash - (3 + left) * 60 - left * 4 * 50
    assert step.state.broker.account.cash == cash - (50 if left == 1 else 0)
    closed = on(step.state, SENT.answer("cancelled", 3))
    out = SENT.execution(4, leg="other", quantity=left - 3, price=price)
    end = on(on(closed.state, next_minute(closed)).state, ExecutionsTold((out,)))
    (trade,) = [record.payload for record in end.records if record.type == "trade"]
    whole = (3, price + 3, price - 1) if left == 1 else (1, price + 8, price)
    assert (trade["quantity"], trade["entry"], trade["exit"]) == whole
    assert (
        end.state.broker.account.cash
        == SENT.working.broker.account.cash - 6 * 60 - (2 + 8 + (3 if left == 1 else 6)) * 50
    )


def next_minute(step: Step) -> BarClosed:
    """The bar that follows."""
    last = step.state.last_bar
    assert last is not None
    later = {"seq": last.seq + 1, "ts_event_ns": last.ts_event_ns + 60_000_000_000}
    return SENT.later._replace(bar=SENT.later.bar.model_copy(update=later))


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
        check_executions(asked.state, (part,))
        step = advance(asked.state, ExecutionsTold((part,)), self.setting)
        self.state = step.state
        return step


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
        check_executions(asked.state, (SENT.execution(2, leg="stop", quantity=-1),))


def test_legs_at_prices_stay_where_they_are_when_more_of_an_entry_fills() -> None:
    """The position's price is the mean of both parts, and its stop and target are those that the entry brought."""
    price = SENT.later.bar.open + 1
    own = OwnBracket(Bracket(30, 60), price - 33, price + 71)
    asked = on(SENT.working._replace(own=own), SENT.later)
    first = on(asked.state, ExecutionsTold((SENT.execution(quantity=10, price=price + 4),)))
    more = on(first.state, SENT.answer("filled", 12))

    step = on(more.state, ExecutionsTold((SENT.execution(2, quantity=2, price=price + 40),)))

    opened, position = first.state.broker.position, step.state.broker.position
    assert (opened.entry, opened.stop, opened.target) == (price + 4, price - 33, price + 71)
    assert position.entry == price + 10 and (position.stop, position.target) == (price - 33, price + 71)


def test_an_entry_that_filled_beyond_a_price_of_its_own_has_that_leg_a_tick_away() -> None:
    """The broker filled it all the same: it is open, and what closes it will be told."""
    price = SENT.later.bar.open + 1
    own = OwnBracket(Bracket(30, 60), price - 33, price + 2)
    asked = on(SENT.working._replace(own=own), SENT.later)

    step = on(asked.state, ExecutionsTold((SENT.execution(price=price + 5),)))

    assert (step.state.broker.position.entry, step.state.broker.position.target) == (price + 5, price + 6)


def test_what_fills_of_an_entry_at_a_sessions_end_is_closed_and_booked() -> None:
    """The clock ends it while the order works: a part fills, and more of it before the broker was asked to close it."""
    price, whole = SENT.later.bar.open + 1, SENT.bracket.quantity
    ended = on(on(SENT.working, FlatTimePassed()).state, ExecutionsTold((SENT.execution(quantity=5),)))
    asked = on(ended.state, SENT.answer("filled", whole))
    told = (
        SENT.execution(2, quantity=whole - 5, price=price + 3),
        SENT.execution(3, leg="other", quantity=-whole, price=price - 2),
    )
    check_executions(asked.state, told)

    step = on(asked.state, ExecutionsTold(told))

    assert ended.question == FlattenOrder(SENT.bracket.order_id) and kinds_of(ended) == ["fill"]
    assert asked.question == AskExecutions(1, None)
    assert kinds_of(step) == ["fill", "fill", "trade"] and step.state.over == "" and step.state.waits_for == "bar"
    trade = step.records[-1].payload
    assert (trade["quantity"], trade["reason"], trade["exit"]) == (whole, "flatten", price - 2)
    assert step.state.broker.position.quantity == 0 and step.state.broker.order == NO_ORDER


def test_parts_that_come_in_turns_with_exits_are_one_trade_worth_what_the_account_changed_by() -> None:
    """All of it is told at once, in one bar: two enter and one leaves, twice; then eight enter, and all is closed."""
    price = SENT.later.bar.open
    turns = ((2, 1), (-1, -3), (2, 6), (-1, -3), (8, 10))
    told = tuple(
        SENT.execution(number, leg="entry" if quantity > 0 else "stop", quantity=quantity, price=price + ticks)
        for number, (quantity, ticks) in enumerate(turns, 1)
    )
    asked = on(SENT.working, SENT.later)
    check_executions(asked.state, told)

    step = on(asked.state, ExecutionsTold(told))

    assert step.question == FlattenOrder(SENT.bracket.order_id) and step.state.broker.position.quantity == 10
    closed = on(step.state, SENT.answer("filled", 12))
    out = SENT.execution(6, leg="other", quantity=-10, price=price)
    end = on(on(closed.state, next_minute(closed)).state, ExecutionsTold((out,)))
    (trade,) = [record.payload for record in end.records if record.type == "trade"]
    changed = end.state.broker.account.cash - SENT.working.broker.account.cash
    assert trade["quantity"] == 12
    assert trade["pnl"] == changed == -(2 * 1 + 2 * 6 + 8 * 10 + 2 * 3) * 50 - 24 * 60
