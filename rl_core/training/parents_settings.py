"""What phase 2 takes over from the settings of the phase 1 run that it starts from."""

from collections.abc import Mapping
from typing import Any

from rl_core.trading.setup import TradingConfig
from rl_core.training.config import EpisodeConfig, TrainConfig
from trigate.errors import ConfigError
from trigate.toml_config import overlaid

NETWORK = ("hidden", "shared_torso", "normalise_observations")
"""Of ``ppo``: the parameters that are copied have this shape."""
SPLIT = ("train_share", "train_from", "train_until", "left_out")
"""Which sessions are trained on: phase 2 gives all of them or takes all of them over."""
TAKEN_OVER = ("trading", *SPLIT, "episodes", *(f"ppo.{name}" for name in NETWORK))
"""Dotted keys, of values and sections; only ``NETWORK`` cannot be changed."""


def with_parents_settings(config: TrainConfig, parent_config: Mapping[str, Any]) -> TrainConfig:
    """Phase 2's settings: the parent's network, and its account, split and episodes where ``config`` gives no other.

    A section given in part changes what it names and nothing else: ``trading.rules`` leaves the parent's
    ``trading.risk_dollars`` as it was. Episodes are strict unless ``config`` says otherwise, as phase 2 manages under
    the account's own rules.

    Args:
        config: as given.
        parent_config: the settings that phase 1's checkpoint keeps.

    Raises:
        ConfigError: ``config`` asks for another network, or what was given does not fit to what was taken over.
    """
    _refuse_another_network(config, parent_config["ppo"])
    trading = TradingConfig.model_validate(parent_config["trading"])
    episodes = EpisodeConfig.model_validate({**parent_config["episodes"], "rules": "strict"})
    taken_over: dict[str, Any] = {
        "ppo": config.ppo.model_copy(update={name: _as_in(config, name, parent_config["ppo"]) for name in NETWORK}),
        "trading": overlaid(trading, config.trading),
        "episodes": overlaid(episodes, config.episodes),
    }
    if not config.model_fields_set.intersection(SPLIT):
        taken_over |= {name: parent_config[name] for name in SPLIT if name in parent_config}
    return TrainConfig.model_validate({**config.model_dump(), **{k: _plain(v) for k, v in taken_over.items()}})


def _refuse_another_network(config: TrainConfig, parents: Mapping[str, Any]) -> None:
    for name in NETWORK:
        if name in config.ppo.model_fields_set and getattr(config.ppo, name) != _as_in(config, name, parents):
            raise ConfigError(
                f"ppo.{name} = {config.ppo.model_dump(mode='json')[name]}: phase 1 was trained with {parents[name]}, "
                "and phase 2 starts from its parameters; leave the key out"
            )


def _as_in(config: TrainConfig, name: str, parents: Mapping[str, Any]) -> Any:
    """The parent's value in the type that the field has."""
    value = parents[name]
    return tuple(value) if isinstance(getattr(config.ppo, name), tuple) else value


def _plain(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else value
