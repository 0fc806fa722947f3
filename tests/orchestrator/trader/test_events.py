"""Records: integers and words, verdicts that come back as they went, and which must be durable."""

from decimal import Decimal
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gate.contract import Approve, GateFailed, Outcome, Resize, Reviewed, Veto
from orchestrator.journal.lines import Chain
from orchestrator.trader import events as ledger
from orchestrator.trader.booking import trade_of
from orchestrator.trader.events import OpenTrade
from rl_core.market.broker import XP, Fill
from rl_core.market.days import Days
from rl_core.market.fills import Venue, play_bar
from rl_core.market.types import FLAT, INTRADAY, PESSIMISTIC, Account, BarPrices, Order, Rules, Terms

VENUE = Venue(Terms(50, 60, 1), Rules(5_000_000, 300_000, 250_000, INTRADAY, 2**30), PESSIMISTIC)


def reviewed(outcome: Outcome, odds: dict[str, float] | None) -> Reviewed:
    """A reply of the gate."""
    return Reviewed.model_validate(
        {
            "proposal_id": "ab" * 16,
            "outcome": outcome.model_dump(),
            "probabilities": odds,
            "latency_s": 1.5,
            "prompt_digest": "0" * 64,
            "engine": "vllm",
            "model": "m",
            "reason_source": "model",
        }
    )


@pytest.mark.parametrize(
    "outcome",
    [
        Approve(),
        Veto(reason="a “quoted” reason, \u20ac 3"),
        Resize(size_factor=Decimal("0.125"), reason=""),
        GateFailed(cause="breaker_open"),
    ],
)
@pytest.mark.parametrize("odds", [None, {"approve": 0.12345, "shrink": 0.5, "veto": 0.37655}])
def test_a_verdict_is_journalled_without_floats_and_comes_back(outcome: Outcome, odds: dict[str, float] | None) -> None:
    """Probabilities in thousandths; the latency is of the wall clock and stays out; twice recorded is the same."""
    record = ledger.decided(reviewed(outcome, odds))
    back = ledger.reviewed_from(record.payload)

    assert back.outcome == outcome and back.latency_s == 0
    assert ledger.decided(back) == record
    assert Chain().line(record.type, record.payload, sync=record.sync), "the journal takes no floats"
    assert odds is None or back.probabilities == {"approve": 0.123, "shrink": 0.5, "veto": 0.377}


def test_a_calibrated_verdict_is_journalled_with_its_calibration_and_another_says_nothing_of_one() -> None:
    own = reviewed(Approve(), None)
    record = ledger.decided(own.model_copy(update={"calibration": "c" * 64, "calibrated": 0.31249}))

    assert (record.payload["calibration"], record.payload["calibrated_milli"]) == ("c" * 64, 312)
    assert ledger.decided(ledger.reviewed_from(record.payload)) == record
    assert not {"calibration", "calibrated_milli"} & ledger.decided(own).payload.keys()


def test_a_halved_entry_is_journalled_with_the_line_that_halved_it_and_another_says_nothing_of_one() -> None:
    own = reviewed(Resize(size_factor=Decimal("0.5"), reason="room"), None)
    record = ledger.decided(own.model_copy(update={"sized": "5" * 64}))

    assert record.payload["sized"] == "5" * 64
    assert ledger.reviewed_from(record.payload).sized == "5" * 64
    assert "sized" not in ledger.decided(own).payload


def test_a_trade_is_the_sum_of_its_fills() -> None:
    """Two sold at 99, stopped at 110: -11 x 2 x 50 - 4 x 60; the risk was 2 x 10 x 50."""
    account = Account(5_000_000, 4_750_000)
    played = play_bar(XP, FLAT, account, Order(-2, 10, 30, False), BarPrices(100, 112, 99, 100), VENUE)
    start, end = Fill(1, -2, 99, 120, 60, "entry"), Fill(2, 2, 110, 120, 120, "stop")

    trade = trade_of(OpenTrade("ab", start), end, played, VENUE)

    assert (trade.quantity, trade.entry, trade.exit, trade.reason) == (-2, 99, 110, "stop")
    assert (trade.gross, trade.costs, trade.pnl, trade.risk) == (-1100, 240, -1340, 1000)
    assert played.account.cash - account.cash == trade.pnl
    assert Chain().line("trade", ledger.trade_closed(1, 1, trade).payload, sync=False)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(90, 110), st.integers(0, 3)), min_size=1, max_size=5),
    st.sampled_from([-1, 1]),
)
def test_a_trade_that_leaves_in_parts_is_one_at_its_mean_price_to_the_cent(
    drawn: list[tuple[int, int, int]], side: int
) -> None:
    """Each part's price is rounded already, and what that left was paid with it: the mean is rounded once."""
    contracts = sum(size for size, _, _ in drawn)
    start = Fill(1, side * contracts, 100, contracts * 60, 60, "entry")
    left = [
        Fill(n, -side * size, price, size * 60 + min(rest, size - 1) * 50, 60 * n, reason)
        for n, ((size, price, rest), reason) in enumerate(zip(drawn, ("target", *["stop"] * 4), strict=False), 2)
    ]
    # Of the bar that closes it, the trade takes the risk of what left in it.
    played = play_bar(XP, FLAT, Account(5_000_000, 0), Order(1, 10, 30, False), BarPrices(100, 112, 80, 100), VENUE)
    played = played._replace(risk=abs(left[-1].quantity) * 10 * 50)

    trade = trade_of(OpenTrade("ab", start, tuple(left[:-1])), left[-1], played, VENUE)

    made = sum((fill.price - 100) * -fill.quantity * 50 - fill.commission for fill in left) - start.commission
    paid_for = sum(abs(fill.quantity) * fill.price for fill in left)
    rests = sum(fill.commission - abs(fill.quantity) * 60 for fill in left) // 50
    exact = (paid_for - side * rests) / contracts
    assert trade.pnl == made == trade.gross - trade.costs
    assert trade.exit == (ceil(exact) if side > 0 else floor(exact)), "a tick in our favour, of the parts as they were"
    assert (trade.quantity, trade.risk, trade.exit_ns) == (side * contracts, contracts * 500, left[-1].ts_event_ns)
    assert trade.reason == max(left, key=lambda fill: abs(fill.quantity)).reason


def test_what_an_effect_hangs_on_is_durable_first() -> None:
    """Intent and fill are on disk before anything follows from them; a bar can be asked for again."""
    account = Account(1, 0)
    durable = [
        ledger.intended("ab", Order(1, 1, 3, False)),
        ledger.filled("ab", Fill(1, 1, 1, 1, 1, "entry")),
        ledger.account_ended(1, "failed", account),
    ]
    cheap = [ledger.acted(0, 0, "policy"), ledger.bars_ended(3), ledger.session_closed(1, 1, account, Days())]

    assert all(record.sync for record in durable)
    assert not any(record.sync for record in cheap)


def test_one_sync_at_the_last_record_that_needs_it_makes_a_step_durable() -> None:
    intent, fill = ledger.intended("ab", Order(1, 1, 3, False)), ledger.filled("ab", Fill(1, 1, 1, 1, 1, "entry"))
    cheap = ledger.acted(0, 0, "policy")

    assert ledger.last_durable([intent, fill, cheap], verdict=True) == 1
    assert ledger.last_durable([cheap, cheap], verdict=False) is None
    assert ledger.last_durable([cheap, cheap], verdict=True) == 1, "a verdict is never left to the next one"
    assert ledger.last_durable([], verdict=False) is None
