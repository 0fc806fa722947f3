"""One member of a sweep as a job: its seeds are trained one after another, then judged on the tune sessions."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from rl_core.checkpoints.manifest import find_checkpoint
from rl_core.checkpoints.policy import load_trader
from rl_core.errors import NotFiniteError
from rl_core.evaluation.evaluate import Evaluation, evaluate
from rl_core.evaluation.span import span_between
from rl_core.features.market_view import MarketView, view_of
from rl_core.jobs.job import STOP, WORKED, Job, JobContext, Result
from rl_core.statistics.interquartile import interquartile_mean
from rl_core.statistics.sharpe import sharpe_of
from rl_core.trading.setup import Trading, TradingConfig, compile_trading, resolved
from rl_core.training.compile_cache import use_compile_cache
from rl_core.training.config import TrainConfig
from rl_core.training.folder import SEED_PREFIX
from rl_core.training.orders import planned, read_source, trained_in
from rl_core.training.source_file import Source
from rl_core.training.sweep.pruning import PARTS, Curve, curve_of, left_at, rows_in
from trigate.errors import ConfigError

JUDGED, LEFT, NOT_FINITE, REFUSED = "judged", "left", "not finite", "refused"
"""What became of a member: it was trained and judged; it was left under the median; its numbers were not finite;
its settings do not go together."""
FINISHED, ASKED = "finished", "asked"


class TuneSessions(BaseModel):
    """The sessions that members are judged on, by their dates as days since 1970-01-01, both included."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    first: int
    last: int


class MemberOrder(BaseModel):
    """Everything that a member needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: Source
    config: TrainConfig
    parent: Path | None
    folder: Path
    seeds: tuple[int, ...]
    tune: TuneSessions
    medians: Curve
    """Of the members before it; empty where none may be left."""

    def as_job(self, name: str) -> Job:
        """The job that a person calls ``name``; a setting that was not given stays so, as phase 2 inherits it."""
        given = self.model_dump(mode="json", exclude_unset=True) | {"name": name}
        return Job(name, f"{__name__}:{train_member.__name__}", given)


class _Ended(NamedTuple):
    """Where the training of one seed came to."""

    stop: str  # FINISHED, ASKED, or what became of the member
    worked: bool
    why: str = ""
    total: int = 0  # bars of the whole training; 0 where there was no plan
    part: int = PARTS  # the last one that counts


def train_member(given: dict[str, Any], context: JobContext) -> Result:
    """Do the job of a `MemberOrder`; the first seed alone decides whether the member is left.

    Raises:
        TrigateError: what is no fault of the member's settings, such as a full disk.
    """
    name = given.pop("name")
    order = MemberOrder.model_validate(given)
    use_compile_cache()
    ended = _Ended(FINISHED, worked=False)
    worked = False
    for seed in order.seeds:
        context.say(f"{name}, seed {seed}")
        ended = _train(order, seed, context)
        worked |= ended.worked
        if ended.stop != FINISHED:
            break
    if ended.stop == ASKED:
        return {STOP: ASKED, WORKED: worked}
    state = JUDGED if ended.stop == FINISHED else ended.stop
    told = {STOP: FINISHED, WORKED: worked, "state": state, "why": ended.why, "curve": _curve(order, ended)}
    return told | _judged(order) if state == JUDGED else told


def _seeded(config: TrainConfig, seed: int) -> TrainConfig:
    return config.model_copy(update={"ppo": config.ppo.model_copy(update={"seed": seed})})


def _train(order: MemberOrder, seed: int, context: JobContext) -> _Ended:
    """Train one seed, as far as it gets.

    What decides whether the member is left is read from the run's own file of metrics, as a run that goes on hands out
    its new rows only.
    """
    run, medians = _run(order, seed), order.medians if seed == order.seeds[0] else {}
    try:
        job, plan = planned(order.source, _seeded(order.config, seed), order.parent)
    except ConfigError as error:
        return _Ended(REFUSED, worked=False, why=str(error))

    def under(row: Mapping[str, Any] | None = None) -> int | None:
        del row
        return left_at(curve_of(rows_in(run), plan.total), medians) if medians else None

    if part := under():
        return _Ended(LEFT, worked=False, why=_under(part), total=plan.total, part=part)
    try:
        trained = trained_in(run, job, plan, context, asked=lambda row: under(row) is not None)
    except NotFiniteError as error:
        return _Ended(NOT_FINITE, worked=True, why=str(error), total=plan.total)
    worked = trained.began < plan.total
    if trained.stop == ASKED and (part := under()):
        return _Ended(LEFT, worked=worked, why=_under(part), total=plan.total, part=part)
    return _Ended(trained.stop, worked=worked, total=plan.total)


def _under(part: int) -> str:
    return f"under the median at {100 * part // PARTS} % of the training"


def _run(order: MemberOrder, seed: int) -> Path:
    return order.folder / f"{SEED_PREFIX}{seed}"


def _curve(order: MemberOrder, ended: _Ended) -> Curve:
    """What the first seed's training reported, up to where it was left."""
    curve = curve_of(rows_in(_run(order, order.seeds[0])), ended.total) if ended.total else {}
    return {part: value for part, value in curve.items() if part <= ended.part}


def _judged(order: MemberOrder) -> Result:
    """What every seed earns on the tune sessions, each with a fresh account a session."""
    by_seed: dict[str, float] = {}
    played: list[Evaluation] = []
    for seed in order.seeds:
        checkpoint = find_checkpoint(_run(order, seed))
        policy = load_trader(checkpoint)
        assert policy.identity is not None
        trading_json = TradingConfig.model_validate(policy.identity.config["trading"]).model_dump_json()
        view, trading = _seen(order.source.model_dump_json(), trading_json)
        span = span_between(view.located.session, order.tune.first, order.tune.last)
        ladder = read_source(order.source.model_dump_json()).ladder
        played.append(evaluate(policy, view, trading, span.first, span.stop, ladder))
        by_seed[str(seed)] = float(played[-1].trades.r.sum()) / played[-1].sessions
    r = np.concatenate([each.trades.r for each in played]) / len(played)
    session = np.concatenate([each.trades.session for each in played])
    return {
        "r_a_session": interquartile_mean(np.array(list(by_seed.values()))),
        "by_seed": by_seed,
        "trades": [len(each.trades.r) for each in played],
        "sessions": played[0].sessions,
        "sharpe": sharpe_of(session, r, played[0].sessions),
    }


@lru_cache(maxsize=1)
def _seen(source_json: str, trading_json: str) -> tuple[MarketView, Trading]:
    """The bars under an account; most members have the same."""
    files = read_source(source_json)
    account = resolved(TradingConfig.model_validate_json(trading_json), seconds=files.ladder is not None)
    trading = compile_trading(account, files.bars.instrument)
    return view_of(files.bars, trading.pack, trading.hours, trading.yardstick), trading
