"""Several seeds of one training, each a run of its own, and what they earn on the bars that were held out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from rl_core.checkpoints.manifest import find_checkpoint
from rl_core.checkpoints.policy import load_trader, policy_digest
from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.entrants import Trained
from rl_core.jobs.choose import done_in_order
from rl_core.jobs.job import Executor, JobContext, was_asked
from rl_core.statistics.interquartile import aggregate
from rl_core.training.folder import SEED_PREFIX
from rl_core.training.orders import PhaseOrder, TrainingOrder
from rl_core.training.plan import TrainingPlan, phase1_of
from rl_core.training.sources import TrainingJob, prepare_evaluation, refuse_own_parent


class SeedResult(NamedTuple):
    """What one seed earned on the held-out sessions, each with a fresh account."""

    seed: int
    run: Path
    trades: int
    r_a_session: float
    r_a_trade: float | None


def seed_folder(out: Path, seed: int) -> Path:
    """The run of ``seed`` in the folder of several; TensorBoard shows all of ``out`` together."""
    return out / f"{SEED_PREFIX}{seed}"


def runs_of(out: Path, seeds: Sequence[int], parent: Path | None) -> dict[int, Path]:
    """The folder of each seed's run: ``out`` itself for one, else one in it for each.

    Raises:
        ConfigError: phase 2 would run in the folder of the run that it starts from.
    """
    runs = {seed: out if len(seeds) == 1 else seed_folder(out, seed) for seed in seeds}
    for seed, run in runs.items():
        refuse_own_parent(parent_of(parent, seed), run)
    return runs


def parent_of(parent: Path | None, seed: int) -> Path | None:
    """Phase 1's run for ``seed``: its own where ``parent`` holds several, else ``parent`` for all."""
    if parent is None:
        return None
    own = seed_folder(parent, seed)
    return own if own.is_dir() else parent


def plans_of(plan: TrainingPlan, runs: Mapping[int, Path], parent: Path | None) -> Iterator[tuple[Path, TrainingPlan]]:
    """The folder and the plan of each seed; bars and account are shared, and phase 1's run is each seed's own.

    Raises:
        ConfigError, FitError, DamagedCheckpointError: as `phase1_of`.
    """
    for seed, run in runs.items():
        own, ppo = parent_of(parent, seed), plan.config.ppo.model_copy(update={"seed": seed})
        learned = plan.parent if own is None else phase1_of(own, plan.config)
        yield run, plan._replace(config=plan.config.model_copy(update={"ppo": ppo}), parent=learned)


def trained_elsewhere(
    job: TrainingJob,
    runs: Mapping[int, Path],
    parent: Path | None,
    executor: Executor | None,
    context: JobContext,
    *,
    new_run: bool,
) -> bool:
    """Train each seed's run as a job of its own; False where somebody asked to stop.

    What this process does then with these runs finds them trained. Without an ``executor`` it trains them itself.
    """
    if executor is None:
        return True
    orders = []
    for seed, run in runs.items():
        own = job.config.model_copy(update={"ppo": job.config.ppo.model_copy(update={"seed": seed})})
        phases = (PhaseOrder(config=own, run=run),)
        order = TrainingOrder(source=job.source, phases=phases, parent=parent_of(parent, seed), new_run=new_run)
        orders.append(order.as_job(f"seed {seed}"))
    results = list(done_in_order(executor, orders, context, "seeds"))
    return len(results) == len(orders) and not any(map(was_asked, results))


def held_out_results(runs: Mapping[int, Path], market: str) -> list[SeedResult]:
    """What each seed's run earns on the held-out sessions of ``market``.

    Raises:
        DataError: nothing was held out.
    """
    job = prepare_evaluation(next(iter(runs.values())), bars=None, part="held_out", market=market)
    results = []
    for seed, run in runs.items():
        checkpoint = find_checkpoint(run)
        own = job._replace(who=Trained(load_trader(checkpoint)), digest=policy_digest(checkpoint))
        inputs = own.inputs()
        own.count_look(inputs.span)  # whoever takes the best of them has tried them all
        played = play_account("fresh", inputs)
        r = played.trades.r
        per_session = float(r.sum()) / played.sessions
        results.append(SeedResult(seed, run, len(r), per_session, float(r.mean()) if len(r) else None))
    return results


def compare_seeds(runs: Mapping[int, Path], market: str, *, as_json: bool) -> None:
    """Print what each seed's run earns held out, and the interquartile mean over seeds; one JSON object if asked.

    Raises:
        DataError: nothing was held out.
    """
    results = held_out_results(runs, market)
    together = aggregate([[result.r_a_session for result in results]])
    if as_json:
        each = [result._asdict() | {"run": str(result.run)} for result in results]
        typer.echo(json.dumps({"seeds": each, "held_out_r_a_session": together._asdict()}))
        return
    typer.echo(f"{'seed':>6} {'trades':>8} {'R a session':>12} {'R a trade':>10}  run")
    for result in results:
        a_trade = "-" if result.r_a_trade is None else f"{result.r_a_trade:+.3f}"
        typer.echo(f"{result.seed:>6} {result.trades:>8,} {result.r_a_session:>+12.3f} {a_trade:>10}  {result.run}")
    typer.echo(f"held out, R a session, interquartile mean over seeds: {together.label}")
    typer.echo("The interval is over seeds on the same sessions; what luck of the sessions adds: rl-core evaluate RUN")
