"""Settings that can be trained with and that nobody means: told before a training begins, and not refused."""

from collections.abc import Iterator

from rl_core.ppo.config import PPOConfig
from rl_core.training.config import CurriculumConfig, TrainConfig

LEAST_BARS_A_STEP = 64
"""Of an optimiser step; the defaults have 1,024."""
MOST_LEARNING_RATE = 0.1
"""Weights begin at sizes below 1, and one step of Adam moves a weight by about the learning rate."""


def unlikely_settings(config: TrainConfig) -> tuple[str, ...]:
    """One line for each setting that cannot be meant: its value, what it does, and which one would do."""
    return (*_of_steps(config.ppo), *_of_updates(config.ppo), *_of_curriculum(config.curriculum, config.ppo))


def _of_steps(ppo: PPOConfig) -> Iterator[str]:
    bars = ppo.batch_size // ppo.minibatches
    if bars < LEAST_BARS_A_STEP:
        yield (
            f"{ppo.optimiser_steps:,} optimiser steps learn from {bars} bars each, which is noise and takes long: "
            f"raise ppo.rollout_length ({ppo.rollout_length}) or ppo.num_envs ({ppo.num_envs}), or lower "
            f"ppo.minibatches ({ppo.minibatches}), to {LEAST_BARS_A_STEP} bars and more"
        )
    rate = max(ppo.learning_rate, ppo.final_learning_rate if ppo.schedule != "constant" else 0.0)
    if rate > MOST_LEARNING_RATE:
        name = "ppo.learning_rate" if rate == ppo.learning_rate else "ppo.final_learning_rate"
        yield (
            f"{name} {rate:g} moves every weight by about as much in each optimiser step, and weights begin below 1: "
            f"training will not find anything, or stop at what is not finite; the default learning rate is "
            f"{PPOConfig().learning_rate:g}"
        )


def _of_updates(ppo: PPOConfig) -> Iterator[str]:
    if ppo.warmup_updates >= ppo.num_updates:
        yield (
            f"ppo.warmup_updates {ppo.warmup_updates:,} is not over in the {ppo.num_updates:,} updates of this "
            f"training: the learning rate never comes to what ppo.learning_rate says"
        )
    if ppo.updates_per_sync > max(ppo.num_updates, PPOConfig().updates_per_sync):
        yield (
            f"ppo.updates_per_sync {ppo.updates_per_sync:,} is above the {ppo.num_updates:,} updates of this training: "
            f"it tells nothing, saves nothing and hears no Ctrl-C before its end"
        )


def _of_curriculum(curriculum: CurriculumConfig, ppo: PPOConfig) -> Iterator[str]:
    for name in ("cost_updates", "forced_updates", "entry_updates"):
        eased = getattr(curriculum, name)
        if eased > ppo.num_updates:
            yield (
                f"curriculum.{name} {eased:,} is above the {ppo.num_updates:,} updates of this training: it never "
                f"plays what it will be judged on"
            )
