"""The command `rl-core walk-forward`."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rl_core.commands.options import Address, ExecutorName, Jobs, Market, Seconds, Stamped, Timezone
from rl_core.commands.progress import READING, job_context, say, stop_on_signals, warn
from rl_core.statistics.counts import counted
from trigate.command_line import AsJson, ConfigFile, Settings, print_lines, waiting
from trigate.whole_files import write_whole

if TYPE_CHECKING:
    from rl_core.proofs.folds import Fold
    from rl_core.proofs.walk_forward import FoldResult, WalkResult
    from rl_core.proofs.walk_runs import WalkInputs

PAGE = "walk_forward.html"
FOLDS_PANEL = "How the folds are cut"
"""A box of the help."""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("walk-forward")(walk_forward)


def walk_forward(
    bars: Annotated[Path, typer.Option(help="Minute bars.")],
    out: Annotated[Path, typer.Option(help="Folder of all runs and of the page.")],
    folds: Annotated[int, typer.Option(min=2, help="How many; the last stays locked, but for cpcv.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Policies a fold, from ppo.seed on.")] = 3,
    scheme: Annotated[
        Literal["anchored", "rolling", "cpcv"],
        typer.Option(
            help="anchored: train on all before. rolling: on as many sessions as the first fold. cpcv: every choice of "
            "--judged-folds is judged by policies that were trained on the others.",
            rich_help_panel=FOLDS_PANEL,
        ),
    ] = "anchored",
    judged_folds: Annotated[int, typer.Option(min=1, help="cpcv: judged at a time.", rich_help_panel=FOLDS_PANEL)] = 2,
    first_share: Annotated[
        float,
        typer.Option(
            min=0.05,
            max=0.95,
            help="Share of the sessions before the first that is judged.",
            rich_help_panel=FOLDS_PANEL,
        ),
    ] = 0.4,
    embargo: Annotated[
        int,
        typer.Option(min=0, help="Sessions left out between training and test.", rich_help_panel=FOLDS_PANEL),
    ] = 1,
    gate_share: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Of the sessions before the judged ones: kept from the policy for a gate.",
            rich_help_panel=FOLDS_PANEL,
        ),
    ] = 0.0,
    with_phase_2: Annotated[
        bool, typer.Option("--phase-2", help="Train phase 2 from each phase 1, and judge that.")
    ] = False,
    open_last: Annotated[
        bool,
        typer.Option(
            "--open-last",
            help="Judge the locked last fold too; each opening is recorded.",
            rich_help_panel=FOLDS_PANEL,
        ),
    ] = False,
    config: ConfigFile = None,
    phase_2_config: Annotated[Path | None, typer.Option(help="Phase 2's TOML file.")] = None,
    settings: Settings = None,
    seconds: Seconds = None,
    market: Market = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    new_run: Annotated[bool, typer.Option("--new-run", help="Set other runs in the folders aside.")] = False,
    jobs: Jobs = 1,
    executor: ExecutorName = "local",
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Train again before every fold of sessions and judge on the fold; goes on where it was interrupted."""
    from rl_core.commands.combinatorial import judge_combinations, refuse_with_cpcv
    from rl_core.jobs.choose import done_in_order, executor_of
    from rl_core.proofs.combinatorial import CombinatorialRules
    from rl_core.proofs.folds import FoldRules, walk_forward_folds
    from rl_core.proofs.walk_forward import openings_of, record_opening, result_of, walk
    from rl_core.proofs.walk_runs import WalkInputs, check_inputs, market_seen
    from rl_core.statistics.criteria import read_criteria
    from rl_core.training.compile_cache import use_compile_cache
    from rl_core.training.settings import read_train_config
    from rl_core.training.source_file import FileTimes
    from rl_core.training.sources import prepare_training

    use_compile_cache()
    criteria = read_criteria().policy
    phases = [read_train_config(1, config, settings or ()).config]
    if with_phase_2:
        phases.append(read_train_config(2, phase_2_config, settings or ()).config)
    times = FileTimes(timezone, stamp)
    with waiting(READING, quiet=as_json):
        job = prepare_training(phases[0], bars=bars, parent=None, market=market, times=times, seconds=seconds)
    warn(job.notes)
    first = phases[0].ppo.seed
    each_seed = tuple(range(first, first + seeds))
    inputs = WalkInputs(tuple(phases), job.bars, job.ladder, job.source, each_seed, out, new_run)
    check_inputs(inputs)
    workers = executor_of(executor, jobs=jobs, address=address)
    if scheme == "cpcv":
        refuse_with_cpcv({"--first-share": first_share != 0.4, "--gate-share": gate_share, "--open-last": open_last})
        with stop_on_signals() as asked:
            train = partial(done_in_order, workers, context=job_context(asked, quiet=as_json), what="trainings")
            judge_combinations(
                inputs, CombinatorialRules(folds, judged_folds, embargo), market_seen(inputs), train, as_json=as_json
            )
        return
    rules = FoldRules(folds, first_share, embargo, scheme == "rolling", gate_share)
    seen = market_seen(inputs)
    *open_folds, locked = walk_forward_folds(seen.sessions, rules)
    done: list[FoldResult] = []
    with stop_on_signals() as asked:
        train = partial(done_in_order, workers, context=job_context(asked, quiet=as_json), what="trainings")
        for result in walk(inputs, open_folds, seen, train):
            done.append(result)
            say(_line(result), quiet=as_json)
        if open_last and len(done) == len(open_folds):
            opened = record_opening(out, locked, inputs.seeds)
            say(f"fold {locked.number} was locked: this is opening {opened}", quiet=as_json)
            done += walk(inputs, [locked], seen, train)
    if done:
        _tell(inputs, result_of(done, inputs, openings_of(out), criteria), rules, locked, as_json=as_json)


def _line(result: "FoldResult") -> str:
    fold = result.fold
    each = ", ".join(f"{r:+.3f}" for r in result.r_a_session.values())
    trades = sum(len(played.trades.r) for played in result.by_seed.values())
    return f"fold {fold.number}, judged on {fold.test.label}: {counted(trades, 'trade')}, R a session by seed {each}"


def _tell(inputs: "WalkInputs", result: "WalkResult", rules: Any, locked: "Fold", *, as_json: bool) -> None:
    """Write page and record, and print them; ``locked`` is the last fold, judged or not."""
    from rl_core.proofs.walk_forward import record_of
    from rl_core.proofs.walk_forward_page import walk_forward_page
    from rl_core.proofs.walk_record import RECORD

    scheme = "a window that rolls" if rules.rolling else "all sessions before"
    how = (
        f"{len(result.folds)} of {rules.folds} folds, {counted(len(inputs.seeds), 'seed')}, phase "
        f"{len(inputs.phases)}; each fold is trained on {scheme}, with {counted(rules.embargo, 'session')} left out "
        f"between{_kept_for_gate(rules)}."
    )
    record, symbol = record_of(result, len(inputs.phases)), inputs.bars.instrument.symbol
    write_whole(inputs.out / PAGE, walk_forward_page(symbol, result, how, locked))
    write_whole(inputs.out / RECORD, json.dumps(record, indent=1) + "\n")
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(
        f"{'fold':>4}  {'judged on':<24} {'sessions':>8} {'trades':>7} {'R a session':>12} {'R a trade':>10} "
        f"{'trained':>8}"
    )
    for fold in record["folds"]:
        a_trade = "-" if fold["mean_r"] is None else f"{fold['mean_r']:+.3f}"
        taught = "-" if fold["mean_r_in_training"] is None else f"{fold['mean_r_in_training']:+.3f}"
        earned = f"{sum(fold['r_a_session']) / len(fold['r_a_session']):+.3f}"
        typer.echo(
            f"{fold['fold']:>4}  {fold['judged_on']:<24} {fold['sessions']:>8} {sum(fold['trades']):>7,} "
            f"{earned:>12} {a_trade:>10} {taught:>8}"
        )
    if not result.openings:
        typer.echo(f"{locked.number:>4}  {locked.test.label:<24} locked: --open-last judges it, once")
    if len(inputs.seeds) > 1:
        typer.echo(f"trades of all {len(inputs.seeds)} seeds together; R of one that is drawn at random")
    typer.echo(f"R a session, interquartile mean over seeds: {result.over_seeds.label}")
    if result.expectancy is not None and result.expectancy.bounds is not None:
        mean, (low, high) = result.expectancy.mean, result.expectancy.bounds
        typer.echo(f"R a trade, all folds and seeds, sessions resampled: {mean:+.3f} ({low:+.3f} to {high:+.3f})")
    print_lines([f"{result.verdict.word}: {'; '.join(result.verdict.reasons)}"])
    if rules.gate_share:
        typer.echo(f"what is left to a gate is taught and judged by: orchestrator walk-gate {inputs.out}")
    typer.echo(f"page: {inputs.out / PAGE}")


def _kept_for_gate(rules: Any) -> str:
    if not rules.gate_share:
        return ""
    return f"; of the sessions before, the last {100 * rules.gate_share:.0f} % are kept from the policy for a gate"
