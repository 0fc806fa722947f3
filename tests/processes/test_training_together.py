"""One run trained by two processes, through the command: as one process would, ended together, continued by either."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.processes.commands import PATIENCE_S, wait_until
from tests.processes.training import ROOT, command, rows_in
from tests.quick_programs import quick_environment

pytestmark = pytest.mark.process

TOLERANCE = 1e-4  # of everything after 40 updates
MOST_S = 30.0  # from a process's end to that of the others
SHORT = ("--set", "ppo.total_steps=5120", "--set", "checkpoint_every_updates=4")


Words: TypeAlias = tuple[str, ...]
Process: TypeAlias = "subprocess.Popen[str]"


class Bench(NamedTuple):
    """A small file of bars and one cache of compiled programs."""

    bars: Path
    environment: dict[str, str]

    def start(self, out: Path, *more: str) -> "subprocess.Popen[str]":
        """``rl-core train`` into ``out``."""
        return subprocess.Popen(
            command(self.bars, out, *SHORT, *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=ROOT,
        )

    def pair(self, out: Path, *of_the_second: str, both: tuple[str, ...] = ()) -> "tuple[Process, Process]":
        """Processes 0 and 1 of one run; the second has no folder of its own to write to."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        joined = (*both, "--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process")
        elsewhere = out.with_name("nothing")
        return self.start(out, *joined, "0", "--json"), self.start(elsewhere, *joined, "1", *of_the_second)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Twelve sessions of the demo world."""
    from rl_core.bars.write import write_bars
    from rl_core.worlds.demo import demo_world

    folder = tmp_path_factory.mktemp("together")
    bars = folder / "NQ_D1M.parquet"
    write_bars(demo_world(7, 12).minutes, bars)
    # Only what one of several compiles is kept, and they compile longer than they train.
    quick = {"JAX_PLATFORMS": "cpu", **quick_environment()}
    return Bench(bars, {**os.environ, **quick, "XDG_CACHE_HOME": str(folder / "cache")})


def arrays_of(out: Path) -> dict[str, NDArray[np.generic]]:
    """Every array of the final checkpoint."""
    from rl_core.checkpoints.checkpoint import read_arrays
    from rl_core.checkpoints.manifest import Expected, find_checkpoint

    checkpoint = find_checkpoint(out)
    assert "final" in checkpoint.name, checkpoint
    return read_arrays(checkpoint, Expected())[1]


def files_in(out: Path) -> set[str]:
    """What a run left, but for files named by time and checkpoints on the way (one is where it was asked to stop)."""
    paths = (path.relative_to(out) for path in out.rglob("*"))
    last = {str(path) for path in paths if not {"state", "tb", "checkpoints"} & {*path.parts}}
    return last | {path.name for path in (out / "checkpoints").glob("*final*")}


def reach(runs: "tuple[Process, ...]", out: Path, rows: int) -> None:
    """Wait until ``rows`` rows are there; no run must end before."""
    wait_until(lambda: rows_in(out) >= rows or any(run.poll() is not None for run in runs))
    assert rows_in(out) >= rows, [run.communicate() for run in runs]


def killed(runs: "tuple[Process, Process]", which: int) -> tuple[int, str, float]:
    """Kill one; the other's exit code, last line and seconds until then."""
    runs[which].kill()
    began = time.monotonic()
    other = runs[1 - which]
    said = other.communicate(timeout=PATIENCE_S)[1]
    runs[which].communicate(timeout=PATIENCE_S)
    return other.returncode, said.splitlines()[-1], time.monotonic() - began


def test_two_train_as_one_does_end_together_and_either_continues_the_other(bench: Bench, tmp_path: Path) -> None:
    """Two, of which the second is killed; one, asked to stop; two, of which the first is killed; two to the end."""
    gone = "rl-core: another process of this run is gone or cannot be reached; start all again to go on"
    whole, out = tmp_path / "whole", tmp_path / "run"
    alone = bench.start(whole)
    assert (alone.communicate(timeout=PATIENCE_S)[0] is not None, alone.returncode) == (True, 0)

    pair = bench.pair(out)
    reach(pair, out, 3)
    code, said, seconds = killed(pair, 1)
    assert (code, said, seconds < MOST_S) == (5, gone, True)

    one = bench.start(out)
    reach((one,), out, 7)
    one.terminate()
    said = one.communicate(timeout=PATIENCE_S)[1]
    assert (one.returncode, "going on from" in said) == (0, True), said

    known, pair = rows_in(out), bench.pair(out)
    reach(pair, out, known + 1)
    code, said, seconds = killed(pair, 0)
    assert (code, said, seconds < MOST_S) == (5, gone, True)

    pair = bench.pair(out)
    told = [run.communicate(timeout=PATIENCE_S) for run in pair]
    assert [run.returncode for run in pair] == [0, 0], told
    assert told[0][0].startswith('{"run"') and told[0][0].count("\n") == 1
    assert told[1][0] == "" and "phase 1" not in told[1][1]
    assert not (tmp_path / "nothing").exists()
    found, wanted = arrays_of(out), arrays_of(whole)
    assert set(found) == set(wanted) and files_in(out) == files_in(whole)
    assert [n for n in wanted if not np.allclose(found[n], wanted[n], rtol=TOLERANCE, atol=TOLERANCE)] == []


def test_one_that_is_asked_to_stop_stops_both(bench: Bench, tmp_path: Path) -> None:
    """The second, which keeps no records; the run is too long to end by itself."""
    out, long = tmp_path / "run", ("--set", "ppo.total_steps=2560000")
    pair = bench.pair(out, both=long)
    reach(pair, out, 3)
    pair[1].terminate()
    told = [run.communicate(timeout=PATIENCE_S) for run in pair]

    assert [run.returncode for run in pair] == [0, 0], told
    assert [path.name for path in (out / "checkpoints").glob("*final*")] == []
    assert (out / "checkpoints" / f"phase1_jax_{256 * rows_in(out)}").is_dir()


def test_processes_that_were_told_different_things_are_refused(bench: Bench, tmp_path: Path) -> None:
    """The second has another seed."""
    pair = bench.pair(tmp_path / "run", "--set", "ppo.seed=1")
    said = [run.communicate(timeout=PATIENCE_S)[1].splitlines()[-1] for run in pair]

    assert [run.returncode for run in pair] == [2, 2]
    assert said[0] == "rl-core: process 0 and process 1 were given other settings, bars or code"
    assert rows_in(tmp_path / "run") == 0


@pytest.fixture
def four_devices() -> Iterator[dict[str, str]]:
    """Four devices of one CPU."""
    yield {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--processes", "1", "--process", "0"), "4 environments do not divide into 2 minibatches on 4 devices"),
        (("--process", "0"), "give --processes and --process"),
    ],
)
def test_what_cannot_be_split_or_joined_is_refused(
    bench: Bench, tmp_path: Path, four_devices: dict[str, str], given: tuple[str, ...], told: str
) -> None:
    """Exit 2, with the numbers or the options."""
    more = ("--set", "ppo.num_envs=4", "--distributed", "--coordinator", f"127.0.0.1:{29_431 + len(given)}", *given)
    run = bench._replace(environment=four_devices).start(tmp_path / "run", *more)
    said = run.communicate(timeout=PATIENCE_S)[1]

    assert (run.returncode, told in said, "Traceback" in said) == (2, True, False), said
