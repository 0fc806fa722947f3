"""A bar that a broker tells is the computed one where both agree; where they do not, the broker's word counts."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_core.market.broker import BrokerState, BrokerStep, Fill, end_session, meet
from rl_core.market.fills import Venue
from rl_core.market.told import FLATTENING, ToldFill, end_as_told, meet_as_told, taken_together
from rl_core.market.types import (
    ADAPTIVE,
    AT_DAILY_LOSS,
    CLOSED_BALANCE,
    DAILY_LOSS,
    EOD_BALANCE,
    FLAT,
    INTRADAY,
    NEVER_LOCKS,
    NO_ORDER,
    NOT_PAUSED,
    PESSIMISTIC,
    SECONDS,
    STATIC,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)

PRICE = 80_000
TERMS = Terms(500, 60, 1)
VENUE = Venue(TERMS, Rules(5_000_000, 300_000, 250_000, INTRADAY, NEVER_LOCKS), PESSIMISTIC)
LONG = Position(quantity=1, entry=PRICE, stop=79_900, target=80_300, stop_ticks=100, trailing=0, bars_held=1)
ACCOUNT = Account(5_000_000, 4_750_000)

ways = st.lists(st.integers(-250, 250), min_size=1, max_size=8)
venues = st.builds(
    lambda ratchet, resolution, fails: Venue(
        TERMS, Rules(5_000_000, 300_000, 250_000, ratchet, NEVER_LOCKS, daily_fails=fails), resolution
    ),
    st.sampled_from([STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY]),
    st.sampled_from([PESSIMISTIC, ADAPTIVE, SECONDS]),
    st.sampled_from([0, 1]),
)
accounts = st.builds(
    lambda room, day, locked: Account(5_000_000, 5_000_000 - room, day_floor=5_000_000 - day, locked=locked),
    st.sampled_from([250_000, 90_000, 20_000, 60]),
    st.sampled_from([10_000_000, 70_000]),
    st.sampled_from([0, 1]),
)
held = st.builds(
    lambda side, quantity, stop: Position(
        side * quantity, PRICE, PRICE - side * stop, PRICE + side * 3 * stop, stop, 0, 2
    ),
    st.sampled_from([-1, 1]),
    st.integers(1, 3),
    st.integers(1, 120),
)
waiting = st.builds(Order, st.sampled_from([-2, 1, 3]), st.integers(1, 120), st.integers(1, 300), st.just(False))
states = st.one_of(
    st.builds(lambda account, position: BrokerState(account, position, NO_ORDER, 5), accounts, held),
    st.builds(lambda account, position: BrokerState(account, position, Order(0, 0, 0, True), 5), accounts, held),
    st.builds(lambda account, order: BrokerState(account, FLAT, order, 5), accounts, waiting),
    st.builds(lambda account: BrokerState(account), accounts),
)


def told(fills: Sequence[Fill]) -> list[ToldFill]:
    """What a broker says of ``fills``: it has no word for why it closed something itself."""
    return [
        ToldFill(
            fill.execution,
            fill.reason if fill.reason in ("entry", "stop", "target") else "other",
            fill.quantity,
            fill.price,
            fill.ts_event_ns,
        )
        for fill in fills
    ]


def second_by_second(way: list[int]) -> tuple[BarPrices, list[BarPrices]]:
    """A minute that goes this way from `PRICE`, and its seconds."""
    prices = [PRICE]
    for step in way:
        prices.append(prices[-1] + step)
    rows = [BarPrices(price, price, price, price) for price in prices]
    return BarPrices(prices[0], max(prices), min(prices), prices[-1]), rows


@settings(max_examples=600, deadline=None)
@given(states, venues, ways)
def test_a_bar_told_as_it_was_computed_is_the_computed_one(state: BrokerState, venue: Venue, way: list[int]) -> None:
    """Account, floor, position, fills and every word of the outcome: to the cent."""
    minute, seconds = second_by_second(way)

    computed = meet(state, minute, 7, venue, seconds)

    assert meet_as_told(state, told(computed.fills), minute, venue, seconds) == computed


@settings(max_examples=200, deadline=None)
@given(states, venues, st.integers(-200, 200))
def test_a_session_told_to_end_as_it_was_computed_ends_so(state: BrokerState, venue: Venue, moved: int) -> None:
    computed = end_session(state, PRICE + moved, 7, venue)

    ended = end_as_told(state, told(computed.fills), venue)

    assert (ended.state, ended.fills) == (computed.state, computed.fills)
    if state.position.quantity:
        assert ended.played == computed.played


def test_an_entry_counts_at_the_price_that_was_told_and_carries_its_bracket_there() -> None:
    """Computed 80,001; told 80,004: stop and target lie 100 and 300 from there."""
    waits = BrokerState(ACCOUNT, FLAT, Order(1, 100, 300, False))

    step = meet_as_told(waits, [ToldFill(1, "entry", 1, 80_004, 7)], BarPrices(80_000, 80_010, 79_990, 80_000), VENUE)

    position = step.state.position
    assert (position.entry, position.stop, position.target) == (80_004, 79_904, 80_304)
    assert step.state.account.cash == 5_000_000 - 60


def test_an_exit_counts_at_the_price_that_was_told() -> None:
    """A stop at 79,900 that filled at 79,880: 120 ticks of 5 dollars, and a commission."""
    step = left_at(ToldFill(3, "stop", -1, 79_880, 7), BarPrices(80_000, 80_010, 79_890, 79_950))

    assert (step.fills[0].reason, step.fills[0].price) == ("stop", 79_880)
    assert step.state.account.cash == 5_000_000 - 120 * 500 - 60


def test_a_stop_that_was_not_told_has_not_filled_and_the_floor_follows_the_best_price() -> None:
    """By the bar's prices the stop was reached: the broker knows better whether it was. 200 ticks above are 1,000."""
    step = left_at(None, BarPrices(80_000, 80_200, 79_890, 79_950))

    assert step.state.position.quantity == 1 and step.fills == ()
    assert step.state.account.floor == 5_000_000 + 100_000 - 250_000


def test_what_nobody_of_us_closed_was_closed_by_the_firm() -> None:
    """No flatten was asked for and no level was reached: the account counts as failed."""
    step = left_at(ToldFill(3, "other", -1, 79_990, 7), BarPrices(80_000, 80_010, 79_985, 80_000))

    assert step.fills[0].reason == "liquidation" and step.played.failed


def test_a_target_that_was_told_against_the_bar_moves_the_floor_by_its_price_at_most() -> None:
    """The bar only touches 80,300, so no fill is computed; it was told, and the floor saw 300 ticks."""
    step = left_at(ToldFill(3, "target", -1, 80_300, 7), BarPrices(80_000, 80_300, 79_950, 80_000))

    assert step.fills[0].reason == "target"
    assert step.state.account.cash == 5_000_000 + 300 * 500 - 60
    assert step.state.account.floor == 5_000_000 + 150_000 - 250_000


def left_at(fill: ToldFill | None, minute: BarPrices) -> BrokerStep:
    """What a bar comes to for a long of which this was told."""
    return meet_as_told(BrokerState(ACCOUNT, LONG, NO_ORDER, 2), [fill] if fill else [], minute, VENUE)


THREE = LONG._replace(quantity=3)


def test_a_part_that_leaves_is_settled_and_the_rest_keeps_its_stop_and_target() -> None:
    """Two of three at 80,301 bank 301,000 less two commissions; the third is worth 151,000 more at the bar's best."""
    told_of = [ToldFill(3, "target", -2, 80_301, 7)]

    step = meet_as_told(
        BrokerState(ACCOUNT, THREE, NO_ORDER, 2), told_of, BarPrices(80_000, 80_302, 79_950, 80_100), VENUE
    )

    cash = 5_000_000 + 2 * 301 * 500 - 120
    assert step.state.position == THREE._replace(quantity=1, bars_held=2)
    assert step.state.account.cash == cash >= VENUE.rules.start + VENUE.rules.target
    assert step.state.account.floor == cash + 302 * 500 - 250_000
    assert step.state.account.paused == NOT_PAUSED, "a day stands down once its trade is over"
    assert (step.fills[0].quantity, step.fills[0].reason, step.state.executions) == (-2, "target", 3)


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-90, 90)), min_size=1, max_size=5), st.sampled_from([-1, 1]))
def test_an_account_is_exact_to_the_cent_after_an_exit_over_several_bars(
    drawn: list[tuple[int, int]], side: int
) -> None:
    contracts = sum(size for size, _ in drawn)
    position = Position(side * contracts, PRICE, PRICE - side * 1000, PRICE + side * 3000, 1000, 0, 1)
    state = BrokerState(ACCOUNT, position)

    for n, (size, moved) in enumerate(drawn, 1):
        part = ToldFill(n, "other", -side * size, PRICE + moved, n)
        state = meet_as_told(state, [part], BarPrices(PRICE, PRICE, PRICE, PRICE), VENUE, begun=DAILY_LOSS).state

    made = sum(side * size * moved for size, moved in drawn) * TERMS.tick_value
    assert state.account.cash == ACCOUNT.cash + made - contracts * TERMS.commission
    assert (state.position, state.executions) == (FLAT, len(drawn))


def test_an_exit_that_was_begun_goes_on_for_its_reason() -> None:
    """A bar that reaches nothing: by itself what nobody of us closed would count as the end of the account."""
    flattens, quiet = BrokerState(ACCOUNT, THREE, FLATTENING), BarPrices(80_000, 80_010, 79_990, 80_000)
    part = [ToldFill(1, "other", -1, 80_000, 7)]

    for fills in (part, []):
        step = meet_as_told(flattens, fills, quiet, VENUE)
        assert step.state.order == FLATTENING, "what is to be flat stays so until it is"
        assert [fill.reason for fill in step.fills] == ["flatten"] * len(fills)
    daily = meet_as_told(BrokerState(ACCOUNT, THREE), part, quiet, VENUE, begun=DAILY_LOSS)
    assert (daily.fills[0].reason, daily.played.failed) == ("daily_loss", False)
    assert daily.state.account.paused == AT_DAILY_LOSS


def test_the_rest_of_an_exit_at_the_floor_ends_the_account() -> None:
    """One of three left at 79,900; at the close the others are worth 250,000 less: the floor is touched."""
    part = [ToldFill(1, "stop", -1, 79_900, 7)]

    step = meet_as_told(BrokerState(ACCOUNT, THREE), part, BarPrices(80_000, 80_000, 79_700, 79_750), VENUE)

    assert step.played.failed and step.state.position.quantity == 2


def test_two_exits_of_one_bar_are_our_mistake() -> None:
    twice = [ToldFill(3, "stop", -1, 79_900, 7), ToldFill(4, "target", -1, 80_300, 7)]

    with pytest.raises(AssertionError, match="one entry and one exit"):
        meet_as_told(BrokerState(ACCOUNT, LONG), twice, BarPrices(80_000, 80_400, 79_800, 80_000), VENUE)


def test_parts_are_one_fill_at_their_mean_price_rounded_in_our_favour_with_the_rest_told() -> None:
    """Bought 2 at 100 and 1 at 101: 301 in all, 3 at 100 and 1 left over; sold, 3 at 101 and 2 short of 303."""
    bought = [ToldFill(4, "entry", 2, 100, 7), ToldFill(5, "entry", 1, 101, 8)]
    sold = [ToldFill(4, "stop", -2, 100, 7), ToldFill(5, "other", -1, 101, 8)]

    assert taken_together(bought) == ToldFill(5, "entry", 3, 100, 7, parts=2, rest=1)
    assert taken_together(sold) == ToldFill(5, "stop", -3, 101, 8, parts=2, rest=2)
    assert taken_together(bought[:1]) == bought[0]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(79_950, 80_050)), min_size=1, max_size=4),
    st.sampled_from([-1, 1]),
)
def test_an_account_is_exact_to_the_cent_after_a_trade_in_parts(drawn: list[tuple[int, int]], side: int) -> None:
    """What was paid for every part and taken at 80,000 for all of them; commissions of both sides."""
    contracts = sum(size for size, _ in drawn)
    entry = taken_together([ToldFill(n, "entry", side * size, price, 7) for n, (size, price) in enumerate(drawn, 1)])
    leaving = ToldFill(len(drawn) + 1, "other", -side * contracts, PRICE, 8)
    waits = BrokerState(ACCOUNT, FLAT, Order(side * contracts, 1000, 3000, False))

    step = meet_as_told(waits, [entry, leaving], BarPrices(PRICE, PRICE, PRICE, PRICE), VENUE)

    made = sum(side * size * (PRICE - price) for size, price in drawn) * TERMS.tick_value
    assert step.state.account.cash == ACCOUNT.cash + made - 2 * contracts * TERMS.commission
    assert step.state.executions == len(drawn) + 1 and step.fills[0].parts == len(drawn)
    ended = end_as_told(step.state._replace(position=LONG), [ToldFill(9, "other", -1, PRICE, 8, rest=1)], VENUE)
    assert ended.state.account.cash == step.state.account.cash - TERMS.commission - TERMS.tick_value
