"""`orchestrator`: run in simulation, on paper or live, report on a run, write its cases, and look at rule packs."""

import gc
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer
from rich.console import Console

from orchestrator.commands.accounts import run_accounts
from orchestrator.commands.check_adapter import check_adapter
from orchestrator.commands.compare import compare
from orchestrator.commands.control import flatten, halt, resume
from orchestrator.commands.doctor import doctor
from orchestrator.commands.feed import feed as play_feed
from orchestrator.commands.replay import replay
from orchestrator.commands.rules import app as rules_app
from orchestrator.commands.run_options import (
    AccountsFile,
    Broker,
    Checkpoint,
    Clock,
    Contract,
    FeedAddress,
    GateEngine,
    GatePrompts,
    MinuteBars,
    Mode,
    OwnEntriesFile,
    SecondBars,
    SeenUntil,
    SendOrdersTo,
    Shadow,
    run_asked_for,
)
from orchestrator.commands.show_config import show_config
from orchestrator.commands.size_gate import size_gate
from orchestrator.commands.status import list_runs, status
from orchestrator.commands.teach import teach
from orchestrator.commands.walk_gate import walk_gate
from orchestrator.commands.watch import watch
from orchestrator.commands.weigh import weigh
from orchestrator.commands.while_playing import progress_of, saying, stop_signals
from orchestrator.commands.world_cases import world_cases
from orchestrator.run.modes import check_confirmed
from orchestrator.run.settings import check_settings, refuse_missing_demo
from orchestrator.run.worker_modules import worker_modules
from orchestrator.workers.processes import Spares
from rl_core.commands.options import Stamped, Timezone
from trigate.command_line import AsJson, ConfigFile, Settings, Strict, exit_unless_passed, new_app, run_command, waiting
from trigate.errors import ExitCode

if TYPE_CHECKING:
    from orchestrator.report.advice import Adviser
    from orchestrator.run.config import RunConfig
    from orchestrator.trader.events import Recorded

app = new_app("Run the whole stack over bars, and say what it is worth.")
app.add_typer(rules_app, name="rules")
app.command("show-config")(show_config)
for command in (doctor, status, watch, halt, flatten, resume, replay, compare, teach, weigh):
    app.command()(command)
app.command("check-adapter")(check_adapter)
app.command("feed")(play_feed)
app.command("list")(list_runs)
app.command("world-cases")(world_cases)
app.command("walk-gate")(walk_gate)
app.command("size-gate")(size_gate)


def main() -> None:
    """Run a command; a fault of the world is one line and its exit code."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.STOPPED))
    run_command(app, "orchestrator")


@app.command()
def run(
    mode: Mode = None,
    broker: Broker = None,
    send_orders_to: SendOrdersTo = None,
    bars: MinuteBars = None,
    feed: FeedAddress = None,
    clock: Clock = None,
    seconds: SecondBars = None,
    market: Contract = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    checkpoint: Checkpoint = None,
    entries: OwnEntriesFile = None,
    seen_until: SeenUntil = None,
    gate: GateEngine = None,
    shadow: Shadow = False,
    prompts: GatePrompts = None,
    accounts: AccountsFile = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Trade the held-out bars, or bars as they come; the same command continues a run that was stopped or killed."""
    console = Console(stderr=True, highlight=False, markup=False)
    bars_options = {"--bars": bars, "--seconds": seconds, "--market": market, "--timezone": timezone, "--stamp": stamp}
    gate_options = {"--gate": gate, "--shadow": shadow or None, "--prompts": prompts}
    who_options = {"--checkpoint": checkpoint, "--entries": entries, "--seen-until": seen_until}
    options = {
        "--mode": mode,
        "--broker": broker,
        "--feed": feed,
        "--clock": clock,
        **bars_options,
        **who_options,
        **gate_options,
    }
    asked_for = run_asked_for(config, settings, options)
    if accounts is not None:
        run_accounts(accounts, config, settings or (), options, console=console, as_json=as_json)
        return
    check_settings(asked_for)
    check_confirmed(asked_for, send_orders_to)
    refuse_missing_demo(asked_for)
    with Spares() as spares:
        # The workers load what they need while the bars are read.
        spares.begin(*worker_modules(asked_for))
        _play(asked_for, spares, console, as_json=as_json)


def _play(asked_for: "RunConfig", spares: Spares, console: Console, *, as_json: bool) -> None:
    """Play the run of checked settings, and report on it once it has ended."""
    from orchestrator.run.paper_plan import plan_paper
    from orchestrator.run.plan import plan_run
    from orchestrator.run.simulate import RunHooks, simulate

    say = saying(console)
    with waiting("reading the bars", console=console):
        plan = (plan_paper if asked_for.follows else plan_run)(asked_for, say=say)
    for notice in plan.notices:
        say(notice)
    told = None
    if plan.advises:
        from orchestrator.report.advice import Adviser

        told = _told_to(Adviser(plan.bars.instrument.symbol, plan.trading.contract.symbol))
        say("advisory: nothing is sent; the account follows every plan as if it was taken, at simulated fills")
    gc.freeze()  # what is loaded by now stays: looking through all of it would hold up a bar now and then
    with stop_signals() as asked:
        with progress_of(None if plan.paper else plan.span.stop - plan.span.first, console) as on_bar:
            hooks = RunHooks(say=say, stop_asked=lambda: bool(asked), on_bar=on_bar, told=told, spares=spares)
            outcome = simulate(plan, hooks)
        # Still under the watch: an ended run gets its report, as running it again would be another run.
        summary = _reported(outcome.folder.path) if outcome.complete else {}
    if not outcome.complete:
        console.print(f"stopped after {outcome.bars} bars; the same command continues it")
        print(outcome.folder.path)
        # Never 0: a script must not take a run that goes on tomorrow for one that has ended.
        sys.exit(ExitCode.INTERRUPTED if signal.SIGINT in asked else ExitCode.STOPPED)
    _finish(summary, outcome.folder.path, as_json=as_json)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Write the report of a run again, from its journal."""
    summary = _reported(run)
    _finish(summary, run, as_json=as_json)
    exit_unless_passed(summary["verdict"], strict=strict)


@app.command()
def cases(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[Path | None, typer.Option(help="The file; none: cases.jsonl in the run's folder.")] = None,
    tune_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Of the sessions, from the first on.")] = 0.5,
    embargo: Annotated[int, typer.Option(min=0, help="Sessions left out between tune and held out.")] = 0,
) -> None:
    """Write a run's proposals with what each would have earned alone, as cases for `llm-gate eval`."""
    from llm_gate.evals.data.cases import write_cases
    from llm_gate.evals.data.true_days import true_days_path, write_true_days
    from orchestrator.report.cases import in_sample_line, recorded_cases
    from orchestrator.run.folder import PRIVATE

    found = recorded_cases(run, tune_share=tune_share, embargo=embargo)
    path = out or run / "cases.jsonl"
    write_cases(found.cases, path)
    write_true_days(found.truths, true_days_path(path))
    if out is None:
        for written in (path, true_days_path(path)):
            written.chmod(PRIVATE)
    tune = sum(case.split == "tune" for case in found.cases)
    print(
        f"{len(found.cases)} cases of {found.sessions} sessions: {tune} to tune, {len(found.cases) - tune} held out; "
        f"{found.without_end} proposals without an end and {found.embargoed} under the embargo are left out"
    )
    print(in_sample_line(found.cases))
    print(f"where they come from, for the probe of llm-gate eval alone: {true_days_path(path)}")
    print(path)


def _reported(run: Path) -> dict[str, Any]:
    """Write a run's report; what draws it is loaded now, as no run waits for it before its first bar."""
    from orchestrator.report.report import report_on

    with waiting("writing the report"):
        return report_on(run)


def _told_to(adviser: "Adviser") -> "Callable[[Recorded], None]":
    """Prints what a person should know of a record, on standard output."""

    def told(record: "Recorded") -> None:
        for line in adviser.lines(record):
            typer.echo(line)

    return told


def _finish(summary: dict[str, Any], folder: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**summary, "run": str(folder), "report": str(folder / "report.html")}))
        return
    width = max(len(key) for key in summary)
    for key, value in summary.items():
        print(f"{key.replace('_', ' '):<{width}}  {_shown(value)}")
    print(f"{'report':<{width}}  {folder / 'report.html'}")
    print(f"{'run':<{width}}  {folder}")


def _shown(value: object) -> str:
    if value in (None, "–"):  # one sign for what there is none of, whoever worded it
        return "-"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
