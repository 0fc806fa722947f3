"""Fills of a simulated broker in parts: their sizes and prices, and what an exit leaves open."""

import pytest

from orchestrator.messaging.broker import Bracket, Leg
from orchestrator.messaging.catalogue import Bar
from orchestrator.workers.filled_in_parts import Parts, in_parts, left_open
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.market.broker import BrokerState, Fill, meet
from rl_core.market.fills import Venue
from rl_core.market.told import FLATTENING
from rl_core.market.types import (
    INTRADAY,
    NEVER_LOCKS,
    NO_ORDER,
    PESSIMISTIC,
    Account,
    BarPrices,
    Order,
    Position,
    Rules,
    Terms,
)

VENUE = Venue(Terms(500, 60, 1), Rules(5_000_000, 300_000, 250_000, INTRADAY, NEVER_LOCKS), PESSIMISTIC)
HELD = Position(quantity=-7, entry=100, stop=110, target=70, stop_ticks=10, trailing=0, bars_held=2)


@pytest.mark.parametrize(
    ("parts", "sizes", "at_once"), [(Parts(3), [3, 2, 2], 7), (Parts(3, 1), [3, 2, 2], 3), (Parts(9, 2), [1] * 7, 2)]
)
def test_a_fill_is_split_as_evenly_as_it_goes_and_a_bar_fills_the_first_parts(
    parts: Parts, sizes: list[int], at_once: int
) -> None:
    """Seven contracts, bought back a tick worse and a second later each."""
    split = in_parts(Fill(9, 7, 110, 420, 60, "stop"), "stop", 9, parts.of_a_fill)

    assert [each.quantity for each in split] == sizes and parts.left_at_once(7) == at_once
    assert [each.price for each in split] == [110 + n for n in range(len(sizes))]
    assert [each.ts_event_ns for each in split] == [60 + n * 1_000_000_000 for n in range(len(sizes))]
    assert {each.price for each in in_parts(Fill(9, 7, 70, 420, 60, "target"), "target", 9, 3)} == {70}


@pytest.mark.parametrize(("leg", "order"), [("stop", FLATTENING), ("target", NO_ORDER), ("other", FLATTENING)])
def test_what_stays_open_is_neither_paid_nor_charged_yet(leg: Leg, order: Order) -> None:
    """Of a bar that stops all seven at 111, two stay: 5 x 11 x 500 are lost, and five commissions."""
    before = BrokerState(Account(5_000_000, 4_750_000), HELD)
    met = meet(before, BarPrices(100, 112, 99, 105), 7, VENUE)

    after = left_open(met, HELD, 2, leg, VENUE.terms)

    assert met.played.exit_price == 111
    assert after.account.cash == 5_000_000 - 5 * 11 * 500 - 5 * 60
    assert after.position == HELD._replace(quantity=-2, bars_held=3) and after.order == order


@pytest.mark.parametrize(("price", "stands"), [(1_000, 1_000), (None, 1_042 - 40)], ids=["at a price", "at a distance"])
def test_a_stop_of_an_entry_in_parts_is_at_its_distance_from_the_mean_or_at_its_price(
    price: int | None, stands: int
) -> None:
    """Three contracts at 1,041, 1,042 and 1,043."""
    broker = SimulatedBroker(VENUE, 9, parts=Parts(3))
    broker.submit(Bracket(order_id="a", quantity=3, stop_ticks=40, target_ticks=80, stop_price=price))

    broker.trade(Bar(seq=0, ts_event_ns=0, open=1_040, high=1_045, low=1_039, close=1_040, volume=100))

    assert [each.price for each in broker.executions(0)] == [1_041, 1_042, 1_043]
    assert broker.state("a").stop == broker.holdings().stop == stands
