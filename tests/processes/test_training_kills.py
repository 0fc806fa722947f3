"""Training that is killed, asked to stop, shut out or out of disk goes on to the same numbers."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes.commands import PATIENCE_S, call_here, wait_until, without_age
from tests.processes.training import ROOT, ROWS, Ended, command, ended, injected, rows_in, strace, was_killed
from tests.quick_programs import quick_environment

pytestmark = pytest.mark.process

WITH_STRACE = pytest.mark.skipif(strace() is None, reason="strace is not here, or may not trace")

FAULTS = (("fsync:error=EIO:when=40+", "Input/output error"), ("rename:error=ENOSPC:when=12+", "No space left"))


class Bench(NamedTuple):
    """A small file of bars, one cache of compiled programs, and what the unbroken run comes to."""

    bars: Path
    environment: dict[str, str]
    whole: Ended

    def start(self, out: Path, *, fault: str | None = None) -> "subprocess.Popen[str]":
        """``rl-core train`` into ``out``, under strace if there is a ``fault``."""
        line = command(self.bars, out)
        return subprocess.Popen(
            line if fault is None else injected(fault, line),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )

    def finish(self, out: Path, *, fault: str | None = None) -> tuple[int, str]:
        """The exit code and what was said."""
        run = self.start(out, fault=fault)
        said = run.communicate(timeout=PATIENCE_S)[1]
        return run.returncode, said


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Twelve sessions of the demo world."""
    from rl_core.bars.write import write_bars
    from rl_core.worlds.demo import demo_world

    folder = tmp_path_factory.mktemp("training")
    bars = folder / "NQ_D1M.parquet"
    write_bars(demo_world(7, 12).minutes, bars)
    # They compile for longer than they train; the program is another, and every run here has the same.
    environment = {**os.environ, **quick_environment(), "XDG_CACHE_HOME": str(folder / "cache")}
    made = Bench(bars, environment, Ended("", ""))
    code, said = made.finish(folder / "whole")
    assert code == 0, said
    assert list((folder / "cache/trigate").glob("jax-*/*")), "nothing was kept of what was compiled"
    yield made._replace(whole=ended(folder / "whole"))


def reach(run: "subprocess.Popen[str]", out: Path, rows: int) -> None:
    """Wait until ``rows`` rows are there; the run must not end before."""
    wait_until(lambda: rows_in(out) >= rows or run.poll() is not None)
    assert run.poll() is None, run.communicate()


@WITH_STRACE
def test_killed_four_times_it_ends_as_if_it_had_not_been(bench: Bench, tmp_path: Path) -> None:
    """Twice between two rows, wherever that is; twice at a system call of a save."""
    rng = random.Random(4)
    out = tmp_path / "run"

    for stratum in range(2):
        run = bench.start(out)
        reach(run, out, ROWS // 4 * stratum + rng.randrange(2, ROWS // 8))
        run.kill()
        run.communicate()
    for name, most in (("rename", 6), ("fsync", 100)):
        assert was_killed(bench.finish(out, fault=f"{name}:signal=SIGKILL:when={rng.randrange(most // 4, most)}")[0])

    code, said = bench.finish(out)
    assert code == 0, said
    assert "going on from" in said
    assert ended(out) == bench.whole


def test_sigterm_and_sigint_save_and_the_lock_names_its_holder(bench: Bench, tmp_path: Path) -> None:
    """The first run is suspended while a second wants its folder; each signal leaves a checkpoint of its last row."""
    out = tmp_path / "run"
    first = bench.start(out)
    reach(first, out, 5)
    first.send_signal(signal.SIGSTOP)
    code, said = bench.finish(out)
    locked = f"rl-core: {out}: locked by pid {first.pid}; wait for it, or give another --out\n"
    assert (code, without_age(said)) == (7, locked)
    first.send_signal(signal.SIGCONT)

    reach(first, out, 10)
    began = time.monotonic()
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=PATIENCE_S)[1]
    assert (first.returncode, "Traceback" in said) == (0, False), said
    assert time.monotonic() - began < 30
    stopped_at = rows_in(out)
    assert stopped_at < ROWS

    second = bench.start(out)
    reach(second, out, stopped_at + 5)
    second.send_signal(signal.SIGINT)
    said = second.communicate(timeout=PATIENCE_S)[1]
    assert (second.returncode, "Traceback" in said) == (130, False), said
    assert f"step {stopped_at * 256} of 10240" in said
    judged = call_here("rl-core", "evaluate", out, "--bars", bench.bars, "--part", "all")
    assert judged.returncode == 0, judged.stderr
    assert f"step {rows_in(out) * 256} of 10240: its training has not ended" in judged.stderr
    assert (out / f"checkpoints/phase1_jax_{rows_in(out) * 256}").is_dir()

    assert bench.finish(out)[0] == 0
    assert ended(out) == bench.whole


@WITH_STRACE
def test_a_disk_that_fails_in_a_save_ends_training_with_7(bench: Bench, tmp_path: Path) -> None:
    """Every fsync fails from some call of a thread on, then every rename; what was saved before is whole."""
    out = tmp_path / "run"

    for fault, told in FAULTS:
        code, said = bench.finish(out, fault=fault)
        assert code == 7, said
        # The first fault may leave half a checkpoint, which the second run tells that it removed.
        usual = ("phase 1:", "going on from", ".phase1_jax_")
        other = [line for line in without_age(said).splitlines() if not line.startswith(usual)]
        assert len(other) == 1, said
        assert other[0].startswith(f"rl-core: cannot write {out}")
        assert told in other[0]

    assert bench.finish(out)[0] == 0
    assert ended(out) == bench.whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_ends_training_with_7(bench: Bench, small_disk: Path) -> None:
    """Something else fills it while training runs; once there is room, training goes on to the same numbers."""
    from rl_core.checkpoints.manifest import find_checkpoint, read_manifest

    out, ballast = small_disk / "run", small_disk / "ballast"
    run = bench.start(out)
    reach(run, out, 10)
    run.send_signal(signal.SIGSTOP)
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    run.send_signal(signal.SIGCONT)
    said = run.communicate(timeout=PATIENCE_S)[1]

    assert run.returncode == 7, said
    last = said.splitlines()[-1]
    assert last.startswith(f"rl-core: cannot write {out}") and "make room" in last
    assert "Traceback" not in said
    read_manifest(find_checkpoint(out))
    ballast.unlink()
    assert bench.finish(out)[0] == 0
    assert ended(out) == bench.whole
