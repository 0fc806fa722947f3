"""What is trained in every fold or split of sessions: an ordinary run a seed and phase, on the sessions it names."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder
from rl_core.checkpoints.provenance import world_of
from rl_core.evaluation.span import Span, span_between
from rl_core.evaluation.tries import content_digest, new_try, note_try, registry_beside
from rl_core.features.market_view import MarketView, view_of
from rl_core.jobs.job import Job, Result, was_asked
from rl_core.proofs.folds import Sessions
from rl_core.proofs.walk_record import run_in
from rl_core.statistics.bootstrap import Interval
from rl_core.statistics.verdict import Evidence, Tries
from rl_core.trading.setup import Trading, compile_trading, resolved
from rl_core.training.config import TrainConfig
from rl_core.training.orders import PhaseOrder, TrainingOrder
from rl_core.training.parents_settings import SPLIT
from rl_core.training.source_file import Source
from trigate.errors import ConfigError

Train = Callable[[Sequence[Job]], Iterator[Result]]
"""Does the trainings in their order; ends early where it was asked to stop."""


class Judged(Protocol):
    """Trainings of one split, judged."""

    @property
    def in_sample(self) -> bool:
        """Whether bars were judged that were trained on."""

    @property
    def trained_on_world(self) -> bool:
        """Whether a synthetic world was trained on."""


class WalkInputs(NamedTuple):
    """What is trained and judged in every fold."""

    phases: tuple[TrainConfig, ...]  # phase 1, and phase 2 if it is trained
    bars: Bars
    ladder: Ladder | None
    source: Source  # of the bars
    seeds: tuple[int, ...]
    out: Path
    new_run: bool = False  # set other runs in the folders aside


class MarketSeen(NamedTuple):
    """The bars under the account of the phase that is judged."""

    view: MarketView
    trading: Trading

    @property
    def sessions(self) -> npt.NDArray[np.int32]:
        """[D] their dates, ascending."""
        return np.unique(self.view.located.session)


class Place(NamedTuple):
    """Where the runs of one fold or split lie, how it is called, and what they are trained on."""

    folder: Path
    name: str
    trained_on: tuple[Sessions, ...]  # in order of time


def check_inputs(inputs: WalkInputs) -> None:
    """Raise ConfigError where a file or the command line says what to train on: folds say it."""
    for config in inputs.phases:
        for name in SPLIT:
            if getattr(config, name) != TrainConfig.model_fields[name].default:
                raise ConfigError(f"{name} is set, and a walk forward decides itself what each fold is trained on")


def market_seen(inputs: WalkInputs) -> MarketSeen:
    """Compute features and hours of the bars, once for all folds."""
    account = resolved(inputs.phases[-1].trading, seconds=inputs.ladder is not None)
    trading = compile_trading(account, inputs.bars.instrument)
    return MarketSeen(view_of(inputs.bars, trading.pack, trading.hours, trading.yardstick), trading)


def bars_of(view: MarketView, sessions: Sessions) -> Span:
    """The bars [first, stop) of ``sessions``."""
    return span_between(view.located.session, sessions.first, sessions.last)


def trained_runs(inputs: WalkInputs, places: Sequence[Place], train: Train) -> Iterator[dict[int, Path]]:
    """Yield the folder of each seed's last phase, place after place; ends early where ``train`` was asked to stop."""
    orders = [{seed: _order(inputs, place, seed) for seed in inputs.seeds} for place in places]
    results = train(
        [
            order.as_job(f"{place.name}, seed {seed}")
            for place, of_place in zip(places, orders, strict=True)
            for seed, order in of_place.items()
        ]
    )
    for of_place in orders:
        trained = list(islice(results, len(of_place)))
        if len(trained) < len(of_place) or any(map(was_asked, trained)):
            return
        yield {seed: order.phases[-1].run for seed, order in of_place.items()}


def _order(inputs: WalkInputs, place: Place, seed: int) -> TrainingOrder:
    """The training of one seed in one place, phase after phase."""
    span = {
        "train_from": _date(place.trained_on[0].first),
        "train_until": _date(place.trained_on[-1].last + 1),
        "left_out": tuple(
            (_date(before.last + 1), _date(after.first - 1)) for before, after in pairwise(place.trained_on)
        ),
    }
    phases = []
    for phase, config in enumerate(inputs.phases, 1):
        own = config.model_copy(update={**span, "ppo": config.ppo.model_copy(update={"seed": seed})})
        phases.append(PhaseOrder(config=own, run=run_in(place.folder, seed, phase)))
    return TrainingOrder(source=inputs.source, phases=tuple(phases), parent=None, new_run=inputs.new_run)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)


def count_look(inputs: WalkInputs, kind: str, first_day: int, last_day: int) -> int:
    """Count this procedure as one try, whatever its seeds; returns how many have looked at the days that it judges.

    Raises:
        ResourceError: it cannot be counted.
    """
    unseeded = [config.model_dump_json(exclude={"ppo": {"seed", "devices"}}) for config in inputs.phases]
    who = content_digest(kind, *unseeded)
    return note_try(registry_beside(inputs.out), new_try(who, inputs.bars.instrument.symbol, first_day, last_day))


def walk_evidence(
    results: Sequence[Judged], inputs: WalkInputs, expectancy: Interval | None, tries: Tries, faults: tuple[str, ...]
) -> Evidence:
    """What a verdict on trainings that were each judged on bars of their own rests on."""
    return Evidence(
        expectancy=expectancy,
        in_sample=any(result.in_sample for result in results),
        synthetic=world_of(inputs.bars) is not None,
        trained_on_world=any(result.trained_on_world for result in results),
        training_ended=True,
        proposals=0,
        without_verdict=0,
        tries=tries,
        record_faults=faults,
    )
