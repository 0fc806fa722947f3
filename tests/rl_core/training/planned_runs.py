"""Training runs for tests: planned and trained in one call."""

from collections.abc import Callable
from pathlib import Path

from rl_core.bars.bars import Bars
from rl_core.ppo.metrics import MetricRow
from rl_core.training.config import TrainConfig
from rl_core.training.plan import TrainingPlan, plan_training
from rl_core.training.run import TrainingResult, continue_run

_PLANS: dict[tuple[str, int], tuple[TrainingPlan, Bars]] = {}


def planned(config: TrainConfig, bars: Bars) -> TrainingPlan:
    """The plan of a run without a parent, made once: most of its time goes into fitting the same regimes."""
    key = (config.model_dump_json(), id(bars))
    if key not in _PLANS:
        _PLANS[key] = (plan_training(config, bars), bars)  # with its bars, so that their id stays theirs
    return _PLANS[key][0]


def train_run(
    config: TrainConfig,
    bars: Bars,
    out: Path,
    *,
    parent: Path | None = None,
    on_update: Callable[[MetricRow], bool] = lambda row: False,
) -> TrainingResult:
    """Train one phase on ``bars`` in the folder ``out``, as `rl-core train` does."""
    plan = planned(config, bars) if parent is None else plan_training(config, bars, parent=parent)
    return continue_run(plan, out, on_update=on_update)
