"""The commands `rl-core train`, `rl-core show-config` and `rl-core export`."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rl_core.commands.options import MANY_PANEL, Address, ExecutorName, Jobs, Market, Phase, Seconds, Stamped, Timezone
from rl_core.commands.progress import READING, job_context, say, stop_on_signals, training_progress, warn
from rl_core.commands.show_config import show_config
from rl_core.rules.pack import read_rule_pack
from rl_core.training.watchdog import run_in_watched_child
from trigate.command_line import AsJson, ConfigFile, Settings, print_result, waiting
from trigate.errors import ConfigError

if TYPE_CHECKING:
    from rl_core.jobs.job import Executor
    from rl_core.training.plan import TrainingPlan
    from rl_core.training.run import TrainingResult
    from rl_core.training.sources import TrainingJob

Coordinator = Annotated[
    str | None,
    typer.Option(
        envvar="JAX_COORDINATOR_ADDRESS",
        help="--distributed: host:port of process 0.",
        rich_help_panel=MANY_PANEL,
    ),
]
TRAINED_TABLE = ("step", "steps_per_s", "trades", "win_rate", "mean_r", "p_entry_flat", "long_share", "entropy_choice")


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("train")(train)
    app.command("show-config")(show_config)
    app.command("export")(export)


def train(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    phase: Phase = None,
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
    stamp: Stamped = None,
    config: ConfigFile = None,
    settings: Settings = None,
    new_run: Annotated[bool, typer.Option("--new-run", help="Set another run in the folder aside.")] = False,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Train so many, from ppo.seed on, each in OUT/seed-N; compare them held out.",
            rich_help_panel=MANY_PANEL,
        ),
    ] = 1,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="As one of several processes.", rich_help_panel=MANY_PANEL)
    ] = False,
    coordinator: Coordinator = None,
    jobs: Jobs = 1,
    executor: ExecutorName = "local",
    address: Address = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="--distributed: how many processes.", rich_help_panel=MANY_PANEL)
    ] = None,
    process: Annotated[
        int | None, typer.Option(min=0, help="--distributed: which this is, from 0.", rich_help_panel=MANY_PANEL)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train phase 1 (when to enter), or phase 2 (how to manage) from phase 1; continues what was interrupted."""
    if distributed:
        run_in_watched_child()
    from rl_core.commands.seeds import parent_of, plans_of, runs_of, trained_elsewhere
    from rl_core.training.compile_cache import use_compile_cache
    from rl_core.training.plan import plan_training
    from rl_core.training.processes import ProcessGroup, distributed_training, is_writer
    from rl_core.training.run import continue_run
    from rl_core.training.settings import read_train_config
    from rl_core.training.source_file import FileTimes
    from rl_core.training.sources import named_files, prepare_training

    use_compile_cache()
    group = ProcessGroup(coordinator, processes, process) if distributed else None
    with stop_on_signals() as asked, distributed_training(group) as joined:
        given = read_train_config(phase, config, [*(settings or ()), *joined]).config
        files = named_files(bars or [])
        first = given.ppo.seed
        runs = runs_of(out, range(first, first + seeds), parent)
        workers = _workers(executor, jobs, address, distributed_seeds=seeds if distributed else 0)
        with waiting(READING, quiet=as_json):
            job = prepare_training(
                given,
                bars=files,
                parent=parent_of(parent, first),
                market=market,
                times=FileTimes(timezone, stamp),
                seconds=seconds,
            )
            plan = plan_training(
                job.config, job.bars, others=job.others, parent=parent_of(parent, first), ladder=job.ladder
            )
        if not is_writer():
            continue_run(plan, out, on_update=lambda row: asked())
            return
        today = datetime.now(UTC).date()
        warn(filter(None, (read_rule_pack(job.config.trading.rules).staleness(today), *job.notes, plan.by_heart)))
        context = job_context(asked, quiet=as_json)
        if not trained_elsewhere(job, runs, parent, workers, context, new_run=new_run):
            return
        for run, of_seed in plans_of(plan, runs, parent):
            trained = _train_one(of_seed, job, run, asked, new_run=new_run, as_json=as_json)
            _tell_trained(run, trained, held_out=of_seed.split.stop < len(of_seed.bars), as_json=as_json)
            if trained.stop != "finished":
                return
        if seeds > 1:
            _compare(plan, runs, as_json=as_json)


def _workers(executor: str, jobs: int, address: str | None, *, distributed_seeds: int) -> "Executor | None":
    """Who trains; None: this process, with each seed's line or bar as it is trained.

    Args:
        executor: as of `executor_of`.
        jobs: likewise.
        address: likewise.
        distributed_seeds: of a run of several processes; 0 where this is none.

    Raises:
        ConfigError, ProcessNotReadyError: as `executor_of`; or a run of several processes is given several seeds.
    """
    from rl_core.jobs.choose import executor_of

    here = executor == "local" and jobs == 1
    if distributed_seeds > 1 or (distributed_seeds and not here):
        raise ConfigError("--seeds, --jobs and --executor train whole seeds; give --distributed one seed at a time")
    chosen = executor_of(executor, jobs=jobs, address=address)
    return None if here else chosen


def _train_one(
    plan: "TrainingPlan", job: "TrainingJob", run: Path, asked: Callable[[], bool], *, new_run: bool, as_json: bool
) -> "TrainingResult":
    """Train in the folder ``run`` with a line or a bar that shows how far it is."""
    from rl_core.training.run import continue_run
    from rl_core.training.sources import run_records

    with training_progress(plan.total, plan.config.phase, quiet=as_json) as progress:

        def on_update(row: Mapping[str, Any]) -> bool:
            progress.row(row)
            return asked()

        records = run_records(job._replace(config=plan.config))
        return continue_run(plan, run, records=records, new_run=new_run, say=progress.say, on_update=on_update)


def _compare(plan: "TrainingPlan", runs: Mapping[int, Path], *, as_json: bool) -> None:
    """Print what each seed earns on the bars that were held out, if any were."""
    from rl_core.commands.seeds import compare_seeds

    if plan.split.stop == len(plan.bars):
        say("nothing was held out (train_share = 1): the seeds are not compared")
        return
    compare_seeds(runs, plan.bars.instrument.symbol, as_json=as_json)


def _tell_trained(run: Path, trained: "TrainingResult", *, held_out: bool, as_json: bool) -> None:
    """Print what one run left."""
    if trained.transfer is not None:
        report = trained.transfer
        fates = ", ".join(f"{report.count(fate)} {fate}" for fate in ("copied", "widened", "new"))
        agreed = f"entry policies agree to KL {report.divergence:.1e} nats over {report.states} states"
        say(f"transfer: {fates}; {agreed}")
    last = trained.rows[-1] if as_json else {key: trained.rows[-1][key] for key in TRAINED_TABLE}
    print_result(
        {"run": str(run), "checkpoint": str(trained.checkpoint), "stop": trained.stop, **last}, as_json=as_json
    )
    judged = f"rl-core evaluate {run} plays those held out" if held_out else "none was held out (train_share = 1)"
    say(f"earned on the bars that it learned from; {judged}", quiet=as_json)


def export(
    run: Annotated[Path, typer.Argument(help="A run or a checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write a policy as one plain .npz: weights, normaliser and what they are good for; NumPy alone reads it."""
    from rl_core.checkpoints.export import check_ending, export_policy
    from rl_core.checkpoints.manifest import find_checkpoint, unfinished_note
    from rl_core.checkpoints.policy import load_trader

    check_ending(out)
    folder = find_checkpoint(run)
    policy = load_trader(folder)
    assert policy.identity is not None, "a loaded policy knows what it is"
    if note := unfinished_note(folder, policy.identity):
        say(f"warning: {note}")
    metadata = export_policy(policy, out)
    told = {name: metadata[name] for name in ("phase", "market", "step", "actions", "observation_size", "fingerprint")}
    actions = told["actions"] if as_json else " ".join(told["actions"])
    print_result({"file": str(out), **told, "actions": actions}, as_json=as_json)
