"""PPOConfig: derived sizes, and refusals."""

import pytest
from pydantic import ValidationError

from rl_core.ppo.config import PPOConfig


def test_derived_sizes_count_transitions_updates_and_optimiser_steps() -> None:
    """8 envs x 4 bars = 32 a update; 100 steps are 3 whole updates; 3 x 2 epochs x 4 minibatches = 24."""
    config = PPOConfig(num_envs=8, rollout_length=4, total_steps=100, epochs=2, minibatches=4)

    assert (config.batch_size, config.num_updates, config.steps_per_update) == (32, 3, 8)
    assert config.optimiser_steps == 24


@pytest.mark.parametrize(
    "settings",
    [
        {"learing_rate": 1e-3},
        {"num_envs": 0},
        {"discount": 1.1},
        {"num_envs": 3, "rollout_length": 3, "minibatches": 2},
        {"num_envs": 8, "rollout_length": 8, "total_steps": 63},
        {"hidden": []},
        {"hidden": [64, 0]},
        {"schedule": "exponential"},
        {"max_grad_norm": float("inf")},
        {"hold_bias": float("nan")},
        {"window_evidence": True, "known_entries": False},
        {"entropy_control": {"most": float("inf")}},
    ],
)
def test_unknown_keys_and_impossible_values_are_refused(settings: dict[str, object]) -> None:
    """A misspelt key must not silently become a default; a run's card cannot hold what JSON cannot."""
    with pytest.raises(ValidationError):
        PPOConfig.model_validate(settings)


def test_the_window_is_asked_where_nothing_is_assumed_of_it_and_entries_are_known() -> None:
    asked = [PPOConfig(window_decay=0.0, known_entries=known).asks_the_window for known in (True, False)]

    assert asked == [True, False] and not PPOConfig().asks_the_window
    assert PPOConfig(window_evidence=True).asks_the_window
    assert not PPOConfig(window_decay=0.0, window_evidence=False).asks_the_window


def test_a_config_is_frozen_and_hashable() -> None:
    """It is static under jit, so equal settings must be one key of the compile cache."""
    config = PPOConfig(hidden=(8, 8))

    assert hash(config) == hash(PPOConfig(hidden=(8, 8)))
    with pytest.raises(ValidationError):
        config.seed = 1  # type: ignore[misc]
