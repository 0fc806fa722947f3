"""A small journal of every class of record, and how a test writes and damages it."""

from pathlib import Path
from typing import Any

from orchestrator.journal.journal import Journal

EVENTS: list[tuple[str, dict[str, Any], bool]] = [
    ("run_started", {"run": "r1"}, True),
    ("bar", {"close": 71234, "volume": -(1 << 63)}, False),
    ("decided", {"verdict": "veto", "reason": 'é "\n\ud800', "size": None}, True),
    ("bar", {"close": 71235, "volume": (1 << 63) - 1}, False),
    ("filled", {"legs": [{"ticks": 3}, []], "whole": True}, True),
    ("bar", {"close": 71236, "volume": 0}, False),
    ("bar", {"close": 71237, "volume": 1}, False),
]


def write(path: Path, events: list[tuple[str, dict[str, Any], bool]] = EVENTS) -> bytes:
    """The bytes of a new journal of ``events``."""
    with Journal.open(path) as journal:
        for type_, payload, sync in events:
            journal.append(type_, payload, sync=sync)
    return path.read_bytes()


def replace(path: Path, content: bytes) -> None:
    """Put ``content`` in the journal's place."""
    path.write_bytes(content)
    path.chmod(0o600)
