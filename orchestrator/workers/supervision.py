"""When a failed worker starts again, and when the run gives up: a state machine that reads no clock; times are seconds.

A worker that ends, falls silent or is not ready in time waits for a delay that doubles from 0.5 to 32 s, and starts
again. After five restarts within ten minutes the next failure stops the run.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, assert_never


class RestartPolicy(NamedTuple):
    """How patient the supervisor is."""

    first_delay_s: float = 0.5
    longest_delay_s: float = 32.0
    budget: int = 5
    """Restarts of one worker within ``window_s``."""
    window_s: float = 600.0
    ready_within_s: float = 120.0
    """A worker that has not said Ready for so long after its start counts as failed."""
    stable_s: float = 60.0
    """After being ready for so long the delay is the first one again."""


class WorkerState(NamedTuple):
    """One worker as the supervisor sees it."""

    phase: Literal["waiting", "starting", "ready"]
    since_s: float
    """Start of the phase; for ``waiting``, when the wait ends."""
    delay_s: float
    """The wait after the next failure."""
    restarts_s: tuple[float, ...] = ()
    """Failures in the window, each of which led to a restart."""


class SupervisorState(NamedTuple):
    """Every worker, by name."""

    policy: RestartPolicy
    workers: Mapping[str, WorkerState]
    stopped: bool = False


class WorkerReady(NamedTuple):
    """It can answer."""

    worker: str
    at_s: float


class WorkerExited(NamedTuple):
    """Its process has ended, or it said that it failed."""

    worker: str
    at_s: float
    cause: str


class HeartbeatMissed(NamedTuple):
    """It runs and says nothing."""

    worker: str
    at_s: float


class Tick(NamedTuple):
    """Time has passed."""

    at_s: float


Event = WorkerReady | WorkerExited | HeartbeatMissed | Tick


class StartWorker(NamedTuple):
    """Start it now."""

    worker: str


class StopWorker(NamedTuple):
    """End its process, if there is one still."""

    worker: str


class StopRun(NamedTuple):
    """End the run, which can be continued; nothing is started any more."""

    reason: str


Effect = StartWorker | StopWorker | StopRun


class SupervisionStep(NamedTuple):
    """What an event led to."""

    state: SupervisorState
    effects: tuple[Effect, ...] = ()


def supervise(workers: Collection[str], at_s: float, policy: RestartPolicy | None = None) -> SupervisorState:
    """Every worker due to start: the first Tick starts them."""
    policy = policy or RestartPolicy()
    return SupervisorState(policy, {name: WorkerState("waiting", at_s, policy.first_delay_s) for name in workers})


def advance(state: SupervisorState, event: Event) -> SupervisionStep:
    """Apply one event; after StopRun every event leads to nothing."""
    if state.stopped:
        return SupervisionStep(state)
    match event:
        case Tick(at_s):
            return _on_tick(state, at_s)
        case WorkerReady(name, at_s):
            return _on_ready(state, name, at_s)
        case WorkerExited(name, at_s, cause):
            return _on_failure(state, name, at_s, cause)
        case HeartbeatMissed(name, at_s):
            return _on_failure(state, name, at_s, "it fell silent")
    assert_never(event)


def _ends_s(policy: RestartPolicy, worker: WorkerState) -> float:
    return worker.since_s + (policy.ready_within_s if worker.phase == "starting" else 0.0)


def _on_tick(state: SupervisorState, at_s: float) -> SupervisionStep:
    effects: tuple[Effect, ...] = ()
    for name, worker in state.workers.items():
        if worker.phase == "ready" or at_s < _ends_s(state.policy, worker) or state.stopped:
            continue
        if worker.phase == "waiting":
            state = _with(state, name, worker._replace(phase="starting", since_s=at_s))
            effects += (StartWorker(name),)
        else:
            state, more = _on_failure(state, name, at_s, f"not ready within {state.policy.ready_within_s:g} s")
            effects += more
    return SupervisionStep(state, effects)


def _on_ready(state: SupervisorState, name: str, at_s: float) -> SupervisionStep:
    worker = state.workers[name]
    if worker.phase != "starting":
        return SupervisionStep(state)
    return SupervisionStep(_with(state, name, worker._replace(phase="ready", since_s=at_s)))


def _on_failure(state: SupervisorState, name: str, at_s: float, cause: str) -> SupervisionStep:
    policy, worker = state.policy, state.workers[name]
    if worker.phase == "waiting":  # the end of a process that was already given up
        return SupervisionStep(state)
    recent = tuple(restart for restart in worker.restarts_s if at_s - restart < policy.window_s)
    if len(recent) >= policy.budget:
        reason = f"{name}: {cause}; {len(recent)} restarts in {policy.window_s / 60:g} minutes did not help"
        return SupervisionStep(state._replace(stopped=True), (StopWorker(name), StopRun(reason)))
    stable = worker.phase == "ready" and at_s - worker.since_s >= policy.stable_s
    delay_s = policy.first_delay_s if stable else worker.delay_s
    longer_s = min(2 * delay_s, policy.longest_delay_s)
    waiting = WorkerState("waiting", at_s + delay_s, longer_s, (*recent, at_s))
    return SupervisionStep(_with(state, name, waiting), (StopWorker(name),))


def _with(state: SupervisorState, name: str, worker: WorkerState) -> SupervisorState:
    return state._replace(workers={**state.workers, name: worker})
