"""`rl-core`: train a phase, evaluate a checkpoint, write the demo world, check a bars file."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from rl_core.bars.read import read_bars, write_bars
from rl_core.commands.progress import say, stop_on_signals, training_progress
from rl_core.commands.proofs import register
from rl_core.errors import ConfigError, TrigateError
from rl_core.files.durable import disk_faults
from rl_core.files.toml_config import read_config
from rl_core.rules.pack import read_rule_pack
from rl_core.training.watchdog import guard

if TYPE_CHECKING:
    from rl_core.worlds.demo import World

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data = typer.Typer(no_args_is_help=True)
register(app)
app.add_typer(data, name="data", help="Bars files: synthetic worlds, strict checks, vendor files, look-ahead, regimes.")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Market = Annotated[str | None, typer.Option(help="Contract of the bars; default: from the file's name, else NQ.")]
Seconds = Annotated[Path | None, typer.Option(help="One-second bars of the same market and time.")]
Timezone = Annotated[str | None, typer.Option(help="Zone of naive times in the file, such as America/New_York.")]
Interval = Annotated[int, typer.Option(min=1, max=86_400, help="Seconds a bar lasts.")]
Coordinator = Annotated[
    str | None, typer.Option(envvar="JAX_COORDINATOR_ADDRESS", help="--distributed: host:port of process 0.")
]
SecondBars = Annotated[Path | None, typer.Option(help="One-second bars to hold the minutes against.")]

DEMO_FILE = "NQ_D1M.parquet"
TRAINED_TABLE = ("step", "steps_per_s", "trades", "win_rate", "mean_r", "p_entry_flat", "long_share", "entropy_choice")


def main() -> None:
    """Run a command; a fault of the world is one line and its exit code."""
    try:
        app()
    except TrigateError as error:
        print(f"rl-core: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    phase: Annotated[int, typer.Option(min=1, max=2)] = 1,
    bars: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[MARKET=]FILE",
            help="Minute bars, once for each of several markets; phase 2 takes phase 1's by default.",
        ),
    ] = None,
    parent: Annotated[Path | None, typer.Option("--from", help="Phase 1's run, for phase 2.")] = None,
    seconds: Seconds = None,
    market: Market = None,
    timezone: Timezone = None,
    config: ConfigFile = None,
    settings: Settings = None,
    new_run: Annotated[bool, typer.Option("--new-run", help="Set another run in the folder aside.")] = False,
    distributed: Annotated[bool, typer.Option("--distributed", help="As one of several processes.")] = False,
    coordinator: Coordinator = None,
    processes: Annotated[int | None, typer.Option(min=1, help="--distributed: how many processes.")] = None,
    process: Annotated[int | None, typer.Option(min=0, help="--distributed: which this is, from 0.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train phase 1 (when to enter), or phase 2 (how to manage) from phase 1; continues what was interrupted."""
    if distributed:
        guard()
    from rl_core.training.compile_cache import use_compile_cache
    from rl_core.training.plan import TrainConfig, plan_training
    from rl_core.training.processes import Members, leads, together
    from rl_core.training.run import continue_run
    from rl_core.training.sources import named_files, prepare_training, records_of, refuse_own_parent

    use_compile_cache()
    members = Members(coordinator, processes, process) if distributed else None
    with stop_on_signals() as asked, together(members) as joined:
        chosen = [f"phase={phase}", *(settings or ()), *joined]
        given = read_config(TrainConfig, config or _default_config(phase), chosen)
        files = named_files(bars or [])
        refuse_own_parent(parent, out)
        job = prepare_training(given, bars=files, parent=parent, market=market, timezone=timezone, seconds=seconds)
        plan = plan_training(job.config, job.bars, others=job.others, parent=parent, ladder=job.ladder)
        if not leads():
            continue_run(plan, out, on_update=lambda row: asked())
            return
        today = datetime.now(UTC).date()
        for warning in filter(None, (read_rule_pack(job.config.trading.rules).staleness(today), job.note)):
            say(f"warning: {warning}")
        with training_progress(plan.total, phase, quiet=as_json) as shown:

            def on_update(row: Mapping[str, Any]) -> bool:
                shown.row(row)
                return asked()

            found = records_of(job)
            trained = continue_run(plan, out, records=found, new_run=new_run, say=shown.say, on_update=on_update)
        if trained.transfer is not None:
            report = trained.transfer
            fates = ", ".join(f"{report.count(fate)} {fate}" for fate in ("copied", "widened", "new"))
            agreed = f"entry policies agree to KL {report.divergence:.1e} nats over {report.states} states"
            say(f"transfer: {fates}; {agreed}")
        last = trained.rows[-1] if as_json else {key: trained.rows[-1][key] for key in TRAINED_TABLE}
        _finish({"run": str(out), "checkpoint": str(trained.checkpoint), "stop": trained.stop, **last}, as_json=as_json)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run or a checkpoint folder.")],
    bars: Annotated[Path | None, typer.Option(help="Minute bars; default: those it was trained on.")] = None,
    part: Annotated[str, typer.Option(help="held_out or all.")] = "held_out",
    seconds: Seconds = None,
    market: Market = None,
    timezone: Timezone = None,
    as_json: AsJson = False,
) -> None:
    """Play every held-out session with a fresh account and print what was earned, with an interval."""
    from rl_core.evaluation.by_regime import as_lines, by_regime
    from rl_core.evaluation.evaluate import by_resolution
    from rl_core.evaluation.evaluate import evaluate as play
    from rl_core.statistics.verdict import verdict_on
    from rl_core.training.sources import prepare_evaluation

    job = prepare_evaluation(run, bars=bars, part=part, market=market, timezone=timezone, seconds=seconds)
    if job.note:
        say(f"warning: {job.note}")
    found = play(job.policy, job.view, job.trading, job.first, job.stop, job.ladder)
    readings = {}
    if job.ladder is not None:
        readings = by_resolution(job.policy, job.view, job.trading, job.first, job.stop, job.ladder)
    verdict = verdict_on(found.expectancy, synthetic=job.world is not None)
    groups = by_regime(found.trades, job.view, job.regimes)
    said: dict[str, Any] = {
        **found.summary(),
        **readings,
        "verdict": verdict.word,
        "because": "; ".join(verdict.reasons),
    }
    if as_json:
        said["regimes_digest"], said["by_regime"] = job.regimes.digest, [group.row() for group in groups]
    _finish(said, as_json=as_json)
    if groups and not as_json:
        print("\n".join(["", *as_lines(groups, job.regimes)]))


@data.command("demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    sessions: Annotated[int, typer.Option(min=2)] = 900,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    seconds: Annotated[bool, typer.Option(help="Second bars too.")] = False,
) -> None:
    """Write the demo world: NQ-like bars with a declared, planted edge."""
    from rl_core.worlds.demo import demo_world

    _write_world(out, demo_world(seed, sessions, seconds=seconds), sessions, seed)


def _write_world(out: Path, world: "World", sessions: int, seed: int) -> None:
    """Write the bars of ``world`` and their declaration."""
    from rl_core.checkpoints.provenance import write_world

    with disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        write_bars(world.minutes, out / DEMO_FILE)
        if world.seconds is not None:
            write_bars(world.seconds, out / "NQ_D1S.parquet")
        write_world(out / DEMO_FILE, world.minutes, world.edge, seed=seed)
    say(world.edge.text)
    _finish({"bars": str(out / DEMO_FILE), "rows": len(world.minutes), "sessions": sessions, "seed": seed})


@data.command("world")
def world(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    kind: Annotated[str, typer.Option(help="demo, no_edge, planted or reverting.")] = "demo",
    sessions: Annotated[int, typer.Option(min=2)] = 120,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    drift: Annotated[float | None, typer.Option(help="planted: the drift after a signal, in ATR.")] = None,
    seconds: Annotated[bool, typer.Option(help="Second bars too.")] = False,
) -> None:
    """Write a synthetic market: the demo, one without an edge, or one whose best expectancy is computed."""
    from rl_core.worlds.controls import world_of

    _write_world(out, world_of(kind, seed, sessions, drift_atr=drift, seconds=seconds), sessions, seed)


@data.command("check-leak")
def check_leak(
    bars: Annotated[Path | None, typer.Option(help="Minute bars; default: eight sessions of the demo world.")] = None,
    moments: Annotated[int, typer.Option(min=1, help="How many times the future is changed.")] = 4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    seconds: Seconds = None,
    rolls: Annotated[Path | None, typer.Option(help="TOML that names the contract changes.")] = None,
    market: Market = None,
    timezone: Timezone = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Replace and cut off the future; exit 100 if anything seen or done before it changes."""
    from rl_core.bars.seconds import read_seconds
    from rl_core.proofs.look_ahead import check_leaks, refuse_leaks
    from rl_core.trading.setup import TradingConfig, compile_trading, resolved
    from rl_core.worlds.demo import demo_world

    if bars is None:
        named = {"--seconds": seconds, "--rolls": rolls, "--market": market, "--timezone": timezone}
        if lost := [option for option, value in named.items() if value is not None]:
            raise ConfigError(f"{', '.join(lost)}: of which bars? give --bars FILE")
        world = demo_world(7, 8, seconds=True)
        read, within = world.minutes, world.seconds
    else:
        read = read_bars(bars, market=market, timezone=timezone, rolls=rolls)
        within = None if seconds is None else read_seconds(seconds, read, timezone=timezone)
    config = resolved(read_config(TradingConfig, None, settings or []), seconds=within is not None)
    trading = compile_trading(config, read.instrument)
    report = check_leaks(read, trading, seconds=within, moments=moments, seed=seed)
    found = {"bars": str(bars or "demo world"), "moments": report.moments, "compared": report.compared}
    _finish({**found, "values": report.values, "leaks": [leak._asdict() for leak in report.leaks]}, as_json=as_json)
    refuse_leaks(report)


@data.command("regimes")
def regimes(
    file: Path,
    train_share: Annotated[float, typer.Option(min=0.05, max=1.0, help="Share of the bars that is fitted on.")] = 0.7,
    states: Annotated[int, typer.Option(min=2, max=3, help="Of the hidden Markov model.")] = 2,
    model: Annotated[Path | None, typer.Option(help="A fitted model to use instead of fitting one.")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to keep the fitted model in.")] = None,
    market: Market = None,
    timezone: Timezone = None,
    as_json: AsJson = False,
) -> None:
    """Fit regimes on the first bars, and say how stable they are: share, duration and moves of every half-year."""
    from rl_core.features.market_view import view_of
    from rl_core.regimes.fitted import fit_regimes, read_model, write_model
    from rl_core.regimes.stability import as_lines, stability
    from rl_core.trading.setup import TradingConfig, compile_trading

    read = read_bars(file, market=market, timezone=timezone)
    trading = compile_trading(TradingConfig(), read.instrument)
    view = view_of(read, trading.pack, trading.hours)
    fitted = read_model(model) if model else fit_regimes(view, int(len(read) * train_share), states=states)
    if out:
        write_model(fitted, out)
    rows = stability(view, fitted)
    if as_json:
        print(json.dumps({"model": fitted.model_dump(), "stability": [row.row() for row in rows]}))
        return
    say(f"fitted on {fitted.bars:,} bars, until {np.datetime64(fitted.fitted_until_ns, 'ns')}Z")
    print("\n".join(as_lines(rows)))


@data.command("check")
def check(
    file: Path,
    market: Market = None,
    timezone: Timezone = None,
    interval: Interval = 60,
    rolls: Annotated[Path | None, typer.Option(help="TOML that names the contract changes.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="TOML that lists rows to leave out.")] = None,
    seconds: SecondBars = None,
    out: Annotated[Path | None, typer.Option(help="Write the accepted bars and data.html there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a bars file strictly and say what is in it."""
    from rl_core.commands.data_files import Choices, Reading, check_file

    found = check_file(file, Reading(market, interval, timezone), Choices(rolls, exclude, seconds), out)
    _finish(found, as_json=as_json)


@data.command("ingest")
def ingest(
    vendor: Path,
    out: Annotated[Path, typer.Option(help="Folder for the bars, rolls.toml, data.json and data.html.")],
    market: Market = None,
    timezone: Timezone = None,
    interval: Interval = 60,
    seconds: SecondBars = None,
    as_json: AsJson = False,
) -> None:
    """One series out of a vendor's file of every expiry and spread: outrights, rolled by volume, unadjusted."""
    from rl_core.commands.data_files import Reading, ingest_file

    _finish(ingest_file(vendor, Reading(market, interval, timezone), seconds, out), as_json=as_json)


def _default_config(phase: int) -> Path | None:
    path = Path(f"configs/phase{phase}_nq.toml")
    return path if path.exists() else None


def _finish(found: dict[str, Any], *, as_json: bool = False) -> None:
    """Print the result: a table for a person, one JSON object for a program."""
    if as_json:
        print(json.dumps(found, default=str))
        return
    width = max(len(key) for key in found)
    for key, value in found.items():
        text = f"{value:,.4g}" if isinstance(value, float) else value
        print(f"{key:<{width}}  {'-' if text is None else text}")
