"""One simulated run from its configuration to a finished folder: inputs, workers, the loop, the report."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.prompts.prompt_files import prompt_file
from llm_gate.serving.watch import Patience, ServerWatch
from orchestrator.clock import wall_time_ns
from orchestrator.journal.journal import Journal
from orchestrator.messaging.catalogue import FEED, GATE, POLICY
from orchestrator.run.answers import WorkerAnswers
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import CALIBRATION, REGIMES, RunFolder, RunInputs, RunManifest, new_manifest, open_run
from orchestrator.run.gate_setup import GateInputs, gate_inputs
from orchestrator.run.model_patience import ModelPatience
from orchestrator.run.model_server import ModelServer, ready_server
from orchestrator.run.runner import DeferredAnswers, Finished, Runner, StopAskedError
from orchestrator.run.settings import account_of, check_settings
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.machine import opening_state
from orchestrator.trader.seen_at_close import CloseViewStream
from orchestrator.trader.state import Setting
from orchestrator.workers.crew import Crew, Job
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import read_seconds
from rl_core.checkpoints.manifest import MANIFEST, Identity, find_checkpoint, is_final
from rl_core.checkpoints.policy import load_trader
from rl_core.checkpoints.provenance import (
    WorldCard,
    first_held_out,
    touches_training,
    trained_until_ns,
    training_worlds,
    world_traded,
)
from rl_core.evaluation.span import span_of
from rl_core.exchange.calendar import locate
from rl_core.features.features import VOLUME_SESSIONS
from rl_core.regimes.fitted import Frozen, frozen_regimes
from rl_core.rules.pack import RulePack
from rl_core.trading.setup import Trading, compile_trading, resolved
from trigate.errors import ConfigError, DataError

CODE_VERSION = "3"  # of what follows from the same inputs: another one is another run
NEVER_OPENS = 1_000_000  # failures in a row

Say = Callable[[str], None]


class RunPlan(NamedTuple):
    """A run with every input read and checked; nothing is started yet."""

    config: RunConfig
    bars: Bars
    first: int
    stop: int
    history: int
    trading: Trading
    identity: Identity
    checkpoint: Path
    gate: GateInputs
    inputs: RunInputs
    world: WorldCard | None
    regimes: Frozen


class RunHooks(NamedTuple):
    """How a run speaks with whoever started it."""

    say: Say = lambda text: None
    stop_asked: Callable[[], bool] = lambda: False
    """Looked at between two bars and while anything is waited for."""
    on_bar: Callable[[int], None] = lambda bars: None
    """Called with the bars done, after each."""

    def check(self) -> None:
        """Raise StopAskedError if the user wants to stop."""
        if self.stop_asked():
            raise StopAskedError


class Outcome(NamedTuple):
    """What a run left."""

    folder: RunFolder
    complete: bool
    bars: int


def plan_run(config: RunConfig, *, say: Say = lambda text: None) -> RunPlan:
    """Read and check every input: configuration, then bars, then checkpoint, then the model.

    Raises:
        TrigateError, GateError: the first that does not fit, with its exit code.
    """
    check_settings(config)
    bars = read_bars(config.bars, market=config.market, timezone=config.timezone, stamp=config.stamp)
    seconds = None
    if config.seconds is not None:
        seconds = read_seconds(config.seconds, bars, timezone=config.timezone, stamp=config.stamp)
    checkpoint = find_checkpoint(config.checkpoint)
    policy = load_trader(checkpoint)
    assert policy.identity is not None, "a loaded policy knows what it is"
    account = resolved(account_of(config, policy.identity), seconds=seconds is not None)
    config = config.model_copy(update={"trading": account})
    trading = compile_trading(account, bars.instrument)
    warn_of_old_rules(trading.pack, wall_time_ns(), say)
    first, stop, history = _span(config, bars, policy.identity)
    regimes = frozen_regimes(checkpoint, bars.instrument.symbol)
    gate = gate_inputs(config.gate, say=say)
    inputs = RunInputs(
        config=config.model_dump(mode="json", exclude={"runs"}),
        bars_digest=bars.digest,
        seconds_digest="" if seconds is None else seconds.digest,
        checkpoint_digest=_digest(checkpoint / MANIFEST),
        prompt_digest=gate.prompt_digest,
        model=gate.model,
        rule_pack_digest=hashlib.sha256(trading.pack.model_dump_json().encode()).hexdigest(),
        code_version=CODE_VERSION,
        regimes_digest=regimes.digest,
        calibration_digest=gate.calibration_digest,
    )
    world = world_traded(config.bars, bars, training_worlds(checkpoint))
    identity = policy.identity
    return RunPlan(config, bars, first, stop, history, trading, identity, checkpoint, gate, inputs, world, regimes)


def warn_of_old_rules(pack: RulePack, now_ns: int, say: Say) -> None:
    """Say that a pack was read more than 90 days before ``now_ns``."""
    if warning := pack.staleness(datetime.fromtimestamp(now_ns / 1e9, UTC).date()):
        say(f"warning: {warning}")


def simulate(plan: RunPlan, hooks: RunHooks | None = None) -> Outcome:
    """Run the plan, or continue the run of the same inputs that is not done.

    Raises:
        TrigateError: a worker, the server, the disk or the lock failed; the run can be continued.
    """
    kept = {REGIMES: plan.regimes.text, CALIBRATION: plan.gate.calibration}
    folder = open_run(plan.config, _manifest(plan), kept=kept)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal.open(folder.journal, folder.manifest().known_head))
        folder.mark_started()
        simulation = _Simulation(plan, folder, journal, hooks or RunHooks(), stack)
        try:
            finished = simulation.play()
        except BaseException as error:
            _mark(folder, "failed", cause=f"{type(error).__name__}: {error}")
            raise
        # On disk before the manifest says so: what it knows of, the journal must hold after a loss of power too.
        journal.sync()
        _mark(folder, "ended" if finished.complete else "stopped", journal_head=journal.head)
    return Outcome(folder, finished.complete, finished.bars)


class _Simulation:
    """One start of a run: what it needs is started as late as possible, and ended with ``stack``."""

    def __init__(self, plan: RunPlan, folder: RunFolder, journal: Journal, hooks: RunHooks, stack: ExitStack) -> None:
        self._plan, self._folder, self._journal, self._hooks, self._stack = plan, folder, journal, hooks, stack
        self._telemetry = stack.enter_context(Telemetry(folder.telemetry))

    def play(self) -> Finished:
        """Replay what is recorded, then play on with the workers."""
        plan, say = self._plan, self._hooks.say
        if self._journal.replaying:
            say(f"continuing {self._folder.path}: {self._journal.verified.chain.length} records are replayed first")
        try:
            crew = self._crew()
            answers = self._answers(crew)
            views = CloseViewStream(
                int(plan.bars.ts_event_ns[plan.history]),
                plan.trading.pack,
                plan.trading.hours,
                plan.regimes,
                plan.bars.instrument.calendar,
            )
            for bar in answers.history():
                views.push(bar)
        except StopAskedError:
            return Finished(opening_state(_setting(plan)), 0, complete=False)
        # The gate and its model take minutes to start, and a recording may never ask them.
        deferred = DeferredAnswers(lambda: self._with_gate(crew, answers))
        runner = Runner(self._journal, deferred, views, _setting(plan))
        return runner.run(stop_asked=self._hooks.stop_asked, on_bar=self._hooks.on_bar)

    def _notify(self, text: str) -> None:
        self._telemetry.note("worker", text=text)
        self._hooks.say(text)

    def _crew(self) -> Crew:
        """Feed and policy, ready."""
        run_id, logs = self._plan.inputs.run_id, self._folder.logs
        crew = Crew(run_id, _jobs(self._plan), logs, notify=self._notify, check=self._hooks.check)
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
            self._hooks.check()
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
        "history": plan.history,
        "first": plan.first,
        "stop": plan.stop,
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


def _setting(plan: RunPlan) -> Setting:
    return Setting(
        run_id=plan.inputs.run_id,
        phase=plan.identity.phase,
        venue=plan.trading.venue,
        limits=plan.trading.limits,
        gated=plan.config.gate.engine != "off",
        shadow=plan.config.gate.shadow,
        fail_factor=plan.config.gate.fail_factor,
        max_entries_per_session=plan.config.max_entries_per_session,
        frictions=plan.trading.frictions,
    )


def _manifest(plan: RunPlan) -> RunManifest:
    pack = plan.trading.pack
    return new_manifest(
        plan.inputs,
        market=plan.bars.instrument.symbol,
        contract=plan.trading.contract.symbol,
        rule_pack=pack.name,
        rule_pack_as_of=pack.as_of.isoformat(),
        declaration="" if plan.world is None else plan.world.declaration,
        rows_left_out=plan.bars.left_out,
        in_sample=touches_training(plan.identity, plan.bars, plan.first),
        trained_on_world=bool(training_worlds(plan.checkpoint)),
        training_ended=is_final(plan.checkpoint),
        trained_until_ns=trained_until_ns(plan.identity),
    )


def _mark(folder: RunFolder, status: str, *, cause: str = "", **known: str) -> None:
    update = {"status": status, "cause": cause[:500], **known}
    folder.write_manifest(RunManifest.model_validate({**folder.manifest().model_dump(), **update}))


def _span(config: RunConfig, bars: Bars, identity: Identity) -> tuple[int, int, int]:
    """First traded bar, the bar after the last, and the first bar shown as history.

    Raises:
        DataError: nothing is left to trade.
    """
    located = locate(bars.ts_event_ns, bars.instrument.calendar)
    session = located.session
    first = first_held_out(identity, bars) if config.part == "held_out" else 0
    try:
        first, stop = span_of(session, first, config.sessions)
    except DataError as error:
        raise DataError(f"{config.bars}: {error}") from error
    shown = np.unique(session[:first])[-(VOLUME_SESSIONS + 2) :]
    history = int(np.searchsorted(session, shown[0])) if len(shown) else first
    return first, stop, history


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
