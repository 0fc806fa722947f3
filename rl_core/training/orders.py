"""The training of one seed as a job: it says everything in JSON, so that any process can do it, to the same bytes."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rl_core.checkpoints.manifest import find_checkpoint, read_manifest
from rl_core.checkpoints.provenance import check_unchanged
from rl_core.jobs.job import STOP, WORKED, Job, JobContext, Result
from rl_core.trading.setup import check_account, resolved
from rl_core.training.compile_cache import use_compile_cache
from rl_core.training.config import TrainConfig
from rl_core.training.parents_settings import with_parents_settings
from rl_core.training.plan import TrainingPlan, check_parent, check_size, phase1_of, plan_training
from rl_core.training.run import TrainingResult, continue_run
from rl_core.training.source_file import Source
from rl_core.training.sources import BarsFile, TrainingJob, prepare_training, run_records

PLANS_KEPT = 2
"""Of phase 1 and phase 2: seeds that follow each other share bars, features and regimes, which take seconds."""
OF_THE_LEARNER_IN_A_PLAN = ("known_entries", "credit_decay")
"""The learner's settings that what is planned depends on; members of a sweep that differ in others share a plan."""

OnRow = Callable[[Mapping[str, Any]], bool]


class PhaseOrder(BaseModel):
    """One phase, and the folder of its run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: TrainConfig
    run: Path


class TrainingOrder(BaseModel):
    """One seed's training, phase after phase, each from the one before."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: Source
    phases: tuple[PhaseOrder, ...]
    parent: Path | None
    """Phase 1's run, where phase 2 comes first."""
    new_run: bool

    def as_job(self, name: str) -> Job:
        """The job that a person calls ``name``; a setting that was not given stays so, as phase 2 inherits it."""
        given = self.model_dump(mode="json", exclude_unset=True) | {"name": name}
        return Job(name, f"{__name__}:{train.__name__}", given)


def train(given: dict[str, Any], context: JobContext) -> Result:
    """Do the job of a `TrainingOrder`: train what is not trained yet.

    Raises:
        TrigateError: as `prepare_training`, `plan_training` and `continue_run`.
    """
    name = given.pop("name")
    order = TrainingOrder.model_validate(given)
    use_compile_cache()
    parent, worked = order.parent, False
    for phase in order.phases:
        job, plan = planned(order.source, phase.config, parent)
        context.say(f"{name}, phase {plan.config.phase}")
        trained = trained_in(phase.run, job, plan, context, new_run=order.new_run)
        worked |= trained.began < plan.total
        if trained.stop != "finished":
            return {STOP: "asked", WORKED: worked}
        parent = phase.run
    return {STOP: "finished", WORKED: worked}


def planned(source: Source, config: TrainConfig, parent: Path | None) -> tuple[TrainingJob, TrainingPlan]:
    """What `rl-core train` would train with ``config`` on the bars of ``source``.

    Raises:
        TrigateError: as `prepare_training` and `plan_training`; or the bars are others by now.
    """
    check_parent(config, parent)
    files = read_source(source.model_dump_json())
    above = ""
    if parent is not None:
        identity = read_manifest(find_checkpoint(parent, phase=1)).identity
        config = with_parents_settings(config, identity.config)
        above = repr(sorted(_unseeded(identity.config).items()))
    check_size(config, 1 + len(source.more))
    check_account(resolved(config.trading, seconds=files.ladder is not None))
    job = files._replace(config=config)
    plan = _KEPT.plan((source.model_dump_json(), repr(_of_a_plan(config)), above), job, parent)
    learned = None if parent is None else phase1_of(parent, config)
    return job, plan._replace(config=config, parent=learned)


def trained_in(
    run: Path,
    job: TrainingJob,
    plan: TrainingPlan,
    context: JobContext,
    *,
    new_run: bool = False,
    asked: OnRow = lambda row: False,
) -> TrainingResult:
    """Train in the folder ``run``, with its progress shown; ``asked`` may stop it too, by what a row says."""
    with context.progress(plan.total, plan.config.phase) as show:

        def on_update(row: Mapping[str, Any]) -> bool:
            show(row)
            return asked(row) or context.asked()

        return continue_run(plan, run, records=run_records(job), new_run=new_run, on_update=on_update)


@lru_cache(maxsize=1)
def read_source(source_json: str) -> TrainingJob:
    """The bars of a `Source` in JSON, read once; the settings are a job's own."""
    source = Source.model_validate_json(source_json)
    files = [BarsFile(each.bars, each.market) for each in (source, *source.more)]
    job = prepare_training(
        TrainConfig(), bars=files, parent=None, market=None, times=source.times, seconds=source.seconds
    )
    for was, now in zip((source, *source.more), (job.source, *job.source.more), strict=True):
        check_unchanged(was.bars, now.digest, was.digest)
    return job


class _KeptPlans:
    """The plans that were made last, by what they were made of: all but the seed, and whose phase 1 they follow."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, str, str], TrainingPlan] = {}

    def plan(self, key: tuple[str, str, str], job: TrainingJob, parent: Path | None) -> TrainingPlan:
        """The plan of ``key``, made now if it is not one of the last."""
        if key not in self._plans:
            while len(self._plans) >= PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = plan_training(job.config, job.bars, others=job.others, parent=parent, ladder=job.ladder)
        return self._plans[key]


_KEPT = _KeptPlans()


def _of_a_plan(config: TrainConfig) -> dict[str, Any]:
    learner = {name: getattr(config.ppo, name) for name in OF_THE_LEARNER_IN_A_PLAN}
    return {**config.model_dump(exclude={"ppo", "checkpoint_every_updates", "checkpoints_kept"}), "ppo": learner}


def _unseeded(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**config, "ppo": {**config["ppo"], "seed": 0}}
