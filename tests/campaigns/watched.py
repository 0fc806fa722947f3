"""Processes looked at while they work: private memory, descriptors, threads, zombies, and what of it grows."""

import os
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

MOST_MIB_AN_HOUR = 1.0
MOST_KIB_A_BAR = 1.0
"""A run that follows a feed knows every bar that came, so that it knows a corrected one."""
NOISE_MIB = 0.5
MOST_MORE = 2
"""Descriptors or threads by which a process may differ between two quarters: what is open for a moment."""
SETTLED = 1 / 3
"""Share of the looks after which memory has to have settled."""
LEAST_LOOKS = 8


class Moment(NamedTuple):
    """When something was looked at."""

    hours: float
    """Of the clock; 0 throughout where the clock tells nothing, as a simulation waits for nobody."""
    bars: int
    """Played by then."""


class Look(NamedTuple):
    """One process at one moment."""

    at: Moment
    mib: float
    """Resident and private to it."""
    descriptors: int
    threads: int


class Seen(NamedTuple):
    """A process through a part."""

    role: str
    looks: list[Look]


class Growth(NamedTuple):
    """Of the memory of a process, from when it had settled to the end."""

    mib: float
    allowed: float
    """For the hours and the bars in between."""


def growth_of(looks: list[Look]) -> Growth:
    """By how much, of the middle values of its first and its last twentieth."""
    late = looks[int(len(looks) * SETTLED) :]
    few = max(1, len(late) // 20)
    first, last = (float(np.median([look.mib for look in part])) for part in (late[:few], late[-few:]))
    hours, bars = late[-1].at.hours - late[0].at.hours, late[-1].at.bars - late[0].at.bars
    return Growth(last - first, hours * MOST_MIB_AN_HOUR + bars * MOST_KIB_A_BAR / 1024)


def grown(looks: list[Look], what: Callable[[Look], int]) -> int:
    """By how much the middle value of the last quarter is above that of the second one."""
    quarters = np.array_split([what(look) for look in looks], 4)
    return int(np.median(quarters[3]) - np.median(quarters[1]))


def broken_in(seen: list[Seen], zombies: int) -> list[str]:
    """The promises that were broken by these processes."""
    found = [f"{zombies} zombies stayed"] * bool(zombies)
    for role, looks in seen:
        mib, allowed = growth_of(looks)
        found += [f"{role}: memory grew by {mib:.2f} MiB where {allowed:.2f} are allowed"] * (mib > allowed + NOISE_MIB)
        for name, what in (("descriptors", lambda look: look.descriptors), ("threads", lambda look: look.threads)):
            more = grown(looks, what)
            found += [f"{role}: {more} more {name}"] * (more > MOST_MORE)
    return found


class Watch:
    """Looks at a process and all that it started."""

    def __init__(self, pid: int, now: Callable[[], Moment]) -> None:
        """``now``: hours of the clock, and bars."""
        self._pid, self._now = pid, now
        self._looks: dict[tuple[str, int], list[Look]] = defaultdict(list)
        self._dead: dict[int, int] = defaultdict(int)
        self.zombies = 0
        """Processes that nobody had waited for when they were looked at twice."""

    def look(self) -> None:
        """Once, at each."""
        at = self._now()
        for pid in family(self._pid):
            with suppress(OSError, ValueError, IndexError):
                if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    self._dead[pid] += 1
                    self.zombies += self._dead[pid] == 2
                    continue
                self._looks[role_of(pid), pid].append(looked(pid, at))

    def alive(self) -> list[int]:
        """Those that were seen and live on."""
        return [pid for _, pid in self._looks if Path(f"/proc/{pid}").exists()]

    def seen(self) -> list[Seen]:
        """Of each role the process that was seen longest."""
        longest: dict[str, list[Look]] = {}
        for (role, _), looks in self._looks.items():
            longest[role] = max(longest.get(role, []), looks, key=len)
        return [Seen(role, looks) for role, looks in sorted(longest.items())]


def family(pid: int) -> list[int]:
    """A process and those below it."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            found += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
    return found


def role_of(pid: int) -> str:
    """The worker that a process is; ``run`` where it is none."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    names = [word.rpartition(".")[2] for word in words if word.startswith("orchestrator.workers.")]
    return names[-1] if names else "run"


def looked(pid: int, at: Moment) -> Look:
    """What the kernel says of a process."""
    place = Path(f"/proc/{pid}")
    rows = dict(line.split(":", 1) for line in (place / "smaps_rollup").read_text().splitlines()[1:])
    private_kib = sum(int(rows[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
    threads = int((place / "stat").read_text().rpartition(")")[2].split()[17])
    return Look(at, private_kib / 1024, len(os.listdir(place / "fd")), threads)


def table_of(seen: list[Seen]) -> dict[str, dict[str, float]]:
    """What was measured, by role."""
    return {
        role: {
            "looks": len(looks),
            "mib_first": round(looks[0].mib, 1),
            "mib_settled": round(looks[int(len(looks) * SETTLED)].mib, 1),
            "mib_last": round(looks[-1].mib, 1),
            "grew_mib": round(growth_of(looks).mib, 2),
            "allowed_mib": round(growth_of(looks).allowed, 2),
            "descriptors": looks[-1].descriptors,
            "threads": looks[-1].threads,
        }
        for role, looks in seen
    }
