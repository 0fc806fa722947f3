"""What the wall clock saw: latencies and restarts, one JSON object a line; never needed to replay a run."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from orchestrator.clock import wall_time_ns

log = structlog.get_logger(__name__)


class Telemetry:
    """Appends events; a disk that fails here is told once and stops nothing."""

    def __init__(self, path: Path) -> None:
        """Append to ``path``, which only its owner can read."""
        self._stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8")
        self._failed = False

    def note(self, event: str, **fields: str | float | int | None) -> None:
        """Write one event with the wall time."""
        try:
            self._stream.write(json.dumps({"ts_ns": wall_time_ns(), "event": event, **fields}) + "\n")
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._stream.close()  # writes once more what the disk refused before
        except OSError as failure:
            self._fail(failure)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            log.warning("telemetry_failed", cause=str(error))
        self._failed = True


def read_telemetry(path: Path) -> list[dict[str, object]]:
    """The whole events of a file; a line cut short by a kill is left out."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
