"""A short run of the campaign, and planted faults that it must find."""

from decimal import Decimal

import pytest

from llm_gate.contract import Approve, Mode, Outcome, Resize
from llm_gate.engines.base import Question
from llm_gate.errors import EngineError
from orchestrator.trader.machine import advance
from orchestrator.trader.state import GateAnswered
from rl_core.market.types import Order
from tests.campaigns.fuzz_replies import SETTING, _reviewed, asks, campaign, judged, violation


def test_twenty_thousand_replies_break_no_promise() -> None:
    found = campaign(20_000, seed=1)

    assert found.violation == ""
    assert found.replies == 20_000 and found.different > 10_000
    assert {"approve", "resize", "veto", "malformed", "foreign"} <= set(found.ended)
    assert min(found.changed.values()) > 100


def clamping(mode: Mode, data: bytes, question: Question) -> Outcome:
    """A gate that takes a size above 1 at its word."""
    outcome = judged(mode, data, question)
    return (
        Resize.model_construct(kind="resize", size_factor=Decimal(2), reason="")
        if outcome.kind == "resize"
        else outcome
    )


def test_a_size_above_the_proposed_does_not_survive_the_wire() -> None:
    with pytest.raises(EngineError, match="less than 1"):
        campaign(500, seed=1, judge=clamping)


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        (lambda o: o._replace(quantity=-o.quantity), "the side was changed"),
        (lambda o: o._replace(quantity=o.quantity * 2), "the size was raised"),
        (lambda o: o._replace(stop_ticks=o.stop_ticks + 1), "the stop was loosened"),
        (lambda o: o._replace(target_ticks=o.target_ticks - 1), "the target was moved"),
        (lambda o: o._replace(flatten=True), "an exit was touched"),
    ],
)
def test_each_promise_is_checked(change: "object", promise: str) -> None:
    """The order after an approval, changed by hand."""
    assert callable(change)
    for ask in asks():
        reviewed = _reviewed(ask.proposal, "choice", Approve())
        after = advance(ask.state, GateAnswered(reviewed), SETTING).state
        order: Order = change(after.broker.order)

        assert violation(ask, reviewed, after) == ""
        assert violation(ask, reviewed, after._replace(broker=after.broker._replace(order=order))) == promise


def test_a_touched_account_is_seen() -> None:
    ask = asks()[0]
    reviewed = _reviewed(ask.proposal, "choice", Approve())
    after = advance(ask.state, GateAnswered(reviewed), SETTING).state
    account = after.broker.account._replace(cash=0)

    assert "account" in violation(ask, reviewed, after._replace(broker=after.broker._replace(account=account)))
