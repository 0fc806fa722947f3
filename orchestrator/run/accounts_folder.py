"""The folder of many accounts: their runs lie in it, and the same command finds it again until all are done."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from orchestrator.clock import wall_time_ns
from orchestrator.run.accounts_file import Account
from orchestrator.run.folder import PRIVATE, REPORT, RunFolder, ended_run
from trigate.errors import ResourceError
from trigate.locks import lock_in_our_name
from trigate.whole_files import disk_faults, read_faults, write_whole

ACCOUNTS = "accounts.json"
"""What became of each, written whole or not at all; of a folder whose accounts are not all done it says so."""
_LOCK = "accounts.lock"


class AccountsFolder(NamedTuple):
    """The folder, held by this process alone."""

    path: Path
    digest: str
    """Of the accounts and their settings, 32 hex digits."""

    def done(self, run_id: str) -> RunFolder | None:
        """The run of these inputs that has ended here and has its report."""
        found = ended_run(self.path, run_id)
        return found if found is not None and (found.path / REPORT).exists() else None

    def write(self, rows: Sequence[dict[str, object]], *, done: bool) -> None:
        """Say what became of the accounts; once ``done`` the same command makes a new folder."""
        content = {"accounts_id": self.digest, "done": done, "accounts": list(rows)}
        write_whole(self.path / ACCOUNTS, json.dumps(content, indent=1) + "\n", mode=PRIVATE)


def accounts_digest(accounts: Sequence[Account]) -> str:
    """What makes them these accounts: the settings of each from which a record may follow."""
    text = json.dumps([account.config.identity for account in accounts], sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


@contextmanager
def held_accounts_folder(runs: Path, name: str, accounts: Sequence[Account]) -> Iterator[AccountsFolder]:
    """The newest folder below ``runs`` of the same accounts that are not all done, else a new one named ``name``.

    Raises:
        ResourceError: another process holds it, or the disk failed.
    """
    digest = accounts_digest(accounts)
    folder = AccountsFolder(_unfinished(runs, digest) or _made(runs, name, digest), digest)
    with ExitStack() as stack:
        _hold(folder.path, stack)
        yield folder


def accounts_to_continue(runs: Path, accounts: Sequence[Account]) -> AccountsFolder | None:
    """The folder that `held_accounts_folder` would find again, let go of at once; None where it would make one.

    Raises:
        ResourceError: another process holds it.
    """
    digest = accounts_digest(accounts)
    found = _unfinished(runs, digest)
    if found is None:
        return None
    with ExitStack() as stack:
        _hold(found, stack)
    return AccountsFolder(found, digest)


def _unfinished(runs: Path, digest: str) -> Path | None:
    return next((path for path in _folders(runs, digest) if not _is_done(path)), None)


def _hold(path: Path, stack: ExitStack) -> None:
    with disk_faults(path):
        handle = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        stack.callback(os.close, handle)
        lock_in_our_name(handle, path)


def _folders(runs: Path, digest: str) -> Iterator[Path]:
    for path in sorted(runs.glob(f"*-accounts-{digest[:8]}"), reverse=True):
        if (path / ACCOUNTS).is_file() and _said(path).get("accounts_id") == digest:
            yield path


def _is_done(path: Path) -> bool:
    return _said(path).get("done") is True


def _said(path: Path) -> dict[str, object]:
    with read_faults(path):
        text = (path / ACCOUNTS).read_bytes()
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ResourceError(f"{path / ACCOUNTS}: cannot be read: {error}; restore it from a copy") from error
    return found if isinstance(found, dict) else {}


def _made(runs: Path, name: str, digest: str) -> Path:
    stamp = datetime.fromtimestamp(wall_time_ns() / 1e9, UTC).strftime("%Y%m%dT%H%M%SZ")
    path = runs / f"{stamp}-{name}-accounts-{digest[:8]}"
    with disk_faults(path):
        runs.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    AccountsFolder(path, digest).write([], done=False)
    return path
