"""Whether the accounts of a file could be played here and now: what all share, then each account's own."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from orchestrator.run.accounts_file import Account, check_account
from orchestrator.run.accounts_folder import AccountsFolder, accounts_to_continue
from orchestrator.run.config import RunConfig
from orchestrator.run.doctor import (
    Check,
    Looks,
    examine_inputs,
    look_at_loopback,
    look_at_machine,
    look_at_server,
    look_for_left_over,
)
from orchestrator.run.plan import Say
from rl_core.bars.read import read_bars


def examine_accounts(accounts: Sequence[Account], base: RunConfig) -> list[Check]:
    """Look at everything that the accounts need; nothing is started, and no run is changed.

    Args:
        accounts: of the file, as parsed.
        base: the command's own settings.
    """
    looks = Looks()
    looks.take("machine", look_at_machine)
    for account in accounts:
        # Before anything large, and of all: where one cannot be used, the run plays none of them.
        looks.account = account.name
        looks.take("settings", partial(_settings, account))
    looks.account = ""
    looks.take("loopback", lambda warn: look_at_loopback())
    folder = looks.take("folder", lambda warn: _folder(base, accounts))
    read, models = cache(read_bars), set[Path]()
    for account in accounts:
        looks.account = account.name
        own = account.config if folder is None else account.config.model_copy(update={"runs": folder.path})
        gate = examine_inputs(looks, own, read)
        if gate is not None and gate.folder is not None and gate.folder not in models:
            models.add(gate.folder)
            looks.take("server", partial(look_at_server, gate.folder))
    looks.account = ""
    looks.take("left over", lambda warn: look_for_left_over(base, warn))
    return looks.checks


def _settings(account: Account, warn: Say) -> tuple[None, str]:
    check_account(account)
    return None, f"gate {account.config.gate.engine}, bars {account.config.bars}"


def _folder(base: RunConfig, accounts: Sequence[Account]) -> tuple[AccountsFolder | None, str]:
    """Where the accounts go on, which nobody may hold."""
    found = accounts_to_continue(base.runs, accounts)
    return found, "a new one" if found is None else f"{found.path} goes on"
