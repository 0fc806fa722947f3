"""One simulated run from its configuration to a finished folder: inputs, workers, the loop, the report."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from llm_gate.prompts.prompt_files import prompt_file
from llm_gate.serving.watch import Patience, ServerWatch
from orchestrator.journal.journal import Journal
from orchestrator.messaging.catalogue import FEED, GATE, POLICY
from orchestrator.run.answers import WorkerAnswers
from orchestrator.run.control import Control
from orchestrator.run.folder import CALIBRATION, RunFolder, open_run
from orchestrator.run.model_patience import ModelPatience
from orchestrator.run.model_server import ModelServer, ready_server
from orchestrator.run.plan import RunPlan, Say
from orchestrator.run.runner import DeferredAnswers, Finished, Runner, StopAskedError
from orchestrator.run.stopping import Stopping
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.machine import opening_state
from orchestrator.trader.seen_at_close import CloseViewStream
from orchestrator.workers.crew import Crew, Job

NEVER_OPENS = 1_000_000  # failures in a row


class RunHooks(NamedTuple):
    """How a run speaks with whoever started it."""

    say: Say = lambda text: None
    stop_asked: Callable[[], bool] = lambda: False
    """Looked at between two bars and while anything is waited for."""
    on_bar: Callable[[int], None] = lambda bars: None
    """Called with the bars done, after each."""


class Outcome(NamedTuple):
    """What a run left."""

    folder: RunFolder
    complete: bool
    bars: int


def simulate(plan: RunPlan, hooks: RunHooks | None = None) -> Outcome:
    """Run the plan, or continue the run of the same inputs that is not done.

    Raises:
        TrigateError: a worker, the server, the disk or the lock failed; the run can be continued.
    """
    folder = open_run(plan.config, plan.manifest(), kept=plan.kept)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal.open(folder.journal, folder.manifest().known_head))
        folder.mark_started()
        simulation = _Simulation(plan, folder, journal, hooks or RunHooks(), stack)
        try:
            finished = simulation.play()
        except BaseException as error:
            folder.mark("failed", cause=f"{type(error).__name__}: {error}")
            raise
        # On disk before the manifest says so: what it knows of, the journal must hold after a loss of power too.
        journal.sync()
        folder.mark("ended" if finished.complete else "stopped", journal_head=journal.head)
    return Outcome(folder, finished.complete, finished.bars)


class _Simulation:
    """One start of a run: what it needs is started as late as possible, and ended with ``stack``."""

    def __init__(self, plan: RunPlan, folder: RunFolder, journal: Journal, hooks: RunHooks, stack: ExitStack) -> None:
        self._plan, self._folder, self._journal, self._hooks, self._stack = plan, folder, journal, hooks, stack
        self._telemetry = stack.enter_context(Telemetry(folder.telemetry))
        self._control = Control(folder.path)
        self._stopping = Stopping(self._hooks.stop_asked, self._control, plan.config.on_shutdown)

    def play(self) -> Finished:
        """Replay what is recorded, then play on with the workers."""
        plan, say = self._plan, self._hooks.say
        if self._journal.replaying:
            say(f"continuing {self._folder.path}: {self._journal.verified.chain.length} records are replayed first")
        try:
            crew = self._crew()
            answers = self._answers(crew)
            views = CloseViewStream(
                int(plan.bars.ts_event_ns[plan.span.history]),
                plan.trading.pack,
                plan.trading.hours,
                plan.regimes,
                plan.bars.instrument.calendar,
                plan.trading.yardstick,
            )
            for bar in answers.history():
                views.push(bar)
        except StopAskedError:
            return Finished(opening_state(plan.setting), 0, complete=False)
        # The gate and its model take minutes to start, and a recording may never ask them.
        deferred = DeferredAnswers(lambda: self._with_gate(crew, answers))
        runner = Runner(self._journal, deferred, views, plan.setting, self._control.wanted)
        return runner.run(stop_asked=lambda: self._stopping.due(holds=runner.holds), on_bar=self._hooks.on_bar)

    def _notify(self, text: str) -> None:
        self._telemetry.note("worker", text=text)
        self._hooks.say(text)

    def _crew(self) -> Crew:
        """Feed and policy, ready."""
        run_id, logs = self._plan.inputs.run_id, self._folder.logs
        crew = Crew(run_id, _jobs(self._plan), logs, notify=self._notify, check=self._stopping.check)
        self._stack.enter_context(crew)
        self._stack.callback(lambda: self._telemetry.note("refused", **crew.refused))
        self._folder.write_manifest(self._folder.manifest().model_copy(update={"socket_folder": crew.socket_folder}))
        crew.start()
        return crew

    def _answers(self, crew: Crew) -> WorkerAnswers:
        review = self._plan.config.gate.review
        return WorkerAnswers(crew, self._telemetry, gate_deadline_s=review.deadline_s, alarm_window=review.alarm_window)

    def _with_gate(self, crew: Crew, answers: WorkerAnswers) -> WorkerAnswers:
        """Waits until the gate's worker and model server are ready, if there are any, and returns ``answers``."""

        def look_after() -> None:
            self._stopping.check()
            crew.tend()  # their heartbeats are taken in meanwhile

        server = ready_server(
            self._plan.config.gate,
            self._plan.gate,
            self._folder.logs / "vllm.log",
            self._stack,
            say=self._hooks.say,
            check=look_after,
        )
        if server is not None:
            assert server.warm_up is not None, "it is ready"
            self._telemetry.note("server_ready", **server.warm_up._asdict())
            watch = ServerWatch(server, patience=_patience(self._plan), notify=self._notify)
            self._stack.enter_context(watch)
            answers.model = ModelPatience(watch, say=self._notify, check=look_after)
        if self._plan.config.gate.engine != "off":
            crew.join(GATE, _gate_job(self._plan, self._folder, server))
        return answers


def _patience(plan: RunPlan) -> Patience:
    """How long the server's watch waits: at least the gate's deadline, so that a slow server is not replaced."""
    usual, waits_s = Patience(), plan.config.gate.review.deadline_s
    return usual._replace(
        deadline_s=max(usual.deadline_s, waits_s), suspect_deadline_s=max(usual.suspect_deadline_s, waits_s)
    )


def _jobs(plan: RunPlan) -> dict[str, Job]:
    config = plan.config
    feed = {
        "bars": str(config.bars.resolve()),
        "digest": plan.bars.digest,
        "market": plan.bars.instrument.symbol,
        "timezone": config.timezone,
        "stamp": config.stamp,
        "seconds": None if config.seconds is None else str(config.seconds.resolve()),
        **plan.span._asdict(),
    }
    return {
        FEED: Job("orchestrator.workers.feed", feed),
        POLICY: Job("orchestrator.workers.policy", {"checkpoint": str(plan.checkpoint.resolve())}),
    }


def _gate_job(plan: RunPlan, folder: RunFolder, server: ModelServer | None) -> Job:
    config = plan.config.gate
    review = config.review.model_dump(mode="json")
    review["calibration"] = str((folder.path / CALIBRATION).resolve()) if plan.gate.calibration else None
    # A breaker spares a failing server and the time of a market that moves on. Here the run itself waits for the
    # server, and an open breaker would only refuse what it asks again.
    review["breaker_failures"] = NEVER_OPENS
    gate = {
        "engine": config.engine,
        "prompt": str(prompt_file(config.prompt, config.prompts).resolve()),
        "gate": review,
        "calibration_digest": plan.inputs.calibration_digest,
        "url": "" if server is None else server.url,
        "key": "" if server is None else server.key,
        "model": "" if server is None else server.model_id,
        "served": "" if server is None else server.served,
        "template": config.chat_template_kwargs,
        "regression": str(Path(config.model).resolve()) if config.engine == "logistic" else "",
        "regression_name": plan.gate.model if config.engine == "logistic" else "",
    }
    return Job("orchestrator.workers.gate", gate)
