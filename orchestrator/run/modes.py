"""What becomes of a run's orders: they are rehearsed, or sent to a broker once everything allows it."""

from datetime import date
from typing import Literal

from orchestrator.run.config import SIMULATED, RunConfig
from orchestrator.workers.adapters import ADAPTERS, installed_adapters
from rl_core.rules.pack import RulePack, read_rule_pack, refuse_sending
from trigate.errors import ConfigError, RefusedError

REHEARSED = ("sim", "paper", "advisory")
"""Modes that send nothing anywhere."""
LIVE: Literal["live"] = "live"
LIVE_GUARDS = ("contracts", "entries_a_day", "loss_a_day_dollars")
"""Guards without which no order is sent. None counts orders a minute: a bar has one decision, so at most one entry."""


def refuse_unknown_mode(mode: str) -> None:
    """Raise ConfigError where there is no such mode."""
    if mode not in (*REHEARSED, LIVE):
        raise ConfigError(f"--mode {mode!r}: expected one of {', '.join((*REHEARSED, LIVE))}")


def check_mode(config: RunConfig, today: date) -> None:
    """Let what sends nothing through, and what sends once rule pack, adapter, account and guards allow it.

    A pack that ``config`` does not name is the checkpoint's, and is asked with the plan (`check_pack`).

    Raises:
        ConfigError: there is no such rule pack.
        RefusedError: orders would be sent, and something does not allow it.
    """
    if config.mode != LIVE:
        return
    if config.trading is not None and "rules" in config.trading.model_fields_set:
        check_pack(config, read_rule_pack(config.trading.rules), today)
    if fault := _adapter_fault(config) or _account_fault(config) or _guards_fault(config):
        raise RefusedError(f"mode {LIVE!r}: {fault}; no order is sent. What remains: {', '.join(REHEARSED)}")


def check_pack(config: RunConfig, pack: RulePack, today: date) -> None:
    """Ask the account's rule pack, whoever named it, whether orders may be sent.

    Raises:
        RefusedError: they would be, and the firm does not allow automation, or its rules were read too long ago.
    """
    refuse_sending(pack, config.mode)
    if config.mode == LIVE and (old := pack.staleness(today)):
        raise RefusedError(f"mode {LIVE!r}: {old}, and give the day in as_of; no order is sent")


def check_confirmed(config: RunConfig, account: str | None) -> None:
    """Ask for the account by name at every start, so that no file sends orders by itself.

    Args:
        config: whose mode and account were checked.
        account: as it was typed on the command line, None where it was not.

    Raises:
        ConfigError: nothing is sent, so there is nothing to confirm.
        RefusedError: another account was typed, or none.
    """
    if config.mode != LIVE:
        if account is not None:
            raise ConfigError(f"--send-orders-to: mode {config.mode!r} sends none; leave it out")
        return
    if account != config.live.account:
        said = "was not given" if account is None else f"says {account}"
        raise RefusedError(
            f"mode {LIVE!r}: --send-orders-to {said}, and live.account is {config.live.account}: every start has to "
            f"name the account to which orders go; no order is sent"
        )


def check_broker(config: RunConfig) -> None:
    """Refuse a broker where orders are a person's, and one that sends where nothing is to be sent.

    Raises:
        ConfigError: they are plans, or no run of this mode asks that broker; or live.* is for another mode.
    """
    if config.broker is not None and config.mode == "advisory":
        raise ConfigError(
            f"broker = {config.broker!r}: in mode {config.mode!r} a person is told each order, and none is sent; leave "
            f"--broker out, or use --mode paper"
        )
    if config.mode == LIVE:
        return
    if config.broker not in (None, SIMULATED):
        raise ConfigError(
            f"broker = {config.broker!r}: mode {config.mode!r} sends nothing, so its broker is {SIMULATED!r} or none; "
            f"an installed adapter is asked in mode {LIVE!r} alone"
        )
    if config.live != type(config.live)():
        raise ConfigError(f"live.*: mode {config.mode!r} sends nothing; leave it out, or use --mode {LIVE}")


def _adapter_fault(config: RunConfig) -> str:
    """What is wrong with the adapter; none is loaded."""
    installed = installed_adapters()
    if not installed:
        return f"no broker adapter is installed (an entry point of the group {ADAPTERS})"
    if config.broker not in installed:
        named = "--broker names none" if config.broker is None else f"--broker {config.broker} is none of them"
        return f"the broker adapters installed are {', '.join(installed)}, and {named}"
    return ""


def _account_fault(config: RunConfig) -> str:
    return "" if config.live.account else "live.account does not name the account at the broker"


def _guards_fault(config: RunConfig) -> str:
    missing = [f"guards.{name}" for name in LIVE_GUARDS if getattr(config.guards, name) is None]
    return f"{' and '.join(missing)} must be set" if missing else ""
