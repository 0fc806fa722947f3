"""Settings that nobody means are told, each by its name; settings that somebody may mean are not."""

from pathlib import Path
from typing import Any

import pytest

from rl_core.training.config import TrainConfig
from rl_core.training.unlikely import unlikely_settings
from trigate.toml_config import read_config

ONE_UPDATE = {"num_envs": 8, "rollout_length": 32, "total_steps": 256, "hidden": (8,)}


def told(ppo: dict[str, Any], **others: Any) -> list[str]:
    """The first two words of each warning: the setting and its value, or how many steps are too small."""
    config = TrainConfig.model_validate({"ppo": {**ONE_UPDATE, **ppo}, **others})
    return [" ".join(line.split()[:2]) for line in unlikely_settings(config)]


@pytest.mark.parametrize(
    ("ppo", "said"),
    [
        ({}, []),  # 8 x 32 bars in 4 minibatches: 64 a step
        ({"rollout_length": 1, "total_steps": 8_000_000}, ["16,000,000 optimiser"]),  # 2 bars a step
        ({"minibatches": 8}, ["32 optimiser"]),
        ({"learning_rate": 0.1}, []),
        ({"learning_rate": 1e6}, ["ppo.learning_rate 1e+06"]),
        ({"final_learning_rate": 0.2}, ["ppo.final_learning_rate 0.2"]),
        ({"final_learning_rate": 0.2, "schedule": "constant"}, []),  # is not used
        ({"warmup_updates": 1}, ["ppo.warmup_updates 1"]),
        ({"warmup_updates": 1, "total_steps": 512}, []),
        ({"updates_per_sync": 4}, []),  # the default, of which a short training says nothing
        ({"updates_per_sync": 5}, ["ppo.updates_per_sync 5"]),
        ({"updates_per_sync": 5, "total_steps": 5 * 256}, []),
    ],
)  # fmt: skip
def test_what_nobody_means_is_named(ppo: dict[str, Any], said: list[str]) -> None:
    assert told(ppo) == said


def test_a_curriculum_that_outlasts_the_training_is_named() -> None:
    """It is off at evaluation, so that the policy would be judged on what it never played."""
    eased = {"forced_share": 0.5, "forced_updates": 3}

    assert told({"total_steps": 3 * 256}, phase=2, curriculum=eased) == []
    assert told({"total_steps": 2 * 256}, phase=2, curriculum=eased) == ["curriculum.forced_updates 3"]


@pytest.mark.parametrize("name", ["phase1_nq", "phase2_nq", "phase1_demo", "phase2_demo"])
def test_what_is_shipped_is_meant(name: str) -> None:
    assert unlikely_settings(read_config(TrainConfig, Path(f"configs/{name}.toml"))) == ()
