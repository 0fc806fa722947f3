"""Orders that a broker is sent, and what the trader makes of its answers; pure, like all of the trader.

| waits for | since | event | leads to |
|---|---|---|---|
| order | something was asked of an order: what `Sent` is | OrderAnswered | bar, action, order, executions |
| executions | a bar or an end came while something was open or worked | ExecutionsTold | what that event leads to |
| executions | a stop was to be moved, and the broker says that nothing is open | ExecutionsTold | bar, action, order |
| executions | a rest was to be cancelled, and the broker says that more has filled | ExecutionsTold | bar, action |

A stop that follows the close is moved before the policy is asked, which sees where it stands; the close goes on with
the broker's answer. A move that came too late changes nothing: what the broker executed counts, and is asked for at
once. What a bar leaves of an entry is cancelled before the close is decided, and the same holds for a cancel that came
too late.

Nothing is asked for while nothing is open: no execution can come then, and one that does is unexplained.
"""

from itertools import accumulate

from orchestrator.messaging.broker import (
    AccountThen,
    Bracket,
    Execution,
    Holdings,
    MarketMinute,
    MarketMoves,
    MarketOver,
    OrderState,
)
from orchestrator.trader import events
from orchestrator.trader.at_close import venue_after_close
from orchestrator.trader.state import (
    AskExecutions,
    BarClosed,
    BarsEnded,
    CancelOrder,
    CancelRest,
    Due,
    MoveStop,
    Sent,
    Setting,
    Step,
    SubmitOrder,
    TraderState,
)
from rl_core.market.costs import fillable
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.told import ENTRY
from rl_core.market.types import NO_ORDER, Order
from trigate.errors import DataError


class UnexplainedError(DataError):
    """The broker and the record differ in a way that nothing explains: nothing may trade."""


def bracket_of(order_id: str, order: Order, own: OwnBracket | None) -> Bracket:
    """The order as a broker takes it; ``own`` is what its entry brought with it."""
    return Bracket(
        order_id=order_id,
        quantity=order.quantity,
        stop_ticks=order.stop_ticks,
        target_ticks=order.target_ticks,
        stop_price=None if own is None else own.stop,
        target_price=None if own is None else own.target,
    )


def send(step: Step, sent: Sent) -> Step:
    """The step, and then the broker's answer to ``sent`` before anything else."""
    return step._replace(state=step.state._replace(waits_for="order", sent=sent), question=sent)


def cancel_rest(step: Step, ordered: Order, filled: int, code: str) -> Step:
    """The step, and then the broker is asked to let nothing more fill of an order that a bar has left a rest of.

    The rest works until the broker says that it does not, and the bar's close waits for that. ``code`` says why.
    """
    state = step.state
    rest = state.broker._replace(order=ordered._replace(quantity=ordered.quantity - filled))
    waits = step._replace(state=state._replace(broker=rest, closing=True))
    return send(waits, CancelRest(state.order_id, filled, ordered.quantity, code))


def on_order(state: TraderState, answer: OrderState) -> Step:
    """Take the broker's word on what it was sent.

    What has filled of it, executions tell: an entry that filled before its cancel came stands, with its stop.
    """
    sent, state = state.sent, state._replace(sent=None)
    assert sent is not None and sent.order_id == answer.order_id, "an answer to nothing"
    if isinstance(sent, SubmitOrder) and not answer.filled and answer.status in ("rejected", "cancelled"):
        return without_order(state, answer.status if answer.status == "rejected" else "broker")
    if isinstance(sent, CancelRest):
        return _on_rest(state, sent, answer)
    if isinstance(sent, CancelOrder) and not answer.filled:
        return without_order(state, "operator")
    return _on_stop(state, sent, answer) if isinstance(sent, MoveStop) else Step(state)


def _on_rest(state: TraderState, sent: CancelRest, answer: OrderState) -> Step:
    """No more of the order works; what filled of it before the cancel came is asked for at once."""
    late, rest = answer.filled - sent.filled, state.broker.order
    gone = without_order(state, sent.code)
    if answer.filled == sent.ordered:
        gone = gone._replace(records=())
    if not late:
        return gone
    fills = gone.state.broker._replace(order=rest._replace(quantity=late))
    stray = state.stray or state.broker.position.quantity != sent.filled
    waits = gone.state._replace(broker=fills, waits_for="executions", due=None, stray=stray)
    return gone._replace(state=waits, question=AskExecutions(state.broker.executions, None))


def _on_stop(state: TraderState, sent: MoveStop, answer: OrderState) -> Step:
    """The stop stands where the broker says; where it has closed the position, its executions say how."""
    if answer.stop is None:
        waits = state._replace(waits_for="executions", due=None)
        return Step(waits, question=AskExecutions(state.broker.executions, None))
    position = state.broker.position._replace(stop=answer.stop)
    stands = state._replace(broker=state.broker._replace(position=position))
    return Step(stands, () if answer.stop == sent.stop else (events.stop_kept(state.order_id, answer.stop),))


def without_order(state: TraderState, code: str) -> Step:
    """Nothing works any more."""
    return Step(state._replace(broker=state.broker._replace(order=NO_ORDER)), (events.cancelled(state.order_id, code),))


def may_execute(state: TraderState) -> bool:
    """Whether a broker can have something to tell: a position is open, or an order works."""
    return bool(state.broker.position.quantity or state.broker.order.quantity)


def ask_executions(state: TraderState, event: Due, setting: Setting, *, over: bool) -> Step:
    """Ask first what the broker has executed; ``over``: what is open cannot meet the event's bar, if it has one."""
    moves = _market_over(state, setting) if over else _market_minute(state, event, setting)
    waits = state._replace(waits_for="executions", due=event)
    return Step(waits, question=AskExecutions(state.broker.executions, moves))


def ask_again(step: Step, setting: Setting) -> Step:
    """Ask once more what the broker has executed, now that it is to close what is open; the end is still due."""
    waits = step.state._replace(waits_for="executions")
    return step._replace(state=waits, question=AskExecutions(waits.broker.executions, None))


def _market_minute(state: TraderState, event: Due, setting: Setting) -> MarketMoves:
    assert isinstance(event, BarClosed), "only a bar can be met"
    frictions, wanted = setting.frictions, abs(state.broker.order.quantity)
    capped = frictions is not None and frictions.volume_milli
    return MarketMinute(
        bar=event.bar,
        seconds=tuple((row.second, *row.prices) for row in event.seconds),
        slippage_ticks=venue_after_close(state, setting).terms.slippage_ticks,
        fillable=fillable(frictions, event.bar.volume) if frictions is not None and capped else wanted,
        account=_account(state),
    )


def _market_over(state: TraderState, setting: Setting) -> MarketMoves:
    assert state.last_bar is not None
    last = state.last_bar
    return MarketOver(
        after=last.seq,
        close=last.close,
        ts_event_ns=last.ts_event_ns,
        slippage_ticks=venue_after_close(state, setting).terms.slippage_ticks,
        account=_account(state),
    )


def _account(state: TraderState) -> AccountThen:
    known = state.broker.account
    return AccountThen(cash=known.cash, floor=known.floor, day_floor=known.day_floor, locked=known.locked)


def check_answer(state: TraderState, answer: OrderState) -> None:
    """Refuse what cannot be the answer to what was sent.

    Raises:
        UnexplainedError: the broker does not know the order, rejects one that it has taken, or has a stop elsewhere.
    """
    sent, standing = state.sent, state.broker.position.stop
    if answer.status == "unknown" or (answer.status == "rejected" and not isinstance(sent, SubmitOrder)):
        raise UnexplainedError(f"the broker says {answer.status} of order {answer.order_id}, which was sent; {_REMEDY}")
    if isinstance(sent, CancelRest):
        _check_rest(state, sent, answer)
    if isinstance(sent, MoveStop) and answer.stop not in (None, standing, sent.stop):
        raise UnexplainedError(
            f"the stop of order {answer.order_id} stands at {answer.stop} there, and by the record it stood at "
            f"{standing} and was to stand at {sent.stop}; {_REMEDY}"
        )


def _check_rest(state: TraderState, sent: CancelRest, answer: OrderState) -> None:
    late = answer.filled - sent.filled
    where = f"of order {answer.order_id}, of which {sent.filled} contracts of {sent.ordered} had filled by the record"
    if answer.status == "working":
        raise UnexplainedError(f"the broker lets the rest work on {where}; {_REMEDY}")
    if late and not _are_parts([late], sent.ordered - sent.filled):
        raise UnexplainedError(f"the broker says that {answer.filled} have filled {where}; {_REMEDY}")


def check_executions(state: TraderState, told: tuple[Execution, ...]) -> None:
    """Refuse executions that the record does not explain; nothing of them is recorded, so the broker keeps them.

    Args:
        state: before them.
        told: above the last recorded one.

    Raises:
        UnexplainedError: of another order, more than was wanted, or something is open where there are no more bars.
    """
    if fault := _numbers_fault(state, told) or _legs_fault(state, told):
        numbers = ", ".join(str(each.number) for each in told) or "none"
        raise UnexplainedError(f"executions ({numbers}): {fault}; {_REMEDY}")


def _numbers_fault(state: TraderState, told: tuple[Execution, ...]) -> str:
    if foreign := _foreign(state, told):
        return foreign
    after = state.broker.executions + 1
    follow = [each.number for each in told] == list(range(after, after + len(told)))
    return "" if follow else f"they do not follow number {after - 1}"


def _legs_fault(state: TraderState, told: tuple[Execution, ...]) -> str:
    held, ordered = state.broker.position.quantity, state.broker.order.quantity
    entered = [each.quantity for each in told if each.leg == ENTRY]
    left = [each.quantity for each in told if each.leg != ENTRY]
    entry, leaving = sum(entered), sum(left)
    late = state.waits_for == "executions" and state.due is None and ordered != 0
    if late and entry != ordered:
        return f"{entry} contracts entered where the broker had said {ordered} more"
    more = late or state.over == "asked"
    if entered and ((held and not more) or not _are_parts(entered, ordered)):
        return f"{entry} contracts entered where {ordered} were wanted and {held} held"
    open_ = held + entry
    if left and not _are_parts(left, -open_):
        return f"{leaving} contracts left where {open_} were open"
    so_far = list(accumulate((each.quantity for each in told), initial=held))
    if any(each * open_ < 0 for each in so_far):
        return f"{leaving} contracts left of {open_}, and more than were open by then"
    if left and not late and state.waits_for == "executions" and state.due is None and leaving != -open_:
        return f"{leaving} contracts left of {open_}, and nothing is open by its own word"
    if state.over == "asked" and isinstance(state.due, BarsEnded) and leaving != -open_:
        return f"{open_ + leaving} contracts are open that it was asked to close, and there are no more bars"
    return ""


def _are_parts(quantities: list[int], whole: int) -> bool:
    """Whether each goes the way of ``whole``, and all of them together no further."""
    return all(each * whole > 0 for each in quantities) and abs(sum(quantities)) <= abs(whole)


def _foreign(state: TraderState, told: tuple[Execution, ...]) -> str:
    other = [each for each in told if each.order_id != state.order_id]
    return f"number {other[0].number} is of order {other[0].order_id}, which neither works nor is open" if other else ""


def check_holdings(
    state: TraderState, held: Holdings, kept: tuple[Execution, ...], taken: tuple[Execution, ...] = ()
) -> None:
    """Compare the broker with the record at a start; executions that were not taken yet explain what they explain.

    Args:
        state: by the record.
        held: by the broker.
        kept: what the broker has executed since the last recorded execution.
        taken: recorded executions that are not in ``state`` yet.

    Raises:
        UnexplainedError: a difference is left.
    """
    if fault := _difference(state, held, kept, taken):
        raise UnexplainedError(f"the broker and the record of the run differ: {fault}; {_REMEDY}")


def _difference(state: TraderState, held: Holdings, kept: tuple[Execution, ...], taken: tuple[Execution, ...]) -> str:
    last = taken[-1].number if taken else state.broker.executions
    ours = state.broker.position.quantity + sum(each.quantity for each in taken)
    if held.executions < last:
        return f"it has told {held.executions} executions and the record holds {last}: it has lost its own record"
    if held.executions != last + len(kept):
        return f"it counts {held.executions} executions and tells {len(kept)} after number {last}"
    if foreign := _foreign(state, kept):
        return f"execution {foreign}"
    explained = ours + sum(each.quantity for each in kept)
    if held.quantity != explained:
        return f"it holds {held.quantity} contracts, and by record and executions it holds {explained}"
    works = state.broker.order.quantity != 0
    if unknown := [name for name in held.working if not (works and name == state.order_id)]:
        return f"order {unknown[0]} works there, and the record knows of no such order"
    if works and not held.working and not kept and state.waits_for not in ("order", "executions"):
        return f"order {state.order_id} works by the record, and not there"
    return _stop_fault(state, held) if not (kept or taken) else ""


def _stop_fault(state: TraderState, held: Holdings) -> str:
    """What is wrong with the stop of what both hold; a move that is not answered explains either place."""
    position, sent = state.broker.position, state.sent
    known = {position.stop, sent.stop} if isinstance(sent, MoveStop) else {position.stop}
    if not position.quantity or held.stop in known:
        return ""
    if held.stop is None and (state.broker.order.flatten or state.over == "asked"):
        return ""  # it is being closed at the market, where a broker may have taken the stop away
    there = "has no stop there" if held.stop is None else f"has its stop at {held.stop} there"
    return f"what is open {there}, and by the record it stands at {position.stop}"


_REMEDY = (
    "nothing more is sent, recorded or acknowledged: look at the account at the broker. The same command goes on once "
    "the two agree; another run begins once this one's folder is moved away"
)
