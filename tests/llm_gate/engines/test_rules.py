"""The three-line rule, line by line and at its edges."""

from collections.abc import Callable

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.engines.rules import rule


@pytest.mark.parametrize(
    ("side", "context", "label"),
    [
        ("buy", {}, "approve"),
        ("sell", {"trend_60_atr_milli": 1500, "volatility_percentile": 91}, "veto"),
        ("buy", {"trend_60_atr_milli": -1, "volatility_percentile": 91}, "veto"),
        ("buy", {"trend_60_atr_milli": -1500, "volatility_percentile": 90}, "approve"),
        ("buy", {"trend_60_atr_milli": 1500, "volatility_percentile": 99}, "approve"),
        ("buy", {"trend_60_atr_milli": 0, "volatility_percentile": 99}, "approve"),
        ("sell", {"trend_60_atr_milli": 0, "volatility_percentile": 99}, "approve"),
        ("buy", {"room_to_floor_risks_milli": 1999}, "veto"),
        ("buy", {"room_to_floor_risks_milli": 2000}, "approve"),
        ("buy", {"room_to_floor_risks_milli": -300}, "veto"),
        ("buy", {"minutes_to_flat": 45}, "shrink"),
        ("buy", {"minutes_to_flat": 46}, "approve"),
        ("buy", {"minutes_to_flat": 10, "room_to_floor_risks_milli": 1000}, "veto"),
        ("buy", {"losing_streak": 9}, "approve"),
    ],
)
def test_the_rule(make_proposal: Callable[..., EntryProposal], side: str, context: dict[str, int], label: str) -> None:
    assert rule(make_proposal(side=side, **context)).label == label


def test_each_line_gives_its_own_reason(make_proposal: Callable[..., EntryProposal]) -> None:
    against = rule(make_proposal(side="sell", volatility_percentile=95)).reason
    near = rule(make_proposal(room_to_floor_risks_milli=500)).reason
    late = rule(make_proposal(minutes_to_flat=5)).reason

    assert "trend" in against
    assert "floor" in near
    assert "flat" in late
