"""One run from its plan to a finished folder, over recorded bars or over bars as they come: workers, then the loop."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from llm_gate.serving.watch import Patience, ServerWatch
from orchestrator.clock import REAL_TIME, MarketClock
from orchestrator.journal.journal import Journal
from orchestrator.run.answers import WorkerAnswers
from orchestrator.run.config import GateSection
from orchestrator.run.control import Control
from orchestrator.run.deferred_answers import DeferredAnswers
from orchestrator.run.folder import RunFolder, open_run
from orchestrator.run.followed_bars import FollowedBars
from orchestrator.run.jobs import jobs_of
from orchestrator.run.model_patience import ModelPatience
from orchestrator.run.model_server import ModelServer, begin_server, prove_server
from orchestrator.run.paper_answers import PaperAnswers
from orchestrator.run.paper_plan import rows_of
from orchestrator.run.plan import RunPlan, Say
from orchestrator.run.rehearsal import read_rehearsal
from orchestrator.run.runner import Answerers, Finished, Runner
from orchestrator.run.service_manager import ServiceManager
from orchestrator.run.stopping import Stopping
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.events import Recorded
from orchestrator.workers.crew import Crew
from orchestrator.workers.handed_bars import HANDED, hand_over
from orchestrator.workers.processes import Spares


class RunHooks(NamedTuple):
    """How a run speaks with whoever started it."""

    say: Say = lambda text: None
    stop_asked: Callable[[], bool] = lambda: False
    """Looked at between two bars and while anything is waited for."""
    on_bar: Callable[[int], None] = lambda bars: None
    """Called with the bars done, after each."""
    told: Callable[[Recorded], None] | None = None
    """Gets every new record, once it is written."""
    spares: Spares | None = None
    """Processes of workers that were begun before the plan was made."""


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
            mark_failed(folder, error)
            raise
        mark_finished(folder, journal, finished)
    return Outcome(folder, finished.complete, finished.bars)


def mark_failed(folder: RunFolder, error: BaseException) -> None:
    """Say in the manifest why a run could not go on."""
    folder.mark("failed", cause=f"{type(error).__name__}: {error}")


def mark_finished(folder: RunFolder, journal: Journal, finished: Finished) -> None:
    """Say in the manifest how far a run came."""
    # On disk before the manifest says so: what it knows of, the journal must hold after a loss of power too.
    journal.sync()
    folder.mark("ended" if finished.complete else "stopped", journal_head=journal.head)


class _Simulation:
    """One start of a run: what it needs is started as late as possible, and ended with ``stack``."""

    def __init__(self, plan: RunPlan, folder: RunFolder, journal: Journal, hooks: RunHooks, stack: ExitStack) -> None:
        self._plan, self._folder, self._journal, self._hooks, self._stack = plan, folder, journal, hooks, stack
        self._telemetry = stack.enter_context(Telemetry(folder.telemetry))
        stack.callback((folder.path / HANDED).unlink, missing_ok=True)
        self._control = Control(folder.path)
        self._stopping = Stopping(self._hooks.stop_asked, self._control, plan.config.on_shutdown)
        self._manager = ServiceManager()
        pace = plan.config.paper.clock and read_rehearsal(plan.config.paper.clock).pace
        self._clock = MarketClock(pace or REAL_TIME)

    def play(self) -> Finished:
        """Replay what is recorded, then play on with the workers."""
        plan, say = self._plan, self._hooks.say
        if self._journal.replaying:
            say(f"continuing {self._folder.path}: {self._journal.verified.chain.length} records are replayed first")
        # Of a run that has ended only the report is missing, and nobody is asked for it.
        begun = None if self._journal.last_type == "end" else self._begin()
        answers = DeferredAnswers(lambda: self._ready(begun))
        runner = Runner(self._journal, answers, plan.views(), plan.setting, self._control.wanted, self._passed)
        runner.told = self._hooks.told
        looking = self._manager.looking(lambda: self._stopping.due(holds=runner.holds))
        try:
            ended = runner.run(stop_asked=looking, on_bar=self._manager.counting(self._hooks.on_bar))
            self._manager.finished()
            return ended
        finally:
            self._manager.stopping()

    def _begin(self) -> "_Begun":
        """Start every process and wait for none: they start beside each other, and beside what is computed here.

        The model server takes longest by far, so it begins first.
        """
        gate, logs = self._plan.config.gate, self._folder.logs
        server = begin_server(gate, self._plan.gate, logs / "vllm.log", self._stack, say=self._hooks.say)
        if not self._plan.paper:
            traded = self._plan.bars.slice(self._plan.span.first, self._plan.span.stop)
            hand_over(self._folder.path / HANDED, traded, self._plan.seconds)
        jobs = jobs_of(self._plan, self._folder, server)
        crew = Crew(
            self._plan.inputs.run_id,
            jobs,
            logs,
            notify=self._notify,
            check=self._stopping.check,
            spares=self._hooks.spares,
        )
        self._stack.enter_context(crew)
        self._stack.callback(lambda: self._telemetry.note("refused", **crew.refused))
        self._folder.write_manifest(self._folder.manifest().model_copy(update={"socket_folder": crew.socket_folder}))
        crew.begin()
        return _Begun(crew, server)

    def _ready(self, begun: "_Begun | None") -> Answerers:
        """Who answers from now on, once all can."""
        assert begun is not None, "a recording that has ended asks for nothing"
        crew, server = begun
        crew.wait()
        model = None if server is None else self._proven(crew, server)
        self._telemetry.note("playing")
        self._manager.ready()
        if self._plan.paper:
            return self._in_paper(crew)
        review = self._plan.config.gate.review
        answers = WorkerAnswers(
            crew, self._telemetry, gate_deadline_s=review.deadline_s, alarm_window=review.alarm_window
        )
        answers.model = model
        return answers

    def _in_paper(self, crew: Crew) -> PaperAnswers:
        """Who answers while the market goes on; rows are read from the first, and what is known of them left out."""
        config, recorded = self._plan.config, self._journal.records
        source = rows_of(config, self._feed_told)
        self._stack.callback(source.rows.close)
        bars = FollowedBars(
            source,
            self._plan.bars,
            recorded,
            self._clock,
            late_after_s=config.paper.late_after_s,
            sessions=config.sessions,
        )
        return PaperAnswers(crew, bars, self._clock, self._telemetry, config, self._stopping)

    def _passed(self, ts_ns: int) -> bool:
        """Whether a time is over by the market's clock, and a bar from before it would have come by now."""
        paper = self._plan.config.paper
        return self._plan.paper and self._clock.seconds_since(ts_ns) > paper.late_after_s

    def _proven(self, crew: Crew, server: ModelServer) -> ModelPatience:
        """Wait until the model server has answered what the run will ask, and watch it from then on."""

        def look_after() -> None:
            self._stopping.check()
            crew.tend()  # their heartbeats are taken in meanwhile

        prove_server(server, self._plan.config.gate, say=self._hooks.say, check=look_after)
        assert server.warm_up is not None, "it is ready"
        self._telemetry.note("server_ready", **server.warm_up._asdict())
        watch = ServerWatch(server, patience=patience_of(self._plan.config.gate), notify=self._notify)
        self._stack.enter_context(watch)
        return ModelPatience(watch, say=self._notify, check=look_after)

    def _feed_told(self, text: str) -> None:
        self._telemetry.note("feed_trouble", text=text)
        self._hooks.say(text)

    def _notify(self, text: str) -> None:
        self._telemetry.note("worker", text=text)
        self._hooks.say(text)


class _Begun(NamedTuple):
    """What was started and is not ready yet."""

    crew: Crew
    server: ModelServer | None


def patience_of(gate: GateSection) -> Patience:
    """How long the server's watch waits: at least the gate's deadline, so that a slow server is not replaced."""
    usual, waits_s = Patience(), gate.review.deadline_s
    return usual._replace(
        deadline_s=max(usual.deadline_s, waits_s), suspect_deadline_s=max(usual.suspect_deadline_s, waits_s)
    )
