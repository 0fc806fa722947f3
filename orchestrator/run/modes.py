"""What becomes of a run's orders: they are rehearsed, or sent to a broker once everything allows it."""

from importlib.metadata import entry_points
from typing import Literal

from orchestrator.run.config import RunConfig
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


def refuse_live(pack: RulePack, adapters: tuple[str, ...]) -> None:
    """Say what is missing before orders can be sent: the firm's word, an adapter, and what sends through it.

    Raises:
        RefusedError: always, as no run sends through an adapter yet.
    """
    refuse_sending(pack, LIVE)
    rehearsed = ", ".join(REHEARSED)
    if not adapters:
        raise RefusedError(
            f"mode {LIVE!r}: no broker adapter is installed (an entry point of the group {ADAPTERS}); no order is "
            f"sent. What remains: {rehearsed}"
        )
    raise RefusedError(
        f"mode {LIVE!r}: the adapter {', '.join(adapters)} is installed, but no run sends through an adapter yet; no "
        f"order is sent. What remains: {rehearsed}"
    )


def installed_adapters() -> tuple[str, ...]:
    """Names of the broker adapters that installed packages offer; none is loaded."""
    return tuple(sorted({point.name for point in entry_points(group=ADAPTERS)}))
