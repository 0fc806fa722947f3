"""A short storm: every fault has its cause, and nothing waits much longer than the deadline.

How much longer to the millisecond is for ``make storm`` on a quiet machine; here others may work beside it.
"""

import pytest

from tests.campaigns.storm import Storm, faults, storm
from tests.llm_gate.fault_proxy import FAULTS

BUSY_S = 0.5


@pytest.fixture(scope="module")
def seen() -> Storm:
    return storm(500, at_once=64, deadline_s=0.25)


def test_every_fault_ends_with_a_cause_that_is_its_own(seen: Storm) -> None:
    assert set(seen.ended) == {name for name, _, _ in FAULTS}
    assert seen.wrong == []


def test_every_call_is_counted_once(seen: Storm) -> None:
    replies = {"approve", "timeout", "http", "malformed", "unavailable", "foreign"}

    assert sum(sum(row.values()) for row in seen.ended.values()) == 500
    assert sum(seen.counts.get(kind, 0) for kind in replies) == 500


def test_nobody_waits_much_longer_than_the_deadline(seen: Storm) -> None:
    assert seen.max_s < 0.25 + BUSY_S


def test_memory_stays_where_it_was(seen: Storm) -> None:
    assert seen.memory_mib[-1] - seen.memory_mib[4] < 16


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"p99_s": 0.261}, "p99"),
        ({"max_s": 0.301}, "max"),
        ({"memory_mib": [60.0] * 10 + [90.0] * 10}, "memory"),
        ({"wrong": ["none: http"]}, "outcomes"),
        ({"calls": 101}, "counted"),
        ({"ended": {"none": {"timeout": 100}}}, "seldom"),
    ],
)
def test_a_broken_promise_is_named(change: dict[str, object], broken: str) -> None:
    whole = Storm(100, 1.0, 0.1, 0.26, 0.3, [60.0] * 20, {"none": {"approve": 100}}, {}, [], {})

    assert faults(whole, 0.25) == []
    assert len(faults(whole._replace(**change), 0.25)) == 1 and broken in faults(whole._replace(**change), 0.25)[0]
