"""The breaker over its three states; time is a number the test brings."""

from llm_gate.breaker import Breaker

CLOSED = Breaker(failures_to_open=3, cooldown_s=10.0)


def after_failures(number: int, *, at_s: float = 100.0) -> Breaker:
    """A breaker that saw ``number`` failures in a row."""
    breaker = CLOSED
    for _ in range(number):
        breaker = breaker.after_failure(at_s)
    return breaker


def test_it_opens_at_the_last_failure_of_the_row() -> None:
    assert after_failures(2).allows(100.0)
    assert not after_failures(3).allows(100.0)


def test_a_success_forgets_the_failures_before_it() -> None:
    assert after_failures(2).after_success().after_failure(100.0).after_failure(100.0).allows(100.0)


def test_it_lets_a_probe_through_after_the_cooldown() -> None:
    opened = after_failures(3, at_s=100.0)

    assert not opened.allows(109.9)
    assert opened.allows(110.0)


def test_a_failed_probe_opens_it_for_another_cooldown_and_a_good_one_closes_it() -> None:
    opened = after_failures(3, at_s=100.0)

    assert not opened.after_failure(110.0).allows(119.9)
    assert opened.after_success().allows(110.0)
