"""What becomes of a run's orders: they are rehearsed, or sent to a broker once everything allows it."""

from importlib.metadata import entry_points
from typing import Literal

from orchestrator.run.config import RunConfig
from orchestrator.workers.kept_entries import KeptEntries
from rl_core.rules.pack import RulePack, read_rule_pack, refuse_sending
from rl_core.trading.setup import TradingConfig
from trigate.errors import ConfigError, RefusedError

REHEARSED = ("sim", "paper", "advisory")
"""Modes that send nothing anywhere."""
LIVE: Literal["live"] = "live"
ADAPTERS = "trigate_brokers"
"""The group of entry points under which an installed package names its broker adapter."""


def refuse_unknown_mode(mode: str) -> None:
    """Raise ConfigError where there is no such mode."""
    if mode not in (*REHEARSED, LIVE):
        raise ConfigError(f"--mode {mode!r}: expected one of {', '.join((*REHEARSED, LIVE))}")


def check_mode(config: RunConfig) -> None:
    """Let only what sends nothing through; a mode that does first meets what the account's rules say of automation.

    Raises:
        ConfigError: there is no such rule pack.
        RefusedError: orders would be sent.
    """
    if config.mode == LIVE:
        refuse_live(read_rule_pack((config.trading or TradingConfig()).rules), installed_adapters())


def check_broker(config: RunConfig) -> None:
    """Refuse a broker where orders are a person's.

    Raises:
        ConfigError: they are plans.
    """
    if config.broker is not None and config.mode == "advisory":
        raise ConfigError(
            f"broker = {config.broker!r}: in mode {config.mode!r} a person is told each order, and none is sent; leave "
            f"--broker out, or use --mode paper"
        )


def check_sendable(config: RunConfig, entries: KeptEntries | None) -> None:
    """Refuse entries that the adapter protocol has no words for.

    Raises:
        ConfigError: one brings a stop or target at a price.
    """
    if config.broker is None:
        return
    own = [] if entries is None else [each for each in entries.entries if (each.stop, each.target) != (None, None)]
    if own:
        raise ConfigError(
            f"broker = {config.broker!r}: {len(own)} entries of {config.entries} bring a stop or target at a price, "
            f"and a broker takes distances from the fill; give stop_points and target_points, or leave --broker out"
        )


def refuse_live(pack: RulePack, adapters: tuple[str, ...]) -> None:
    """Say what is missing before orders can be sent: the firm's word, an adapter, and a run that sends through it.

    Raises:
        RefusedError: always, as a run sends to the simulated broker alone so far.
    """
    refuse_sending(pack, LIVE)
    rehearsed = ", ".join(REHEARSED)
    if not adapters:
        raise RefusedError(
            f"mode {LIVE!r}: no broker adapter is installed (an entry point of the group {ADAPTERS}); no order is "
            f"sent. What remains: {rehearsed}"
        )
    raise RefusedError(
        f"mode {LIVE!r}: the adapter {', '.join(adapters)} is installed, but runs send to the simulated broker alone "
        f"so far (--broker simulated, in sim and paper); no order is sent. What remains: {rehearsed}"
    )


def installed_adapters() -> tuple[str, ...]:
    """Names of the broker adapters that installed packages offer; none is loaded."""
    return tuple(sorted({point.name for point in entry_points(group=ADAPTERS)}))
