"""Facts in words: where each word begins, and that a proposal stays blind."""

from collections.abc import Callable

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.facts import facts_of


@pytest.mark.parametrize(
    ("side", "trend", "words"),
    [
        ("buy", 500, "with"),
        ("buy", 499, "flat"),
        ("buy", -499, "flat"),
        ("buy", -500, "AGAINST"),
        ("sell", 500, "AGAINST"),
        ("sell", -500, "with"),
    ],
)
def test_a_trend_is_seen_from_the_side_of_the_trade(
    make_proposal: Callable[..., EntryProposal], side: str, trend: int, words: str
) -> None:
    facts = facts_of(make_proposal(side=side, trend_60_atr_milli=trend))

    assert facts.trend_60 == words
