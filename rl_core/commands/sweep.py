"""The command `rl-core sweep`."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rl_core.commands.options import Address, ExecutorName, Jobs, Market, Phase, Seconds, Stamped, Timezone
from rl_core.commands.progress import READING, job_context, say, stop_on_signals, warn
from trigate.command_line import AsJson, ConfigFile, Settings, waiting
from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from rl_core.training.config import TrainConfig
    from rl_core.training.sweep.study import Study
    from rl_core.training.sweep.sweep import ConfigOf, SweepPlan

RECORD = "sweep.json"
SEARCH_PANEL = "How members are searched and judged"
"""A box of the help."""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("sweep")(sweep)


def sweep(
    bars: Annotated[Path, typer.Option(help="Minute bars.")],
    out: Annotated[Path, typer.Option(help="Folder of all members, of the record and of best.toml.")],
    over: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUES", help="What varies: LOW..HIGH, log:LOW..HIGH, or A,B,C; once for each key."),
    ],
    members: Annotated[int, typer.Option(min=1, help="How many; a larger number later adds to them.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="Policies a member, from ppo.seed on.")] = 2,
    tune_share: Annotated[
        float,
        typer.Option(
            min=0.02,
            max=0.8,
            help="Of the training sessions: the last, to judge members on.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = 0.25,
    at_once: Annotated[
        int,
        typer.Option(
            "--round",
            min=1,
            help="Members that are drawn together, from what those before earned.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = 4,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune/--no-prune",
            help="Leave a member whose training falls under the median.",
            rich_help_panel=SEARCH_PANEL,
        ),
    ] = True,
    phase: Phase = None,
    parent: Annotated[Path | None, typer.Option("--from", help="Phase 1's run, for phase 2.")] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    seconds: Seconds = None,
    market: Market = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    jobs: Jobs = 1,
    executor: ExecutorName = "local",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Find settings: train members that differ, and judge them on sessions that nobody else judges; goes on."""
    from rl_core.jobs.choose import executor_of
    from rl_core.training.compile_cache import use_compile_cache
    from rl_core.training.folder import lock_folder
    from rl_core.training.settings import read_train_config
    from rl_core.training.source_file import FileTimes
    from rl_core.training.sources import prepare_training
    from rl_core.training.sweep.axes import read_axes
    from rl_core.training.sweep.study import Study
    from rl_core.training.sweep.sweep import SweepPlan, swept, tune_split
    from trigate.toml_config import shown_values

    use_compile_cache()
    read = read_train_config(phase, config, settings or ())
    axes = read_axes(over, {value.key: value.value for value in shown_values(read.config, read.origins)})
    config_of = _config_of(phase, config, settings or (), {axis.key: axis.said for axis in axes})
    for axis in axes:
        for value in axis.examples:
            config_of({axis.key: value})
    times = FileTimes(timezone, stamp)
    with waiting(READING, quiet=as_json):
        job = prepare_training(read.config, bars=bars, parent=parent, market=market, times=times, seconds=seconds)
    warn(job.notes)
    first = read.config.ppo.seed
    plan = SweepPlan(
        job=job,
        axes=axes,
        config_of=config_of,
        split=tune_split(job, parent, tune_share),
        parent=parent,
        seeds=tuple(range(first, first + seeds)),
        at_once=at_once,
        may_leave=prune,
        out=out,
    )
    workers = executor_of(executor, jobs=jobs, address=address)
    with lock_folder(out), stop_on_signals() as asked:
        study = Study(out, axes, plan.card, first)
        say(f"members are judged on {plan.split.sessions} sessions, {plan.split.label}", quiet=as_json)
        for _ in swept(plan, study, members, workers, job_context(asked, quiet=as_json)):
            pass
        stopped = asked()
    if stopped:
        say("stopped; the same command goes on", quiet=as_json)
        return
    _tell(plan, study, as_json=as_json)


def _config_of(phase: int | None, path: Path | None, settings: Sequence[str], said: Mapping[str, str]) -> "ConfigOf":
    """The settings of a member: as `rl-core train` reads them, with the values of the axes over them."""
    from rl_core.training.settings import read_train_config
    from trigate.toml_config import Given

    def config_of(values: Mapping[str, Any]) -> "TrainConfig":
        over = [Given(key, value, said[key]) for key, value in values.items()]
        return read_train_config(phase, path, [*settings, *over]).config

    return config_of


def _tell(plan: "SweepPlan", study: "Study", *, as_json: bool) -> None:
    """Write the record and best.toml, and print them."""
    from rl_core.training.sweep.ranking import BEST, best_toml, ranked, record_of, table_of

    members = study.members()
    record, order = record_of(plan, members, study.importances()), ranked(members)
    write_whole(plan.out / RECORD, json.dumps(record, indent=1) + "\n")
    if order:
        write_whole(plan.out / BEST, best_toml(plan, order[0]))
    if as_json:
        typer.echo(json.dumps(record))
        return
    states = Counter(member.told["state"] for member in members)
    typer.echo(", ".join(f"{count} {state}" for state, count in states.items()) + f", on {plan.split.label}")
    if not order:
        typer.echo("no member was trained to its end: there is no best.toml; give other ranges")
        return
    for line in table_of(record):
        typer.echo(line)
    if record["importance"]:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in record["importance"].items())
        typer.echo(f"what explains the difference (PED-ANOVA): {shares}")
    above = record["sharpe_above_luck"]
    luck = "too few sessions with trades to say" if above is None else f"{above:.0%} sure to be above it"
    typer.echo(f"the best of {len(members)} tries is partly luck: {luck}; all are counted for whoever judges later")
    typer.echo(f"settings of the best: {plan.out / BEST}, for rl-core train --config")
