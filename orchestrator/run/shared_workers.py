"""The workers of many accounts: one for each bars file, policy and gate that differ, however many accounts ask it."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from llm_gate.serving.watch import ServerWatch
from orchestrator.messaging.catalogue import FEED, GATE, POLICY
from orchestrator.run.account_run import AccountRun, AskedOf, OwnBars
from orchestrator.run.desks import AnyDesk, Desk, FeedTalk, GateTalk, PolicyTalk
from orchestrator.run.jobs import feed_job, gate_job, policy_job
from orchestrator.run.model_server import ModelServer, begin_server, prove_server
from orchestrator.run.plan import RunPlan, Say
from orchestrator.run.runner import ActionAsked, BarAsked, ReviewAsked
from orchestrator.run.simulate import patience_of
from orchestrator.workers.crew import Crew, Job
from orchestrator.workers.handed_bars import hand_over
from trigate.errors import TrigateError

NOT_THE_WORKERS = {"shadow", "on_failure", "i_understand_unprotected_approve"}
"""Settings of a gate that the trader heeds: what the gate is asked and answers is the same."""
T = TypeVar("T")


class _Served(NamedTuple, Generic[T]):
    """A desk, what it takes to open it, and who asks there."""

    desk: T
    users: list[AccountRun]
    prove: Callable[[], None] = lambda: None
    """Called once its worker is ready; may take minutes."""


class SharedWorkers:
    """Starts what the accounts need, each once."""

    def __init__(self, run_id: str, folder: Path, stack: ExitStack, *, say: Say, check: Callable[[], None]) -> None:
        """Nothing is started yet.

        Args:
            run_id: what every message carries.
            folder: where bars are handed over, and where logs are written.
            stack: ends everything that is started.
            say: gets one line for every failure and restart.
            check: called while a worker that starts is waited for; it may raise.
        """
        self._run_id, self._folder, self._stack = run_id, folder, stack
        self._say, self._check = say, check
        self._served: list[_Served[AnyDesk]] = []

    @property
    def desks(self) -> list[AnyDesk]:
        """All of them."""
        return [served.desk for served in self._served]

    def begin(self, runs: Sequence[AccountRun]) -> dict[str, AskedOf]:
        """Start what ``runs`` need, and wait for nothing: whom each asks, by its name.

        Raises:
            TrigateError: the disk failed, or a process cannot be started.
        """
        gates = self._gates([run for run in runs if run.plan.config.gate.engine != "off"])
        policies = self._policies(runs)
        feeds = self._feeds(runs)
        for served in self._served:
            if served.desk.given_up is None:
                served.desk.crew.begin()
        return {run.name: AskedOf(*feeds[run.name], policies[run.name], gates.get(run.name)) for run in runs}

    def open(self) -> None:
        """Wait until each can be asked; one that never can is given up, and those who ask elsewhere play on."""
        for desk, _, prove in self._served:
            if desk.given_up is not None:
                continue
            try:
                desk.crew.wait()
                prove()
            except TrigateError as error:
                desk.given_up = error

    def tend(self) -> None:
        """Look after those whom nobody asks at present."""
        for desk in self.desks:
            if desk.given_up is not None:
                continue
            try:
                desk.crew.tend()
            except TrigateError as error:
                desk.given_up = error

    def _feeds(self, runs: Sequence[AccountRun]) -> dict[str, tuple[Desk[BarAsked], OwnBars]]:
        found: dict[str, tuple[Desk[BarAsked], OwnBars]] = {}
        for users in _grouped(runs, lambda run: _bars_key(run.plan)):
            plan, worker = users[0].plan, self._name(FEED)
            first = min(run.plan.span.first for run in users)
            stop = max(run.plan.span.stop for run in users)
            path = self._folder / f"{worker}.npz"
            self._stack.callback(path.unlink, missing_ok=True)
            hand_over(path, plan.bars.slice(first, stop), plan.seconds)
            crew = self._crew(worker, feed_job(path, plan.bars.instrument.symbol), users)
            desk: Desk[BarAsked] = Desk(worker, crew, FeedTalk())
            self._served.append(_Served(desk, users))
            for run in users:
                span, contract = run.plan.span, plan.bars.contract
                rolls = int(contract[span.first] - contract[first])
                found[run.name] = (desk, OwnBars(span.first - first, span.stop - span.first, rolls))
        return found

    def _policies(self, runs: Sequence[AccountRun]) -> dict[str, Desk[ActionAsked]]:
        found: dict[str, Desk[ActionAsked]] = {}
        for users in _grouped(runs, lambda run: _policy_key(run.plan)):
            worker, plan = self._name(POLICY), users[0].plan
            crew = self._crew(worker, policy_job(plan, users[0].folder), users)
            desk: Desk[ActionAsked] = Desk(worker, crew, PolicyTalk())
            self._served.append(_Served(desk, users))
            found |= {run.name: desk for run in users}
        return found

    def _gates(self, runs: Sequence[AccountRun]) -> dict[str, Desk[ReviewAsked]]:
        """The gates first, as the model server behind one takes longest to start."""
        found: dict[str, Desk[ReviewAsked]] = {}
        for users in _grouped(runs, lambda run: _gate_key(run.plan)):
            worker, plan = self._name(GATE), users[0].plan
            server, fault = self._server(worker, plan)
            crew = self._crew(worker, gate_job(plan, users[0].folder, server), users)
            talk = GateTalk(plan.config.gate.review.deadline_s)
            desk: Desk[ReviewAsked] = Desk(worker, crew, talk)
            desk.given_up = fault
            self._served.append(_Served(desk, users, self._proof(server, plan, talk, users)))
            found |= {run.name: desk for run in users}
        return found

    def _server(self, worker: str, plan: RunPlan) -> tuple[ModelServer | None, TrigateError | None]:
        """The model server behind a gate, begun; or why it cannot be."""
        log_path = self._folder / "logs" / f"{worker}-vllm.log"
        try:
            return begin_server(plan.config.gate, plan.gate, log_path, self._stack, say=self._say), None
        except TrigateError as error:
            return None, error

    def _proof(
        self, server: ModelServer | None, plan: RunPlan, talk: GateTalk, users: list[AccountRun]
    ) -> Callable[[], None]:
        """Waits until the model server has answered what will be asked, and has it watched from then on."""

        def look_after() -> None:
            self._check()
            self.tend()  # their heartbeats are taken in meanwhile

        def prove() -> None:
            if server is None:
                return
            prove_server(server, plan.config.gate, say=self._say, check=look_after)
            assert server.warm_up is not None, "it is ready"
            for run in users:
                run.noted("server_ready", **server.warm_up._asdict())
            watch = ServerWatch(server, patience=patience_of(plan.config.gate), notify=self._told(users))
            talk.server = self._stack.enter_context(watch)

        return prove

    def _crew(self, worker: str, job: Job, users: list[AccountRun]) -> Crew:
        """A crew of one: a worker that is given up is then nobody else's affair."""
        logs = self._folder / "logs"
        crew = Crew(self._run_id, {worker: job}, logs, notify=self._told(users), check=self._check)
        return self._stack.enter_context(crew)

    def _told(self, users: list[AccountRun]) -> Say:
        def told(text: str) -> None:
            for run in users:
                run.noted("worker", text=text)
            self._say(text)

        return told

    def _name(self, kind: str) -> str:
        number = 1 + sum(served.desk.worker.partition("-")[0] == kind for served in self._served)
        return kind if number == 1 else f"{kind}-{number}"


def _grouped(runs: Sequence[AccountRun], key: Callable[[AccountRun], str]) -> list[list[AccountRun]]:
    """The runs with the same key together, in their order."""
    groups: dict[str, list[AccountRun]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _bars_key(plan: RunPlan) -> str:
    return f"{plan.inputs.bars_digest} {plan.inputs.seconds_digest}"


def _policy_key(plan: RunPlan) -> str:
    return f"{plan.inputs.checkpoint_digest} {plan.inputs.entries_digest}"


def _gate_key(plan: RunPlan) -> str:
    settings = plan.config.gate.model_dump(mode="json", exclude=NOT_THE_WORKERS)
    for kept in ("calibration", "size"):  # each account keeps a copy; its digest says whether it is the same
        settings["review"].pop(kept, None)
    inputs = plan.inputs
    digests = [inputs.prompt_digest, inputs.calibration_digest, inputs.size_digest]
    return json.dumps([settings, *digests, inputs.model], sort_keys=True)
