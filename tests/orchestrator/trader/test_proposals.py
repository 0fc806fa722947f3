"""The proposal: integers in units of ATR and risk, and blind."""

import json

import numpy as np

from orchestrator.trader.proposals import propose
from orchestrator.trader.seen_at_close import CloseView
from rl_core.market.fills import Venue
from rl_core.market.types import PESSIMISTIC, STATIC, Account, Order, Rules, Terms
from rl_core.regimes.labels import Regime

VENUE = Venue(Terms(50, 60, 1), Rules(5_000_000, 300_000, 250_000, STATIC, 2**30), PESSIMISTIC)
ACCOUNT = Account(5_000_000, 4_750_000)
REGIME = Regime(-1500, 2600, 10, 95, "up/wild", "late", 40, 700, 2100, -350)
VIEW = CloseView(np.zeros(220, np.float32), 280, True, False, 19_876, 75, REGIME, 14 * 60 + 30)
ORDER = Order(-20, 30, 90, False)
NAME = "ab" * 16


def test_distances_are_in_atr_and_the_room_in_risks() -> None:
    """ATR is 280 / 14 = 20 ticks; the risk is 20 x 30 x 50 = 30,000 cents of a room of 250,000."""
    proposal = propose(NAME, ORDER, ACCOUNT, VIEW, 2, VENUE)

    assert (proposal.side, proposal.quantity, proposal.proposal_id) == ("sell", 20, NAME)
    assert (proposal.stop_atr_milli, proposal.target_atr_milli) == (1500, 4500)
    assert proposal.context.room_to_floor_risks_milli == 8333
    assert proposal.context.model_dump() == {
        "trend_15_atr_milli": -1500,
        "trend_60_atr_milli": 2600,
        "trend_240_atr_milli": 10,
        "volatility_percentile": 95,
        "regime": "up/wild",
        "session_part": "late",
        "minutes_to_flat": 75,
        "room_to_floor_risks_milli": 8333,
        "losing_streak": 2,
        "volume_percentile": 40,
        "to_session_high_atr_milli": 700,
        "to_session_low_atr_milli": 2100,
        "vwap_atr_milli": -350,
        "wild_percent": None,
    }


def test_an_atr_below_one_tick_counts_as_one() -> None:
    """As in the features and the regime: a stop of one tick in a dead market is 1 ATR, not 14."""
    proposal = propose(NAME, Order(1, 1, 3, False), ACCOUNT, VIEW._replace(true_range_sum=0), 0, VENUE)

    assert (proposal.side, proposal.stop_atr_milli, proposal.target_atr_milli) == ("buy", 1000, 3000)


def test_the_gate_sees_no_day_no_price_and_no_symbol() -> None:
    """Another day, another account size and other features give the same message."""
    other = VIEW._replace(session=1, window=np.ones(220, np.float32))

    shown = propose(NAME, ORDER, ACCOUNT, VIEW, 2, VENUE)

    assert shown == propose(NAME, ORDER, Account(250_000, 0), other, 2, VENUE)
    assert not {"19876", "NQ", "2024"} & set(json.dumps(shown.model_dump(mode="json")).replace('"', " ").split())
