"""Counts what was judged on the same sessions: whoever tries often enough finds luck, and nobody remembers how often.

The file lies beside the runs, so that nobody has to think of it. A try is told by its content: the same policy with the
same account on the same sessions is one try, however often it is looked at.
"""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.statistics.sharpe import SharpeRatio, deflated_sharpe
from rl_core.statistics.verdict import Tries
from trigate.locks import wait_for_lock
from trigate.whole_files import disk_faults

TRIES = "tries.jsonl"
ELSEWHERE = "TRIGATE_TRIES"
"""Environment variable: one file for all folders, where policies of the same bars lie in several."""


class Try(BaseModel):
    """One look at what somebody earned on sessions that he was not made on."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    utc: str
    who: str  # digest of the policy or the entries, and of the account
    market: str
    first: int  # trade date of the first session, days since 1970-01-01
    last: int

    def meets(self, other: "Try") -> bool:
        """Whether both looked at a session of the same market."""
        return self.market == other.market and self.first <= other.last and other.first <= self.last


def new_try(who: str, market: str, first: int, last: int) -> Try:
    """A try that is made now."""
    return Try(utc=datetime.now(UTC).isoformat(timespec="seconds"), who=who, market=market, first=first, last=last)


def content_digest(*parts: str) -> str:
    """Of what makes a policy or a procedure what it is."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def registry_beside(path: Path) -> Path:
    """The file that counts the tries of runs in the folder of ``path``."""
    named = os.environ.get(ELSEWHERE)
    return Path(named) if named else path.resolve().parent / TRIES


def note_try(registry: Path, made: Try) -> int:
    """Add ``made`` unless it is known; returns how many different ones looked at some of its sessions, itself included.

    A line that cannot be read was a try, of which nothing else is known: it counts.

    Raises:
        ResourceError: the disk refuses it, so that the count would be wrong from now on.
    """
    with disk_faults(registry):
        handle = os.open(registry, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            wait_for_lock(handle)
            text = _read(handle)
            known = [_parsed(line) for line in text.splitlines() if line.strip()]
            unreadable = sum(each is None for each in known)
            others = {each.who for each in known if each is not None and each.meets(made)}
            if made not in [each and each.model_copy(update={"utc": made.utc}) for each in known]:
                begin = "" if not text or text.endswith("\n") else "\n"  # whoever was killed left half a line
                os.write(handle, f"{begin}{made.model_dump_json()}\n".encode())
                os.fsync(handle)
        finally:
            os.close(handle)
    return len(others | {made.who}) + unreadable


def tries_of(made: int, found: SharpeRatio | None) -> Tries:
    """How sure a Sharpe ratio of R a session is after so many tries; None where there are too few sessions."""
    return Tries(made, None if found is None else deflated_sharpe(found, tries=made))


def _read(handle: int) -> str:
    with os.fdopen(os.dup(handle), "rb") as file:
        return file.read().decode("utf-8", "replace")


def _parsed(line: str) -> Try | None:
    try:
        return Try.model_validate_json(line)
    except ValidationError:
        return None
