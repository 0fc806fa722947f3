"""What phase 2 takes over from phase 1, and what its own settings change of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rl_core.training.config import TrainConfig
from rl_core.training.parents_settings import with_parents_settings
from trigate.errors import ConfigError
from trigate.toml_config import read_config

PARENT: dict[str, Any] = TrainConfig.model_validate(
    {
        "train_share": 0.6,
        "trading": {"risk_dollars": 250, "max_contracts": 4, "hours": {"first_minute": 585}},
        "episodes": {"least_room": 0.3, "rules": "relaxed"},
        "ppo": {"hidden": [8, 8], "shared_torso": True},
    }
).model_dump(mode="json")


def taken_over(*settings: str) -> TrainConfig:
    """Phase 2 with ``settings`` of the command line."""
    return with_parents_settings(read_config(TrainConfig, None, ["phase=2", *settings]), PARENT)


def test_what_is_not_given_is_the_parents() -> None:
    config = taken_over()

    assert (config.trading.risk_dollars, config.trading.max_contracts, config.train_share) == (250, 4, 0.6)
    assert (config.ppo.hidden, config.ppo.shared_torso, config.episodes.least_room) == ((8, 8), True, 0.3)


def test_a_section_given_in_part_leaves_the_rest_of_it_the_parents() -> None:
    """The risk doubled from 250 to the default 500 when only the rules were named."""
    config = taken_over("trading.rules=configs/rules/plain_static.toml", "episodes.least_room=0.5")

    assert config.trading.rules == Path("configs/rules/plain_static.toml")
    assert (config.trading.risk_dollars, config.trading.hours.first_minute) == (Decimal(250), 585)
    assert (config.episodes.least_room, config.episodes.rules) == (0.5, "strict")


def test_what_is_given_counts_even_where_it_is_the_default() -> None:
    assert taken_over("trading.risk_dollars=500", "train_share=0.8").trading.risk_dollars == 500
    assert taken_over("train_share=0.8").train_share == 0.8


def test_phase_2_is_strict_after_a_relaxed_phase_1() -> None:
    assert taken_over().episodes.rules == "strict"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("ppo.hidden=[16]", r"ppo.hidden = \[16\]: phase 1 was trained with \[8, 8\]"),
        ("ppo.shared_torso=false", "ppo.shared_torso = False: phase 1 was trained with True"),
    ],
)
def test_another_network_is_refused_and_not_silently_replaced(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        taken_over(setting)


def test_the_same_network_may_be_said_again() -> None:
    assert taken_over("ppo.hidden=[8, 8]", "ppo.shared_torso=true").ppo.hidden == (8, 8)


def test_what_was_given_and_what_was_taken_over_must_go_together() -> None:
    with pytest.raises(ConfigError, match=r"least_room 0\.5 is above most_room 0\.4"):
        with_parents_settings(
            read_config(TrainConfig, None, ["phase=2", "episodes.least_room=0.5"]),
            {**PARENT, "episodes": {**PARENT["episodes"], "most_room": 0.4}},
        )
