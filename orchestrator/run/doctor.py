"""Whether a run could start here and now: each thing that `orchestrator run` would refuse, and what else is amiss.

Every look calls what `orchestrator run` calls, in its order, and goes on where a run would end. So the first that is
wrong is what a run would say, and ends with its exit code.
"""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from time import sleep
from typing import Literal, NamedTuple, TypeVar

from llm_gate.serving.memory_plan import Device, gpus, machine_memory, need_of, plan_memory, refuse_if_too_large
from llm_gate.serving.model_folders import longest_text
from llm_gate.serving.processes import checked_port, nvidia_smi
from llm_gate.serving.server import VllmServer
from orchestrator.clock import Deadline, today, wall_time_ns
from orchestrator.journal.journal import check_journal, refuse_other_run, whole_records
from orchestrator.messaging.sockets import ServerSocket
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import REPORT, RunFolder, ended_run, run_to_continue, unfinished
from orchestrator.run.gate_setup import GateInputs, gate_inputs
from orchestrator.run.growing_file import Grown
from orchestrator.run.modes import check_confirmed, check_pack
from orchestrator.run.paper_plan import bars_before, check_paper, plan_paper, rows_of, warn_of_old_bars
from orchestrator.run.plan import RunPlan, Say, TradedBy, plan_over, trader_of, warn_of_old_rules
from orchestrator.run.rehearsal import read_rehearsal
from orchestrator.run.room import check_room
from orchestrator.run.settings import check_settings
from orchestrator.workers.left_over import left_over
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import read_seconds
from rl_core.checkpoints.manifest import unfinished_note
from rl_core.exchange.schedules import CHECKED_YEARS
from rl_core.trading.setup import compile_trading
from trigate.errors import TrigateError
from trigate.locks import holder_of

Level = Literal["ok", "warning", "wrong", "open"]
"""``open``: it could not be looked at, as something that it needs is wrong."""
T = TypeVar("T")
FEED_S, LOOK_S = 3.0, 0.02
CORES, FREE_BYTES = 2, 1 << 30
"""With less, a run starts and is told to expect trouble."""


class Check(NamedTuple):
    """One thing that was looked at."""

    name: str
    level: Level
    said: str  # what was found; else what is wrong and what to mend
    exit_code: int = 0  # that `orchestrator run` would end with
    account: str = ""  # of many; empty for what all share, and for a run of one


class Looks:
    """What was looked at so far."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.account = ""
        """Whose things are looked at, where a run plays many."""

    def take(self, name: str, look: Callable[[Say], tuple[T, str]]) -> T | None:
        """What ``look`` finds; None, and the fault kept, where a run would end. ``look`` is given where to warn."""
        warnings: list[str] = []
        try:
            found, said = look(lambda text: warnings.append(text.removeprefix("warning: ")))
        except TrigateError as error:
            self.checks.append(Check(name, "wrong", str(error), error.exit_code, account=self.account))
            return None
        level: Level = "warning" if warnings else "ok"
        self.checks.append(Check(name, level, "; ".join(warnings) or said, account=self.account))
        return found

    def leave(self, name: str, needs: str) -> None:
        """Say that something could not be looked at."""
        self.checks.append(Check(name, "open", f"not looked at: it needs {needs}", account=self.account))


def exit_code_of(checks: list[Check]) -> int:
    """What `orchestrator run` would end with before its first bar; 0 if it would start."""
    return next((check.exit_code for check in checks if check.level == "wrong"), 0)


def examine(config: RunConfig, send_orders_to: str | None = None) -> list[Check]:
    """Look at everything that the run of ``config`` needs; nothing is started, and no run is changed.

    ``send_orders_to`` is the account to which orders go as it was typed, None where it was not.
    """
    looks = Looks()
    looks.take("machine", look_at_machine)
    looks.take("settings", lambda warn: _settings(config, send_orders_to))
    gate = examine_inputs(looks, config, read_bars)
    if gate is not None and gate.folder is not None:
        folder = gate.folder
        looks.take("server", lambda warn: look_at_server(folder, warn))
    looks.take("loopback", lambda warn: look_at_loopback())
    looks.take("left over", lambda warn: look_for_left_over(config, warn))
    return looks.checks


def examine_inputs(looks: Looks, config: RunConfig, read: Callable[..., Bars]) -> GateInputs | None:
    """Look at disk, data, trader, model and run of ``config``; what its gate is made of, None where that is wrong.

    ``read`` reads a bars file, as `read_bars`.
    """
    before = len(looks.checks)
    looks.take("disk", lambda warn: _disk(config))
    bars, seconds = _market_data(looks, config, read)
    who = "checkpoint" if config.entries is None else "entries"
    trader = looks.take(who, lambda warn: _checkpoint(config, warn))
    if bars is None or trader is None:
        looks.leave("rules", f"bars and {who}")
    else:
        looks.take("rules", lambda warn: _rules(config, trader, bars, warn))
    gate = looks.take("model", lambda warn: _model(config))
    settings = [check for check in looks.checks[:before] if check.account == looks.account]
    if exit_code_of(settings + looks.checks[before:]) or bars is None:
        looks.leave("run", "all of the above")
        return gate
    plan = looks.take("plan", lambda warn: _plan(config, bars, seconds))
    if plan is None:
        looks.leave("run", "the plan")
    else:
        looks.take("run", lambda warn: _folder(config, plan, of_many=bool(looks.account)))
    return gate


def _market_data(looks: Looks, config: RunConfig, read: Callable[..., Bars]) -> tuple[Bars | None, Bars | None]:
    """The bars, in paper mode those before the first; and the seconds, where some are named."""
    if config.paper.clock is not None and config.follows:
        clock = config.paper.clock
        looks.take("clock", lambda warn: (read_rehearsal(clock), f"{clock}: a rehearsal's"))
    if config.feed.source is not None:
        looks.take("feed", lambda warn: _feed(config, warn))
    bars = looks.take("bars", lambda warn: _bars(config, read, warn))
    if bars is None:
        looks.leave("calendar", "the bars")
    else:
        looks.take("calendar", lambda warn: _calendar(config, bars, warn))
    if config.seconds is None or config.follows:
        return bars, None
    if bars is None:
        looks.leave("seconds", "the bars")
        return None, None
    return bars, looks.take("seconds", lambda warn: _seconds(config, bars))


def look_at_machine(warn: Say) -> tuple[None, str]:
    """Its cores and its memory."""
    cores, memory = len(os.sched_getaffinity(0)), machine_memory(Path("/proc/meminfo").read_text())
    if cores < CORES:
        warn(f"{cores} core: runner and workers take turns on it; give the run {CORES}, or expect it slower")
    if memory.free < FREE_BYTES:
        warn(f"{_mib(memory.free)} of memory are free; end what is not needed, or the kernel may end a worker")
    return None, f"{cores} cores, {_mib(memory.free)} of {_mib(memory.total)} of memory free"


def _settings(config: RunConfig, send_orders_to: str | None) -> tuple[None, str]:
    check_settings(config)
    check_confirmed(config, send_orders_to)
    if config.follows:
        check_paper(config)
    return None, f"mode {config.mode}, gate {config.gate.engine}"


def _disk(config: RunConfig) -> tuple[int, str]:
    free_mb = check_room(config.runs, config.min_free_mb)
    return free_mb, f"{free_mb:,} MB free for {config.runs}; a run begins with {config.min_free_mb}"


def _bars(config: RunConfig, read: Callable[..., Bars], warn: Say) -> tuple[Bars, str]:
    if config.follows:
        bars = bars_before(config)
        if config.paper.clock is None:
            warn_of_old_bars(config, bars, warn)
    else:
        bars = read(config.bars, market=config.market, timezone=config.timezone, stamp=config.stamp)
    first, last = _day(int(bars.ts_event_ns[0])), _day(int(bars.ts_event_ns[-1]))
    return bars, f"{config.bars}: {len(bars):,} bars of {bars.instrument.symbol}, {first} to {last}"


def _feed(config: RunConfig, warn: Say) -> tuple[None, str]:
    """A run waits for a feed that is not there yet."""
    address = config.feed.source
    told, deadline, grown = list[str](), Deadline(FEED_S), Grown([], 0, "", known=True)
    rows = rows_of(config, told.append).rows
    while not (grown.lines or told or deadline.expired):
        sleep(LOOK_S)
        grown = rows.read()
    rows.close()
    if not grown.lines:
        warn(told[0] if told else f"feed {address}: gave nothing within {FEED_S:g} s; the run waits for it")
    return None, f"{address}: gives rows"


def _seconds(config: RunConfig, bars: Bars) -> tuple[Bars, str]:
    assert config.seconds is not None
    seconds = read_seconds(config.seconds, bars, timezone=config.timezone, stamp=config.stamp)
    return seconds, f"{config.seconds}: {len(seconds):,} seconds"


def _calendar(config: RunConfig, bars: Bars, warn: Say) -> tuple[None, str]:
    """Sessions are known for any day; that each holiday is right was checked for some years."""
    first, last = CHECKED_YEARS
    until_ns = wall_time_ns() if config.follows and config.paper.clock is None else int(bars.ts_event_ns[-1])
    years = (_day(int(bars.ts_event_ns[0])).year, _day(until_ns).year)
    if years[0] < first or years[1] > last:
        warn(
            f"the bars are of {years[0]} to {years[1]}, and the holidays were checked for {first} to {last}: compare "
            f"the others with the exchange's own, or update trigate"
        )
    return None, f"{bars.instrument.calendar} sessions, checked for {first} to {last}"


def _checkpoint(config: RunConfig, warn: Say) -> tuple[TradedBy, str]:
    trader = trader_of(config)
    if trader.checkpoint is None or trader.identity is None:
        return trader, f"{config.entries}: your own; its rows are read with the plan"
    if note := unfinished_note(trader.checkpoint, trader.identity):
        warn(note)
    return trader, f"{trader.checkpoint}: phase {trader.identity.phase} on {trader.identity.market}, whole, and it fits"


def _rules(config: RunConfig, trader: TradedBy, bars: Bars, warn: Say) -> tuple[None, str]:
    trading = compile_trading(trader.account, bars.instrument)
    pack = trading.pack
    check_pack(config, pack, today())
    warn_of_old_rules(pack, wall_time_ns(), warn)
    return None, f"{pack.name}, read on {pack.as_of}; trades {trading.contract.symbol}; automation {pack.automation}"


def _model(config: RunConfig) -> tuple[GateInputs, str]:
    gate = gate_inputs(config.gate)
    if config.gate.engine == "off":
        return gate, "no gate"
    prompt = f"prompt {config.gate.prompt}"
    return gate, f"{gate.model}, {prompt}" if gate.model else f"engine {config.gate.engine}, {prompt}"


def _plan(config: RunConfig, bars: Bars, seconds: Bars | None) -> tuple[RunPlan, str]:
    plan = plan_paper(config) if config.follows else plan_over(config, bars, seconds, say=lambda text: None)
    trades = "bars as they come" if plan.paper else f"{plan.span.stop - plan.span.first:,} bars to trade"
    return plan, f"{trades}, after {plan.span.first - plan.span.history:,} that are shown before"


def _folder(config: RunConfig, plan: RunPlan, *, of_many: bool) -> tuple[None, str]:
    """What an unfinished run of the same inputs says: nobody may hold it, and its record must be whole."""
    ended = ended_run(config.runs, plan.inputs.run_id) if of_many else None
    if ended is not None and (ended.path / REPORT).exists():
        return None, f"{ended.path} has ended, and is left alone"
    folder = run_to_continue(config.runs, plan.inputs.run_id)
    if folder is None:
        return None, f"a new one, {plan.inputs.run_id[:8]}"
    verified = check_journal(folder.journal, folder.manifest().known_head)
    first = next(whole_records(folder.journal, verified), None)
    refuse_other_run(folder.journal, first, plan.inputs.run_id)
    return None, f"{folder.path} goes on after {verified.chain.length:,} records"


def look_at_server(folder: Path, warn: Say) -> tuple[None, str]:
    """What starting vLLM needs: itself, a port on the loopback address, and memory, which is only estimated."""
    server = VllmServer(folder, log_path=folder / "never_written.log")
    port = checked_port(None)
    devices = [*gpus(nvidia_smi()), machine_memory(Path("/proc/meminfo").read_text())]
    said = _memory(folder, devices, warn)
    return None, f"vLLM with {server.model_id} on a port of 127.0.0.1 ({port} is free); {said}"


def _memory(folder: Path, devices: list[Device], warn: Say) -> str:
    length = min(4096, longest_text(folder))
    need = {on_gpu: need_of(folder, max_model_len=length, on_gpu=on_gpu) for on_gpu in (True, False)}
    plan = plan_memory(devices, need, jax_share=0.0)
    try:
        refuse_if_too_large(plan)
    except TrigateError as error:
        warn(str(error))
    return f"it takes some {_mib(plan.need.total)} of {plan.device.name}"


def look_at_loopback() -> tuple[None, str]:
    """A socket as the workers are spoken to through."""
    socket = ServerSocket()
    socket.close()
    return None, "an encrypted socket for the workers can be made, in a folder of our own"


def look_for_left_over(config: RunConfig, warn: Say) -> tuple[None, str]:
    """What runs before have left; a run that lives or can go on is no fault."""
    for process in left_over():
        warn(f"process {process.pid} ({process.name}) has outlived its run: kill {process.pid}")
    runs = list(unfinished(config.runs)) if config.runs.is_dir() else []
    told = ", ".join(f"{folder.path.name} {_state(folder)}" for folder in runs)
    return None, f"unfinished below {config.runs}: {told}" if told else f"no unfinished run below {config.runs}"


def _state(folder: RunFolder) -> str:
    pid = holder_of(folder.journal.with_name(folder.journal.name + ".lock"))
    if pid is not None:
        return f"plays in process {pid}"
    status = folder.manifest().status
    return "was killed" if status == "running" else f"is {status}"


def _day(ts_ns: int) -> date:
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).date()


def _mib(size: int) -> str:
    return f"{size >> 20:,} MiB"
