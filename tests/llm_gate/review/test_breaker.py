"""The breaker over its three states; time is a number the test brings."""

from hypothesis import given
from hypothesis import strategies as st

from llm_gate.review.breaker import Admission, Breaker

CLOSED = Breaker(failures_to_open=3, cooldown_s=10.0)


def after_failures(number: int, *, at_s: float = 100.0) -> Breaker:
    """A breaker that saw ``number`` failures in a row."""
    breaker = CLOSED
    for _ in range(number):
        breaker = breaker.after_failure(at_s, "asked")
    return breaker


def test_it_opens_at_the_last_failure_of_the_row() -> None:
    assert after_failures(2).admission(100.0) == "asked"
    assert after_failures(3).admission(100.0) == "refused"


def test_a_success_forgets_the_failures_before_it() -> None:
    again = after_failures(2).after_success().after_failure(100.0, "asked").after_failure(100.0, "asked")

    assert again.admission(100.0) == "asked"


def test_it_lets_one_probe_through_after_the_cooldown() -> None:
    opened = after_failures(3, at_s=100.0)

    assert opened.admission(109.9) == "refused"
    assert opened.admission(110.0) == "probe"
    assert opened.after_admission("probe").admission(500.0) == "refused"


def test_a_failed_probe_opens_it_for_another_cooldown_and_a_good_one_closes_it() -> None:
    probing = after_failures(3, at_s=100.0).after_admission("probe")

    failed = probing.after_failure(112.0, "probe")

    assert (failed.admission(121.9), failed.admission(122.0)) == ("refused", "probe")
    assert probing.after_success().admission(112.0) == "asked"


def test_a_cancelled_probe_frees_the_next_one() -> None:
    probing = after_failures(3, at_s=100.0).after_admission("probe")

    assert probing.after_nothing("probe").admission(110.0) == "probe"
    assert probing.after_nothing("asked").admission(110.0) == "refused"


def test_who_was_asked_before_it_opened_does_not_lengthen_the_cooldown() -> None:
    opened = after_failures(3, at_s=100.0)

    assert opened.after_failure(109.0, "asked").admission(110.0) == "probe"


@given(st.lists(st.sampled_from(["ask", "good", "bad", "cancel", "wait"]), max_size=60))
def test_never_are_two_probes_under_way(events: list[str]) -> None:
    breaker, now_s, waiting = CLOSED, 0.0, list[Admission]()
    for event in events:
        now_s += 11.0 if event == "wait" else 0.1
        if event == "ask" and (admission := breaker.admission(now_s)) != "refused":
            breaker = breaker.after_admission(admission)
            waiting.append(admission)
        elif event == "good" and waiting:
            waiting.pop(0)
            breaker = breaker.after_success()
            waiting = ["asked" for _ in waiting]  # closed again: whoever still waits is an ordinary question
        elif event in ("bad", "cancel") and waiting:
            admission = waiting.pop(0)
            breaker = breaker.after_failure(now_s, admission) if event == "bad" else breaker.after_nothing(admission)

        assert waiting.count("probe") <= 1
