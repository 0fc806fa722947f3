"""Several seeds of one training, each a run of its own, and what they earn on the bars that were held out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import typer

from rl_core.checkpoints.checkpoint import load_learned
from rl_core.checkpoints.manifest import Expected, find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.evaluation.accounts import play_account
from rl_core.features.features import fingerprint
from rl_core.statistics.interquartile import aggregate
from rl_core.training.folder import SEED_PREFIX
from rl_core.training.plan import TrainingPlan
from rl_core.training.sources import prepare_evaluation


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


def parent_of(parent: Path | None, seed: int) -> Path | None:
    """Phase 1's run for ``seed``: its own where ``parent`` holds several, else ``parent`` for all."""
    if parent is None:
        return None
    own = seed_folder(parent, seed)
    return own if own.is_dir() else parent


def plan_of_seed(plan: TrainingPlan, seed: int, parent: Path | None) -> TrainingPlan:
    """``plan`` with another seed, and phase 1's run of that seed to start from; bars and account are shared.

    Raises:
        ConfigError, FitError, DamagedCheckpointError: as `load_learned`.
    """
    config = plan.config.model_copy(update={"ppo": plan.config.ppo.model_copy(update={"seed": seed})})
    learned = None
    if parent is not None:
        expected = Expected(phase=1, fingerprint=fingerprint())
        learned = load_learned(find_checkpoint(parent, phase=1), expected=expected)
    return plan._replace(config=config, parent=learned)


def held_out_results(runs: Mapping[int, Path], market: str) -> list[SeedResult]:
    """What each seed's run earns on the held-out sessions of ``market``.

    Raises:
        DataError: nothing was held out.
    """
    job = prepare_evaluation(next(iter(runs.values())), bars=None, part="held_out", market=market)
    results = []
    for seed, run in runs.items():
        played = play_account("fresh", job._replace(policy=load_trader(find_checkpoint(run))).inputs())
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
