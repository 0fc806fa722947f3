"""Broker adapters that installed packages offer: how one is named, opened, and what it is told.

A package names its adapter as an entry point of the group ``trigate_brokers``: something that is called with an
`Opening` and returns an `InstalledAdapter`. It is loaded in the process of the broker worker alone, so that code of
others never runs where the record is written.
"""

from collections.abc import Mapping
from decimal import Decimal
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from orchestrator.messaging.broker import BrokerAdapter
from rl_core.trading.setup import TradingConfig
from trigate.errors import ConfigError

ADAPTERS = "trigate_brokers"
"""The group of entry points under which an installed package names its broker adapter."""
ScalarSetting = str | int | float | bool


class Opening(NamedTuple):
    """What an adapter is opened with; the same for every process of one run."""

    account: str
    """Name of the account at the broker, as a person typed it: the adapter trades this one or raises."""
    market: str
    """Symbol whose bars are traded, as NQ."""
    contract: str
    """Symbol of the contract that is bought and sold, as MNQ; its expiry is the adapter's to know."""
    tick_size: Decimal
    """Points per tick, exact: every price of the protocol is in ticks."""
    folder: Path
    """The adapter's own, made with mode 0700, and kept as long as the run: for what it must know after a kill."""
    trading: TradingConfig
    """The account's rules and costs, resolved."""
    settings: Mapping[str, ScalarSetting]
    """The adapter's own, from ``[live.settings]``; kept in the run's folder, so a secret is named by its file."""


class InstalledAdapter(BrokerAdapter, Protocol):
    """A broker adapter as its package gives it."""

    account: str
    """Name of the account that it is connected to, by the broker's own word; no run trades another one."""

    def close(self) -> None:
        """Let go of sockets and files; orders and positions stay as they are."""


class OpensAdapter(Protocol):
    """The entry point itself."""

    def __call__(self, opening: Opening) -> InstalledAdapter:
        """Connect, and have read what was known before a kill: the next call may ask for anything."""


def installed_adapters() -> tuple[str, ...]:
    """Names of the broker adapters that installed packages offer; none is loaded."""
    return tuple(sorted({point.name for point in entry_points(group=ADAPTERS)}))


def open_adapter(name: str, opening: Opening) -> InstalledAdapter:
    """The adapter ``name``, opened; whatever it raises goes on.

    Raises:
        ConfigError: no package offers one of that name, or several do, or what it gave names no account.
    """
    points = list(entry_points(group=ADAPTERS, name=name))
    if len(points) != 1:
        offered = "no installed package offers it" if not points else f"{len(points)} installed packages offer it"
        raise ConfigError(f"broker adapter {name!r}: {offered} (an entry point of the group {ADAPTERS})")
    (point,) = points
    opening.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    adapter = cast(OpensAdapter, point.load())(opening)
    if not isinstance(getattr(adapter, "account", None), str):
        raise ConfigError(f"broker adapter {name!r}: what {point.value} returned does not name its account")
    return adapter
