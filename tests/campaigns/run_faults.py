"""What goes wrong around a run on paper, one thing every few seconds, as a seed draws it."""

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.campaigns.watched import family, role_of

ORCHESTRATOR = Path(sys.executable).with_name("orchestrator")
FAULT_EVERY_S = 9.0
STILL_S = 3.0
"""For so long a process is stopped: longer than the deadlines of those who ask it."""
KILLS_EVERY_S = 150.0
"""A worker that is killed oftener than five times in ten minutes is given up, as it should be."""
SEED = 13


class Faults:
    """What goes wrong, one thing at a time, drawn anew each time."""

    def __init__(self, run: int, feed: int, folder: Path, sound: Path) -> None:
        """Of the run with that process and folder, and the program that feeds it.

        The model server answers well while the file ``sound`` exists, as it does once a gate is to start again.
        """
        self._run, self._feed, self._folder, self._sound = run, feed, folder, sound
        self._draw, self._next_s = random.Random(SEED), FAULT_EVERY_S
        self._killed_s: dict[str, float] = {}
        self._again: tuple[float, Callable[[], object]] | None = None
        self.counts: dict[str, int] = defaultdict(int)

    def blow(self, now_s: float) -> None:
        """Do what is due."""
        if self._again is not None and now_s >= self._again[0]:
            self.calm()
        if now_s < self._next_s:
            return
        self._sound.unlink(missing_ok=True)
        self._next_s = now_s + FAULT_EVERY_S
        kind = self._draw.choice(("kill", "still", "feed still", "halt"))
        done = {"kill": self._kill, "still": self._still, "feed still": self._feed_still, "halt": self._halt}[kind]
        self.counts[done(now_s)] += 1

    def calm(self) -> None:
        """End a fault that lasts."""
        if self._again is not None:
            with suppress(ProcessLookupError):
                self._again[1]()
            self._again = None

    def _kill(self, now_s: float) -> str:
        for role, pid in self._workers():
            if now_s - self._killed_s.get(role, -KILLS_EVERY_S) >= KILLS_EVERY_S:
                self._killed_s[role] = now_s
                self._sound.touch()
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                return f"{role} killed"
        return self._halt(now_s)

    def _still(self, now_s: float) -> str:
        role, pid = self._workers()[0]
        # One that does not answer is started again, which counts as a restart of it.
        if now_s - self._killed_s.get(role, -KILLS_EVERY_S) < KILLS_EVERY_S:
            return self._feed_still(now_s)
        self._killed_s[role] = now_s
        self._sound.touch()
        return self._stopped(pid, now_s, f"{role} still")

    def _feed_still(self, now_s: float) -> str:
        return self._stopped(self._feed, now_s, "feed's program still")

    def _stopped(self, pid: int, now_s: float, name: str) -> str:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        self._again = now_s + STILL_S, lambda: os.kill(pid, signal.SIGCONT)
        return name

    def _halt(self, now_s: float) -> str:
        word = self._draw.choice(("halt", "flatten"))
        told(word, self._folder)
        self._again = now_s + STILL_S, lambda: told("resume", self._folder)
        return word

    def _workers(self) -> list[tuple[str, int]]:
        """In an order that is drawn anew."""
        found = []
        for pid in family(self._run)[1:]:
            with suppress(OSError):
                found.append((role_of(pid), pid))
        return self._draw.sample(sorted(found), len(found))


def told(word: str, run: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """An orchestrator command about a run, to its end, in the folder that the run was begun in."""
    line = [str(ORCHESTRATOR), word, str(run), *options]
    return subprocess.run(line, cwd=run.parent.parent, capture_output=True, text=True)
