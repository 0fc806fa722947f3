"""`rl-core data`: synthetic worlds, strict checks, vendor files, look-ahead, regimes."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from rl_core.bars.choices import Choices
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.commands.options import Format, Market, Seconds, Stamped, Timezone
from rl_core.commands.progress import READING, say
from trigate.command_line import AsJson, Settings, print_result, waiting
from trigate.errors import ConfigError
from trigate.toml_config import read_config
from trigate.whole_files import disk_faults

if TYPE_CHECKING:
    from rl_core.worlds.demo import World

data = typer.Typer(no_args_is_help=True)

Interval = Annotated[int, typer.Option(min=1, max=86_400, help="Seconds a bar lasts.")]
SecondBars = Annotated[Path | None, typer.Option(help="One-second bars to hold the minutes against.")]
DEMO_FILE = "NQ_D1M.parquet"
FIRST_DAY = datetime(2024, 1, 2)
DRAWING = "drawing the market, minute by minute"


@data.command("demo")
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    sessions: Annotated[int, typer.Option(min=2)] = 900,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    first_day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Of trading, or before it.")] = FIRST_DAY,
    seconds: Annotated[bool, typer.Option(help="Second bars too.")] = False,
) -> None:
    """Write the demo world: NQ-like bars with a declared, planted edge."""
    from rl_core.worlds.demo import demo_world

    days = (first_day - datetime(1970, 1, 1)).days
    with waiting(DRAWING):
        drawn = demo_world(seed, sessions, first_day=days, seconds=seconds)
    _write_world(out, drawn, sessions, seed)


def _write_world(out: Path, world: "World", sessions: int, seed: int) -> None:
    """Write the bars of ``world`` and their declaration."""
    from rl_core.checkpoints.provenance import write_world

    with disk_faults(out), waiting("writing the bars"):
        out.mkdir(parents=True, exist_ok=True)
        write_bars(world.minutes, out / DEMO_FILE)
        if world.seconds is not None:
            write_bars(world.seconds, out / "NQ_D1S.parquet")
        write_world(out / DEMO_FILE, world.minutes, world.edge, seed=seed)
    say(world.edge.text)
    shown = {"bars": str(out / DEMO_FILE), "rows": len(world.minutes), "sessions": sessions, "seed": seed}
    print_result(shown if world.edge.uplift_r is None else {**shown, "best_gate_uplift_r": world.edge.uplift_r})


@data.command("world")
def world(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    kind: Annotated[str, typer.Option(help="demo, no_edge, planted, reverting, gated or gated_twin.")] = "demo",
    sessions: Annotated[int, typer.Option(min=2)] = 120,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    drift: Annotated[float | None, typer.Option(help="planted, gated: the drift after a signal, in ATR.")] = None,
    form: Annotated[str | None, typer.Option(help="gated: one_fact or two_facts, what a gate must know.")] = None,
    seconds: Annotated[bool, typer.Option(help="Second bars too.")] = False,
) -> None:
    """Write a synthetic market: the demo, one without an edge, or one whose best rule or gate is computed."""
    from rl_core.worlds.controls import world_of

    with waiting(DRAWING):
        drawn = world_of(kind, seed, sessions, drift_atr=drift, form=form, seconds=seconds)
    _write_world(out, drawn, sessions, seed)


@data.command("check-leak")
def check_leak(
    bars: Annotated[Path | None, typer.Option(help="Minute bars; default: eight sessions of the demo world.")] = None,
    moments: Annotated[int, typer.Option(min=1, help="How many times the future is changed.")] = 4,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    seconds: Seconds = None,
    rolls: Annotated[Path | None, typer.Option(help="TOML that names the contract changes.")] = None,
    market: Market = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Replace and cut off the future; exit 100 if anything seen or done before it changes."""
    from rl_core.bars.seconds import read_seconds
    from rl_core.proofs.look_ahead import check_leaks, refuse_leaks
    from rl_core.trading.setup import TradingConfig, check_account, compile_trading, resolved
    from rl_core.worlds.demo import demo_world

    account = resolved(read_config(TradingConfig, None, settings or []), seconds=seconds is not None or bars is None)
    check_account(account)
    if bars is None:
        options = {"--seconds": seconds, "--rolls": rolls, "--market": market, "--timezone": timezone}
        options |= {"--stamp": stamp}
        if lost := [option for option, value in options.items() if value is not None]:
            raise ConfigError(f"{', '.join(lost)}: of which bars? give --bars FILE")
        world = demo_world(7, 8, seconds=True)
        read, within = world.minutes, world.seconds
    else:
        with waiting(READING, quiet=as_json):
            read = read_bars(bars, market=market, timezone=timezone, stamp=stamp, choices=Choices(rolls=rolls))
            within = None if seconds is None else read_seconds(seconds, read, timezone=timezone, stamp=stamp)
    trading = compile_trading(account, read.instrument)
    with waiting("changing the future, and looking again", quiet=as_json):
        report = check_leaks(read, trading, seconds=within, moments=moments, seed=seed)
    compared = report.compared if as_json else ", ".join(report.compared)
    counts = {"bars": str(bars or "demo world"), "moments": report.moments, "compared": compared}
    print_result(
        {**counts, "values": report.values, "leaks": [leak._asdict() for leak in report.leaks]}, as_json=as_json
    )
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
    stamp: Stamped = None,
    as_json: AsJson = False,
) -> None:
    """Fit regimes on the first bars, and say how stable they are: share, duration and moves of every half-year."""
    from rl_core.features.market_view import view_of
    from rl_core.regimes.fitted import fit_regimes, read_model, write_model
    from rl_core.regimes.stability import as_lines, stability
    from rl_core.rules.pack import read_rule_pack
    from rl_core.trading.setup import TradingConfig

    with waiting(READING, quiet=as_json) as told:
        read = read_bars(file, market=market, timezone=timezone, stamp=stamp)
        config = TradingConfig()  # its flat time and hours alone: what cannot be traded has regimes too
        view = view_of(read, read_rule_pack(config.rules), config.hours)
        told("fitting the regimes")
        fitted = read_model(model) if model else fit_regimes(view, int(len(read) * train_share), states=states)
        if out:
            write_model(fitted, out)
        rows = stability(view, fitted)
    if as_json:
        typer.echo(json.dumps({"model": fitted.model_dump(), "stability": [row.row() for row in rows]}))
        return
    say(f"fitted on {fitted.bars:,} bars, until {np.datetime64(fitted.fitted_until_ns // 60_000_000_000, 'm')}Z")
    typer.echo("\n".join(as_lines(rows)))


@data.command("check")
def check(
    file: Path,
    market: Market = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    layout: Format = None,
    interval: Interval = 60,
    rolls: Annotated[Path | None, typer.Option(help="TOML that names the contract changes.")] = None,
    exclude: Annotated[Path | None, typer.Option(help="TOML that lists rows to leave out.")] = None,
    seconds: SecondBars = None,
    out: Annotated[Path | None, typer.Option(help="Write the accepted bars and data.html there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a bars file strictly and say what is in it."""
    from rl_core.commands.data_files import FileChoices, FileOptions, check_file

    reading = FileOptions(market, interval, timezone, stamp, layout)
    with waiting("reading every row", quiet=as_json):
        summary = check_file(file, reading, FileChoices(rolls, exclude, seconds), out)
    print_result(summary, as_json=as_json)


@data.command("ingest")
def ingest(
    vendor: Path,
    out: Annotated[Path, typer.Option(help="Folder for the bars, rolls.toml, data.json and data.html.")],
    market: Market = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    layout: Format = None,
    interval: Interval = 60,
    seconds: SecondBars = None,
    as_json: AsJson = False,
) -> None:
    """One series out of a vendor's file of every expiry and spread: outrights, rolled by volume, unadjusted."""
    from rl_core.commands.data_files import FileOptions, ingest_file

    reading = FileOptions(market, interval, timezone, stamp, layout)
    with waiting("reading every row", quiet=as_json):
        summary = ingest_file(vendor, reading, seconds, out)
    print_result(summary, as_json=as_json)
