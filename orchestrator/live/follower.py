"""Follows a run's files as they grow: nothing is locked, written or asked, so nothing of the run can wait for it."""

import json
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.journal.lines import record_of, whole_body
from orchestrator.live.watched import Watched
from orchestrator.report.status import alarms, holder_of_run, state_of, target_of
from orchestrator.run.control import Control
from orchestrator.run.folder import RunFolder, RunManifest
from orchestrator.run.growing_file import GrowingFile
from orchestrator.trader.state import Standing

LATENCIES = 200
WORKER_LINES = 6


class WorkerSeen(NamedTuple):
    """A process that works for the run."""

    name: str
    pid: int


class Outside(NamedTuple):
    """What stands beside the journal."""

    manifest: RunManifest
    state: str
    pid: int | None
    asked: Standing
    workers: tuple[WorkerSeen, ...]
    alarms: tuple[str, ...]
    target: int | None  # equity at which the account passes, in cents


class Follower:
    """One run, read on where it was read so far."""

    def __init__(self, folder: RunFolder) -> None:
        """Nothing of its records is read yet.

        Raises:
            ResourceError: its manifest cannot be read.
        """
        self.folder = folder
        self.watched = Watched()
        self.starts = 0
        """How often the journal was read from its start: whoever was told of an earlier reading begins anew."""
        self.latencies_s: deque[float] = deque(maxlen=LATENCIES)
        """From a proposal to its verdict."""
        self.bars_s: deque[float] = deque(maxlen=LATENCIES)
        """From a bar to all that follows from it, on the disk; told where bars come as they happen."""
        self.worker_lines: deque[str] = deque(maxlen=WORKER_LINES)
        self.seen: Counter[str] = Counter()
        self._journal, self._telemetry = GrowingFile(folder.journal), GrowingFile(folder.telemetry)
        self._fault = ""
        self.manifest = folder.manifest()
        """As the run began; how it stands now is told by `outside`."""
        self._target, self._unread = target_of(self.manifest)

    def read(self) -> bool:
        """Take in what has come; whether anything has."""
        before = (self.starts, self.watched.records, self.seen.total())
        while (grown := self._journal.read()).lines or grown.again:
            if grown.again:  # a torn tail was cut at a start, or the folder was put back from a copy
                self.watched, self._fault, self.starts = Watched(), "", self.starts + 1
            self._take(grown.lines)
        while lines := self._telemetry.read().lines:
            for line in lines:
                self._event(line)
        return before != (self.starts, self.watched.records, self.seen.total())

    def outside(self) -> Outside:
        """How the run stands beside its records.

        Raises:
            ResourceError: its manifest cannot be read.
        """
        pid, manifest = holder_of_run(self.folder), self.folder.manifest()
        asked = Control(self.folder.path).wanted()
        told = alarms(manifest, self._fault, self.watched.now, asked, self.seen)
        return Outside(
            manifest=manifest,
            state=state_of(manifest, pid),
            pid=pid,
            asked=asked,
            workers=() if pid is None else _workers_of(pid),
            alarms=(*told, *self._unread),
            target=self._target,
        )

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            if self._fault:
                return
            if whole_body(line + b"\n") is None:
                self._fault = f"record {self.watched.records + 1} is damaged"
                return
            self.watched.take(record_of(line + b"\n"))

    def _event(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
            name = str(event["event"])
        except (ValueError, KeyError, TypeError):
            return
        self.seen[name] += 1
        if name == "reviewed" and isinstance(event.get("latency_s"), float):
            self.latencies_s.append(event["latency_s"])
        elif name == "bar_done" and isinstance(event.get("seconds"), float):
            self.bars_s.append(event["seconds"])
        elif name == "worker":
            self.worker_lines.append(str(event.get("text", "")))


def quantile(took_s: Sequence[float], share: float) -> float:
    """The time that at least ``share`` of some times keep to."""
    return sorted(took_s)[min(len(took_s) - 1, int(share * len(took_s)))]


def _workers_of(pid: int) -> tuple[WorkerSeen, ...]:
    """The living workers that the process ``pid`` has started, by name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if status[0] != b"Z" and int(status[1]) == pid and (name := _worker_named(words)):
            found.append(WorkerSeen(name, int(entry.name)))
    return tuple(sorted(found))


def _worker_named(words: list[bytes]) -> str:
    """Which worker a command line starts, "" for any other process."""
    modules = [word.decode("ascii", "replace") for word in words if word.startswith((b"orchestrator.", b"llm_gate."))]
    return modules[-1].rpartition(".")[2].replace("launch_vllm", "model server") if modules else ""
