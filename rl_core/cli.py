"""`rl-core`: train a phase, evaluate a checkpoint, write the demo world, check a bars file."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rl_core.bars import read_bars, write_bars
from rl_core.configuration import read_config
from rl_core.errors import TrigateError
from rl_core.rules import read_rule_pack

if TYPE_CHECKING:
    from rl_core.worlds import World

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
data = typer.Typer(no_args_is_help=True)
app.add_typer(data, name="data", help="Bars files: synthetic worlds, strict checks, vendor files, look-ahead, regimes.")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Market = Annotated[str | None, typer.Option(help="Contract of the bars; default: from the file's name, else NQ.")]
Seconds = Annotated[Path | None, typer.Option(help="One-second bars of the same market and time.")]
Timezone = Annotated[str | None, typer.Option(help="Zone of naive times in the file, such as America/New_York.")]
Interval = Annotated[int, typer.Option(min=1, help="Seconds a bar lasts.")]
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
    bars: Annotated[Path | None, typer.Option(help="Minute bars; phase 2 takes phase 1's by default.")] = None,
    parent: Annotated[Path | None, typer.Option("--from", help="Phase 1's run, for phase 2.")] = None,
    seconds: Seconds = None,
    market: Market = None,
    timezone: Timezone = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Train phase 1 (when to enter), or phase 2 (how to manage) from phase 1."""
    from rl_core.runs import prepare_training, record_training
    from rl_core.training import TrainConfig, train_run

    given = read_config(TrainConfig, config or _default_config(phase), [f"phase={phase}", *(settings or ())])
    job = prepare_training(given, bars=bars, parent=parent, market=market, timezone=timezone, seconds=seconds)
    record_training(out, job)
    if warning := read_rule_pack(job.config.trading.rules).staleness(datetime.now(UTC).date()):
        _say(f"warning: {warning}")
    with _stop_on_sigterm() as asked, _training_bar(job.config.ppo.total_steps, phase, quiet=as_json) as note:

        def on_update(row: dict[str, Any]) -> bool:
            note(row)
            return asked()

        trained = train_run(job.config, job.bars, out, parent=parent, ladder=job.ladder, on_update=on_update)
    if trained.transfer is not None:
        report = trained.transfer
        fates = {fate: report.count(fate) for fate in ("copied", "widened", "new")}
        _say(f"transfer: {fates}, entry policies agree to KL {report.divergence:.1e} nats over {report.states} states")
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
    from rl_core.evaluate import by_resolution
    from rl_core.evaluate import evaluate as play
    from rl_core.runs import prepare_evaluation
    from rl_core.statistics.verdict import verdict_on

    job = prepare_evaluation(run, bars=bars, part=part, market=market, timezone=timezone, seconds=seconds)
    found = play(job.policy, job.view, job.trading, job.first, job.stop, job.ladder)
    readings = {}
    if job.ladder is not None:
        readings = by_resolution(job.policy, job.view, job.trading, job.first, job.stop, job.ladder)
    verdict = verdict_on(found.expectancy, synthetic=job.world is not None)
    _finish(
        {**found.summary(), **readings, "verdict": verdict.word, "because": "; ".join(verdict.reasons)}, as_json=as_json
    )


@data.command("demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    sessions: Annotated[int, typer.Option(min=2)] = 900,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    seconds: Annotated[bool, typer.Option(help="Second bars too.")] = False,
) -> None:
    """Write the demo world: NQ-like bars with a declared, planted edge."""
    from rl_core.worlds import demo_world

    _write_world(out, demo_world(seed, sessions, seconds=seconds), sessions, seed)


def _write_world(out: Path, world: "World", sessions: int, seed: int) -> None:
    """Write the bars of ``world`` and their declaration."""
    from rl_core.provenance import write_world

    out.mkdir(parents=True, exist_ok=True)
    write_bars(world.minutes, out / DEMO_FILE)
    if world.seconds is not None:
        write_bars(world.seconds, out / "NQ_D1S.parquet")
    write_world(out / DEMO_FILE, world.minutes, world.edge, seed=seed)
    _say(world.edge.text)
    _finish({"bars": str(out / DEMO_FILE), "rows": len(world.minutes), "sessions": sessions, "seed": seed})


@data.command("world")
def world(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    kind: Annotated[str, typer.Option(help="demo, no_edge or planted.")] = "demo",
    sessions: Annotated[int, typer.Option(min=2)] = 120,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    drift: Annotated[float | None, typer.Option(help="planted: the drift after a signal, in ATR.")] = None,
    seconds: Annotated[bool, typer.Option(help="Second bars too.")] = False,
) -> None:
    """Write a synthetic market: the demo, one without an edge, or one whose best expectancy is computed."""
    from rl_core.worlds_controls import world_of

    _write_world(out, world_of(kind, seed, sessions, drift_atr=drift, seconds=seconds), sessions, seed)


@data.command("check-leak")
def check_leak(
    bars: Annotated[Path | None, typer.Option(help="Minute bars; default: eight sessions of the demo world.")] = None,
    moments: Annotated[int, typer.Option(min=1, help="How many times the future is changed.")] = 4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    market: Market = None,
    timezone: Timezone = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Replace and cut off the future; exit 100 if anything seen or done before it changes."""
    from rl_core.leaks import check_leaks, refuse_leaks
    from rl_core.trading import TradingConfig, compile_trading
    from rl_core.worlds import demo_world

    read = demo_world(7, 8).minutes if bars is None else read_bars(bars, market=market, timezone=timezone)
    trading = compile_trading(read_config(TradingConfig, None, settings or []), read.instrument)
    report = check_leaks(read, trading, moments=moments, seed=seed)
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
    from rl_core.regime_model import fit_regimes, read_model, write_model
    from rl_core.regime_report import as_lines, stability
    from rl_core.trading import TradingConfig, compile_trading
    from rl_core.view import view_of

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
    _say(f"fitted on {fitted.bars:,} bars, until {np.datetime64(fitted.fitted_until_ns, 'ns')}Z")
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
    from rl_core.data_commands import Choices, Reading, check_file

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
    from rl_core.data_commands import Reading, ingest_file

    _finish(ingest_file(vendor, Reading(market, interval, timezone), seconds, out), as_json=as_json)


def _default_config(phase: int) -> Path | None:
    path = Path(f"configs/phase{phase}_nq.toml")
    return path if path.exists() else None


@contextmanager
def _stop_on_sigterm() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come: training then saves and ends."""
    asked: list[int] = []
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda got, _: asked.append(got)) for number in signals]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    if signal.SIGINT in asked:
        raise KeyboardInterrupt


@contextmanager
def _training_bar(total: int, phase: int, *, quiet: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A progress bar on a terminal, plain lines elsewhere; called with each row of metrics."""
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield lambda row: console.print(
            f"phase {phase}: {row['step']:>10,} of {total:,} bars  {_figures(row)}", soft_wrap=True
        )
        return
    columns = (TextColumn("phase {task.fields[phase]}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[figures]}"), console=console) as progress:
        task = progress.add_task("train", total=total, phase=phase, figures="compiling")
        yield lambda row: progress.update(task, completed=float(row["step"]), figures=_figures(row))


def _figures(row: dict[str, Any]) -> str:
    def shown(key: str, form: str) -> str:
        return "-" if row.get(key) is None else format(row[key], form)

    return (
        f"{shown('steps_per_s', ',.0f')} steps/s  R {shown('mean_r', '+.3f')}  "
        f"P(entry|flat) {shown('p_entry_flat', '.3f')}  entropy {shown('entropy_choice', '.2f')}"
    )


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, markup=False).print(text, soft_wrap=not sys.stderr.isatty())


def _finish(found: dict[str, Any], *, as_json: bool = False) -> None:
    """Print the result: a table for a person, one JSON object for a program."""
    if as_json:
        print(json.dumps(found, default=str))
        return
    width = max(len(key) for key in found)
    for key, value in found.items():
        text = f"{value:,.4g}" if isinstance(value, float) else value
        print(f"{key:<{width}}  {'-' if text is None else text}")
