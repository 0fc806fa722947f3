"""A sweep from its settings to its best member: rounds of members are drawn, trained, judged and told."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rl_core.checkpoints.provenance import trained_until_ns
from rl_core.evaluation.tries import content_digest, new_try, note_try, registry_beside
from rl_core.features.market_view import view_of
from rl_core.jobs.choose import Pace
from rl_core.jobs.job import STOP, WORKED, Executor, Job, JobContext, Result, was_asked
from rl_core.trading.setup import compile_trading, resolved
from rl_core.training.config import TrainConfig
from rl_core.training.plan import phase1_of, training_split
from rl_core.training.sources import TrainingJob
from rl_core.training.sweep.axes import Axis
from rl_core.training.sweep.member import REFUSED, MemberOrder, TuneSessions
from rl_core.training.sweep.pruning import medians_of
from rl_core.training.sweep.study import Drawn, Member, Study
from trigate.errors import ConfigError, DataError

EMBARGO = 1
"""Sessions left out between those that are trained on and those that members are judged on, as in a walk forward."""

ConfigOf = Callable[[Mapping[str, Any]], TrainConfig]
"""Key -> value of every axis; to the settings with them. Raises ConfigError where they do not go together."""


class TuneSplit(NamedTuple):
    """How the training sessions are cut for a sweep; what was held out of them stays for whoever finally judges."""

    train_until: date
    """First session that no member is trained on."""
    tune: TuneSessions
    sessions: int
    """That members are judged on."""
    last: int
    """Last session of the file, as days since 1970-01-01."""

    @property
    def label(self) -> str:
        """Their dates."""
        return f"{_day(self.tune.first)} to {_day(self.tune.last)}"


class SweepPlan(NamedTuple):
    """Everything that decides what the members are."""

    job: TrainingJob
    axes: tuple[Axis, ...]
    config_of: ConfigOf
    split: TuneSplit
    parent: Path | None
    seeds: tuple[int, ...]
    at_once: int
    """Members of a round: drawn together, from what the rounds before have found."""
    may_leave: bool
    """Whether a member may be left before its end."""
    out: Path

    @property
    def card(self) -> dict[str, Any]:
        """What two sweeps must share to be the same."""
        base = self.job.config.model_copy(update={"ppo": self.job.config.ppo.model_copy(update={"seed": 0})})
        return {
            "settings": base.model_dump(mode="json"),
            "bars": self.job.source.digest,
            "second bars": str(self.job.source.seconds),
            "axes": [axis.said for axis in self.axes],
            "tune sessions": self.split.label,
            "phase 1's run": str(self.parent),
            "seeds": list(self.seeds),
            "round": self.at_once,
            "pruning": self.may_leave,
        }

    def settings(self, drawn: Drawn) -> dict[str, Any]:
        """What was drawn, as settings."""
        return {axis.key: axis.value(drawn[axis.key]) for axis in self.axes}


def tune_split(job: TrainingJob, parent: Path | None, share: float) -> TuneSplit:
    """Cut the last ``share`` of the training sessions off, to judge members on.

    Args:
        job: with the settings before the sweep: what they hold out is not touched.
        parent: phase 1's run, for phase 2.
        share: of the training sessions.

    Raises:
        ConfigError: phase 1 was trained on the tune sessions.
        DataError: too few sessions.
    """
    trading = compile_trading(resolved(job.config.trading, seconds=job.ladder is not None), job.bars.instrument)
    view = view_of(job.bars, trading.pack, trading.hours, trading.yardstick)
    whole, session = training_split(view, job.config), view.located.session
    days = np.unique(session[whole.first : whole.stop])
    tune = max(1, round(share * len(days)))
    kept = len(days) - tune - EMBARGO
    if kept < 1:
        raise DataError(f"{len(days)} sessions are too few to train on some and judge on {tune} others; give more bars")
    begin, end = days[-tune], days[-1]
    if parent is not None:
        first_ns = int(job.bars.ts_event_ns[int(np.searchsorted(session, begin))])
        if trained_until_ns(phase1_of(parent, job.config).identity) > first_ns:
            raise ConfigError(
                f"phase 1 in {parent} was trained on the tune sessions, which begin on {_day(begin)}: train it with "
                f"--set train_until={_day(begin)}, and sweep with --set train_until={_day(end + 1)}"
            )
    tuned = TuneSessions(first=int(begin), last=int(end))
    return TuneSplit(_day(days[kept]), tuned, tune, int(session[-1]))


def _day(number: int) -> date:
    return date(1970, 1, 1) + timedelta(days=int(number))


def swept(plan: SweepPlan, study: Study, members: int, executor: Executor, context: JobContext) -> Iterator[Member]:
    """Draw, train, judge and tell until there are ``members``; yields each that is told now.

    It ends early where somebody asked to stop, or where the axes have no other values left.

    Raises:
        JobFailedError: a fault that is no member's own.
        ResourceError: a try cannot be counted.
    """
    pace = Pace(members, "members", context.say)
    told = study.members()
    pace.found_done(len(told))
    while len(told) < members:
        begin = len(told) // plan.at_once * plan.at_once
        drawn = study.drawn(begin, min(plan.at_once, members - begin))[len(told) - begin :]
        if not drawn:
            context.say(f"there are no other values: {len(told)} members are all")
            return
        fresh = [(len(told) + place, each) for place, each in enumerate(drawn)]
        for member in _round(plan, told[:begin], fresh, executor, context):
            study.tell(member)
            told.append(member)
            context.say(line_of(plan, member))
            pace.done(worked=bool(member.told[WORKED]))
            yield member
        if len(told) < begin + len(drawn) and context.asked():
            return


def _round(
    plan: SweepPlan,
    before: Sequence[Member],
    fresh: Sequence[tuple[int, Drawn]],
    executor: Executor,
    context: JobContext,
) -> Iterator[Member]:
    """Train and judge the members of one round, each counted as a try before anybody sees what it earns."""
    curves = [member.curve for member in before if member.judged] if plan.may_leave else []
    jobs: dict[int, Job] = {}
    refused: dict[int, Result] = {}
    for number, drawn in fresh:
        try:
            config = plan.config_of(plan.settings(drawn)).model_copy(update={"train_until": plan.split.train_until})
        except ConfigError as error:
            refused[number] = {STOP: "finished", WORKED: False, "state": REFUSED, "why": str(error), "curve": {}}
            continue
        count_try(plan, config)
        order = MemberOrder(
            source=plan.job.source,
            config=config,
            parent=plan.parent,
            folder=plan.out / f"member-{number:03}",
            seeds=plan.seeds,
            tune=plan.split.tune,
            medians=medians_of(curves),
        )
        jobs[number] = order.as_job(f"member {number}")
    results = executor.run(list(jobs.values()), context)
    for number, drawn in fresh:
        result = refused[number] if number in refused else next(results, None)
        if result is None or was_asked(result):
            return
        yield Member(number, drawn, result)


def count_try(plan: SweepPlan, config: TrainConfig) -> int:
    """Count a member as a try, whatever its seeds; returns how many have looked at these sessions.

    Its sessions are those that it is judged on, and all that follow in the file: what was chosen by the one is judged
    on the other, and whoever judges there is told of how many it is the best.

    Raises:
        ResourceError: it cannot be counted.
    """
    unseeded = config.model_dump(mode="json", exclude={"ppo": {"seed", "devices"}})
    who = content_digest("sweep", json.dumps(unseeded, sort_keys=True))
    symbol = plan.job.bars.instrument.symbol
    return note_try(registry_beside(plan.out), new_try(who, symbol, plan.split.tune.first, plan.split.last))


def line_of(plan: SweepPlan, member: Member) -> str:
    """What became of a member, for a person."""
    settings = ", ".join(f"{key} {value}" for key, value in plan.settings(member.drawn).items())
    if not member.judged:
        return f"member {member.number} ({settings}): {member.told['state']}: {member.told['why']}"
    each = ", ".join(f"{r:+.3f}" for r in member.told["by_seed"].values())
    return f"member {member.number} ({settings}): R a session by seed {each}"
