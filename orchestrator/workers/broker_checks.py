"""What every broker adapter must do, as checks that run over a bench: one account, and a market that can be moved.

`orchestrator check-adapter NAME` runs them over an installed adapter whose market is moved by the bars. For any other
write a `Bench` (broker_bench.py) over a simulated account of your broker, and call ``faults(Account(bench))``, which
says what does not hold. Each check begins and ends flat, so that one account, which has not traded before, serves them
all.
"""

import traceback
from collections.abc import Callable

from orchestrator.workers.broker_bench import PRICE, STOP, TARGET, Account, says
from trigate.errors import ConfigError, TrigateError


def an_order_fills_with_its_bracket(account: Account) -> None:
    """Once, at the next open, and its stop closes what filled."""
    order = account.bracket()
    says(account.broker.submit(order), "working")

    account.quiet()
    (entry,) = account.take()

    assert (entry.order_id, entry.leg, entry.quantity) == (order.order_id, "entry", 2)
    says(account.broker.state(order.order_id), "filled", 2)
    account.bench.trade(entry.price - STOP - 10, PRICE)
    (left,) = account.take()
    assert (left.order_id, left.leg, left.quantity) == (order.order_id, "stop", -2)


def the_same_id_is_the_same_order(account: Account) -> None:
    """Submitted again while it works and after it is done, it trades once."""
    order = account.bracket(-3)

    for _ in range(3):
        says(account.broker.submit(order), "working")
    account.quiet()

    assert [each.quantity for each in account.take()] == [-3]
    account.bench.trade(PRICE, PRICE + STOP + 10)
    assert [each.quantity for each in account.take()] == [3]
    says(account.broker.submit(order), "filled", -3)
    account.quiet()
    assert account.take() == [], "an order that was done was taken again"


def another_bracket_under_a_used_id_never_trades(account: Account) -> None:
    """The first one under an id is the order."""
    order = account.bracket(1)
    account.broker.submit(order)

    account.broker.submit(order.model_copy(update={"quantity": 5}))
    account.quiet()

    assert [each.quantity for each in account.take()] == [1]


def a_bracket_with_a_bad_leg_is_rejected_whole(account: Account) -> None:
    """No stop, no target, no size or too much of it: nothing of it trades."""
    for bad in (account.bracket(stop=0), account.bracket(target=-5), account.bracket(0), account.bracket(10**6)):
        says(account.broker.submit(bad), "rejected")
        says(account.broker.state(bad.order_id), "rejected")
        account.quiet()
        assert account.take() == [], f"a part of {bad} traded"


def legs_at_prices_stand_where_they_are(account: Account) -> None:
    """Wherever it fills; one that would fill beyond them is cancelled whole. A broker without such legs rejects it."""
    stop, target = PRICE - STOP // 2, PRICE + TARGET // 2
    order = account.bracket(2).model_copy(update={"stop_price": stop, "target_price": target})
    passed = account.bracket(2).model_copy(update={"stop_price": PRICE + STOP})
    if account.broker.submit(order).status == "rejected":
        return

    account.quiet()
    (entry,) = account.take()
    assert entry.price != PRICE, "this check needs an entry that slips"
    assert account.broker.state(order.order_id).stop == stop, "the stop stands at a distance from the fill"
    account.bench.trade(PRICE, target + 10)
    assert [(each.leg, each.price) for each in account.take()] == [("target", target)]
    says(account.broker.submit(passed), "working")
    account.quiet()
    assert account.take() == [], "an entry was filled beyond its stop"
    says(account.broker.state(passed.order_id), "cancelled")


def an_id_that_never_came_is_unknown(account: Account) -> None:
    """Never rejected: it may still be on its way."""
    says(account.broker.state(account.bracket().order_id), "unknown")


def executions_are_dense_and_kept_until_they_are_acknowledged(account: Account) -> None:
    """Two trades of two fills each: told again as often as they are asked for, less what was acknowledged."""
    first = account.last
    for _ in range(2):
        account.broker.submit(account.bracket(1))
        account.quiet()
        account.bench.trade(PRICE - STOP - 10, PRICE)

    kept = list(account.broker.executions(first))

    assert [each.number for each in kept] == [first + 1, first + 2, first + 3, first + 4]
    assert list(account.broker.executions(first)) == kept, "an execution was gone once it had been told"
    assert list(account.broker.executions(first + 2)) == kept[2:], "only those above a number were asked for"
    account.acknowledge(kept[:1])
    assert list(account.broker.executions(first + 1)) == kept[1:]
    account.take()


def nothing_fills_after_a_cancel(account: Account) -> None:
    """Asked for twice."""
    order = account.bracket()
    account.broker.submit(order)

    says(account.broker.cancel(order.order_id), "cancelled")
    says(account.broker.cancel(order.order_id), "cancelled")
    account.quiet()

    assert account.take() == []


def a_cancel_that_comes_after_the_fill_changes_nothing(account: Account) -> None:
    """The race: the fill stands, and so does the stop."""
    order = account.bracket()
    account.broker.submit(order)
    account.quiet()

    says(account.broker.cancel(order.order_id), "filled", 2)
    (entry,) = account.take()
    account.bench.trade(entry.price - STOP - 10, PRICE)

    assert [each.leg for each in account.take()] == ["stop"]


def what_a_thin_market_leaves_is_protected_as_far_as_it_filled(account: Account) -> None:
    """Two of five fill, the rest is cancelled once that is asked for, if it was not before, and the stop closes two."""
    order = account.bracket(5)
    account.broker.submit(order)

    account.bench.trade(PRICE - 1, PRICE + 1, volume=2)
    (entry,) = account.take()
    says(account.broker.cancel(order.order_id), "cancelled", 2)
    account.quiet()
    assert account.take() == [], "the rest was filled after it was cancelled"
    account.bench.trade(entry.price - STOP - 10, PRICE)

    assert [each.quantity for each in account.take()] == [-2]


def a_part_of_an_exit_leaves_the_rest_with_its_stop(account: Account) -> None:
    """Two of five leave at the target in a thin bar, one at the stop in another; the others go on, and no more."""
    order = account.bracket(5)
    account.broker.submit(order)
    account.quiet()
    (entry,) = account.take()

    account.bench.trade(PRICE, entry.price + TARGET + 10, volume=2)
    assert [(each.leg, each.quantity) for each in account.take()] == [("target", -2)]
    holds(account, 3)
    assert account.broker.holdings().stop == account.broker.state(order.order_id).stop == entry.price - STOP
    account.bench.trade(entry.price - STOP - 10, PRICE, volume=1)
    assert [(each.leg, each.quantity) for each in account.take()] == [("stop", -1)]
    holds(account, 2)
    account.bench.trade(entry.price - STOP - 10, entry.price + TARGET + 10)
    account.bench.trade(entry.price - STOP - 10, entry.price + TARGET + 10)

    left = account.take()
    assert sum(each.quantity for each in left) == -2, "the stop closed what had left before"
    assert {each.leg for each in left} == {"stop"}, "what closes the rest of a stop is told as something else"
    says(account.broker.state(order.order_id), "filled", 5)


def stop_and_target_never_both_fill(account: Account) -> None:
    """A bar reaches both, and so does the next."""
    account.broker.submit(account.bracket())
    account.quiet()
    (entry,) = account.take()

    account.bench.trade(entry.price - STOP - 10, entry.price + TARGET + 10)
    account.bench.trade(entry.price - STOP - 10, entry.price + TARGET + 10)

    assert [each.quantity for each in account.take()] == [-2]


def stop_and_flatten_never_both_fill(account: Account) -> None:
    """Flattening is asked for twice, and the stop is reached in the same bar."""
    order = account.bracket()
    account.broker.submit(order)
    account.quiet()
    (entry,) = account.take()

    account.broker.flatten(order.order_id)
    account.broker.flatten(order.order_id)
    account.bench.trade(entry.price - STOP - 10, PRICE)
    account.quiet()

    assert [each.quantity for each in account.take()] == [-2]


def a_stop_stands_where_it_was_moved_to(account: Account) -> None:
    """It closes at its new price what the old one would have left open; the target stays where it was."""
    order, entry = opened(account)

    moved = account.broker.move_stop(order, 1, entry - STOP // 2)
    says(moved, "filled", 2)

    assert moved.stop == account.broker.state(order).stop == entry - STOP // 2
    account.bench.trade(entry - STOP // 2 - 5, PRICE)
    (left,) = account.take()
    assert (left.leg, left.quantity) == ("stop", -2) and entry - STOP < left.price <= entry - STOP // 2


def a_move_counts_once_and_an_older_one_not_at_all(account: Account) -> None:
    """A message that was on its way for long never takes a stop back."""
    order, entry = opened(account)
    for revision, stop in ((1, entry - 30), (2, entry - 20)):
        for _ in range(2):
            assert account.broker.move_stop(order, revision, stop).stop == stop

    for revision, stop in ((1, entry - 30), (2, entry - 35)):
        assert account.broker.move_stop(order, revision, stop).stop == entry - 20, "an older move moved the stop"


def a_move_that_comes_after_the_stop_filled_changes_nothing(account: Account) -> None:
    """The race: what was executed stands, and nothing is open that could have a stop."""
    order, entry = opened(account)
    account.bench.trade(entry - STOP - 10, PRICE)

    late = account.broker.move_stop(order, 1, entry - 1)

    says(late, "filled", 2)
    assert late.stop is None, "a stop stands for nothing"
    assert [(each.leg, each.quantity) for each in account.take()] == [("stop", -2)]
    account.bench.trade(entry - STOP - 10, PRICE + TARGET + 10)
    assert account.take() == [], "what was closed was closed once more"
    _, later = opened(account)
    assert account.broker.move_stop(order, 2, later - 1).stop is None
    assert account.broker.holdings().stop == later - STOP, "a move of one order moved the stop of another"


def a_move_that_is_refused_leaves_the_stop_that_was(account: Account) -> None:
    """A stop beyond the target is none; what is open is never without one."""
    order, entry = opened(account)

    assert account.broker.move_stop(order, 1, entry + TARGET).stop == entry - STOP
    account.bench.trade(entry - STOP - 10, PRICE)

    assert [each.leg for each in account.take()] == ["stop"]


def a_stop_that_was_moved_outlives_a_kill(account: Account) -> None:
    """And so does the number of its last move."""
    order, entry = opened(account)
    account.broker.move_stop(order, 2, entry - 10)

    account.bench.kill()

    assert account.broker.holdings().stop == entry - 10
    assert account.broker.move_stop(order, 1, entry - 30).stop == entry - 10, "an older move moved the stop"
    account.bench.trade(entry - 15, PRICE)
    assert [each.leg for each in account.take()] == ["stop"]


def opened(account: Account) -> tuple[str, int]:
    """An order of two that has filled: its name, and the price that it filled at."""
    order = account.bracket()
    account.broker.submit(order)
    account.quiet()
    (entry,) = account.take()
    return order.order_id, entry.price


def what_is_held_and_works_is_told(account: Account) -> None:
    """While an entry works, once it has filled, once its stop has closed it, and after a cancel."""
    order, gone = account.bracket(-2), account.bracket()
    holds(account, 0)

    account.broker.submit(order)
    holds(account, 0, order.order_id)
    account.quiet()
    holds(account, -2)
    assert account.broker.holdings().stop == account.broker.executions(account.last)[0].price + STOP
    account.bench.trade(PRICE, PRICE + STOP + 10)
    holds(account, 0)
    account.broker.submit(gone)
    account.broker.cancel(gone.order_id)
    holds(account, 0)
    account.take()


def holds(account: Account, quantity: int, *working: str) -> None:
    """Hold what the broker says of the account against what it has to be; the last execution is the last one told."""
    told, kept = account.broker.holdings(), account.broker.executions(account.last)
    last = kept[-1].number if kept else account.last
    expected = (quantity, working, last)
    assert (told.quantity, told.working, told.executions) == expected, f"{told}, expected {expected}"
    assert (told.stop is None) == (not quantity), f"{told}: a stop stands where something is held, and nowhere else"


def what_was_answered_outlives_a_kill(account: Account) -> None:
    """An order that works, one that has filled and one that was cancelled; executions that nobody acknowledged."""
    gone, order = account.bracket(), account.bracket()
    account.broker.submit(gone)
    account.broker.cancel(gone.order_id)
    account.broker.submit(order)

    account.bench.kill()
    says(account.broker.state(order.order_id), "working")
    says(account.broker.state(gone.order_id), "cancelled")
    account.quiet()
    account.bench.kill()

    assert [each.quantity for each in account.take()] == [2]
    says(account.broker.submit(order), "filled", 2)
    account.bench.trade(PRICE - STOP - 10, PRICE)
    account.bench.kill()
    assert [each.leg for each in account.take()] == ["stop"]


def an_answer_that_comes_too_late_is_no_answer_to_the_next_question(account: Account) -> None:
    """The order is unknown to us until it is asked for again by its id; it is taken once."""
    lost, other = account.bracket(), account.bracket()

    account.bench.lose_the_answer(lambda: account.broker.submit(lost))
    says(account.broker.state(other.order_id), "unknown")
    says(account.broker.submit(lost), "working")
    account.quiet()

    assert [each.quantity for each in account.take()] == [2]


CHECKS: tuple[Callable[[Account], None], ...] = (
    an_order_fills_with_its_bracket,
    the_same_id_is_the_same_order,
    another_bracket_under_a_used_id_never_trades,
    a_bracket_with_a_bad_leg_is_rejected_whole,
    legs_at_prices_stand_where_they_are,
    an_id_that_never_came_is_unknown,
    executions_are_dense_and_kept_until_they_are_acknowledged,
    nothing_fills_after_a_cancel,
    a_cancel_that_comes_after_the_fill_changes_nothing,
    what_a_thin_market_leaves_is_protected_as_far_as_it_filled,
    a_part_of_an_exit_leaves_the_rest_with_its_stop,
    stop_and_target_never_both_fill,
    stop_and_flatten_never_both_fill,
    a_stop_stands_where_it_was_moved_to,
    a_move_counts_once_and_an_older_one_not_at_all,
    a_move_that_comes_after_the_stop_filled_changes_nothing,
    a_move_that_is_refused_leaves_the_stop_that_was,
    a_stop_that_was_moved_outlives_a_kill,
    what_is_held_and_works_is_told,
    what_was_answered_outlives_a_kill,
    an_answer_that_comes_too_late_is_no_answer_to_the_next_question,
)


def check(account: Account, holds: Callable[[Account], None]) -> None:
    """Run one check and bring the account back to flat.

    Raises:
        AssertionError: it does not hold.
        TrigateError: the broker said something that cannot be.
    """
    holds(account)
    if account.position:  # whatever the check left open
        account.bench.trade(PRICE - STOP - 100, PRICE + STOP + 100)
        account.take()
    assert account.position == 0, f"{account.position} contracts are left"


def faults(account: Account, told: Callable[[str, str], None] = lambda name, fault: None) -> dict[str, str]:
    """The checks that do not hold, by name, each with what was seen; {} of an adapter that conforms.

    Args:
        account: flat, and used by nobody else.
        told: gets each check once it is done, with its fault or "".

    Raises:
        ConfigError: Python was told to leave assertions out, and every check would hold.
    """
    if not __debug__:
        raise ConfigError("python -O leaves assertions out, and checks are made of them; run without it")
    found = {}
    for holds in CHECKS:
        fault = ""
        try:
            check(account, holds)
        except (AssertionError, ValueError, LookupError, TrigateError) as error:  # two of what is told where one is due
            in_words = isinstance(error, AssertionError | TrigateError) and str(error)
            found[holds.__name__] = fault = str(error).splitlines()[0] if in_words else _where(error)
        told(holds.__name__, fault)
    return found


def _where(error: BaseException) -> str:
    """Of a fault without words: the line that says what had to hold."""
    return traceback.extract_tb(error.__traceback__)[-1].line or type(error).__name__
