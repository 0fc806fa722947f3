"""PASS needs everything, FAIL a whole interval below zero, and a synthetic world proves nothing."""

import pytest

from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.verdict import MIN_SESSIONS, MIN_TRADES, verdict_on

GOOD = Interval(0.2, 0.05, 0.35, 0.95, MIN_SESSIONS, MIN_TRADES)


def test_a_pass_needs_a_positive_interval_from_enough_sessions_and_trades() -> None:
    assert verdict_on(GOOD, synthetic=False).word == "PASS"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"low": 0.0}, "reaches down to"),
        ({"low": -0.1, "high": 0.0}, "reaches down to"),
        ({"sessions": MIN_SESSIONS - 1}, "59 sessions"),
        ({"trades": MIN_TRADES - 1}, "99 trades"),
    ],
)
def test_one_doubt_is_enough(changed: dict[str, float], reason: str) -> None:
    verdict = verdict_on(GOOD._replace(**changed), synthetic=False)  # type: ignore[arg-type]

    assert verdict.word == "NOT PROVEN" and len(verdict.reasons) == 1 and reason in verdict.reasons[0]


def test_every_doubt_is_told() -> None:
    poor = Interval(0.0, -0.1, 0.1, 0.95, 3, 7)

    assert len(verdict_on(poor, synthetic=True).reasons) == 4


def test_a_whole_interval_below_zero_fails_unless_the_world_is_synthetic() -> None:
    bad = GOOD._replace(mean=-0.2, low=-0.3, high=-0.01)

    assert verdict_on(bad, synthetic=False).word == "FAIL"
    assert verdict_on(bad, synthetic=True).word == "NOT PROVEN"


def test_a_synthetic_world_and_an_empty_run_prove_nothing() -> None:
    assert verdict_on(GOOD, synthetic=True).word == "NOT PROVEN"
    assert verdict_on(None, synthetic=False) == ("NOT PROVEN", ("no trade was closed",))
