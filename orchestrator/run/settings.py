"""What a run was asked for: the file, the command line over it, and the account over what the checkpoint has."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.clock import today
from orchestrator.run.config import FOLLOWING, FeedSection, RunConfig
from orchestrator.run.gate_setup import check_gate
from orchestrator.run.modes import check_broker, check_mode
from rl_core.checkpoints.manifest import Identity, find_checkpoint, read_manifest
from rl_core.checkpoints.provenance import trading_of
from rl_core.trading.setup import TradingConfig, check_account, resolved
from trigate.errors import ConfigError, TrigateError
from trigate.toml_config import Given, ReadConfig, ShownValue, overlaid, read_with_origins, related, shown_values

OPTIONS = {
    "--mode": "mode",
    "--broker": "broker",
    "--clock": "paper.clock",
    "--bars": "bars",
    "--feed": "feed.source",
    "--seconds": "seconds",
    "--market": "market",
    "--timezone": "timezone",
    "--stamp": "stamp",
    "--checkpoint": "checkpoint",
    "--entries": "entries",
    "--seen-until": "seen_until",
    "--gate": "gate.engine",
    "--shadow": "gate.shadow",
    "--prompts": "gate.prompts",
}
"""Option of `orchestrator run` -> the key that it sets."""


def read_run_config(
    path: Path | None,
    settings: Sequence[str],
    options: Mapping[str, Any] | None = None,
    *,
    over: Sequence[Given] = (),
) -> ReadConfig[RunConfig]:
    """The run that was asked for.

    Args:
        path: a TOML file, or None.
        settings: of ``--set``.
        options: by their names in `OPTIONS`, None where one was not given; they count before ``settings``.
        over: what counts before everything else, as an account's own settings.

    Raises:
        ConfigError: a file, key or value that cannot be used, or both a checkpoint and entries on the command line.
    """
    options = options or {}
    if options.get("--checkpoint") is not None and options.get("--entries") is not None:
        raise ConfigError("give either --checkpoint or --entries: entries of your own take the place of a checkpoint")
    given = [
        Given(OPTIONS[option], str(value) if isinstance(value, Path) else value, _typed(option, value))
        for option, value in options.items()
        if value is not None
    ]
    return read_with_origins(RunConfig, path, [*settings, *given, *over])


def account_of(config: RunConfig, identity: Identity | None) -> TradingConfig:
    """The account that the checkpoint was trained with, or the default one of own entries, under what ``config`` gives.

    Raises:
        ConfigError: the two do not go together.
    """
    trained = TradingConfig() if identity is None else trading_of(identity)
    return trained if config.trading is None else overlaid(trained, config.trading)


def check_settings(config: RunConfig) -> None:
    """Open everything small that ``config`` names, so that a fault of it is told before anything large is read.

    Raises:
        ConfigError, GateError: there is no such rule pack, contract, table of fees or prompt; no such folder of a
            model; an address that cannot be used; or the settings do not go together.
        RefusedError: orders would be sent.
    """
    check_mode(config, today())
    if config.feed != FeedSection() and not config.follows:
        raise ConfigError(
            f"feed is for mode {' or '.join(FOLLOWING)}: in mode {config.mode} the bars are recorded; leave feed out"
        )
    check_broker(config)
    if config.trading is not None:
        check_account(resolved(config.trading, seconds=config.has_seconds))
    check_gate(config.gate)


def refuse_missing_demo(config: RunConfig) -> None:
    """Refuse a run told no bars, or neither a checkpoint nor entries, where the demo it would then be was never made.

    Raises:
        ConfigError: naming the options that are missing.
    """
    # Of bars that come as they happen planning says which are needed; no demo is among them.
    defaults = {} if config.follows else {"--bars FILE": ("bars", config.bars)}
    if config.entries is None:
        defaults["--checkpoint RUN"] = ("checkpoint", config.checkpoint)
    missing = [
        option for option, (key, path) in defaults.items() if key not in config.model_fields_set and not path.exists()
    ]
    if missing:
        demo = "; without them it is the demo of make sim, which is not in this folder"
        raise ConfigError(f"run what? give {' and '.join(missing)}{demo}")


def shown_settings(read: ReadConfig[RunConfig]) -> list[ShownValue]:
    """Every value of the run with its origin; the account's as the checkpoint has it, where nothing else was given.

    Without the checkpoint there is no account to show, only what was given of it.

    Raises:
        ConfigError: there is no such rule pack, contract, table of fees or prompt.
    """
    check_settings(read.config)
    config, where = read.config, f"checkpoint {read.config.checkpoint}"
    if config.entries is not None:
        own = config.model_copy(update={"trading": account_of(config, None)})
        return [value for value in shown_values(own, read.origins) if value.key != "checkpoint"]
    try:
        identity = read_manifest(find_checkpoint(config.checkpoint)).identity
    except TrigateError:
        shown = [value for value in shown_values(config, read.origins) if _was_given(value, read)]
        return [*shown, ShownValue("trading", "as trained", f"{where}, which is not there")]
    account = account_of(config, identity)
    origins = {"trading": where, **read.origins}
    return shown_values(config.model_copy(update={"trading": account}), origins)


def _was_given(value: ShownValue, read: ReadConfig[RunConfig]) -> bool:
    """Whether a person set this value; the account's own defaults are left to the checkpoint."""
    return not related(value.key, "trading") or any(related(value.key, key) for key in read.origins)


def _typed(option: str, value: Any) -> str:
    return option if value is True else f"{option} {value}"
