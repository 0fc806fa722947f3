"""What is trained in every fold or split of sessions: an ordinary run a seed and phase, on the sessions it names."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder
from rl_core.checkpoints.manifest import find_checkpoint, read_manifest
from rl_core.evaluation.span import Span, span_between
from rl_core.evaluation.tries import content_digest, new_try, note_try, registry_beside
from rl_core.features.market_view import MarketView, view_of
from rl_core.proofs.folds import Sessions
from rl_core.proofs.walk_record import run_in
from rl_core.trading.setup import Trading, compile_trading, resolved
from rl_core.training.config import TrainConfig
from rl_core.training.parents_settings import SPLIT, with_parents_settings
from rl_core.training.plan import TrainingPlan, phase1_of, plan_training
from trigate.errors import ConfigError

Train = Callable[[TrainingPlan, Path, str], bool]
"""Trains a plan in a folder under a label; False if it was asked to stop."""


class WalkInputs(NamedTuple):
    """What is trained and judged in every fold."""

    phases: tuple[TrainConfig, ...]  # phase 1, and phase 2 if it is trained
    bars: Bars
    ladder: Ladder | None
    seeds: tuple[int, ...]
    out: Path


class MarketSeen(NamedTuple):
    """The bars under the account of the phase that is judged."""

    view: MarketView
    trading: Trading

    @property
    def sessions(self) -> npt.NDArray[np.int32]:
        """[D] their dates, ascending."""
        return np.unique(self.view.located.session)


class Place(NamedTuple):
    """Where the runs of one fold or split lie, and how it is called."""

    folder: Path
    name: str


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


def trained_runs(
    inputs: WalkInputs, place: Place, trained_on: Sequence[Sessions], train: Train
) -> dict[int, Path] | None:
    """The folder of each seed's last phase, trained on the runs of sessions ``trained_on``; None if asked to stop."""
    runs: dict[int, Path] = {}
    for phase, config in enumerate(inputs.phases, 1):
        parents, plan = runs, None
        runs = {seed: run_in(place.folder, seed, phase) for seed in inputs.seeds}
        for seed, run in runs.items():
            parent = parents.get(seed)
            # Seeds share bars, split and regimes, which take seconds to prepare.
            plan = plan or _planned(inputs, config, trained_on, parent)
            ppo = plan.config.ppo.model_copy(update={"seed": seed})
            learned = None if parent is None else phase1_of(parent, plan.config)
            own = plan._replace(config=plan.config.model_copy(update={"ppo": ppo}), parent=learned)
            if not train(own, run, f"{place.name}, seed {seed}, phase {phase}"):
                return None
    return runs


def _planned(
    inputs: WalkInputs, config: TrainConfig, trained_on: Sequence[Sessions], parent: Path | None
) -> TrainingPlan:
    if parent is not None:
        config = with_parents_settings(config, read_manifest(find_checkpoint(parent, phase=1)).identity.config)
    span = {
        "train_from": _date(trained_on[0].first),
        "train_until": _date(trained_on[-1].last + 1),
        "left_out": tuple((_date(before.last + 1), _date(after.first - 1)) for before, after in pairwise(trained_on)),
    }
    return plan_training(config.model_copy(update=span), inputs.bars, parent=parent, ladder=inputs.ladder)


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
