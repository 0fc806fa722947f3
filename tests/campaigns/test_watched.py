"""Growth is told apart by what it comes with, and each broken promise is named; the campaign itself is `make soak`."""

import subprocess
import sys

import pytest

from tests.campaigns.watched import Look, Moment, Seen, Watch, broken_in, growth_of


def looks(*, mib_an_hour: float = 0.0, kib_a_bar: float = 0.0, more: int = 0) -> list[Look]:
    """Two hours of twelve bars a minute with a market closed in between, after memory that settles."""
    found = []
    for n in range(240):
        hours, bars = n / 120, 12 * min(n, 80) + 12 * max(0, n - 160)
        settling = -30.0 if n < 60 else 0.0
        mib = 100 + settling + mib_an_hour * hours + kib_a_bar * bars / 1024
        found.append(Look(Moment(hours, bars), mib, 30 + (more if n > 130 else 0), 9))
    return found


def test_growth_is_counted_once_memory_has_settled_against_its_hours_and_bars() -> None:
    found = growth_of(looks(mib_an_hour=3.0, kib_a_bar=0.5))

    late = looks()[80:]
    hours, bars = late[-1].at.hours - late[0].at.hours, late[-1].at.bars - late[0].at.bars
    assert found.allowed == pytest.approx(hours + bars / 1024)
    assert found.mib == pytest.approx(3.0 * hours + 0.5 * bars / 1024, abs=0.2), "not the 30 MiB of its start"


@pytest.mark.parametrize(
    ("found", "zombies", "broken"),
    [
        (looks(mib_an_hour=0.9, kib_a_bar=0.9, more=2), 0, []),
        (looks(mib_an_hour=2.9), 0, ["run: memory grew by 3.67 MiB where 2.25 are allowed"]),
        (looks(kib_a_bar=3.9), 0, ["run: memory grew by 3.45 MiB where 2.25 are allowed"]),
        (looks(more=3), 0, ["run: 3 more descriptors"]),
        (looks(), 2, ["2 zombies stayed"]),
    ],
)
def test_each_broken_promise_is_named(found: list[Look], zombies: int, broken: list[str]) -> None:
    assert broken_in([Seen("run", found)], zombies) == broken


def test_a_process_and_a_zombie_below_it_are_seen() -> None:
    """A child that has ended, and is waited for by nobody, beside one that works."""
    ended = "os.waitid(os.P_PID, os.fork() or os._exit(0), os.WEXITED | os.WNOWAIT)"
    code = f"import os, time; {ended}; print('.', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline()
            watch = Watch(process.pid, lambda: Moment(0.0, 1))
            for _ in range(3):
                watch.look()
        finally:
            process.kill()

    (seen,) = watch.seen()
    assert seen.role == "run" and len(seen.looks) == 3 and seen.looks[0].mib > 1 and seen.looks[0].descriptors >= 3
    assert watch.zombies == 1 and watch.alive() == []
