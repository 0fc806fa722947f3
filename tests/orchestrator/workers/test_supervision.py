"""Restarts: the waits double, the budget ends the run, and nothing starts after that."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workers.supervision import (
    Event,
    HeartbeatMissed,
    RestartPolicy,
    StartWorker,
    StopRun,
    StopWorker,
    SupervisorState,
    Tick,
    WorkerExited,
    WorkerReady,
    advance,
    supervise,
)


def next_due_s(state: SupervisorState) -> float | None:
    """When a Tick will next lead to something, unless an event comes first; None if never."""
    patience_s = {"waiting": 0.0, "starting": state.policy.ready_within_s}
    ends = [worker.since_s + patience_s[worker.phase] for worker in state.workers.values() if worker.phase != "ready"]
    return min(ends, default=None) if not state.stopped else None


def crash_and_restart(state: SupervisorState, at_s: float) -> tuple[SupervisorState, float]:
    """Let the starting worker die and start again; returns the time of the new start."""
    state, _ = advance(state, WorkerExited("policy", at_s, "exit status 1"))
    due_s = next_due_s(state)
    assert due_s is not None
    state, effects = advance(state, Tick(due_s))
    assert effects == (StartWorker("policy"),)
    return state, due_s


def test_the_first_tick_starts_every_worker_once() -> None:
    state, effects = advance(supervise(["feed", "policy"], 10.0), Tick(10.0))
    _, again = advance(state, Tick(10.1))

    assert effects == (StartWorker("feed"), StartWorker("policy"))
    assert again == ()


def test_waits_double_up_to_the_longest() -> None:
    """0.5, 1, 2, 4, 8, 16, 32, 32: a worker that crashes as soon as it starts, with budget enough."""
    state, _ = advance(supervise(["policy"], 0.0, RestartPolicy(budget=99)), Tick(0.0))
    now_s, waits_s = 0.0, []

    for _ in range(8):
        state, started_s = crash_and_restart(state, now_s)
        waits_s.append(started_s - now_s)
        now_s = started_s

    assert waits_s == [0.5, 1, 2, 4, 8, 16, 32, 32]


def test_the_sixth_failure_in_ten_minutes_stops_the_run() -> None:
    state, _ = advance(supervise(["policy"], 0.0), Tick(0.0))
    now_s = 0.0
    for _ in range(5):
        state, now_s = crash_and_restart(state, now_s)

    state, effects = advance(state, WorkerExited("policy", now_s, "exit status 1"))

    reason = "policy: exit status 1; 5 restarts in 10 minutes did not help"
    assert effects == (StopWorker("policy"), StopRun(reason))
    assert advance(state, Tick(now_s + 1000)).effects == ()
    assert next_due_s(state) is None


def test_failures_older_than_the_window_are_forgiven() -> None:
    """One crash every 150 s: four fall into any 600 s, so the budget of five is never reached."""
    state, _ = advance(supervise(["policy"], 0.0), Tick(0.0))

    for crash in range(1, 12):
        state, _ = crash_and_restart(state, 150.0 * crash)

    assert not state.stopped


def test_a_worker_that_was_stable_waits_the_first_delay_again() -> None:
    state, _ = advance(supervise(["policy"], 0.0), Tick(0.0))
    state, now_s = crash_and_restart(state, 0.0)
    state, now_s = crash_and_restart(state, now_s)
    state, _ = advance(state, WorkerReady("policy", now_s))

    state, _ = advance(state, WorkerExited("policy", now_s + 60.0, "killed"))

    assert next_due_s(state) == now_s + 60.5


def test_a_silent_worker_is_stopped_and_its_exit_is_not_a_second_failure() -> None:
    state, _ = advance(supervise(["gate"], 0.0), Tick(0.0))
    state, _ = advance(state, WorkerReady("gate", 1.0))

    state, effects = advance(state, HeartbeatMissed("gate", 5.0))
    after, more = advance(state, WorkerExited("gate", 5.1, "signal 9"))

    assert effects == (StopWorker("gate"),)
    assert (after, more) == (state, ())


def test_a_worker_that_is_not_ready_in_time_has_failed() -> None:
    state, _ = advance(supervise(["gate"], 0.0), Tick(0.0))

    early = advance(state, Tick(119.9)).effects
    state, effects = advance(state, Tick(120.0))

    assert (early, effects) == ((), (StopWorker("gate"),))
    assert next_due_s(state) == 120.5


def test_a_late_ready_of_a_stopped_worker_changes_nothing() -> None:
    state, _ = advance(supervise(["gate"], 0.0), Tick(0.0))
    state, _ = advance(state, HeartbeatMissed("gate", 1.0))

    assert advance(state, WorkerReady("gate", 1.1)) == (state, ())


NAMES = st.sampled_from(["feed", "gate"])
STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 200.0),
        st.sampled_from([WorkerReady, WorkerExited, HeartbeatMissed, Tick]),
        NAMES,
    ),
    max_size=60,
)


def event_of(kind: Any, name: str, at_s: float) -> Event:
    if kind is Tick:
        return Tick(at_s)
    made: Event = kind(name, at_s, "cause") if kind is WorkerExited else kind(name, at_s)
    return made


@given(STEPS)
def test_invariants_over_any_events(steps: list[tuple[float, Any, str]]) -> None:
    """Never two starts without a failure between, never over the budget, nothing after StopRun."""
    state, now_s = supervise(["feed", "gate"], 0.0), 0.0
    starts: dict[str, list[float]] = {"feed": [], "gate": []}
    running: set[str] = set()
    stopped = False

    for wait_s, kind, name in steps:
        now_s += wait_s
        state, effects = advance(state, event_of(kind, name, now_s))
        assert not (stopped and effects)
        for effect in effects:
            match effect:
                case StartWorker(worker):
                    assert worker not in running
                    running.add(worker)
                    starts[worker].append(now_s)
                case StopWorker(worker):
                    running.discard(worker)
                case StopRun():
                    stopped = True

    for times in starts.values():
        assert all(sum(0 <= t - first < 600 for t in times) <= 6 for first in times)
    assert all(0.5 <= worker.delay_s <= 32 for worker in state.workers.values())
