"""The file that names many accounts: a table each, with the settings in which it differs from the command's own."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from re import compile as pattern
from typing import Any, NamedTuple

from orchestrator.run.config import NAME, RunConfig
from orchestrator.run.settings import check_settings, read_run_config, refuse_missing_demo
from trigate.errors import ConfigError, RefusedError
from trigate.toml_config import Given, read_toml

TABLE = "accounts"
MOST_ACCOUNTS = 128
"""Each holds some files open, of which a process may have 1,024."""
THE_COMMANDS = frozenset(("name", "mode", "runs", "min_free_mb", "paper"))
"""Keys that hold for all accounts, and are the command's."""


class Account(NamedTuple):
    """One account of the file."""

    name: str
    config: RunConfig
    """The command's settings under the account's own."""


def read_accounts(
    path: Path, config: Path | None, settings: Sequence[str], options: Mapping[str, Any]
) -> list[Account]:
    """The accounts in the order of the file; ``config``, ``settings`` and ``options`` are the command's.

    Raises:
        ConfigError: the file, a name or a key cannot be used; every small thing that an account names is looked at.
        RefusedError: the accounts would follow bars as they come.
    """
    accounts = parse_accounts(path, config, settings, options)
    for account in accounts:
        check_account(account)
    return accounts


def parse_accounts(
    path: Path, config: Path | None, settings: Sequence[str], options: Mapping[str, Any]
) -> list[Account]:
    """The same, where nothing that an account names was looked at yet.

    Raises:
        ConfigError: the file, a name or a key cannot be used.
    """
    tables = _tables(path)
    accounts = []
    for name, table in tables.items():
        own = [Given(key, value, f"{path} [{TABLE}.{name}] {key}") for key, value in _leaves(table)]
        named = Given("name", name, f"{path} [{TABLE}.{name}]")
        accounts.append(Account(name, read_run_config(config, settings, options, over=[*own, named]).config))
    return accounts


def check_account(account: Account) -> None:
    """Open every small thing that the account names.

    Raises:
        ConfigError, GateError: one cannot be used.
        RefusedError: it would follow bars as they come.
    """
    if account.config.follows:
        raise RefusedError(
            f"--accounts plays recorded bars, and mode {account.config.mode!r} follows them as they come; "
            f"start one run for each account"
        )
    check_settings(account.config)
    refuse_missing_demo(account.config)


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    """The table of each account by its name.

    Raises:
        ConfigError: there is none, there are too many, or one has a name or a key that it cannot have.
    """
    content = read_toml(path)
    if unknown := [key for key in content if key != TABLE]:
        raise ConfigError(
            f"{path}: unknown key {unknown[0]!r}: each account is a table [{TABLE}.NAME]; what holds for all of them "
            f"goes into --config or --set"
        )
    tables = content.get(TABLE, {})
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{path}: names no account; write a table [{TABLE}.NAME] for each")
    if len(tables) > MOST_ACCOUNTS:
        raise ConfigError(f"{path}: names {len(tables)} accounts, and one run takes {MOST_ACCOUNTS}; make two files")
    for name, table in tables.items():
        _check_table(path, name, table)
    return tables


def _check_table(path: Path, name: str, table: object) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {TABLE}.{name} is a value, not a table; write [{TABLE}.{name}] above its settings")
    if not pattern(NAME).match(name):
        raise ConfigError(
            f"{path}: [{TABLE}.{name}]: a name has small letters, digits, - and _ only, at most 64, and begins with a "
            f"letter or digit"
        )
    if taken := sorted(THE_COMMANDS & table.keys()):
        said = "is the table's own name" if taken[0] == "name" else "holds for all accounts: give it to the command"
        raise ConfigError(f"{path}: [{TABLE}.{name}] {taken[0]}: {said}")


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a table by its dotted key."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
