"""One simulated run from its configuration to a finished folder: inputs, workers, the loop, the report."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from llm_gate.serving.watch import ServerWatch
from orchestrator.clock import wall_time_ns
from orchestrator.journal.journal import Journal
from orchestrator.messaging.catalogue import FEED, GATE, POLICY
from orchestrator.run.answers import WorkerAnswers
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import CALIBRATION, REGIMES, RunFolder, RunInputs, RunManifest, new_manifest, open_run
from orchestrator.run.gate_setup import GateInputs, gate_inputs
from orchestrator.run.model_server import ModelServer, ready_server
from orchestrator.run.runner import Runner
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.seen_at_close import CloseViewStream
from orchestrator.trader.state import Setting
from orchestrator.workers.crew import Crew, Job
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import read_seconds
from rl_core.checkpoints.manifest import MANIFEST, Identity, find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.checkpoints.provenance import WorldCard, first_held_out, read_world, trading_of
from rl_core.evaluation.span import span_of
from rl_core.exchange.calendar import locate
from rl_core.features.features import VOLUME_SESSIONS
from rl_core.regimes.fitted import Frozen, frozen_regimes
from rl_core.rules.pack import RulePack
from rl_core.trading.setup import Trading, compile_trading, resolved
from trigate.errors import ConfigError, DataError

CODE_VERSION = "3"  # of what follows from the same inputs: another one is another run

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


class _StopAsked(Exception):
    """The user wants to stop before the first bar."""


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
    bars = read_bars(config.bars, market=config.market, timezone=config.timezone)
    seconds = None if config.seconds is None else read_seconds(config.seconds, bars, timezone=config.timezone)
    checkpoint = find_checkpoint(config.checkpoint)
    policy = load_trader(checkpoint)
    assert policy.identity is not None, "a loaded policy knows what it is"
    account = resolved(config.trading or trading_of(policy.identity), seconds=seconds is not None)
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
    world = read_world(config.bars, bars.digest)
    identity = policy.identity
    return RunPlan(config, bars, first, stop, history, trading, identity, checkpoint, gate, inputs, world, regimes)


def warn_of_old_rules(pack: RulePack, now_ns: int, say: Say) -> None:
    """Say that a pack was read more than 90 days before ``now_ns``."""
    if warning := pack.staleness(datetime.fromtimestamp(now_ns / 1e9, UTC).date()):
        say(f"warning: {warning}")


def simulate(
    plan: RunPlan,
    *,
    say: Say = lambda text: None,
    stop_asked: Callable[[], bool] = lambda: False,
    on_bar: Callable[[int], None] = lambda seq: None,
) -> Outcome:
    """Run the plan, or continue the run of the same inputs that has not ended.

    Raises:
        TrigateError, GateError: a worker, the server, the disk or the lock failed; the run can be continued.
    """
    kept = {REGIMES: plan.regimes.text, CALIBRATION: plan.gate.calibration}
    folder = open_run(plan.config, _manifest(plan), kept=kept)
    with ExitStack() as stack:
        journal = stack.enter_context(Journal.open(folder.journal))
        folder.mark_started()
        telemetry = stack.enter_context(Telemetry(folder.telemetry))
        try:
            done = _played(plan, folder, journal, telemetry, stack, (say, stop_asked, on_bar))
        except _StopAsked:
            done = Outcome(folder, complete=False, bars=0)
        except BaseException as error:
            _mark(folder, journal, "failed", cause=f"{type(error).__name__}: {error}")
            raise
        _mark(folder, journal, "ended" if done.complete else "stopped")
    return done


def _played(
    plan: RunPlan,
    folder: RunFolder,
    journal: Journal,
    telemetry: Telemetry,
    stack: ExitStack,
    hooks: tuple[Say, Callable[[], bool], Callable[[int], None]],
) -> Outcome:
    say, stop_asked, on_bar = hooks
    if journal.replaying:
        say(f"continuing {folder.path}: {journal.verified.chain.length} records are replayed first")

    def notify(text: str) -> None:
        telemetry.note("worker", text=text)
        say(text)

    def check() -> None:
        if stop_asked():
            raise _StopAsked

    server = ready_server(plan.config.gate, plan.gate, folder.logs / "vllm.log", stack, say=say, check=check)
    if server is not None:
        assert server.warm_up is not None, "it is ready"
        telemetry.note("server_ready", **server.warm_up._asdict())
        stack.enter_context(ServerWatch(server, notify=notify))

    crew = stack.enter_context(Crew(plan.inputs.run_id, _jobs(plan, folder, server), folder.logs, notify=notify))
    crew.start()
    folder.write_manifest(folder.manifest().model_copy(update={"socket_folder": crew.socket_folder}))
    review = plan.config.gate.review
    answers = WorkerAnswers(crew, telemetry, gate_deadline_s=review.deadline_s, alarm_window=review.alarm_window)
    first_ns = int(plan.bars.ts_event_ns[plan.history])
    family = plan.bars.instrument.calendar
    views = CloseViewStream(first_ns, plan.trading.pack, plan.trading.hours, plan.regimes, family)
    for bar in answers.history():
        views.push(bar)
    finished = Runner(journal, answers, views, _setting(plan)).run(stop_asked=stop_asked, on_bar=on_bar)
    return Outcome(folder, finished.complete, finished.bars)


def _jobs(plan: RunPlan, folder: RunFolder, server: ModelServer | None) -> dict[str, Job]:
    config = plan.config
    feed = {
        "bars": str(config.bars.resolve()),
        "digest": plan.bars.digest,
        "market": plan.bars.instrument.symbol,
        "timezone": config.timezone,
        "seconds": None if config.seconds is None else str(config.seconds.resolve()),
        "history": plan.history,
        "first": plan.first,
        "stop": plan.stop,
    }
    jobs = {
        FEED: Job("orchestrator.workers.feed", feed),
        POLICY: Job("orchestrator.workers.policy", {"checkpoint": str(plan.checkpoint.resolve())}),
    }
    if config.gate.engine != "off":
        kept = str((folder.path / CALIBRATION).resolve()) if plan.gate.calibration else None
        gate = {
            "engine": config.gate.engine,
            "prompt": str(config.gate.prompt.resolve()),
            "gate": {**config.gate.review.model_dump(mode="json"), "calibration": kept},
            "calibration_digest": plan.inputs.calibration_digest,
            "url": "" if server is None else server.url,
            "key": "" if server is None else server.key,
            "model": "" if server is None else server.model_id,
            "served": "" if server is None else server.served,
            "template": config.gate.chat_template_kwargs,
        }
        jobs[GATE] = Job("orchestrator.workers.gate", gate)
    return jobs


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
    )


def _mark(folder: RunFolder, journal: Journal, status: str, cause: str = "") -> None:
    update = {"status": status, "cause": cause[:500], "journal_head": journal.head}
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
