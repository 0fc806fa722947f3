"""Training runs for tests: planned and trained in one call."""

from collections.abc import Callable
from pathlib import Path

from rl_core.bars.bars import Bars
from rl_core.ppo.metrics import MetricRow
from rl_core.training.config import TrainConfig
from rl_core.training.plan import plan_training
from rl_core.training.run import TrainingResult, continue_run


def train_run(
    config: TrainConfig,
    bars: Bars,
    out: Path,
    *,
    parent: Path | None = None,
    on_update: Callable[[MetricRow], bool] = lambda row: False,
) -> TrainingResult:
    """Train one phase on ``bars`` in the folder ``out``, as `rl-core train` does."""
    return continue_run(plan_training(config, bars, parent=parent), out, on_update=on_update)
