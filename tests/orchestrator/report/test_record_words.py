"""A record reads like the rest of the status: no ticks, cents or nanoseconds."""

from decimal import Decimal
from typing import Any

import pytest

from orchestrator.report.record_words import record_in_words

TICK = Decimal("0.25")


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (
            {"commission": 660, "execution": 110, "price": 72_876, "quantity": -11, "reason": "stop", "order": "ab"},
            "reason stop, quantity -11, price 18,219.00, commission $6.60",
        ),
        ({"action": "trail_on", "stop": 73_135, "trailing": 1}, "action trail on, stop 18,283.75, trailing 1"),
        (
            {"bar": 27_238, "quantity": -20, "stop_ticks": 46, "target_ticks": 138},
            "quantity -20, bar 27,238, stop distance 46 ticks, target distance 138 ticks",
        ),
        ({"cash": 5_432_120, "session": 20_690}, "cash $54,321.20, session 2026-08-25"),
        (
            {"entry": 72_791, "entry_ns": 1_789_494_000_000_000_000, "pnl": -48_070, "ambiguous": False},
            "entry 18,197.75, entered 2026-09-15 13:40 ET, net -$480.70",
        ),
        (
            {"engine": "rules", "outcome": {"kind": "veto"}, "proposal": "ab", "odds_milli": None, "reason_source": ""},
            "outcome veto, engine rules",
        ),
        ({"bars": 424, "labels": {"1": 2}, "wild": 1}, "bars 424, bars in the wild state 1"),
    ],
)
def test_every_field_is_in_its_own_unit(payload: dict[str, Any], words: str) -> None:
    """By hand: 72,876 ticks of 0.25 are 18,219 points, day 20,690 since 1970 is 2026-08-25."""
    assert record_in_words(payload, TICK) == words
