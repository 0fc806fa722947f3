"""Runs of a few bars for campaigns of kills: made once, played as often as a campaign asks, compared byte for byte."""

import gc
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator.report.report import report_on
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import RunFolder, open_run
from orchestrator.run.plan import RunPlan, plan_run
from orchestrator.run.simulate import RunHooks, simulate
from orchestrator.workers.remote_broker import BROKER
from rl_core.bars.bars import Bars
from rl_core.bars.write import write_bars
from rl_core.features.market_view import view_of
from rl_core.trading.setup import TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world
from tests.campaigns.forked_runs import Begun, begin

COLUMNS = ("ts_event_ns", "open", "high", "low", "close", "volume", "contract")
HISTORY = 2  # sessions: what the longest feature needs
BEFORE = 10  # bars before the first entry
RISK_DOLLARS = 100  # little, so that the account lives through many of a trader's own
TOLD_BY_THE_CLOCK = {"report.html", "telemetry.jsonl", "manifest.json", "journal.jsonl.lock"}
"""Files that tell latencies, times or a process: of these only the manifest's state is compared."""


class Small(NamedTuple):
    """One run."""

    name: str
    seed: int
    bars: int
    gate: str
    entries: bool
    """A trader's own; else an untrained policy."""
    seconds: bool = False
    broker: bool = False
    """Whether its orders go to the simulated broker in a process of its own."""
    phase: int = 1
    """Of an untrained policy."""
    parts: int = 1
    """Executions that a fill of the broker comes in."""
    a_bar: int = 0
    """Of these, those of an exit that one bar fills; 0: all of them."""


WORLDS = (
    Small("entries-rules", seed=7, bars=150, gate="rules", entries=True),
    Small("entries-off", seed=8, bars=300, gate="off", entries=True),
    Small("policy-rules", seed=9, bars=120, gate="rules", entries=False),
    Small("policy-seconds", seed=10, bars=80, gate="off", entries=False, seconds=True),
    Small("sent-rules", seed=7, bars=60, gate="rules", entries=True, broker=True),
    Small("sent-manages", seed=9, bars=60, gate="off", entries=False, broker=True, phase=2, parts=4, a_bar=2),
)


MODEL = Small("entries-vllm", seed=7, bars=60, gate="vllm", entries=True)
"""Its gate asks a model server (`served_model`), which a campaign starts once for all of its runs."""
PORT = 18_733  # always the same: a verdict names its server


class Kept(NamedTuple):
    """What a run left that no clock changes."""

    journal: bytes
    results: dict[str, bytes]
    """Tables and verdict, by name; without a report none."""
    head: str
    """Digest of the last record, as the manifest knows it."""
    broker: bytes
    """The journal of its broker, where it has one."""


class SmallRun:
    """A run that can be begun any number of times, from nothing or from what a kill left."""

    def __init__(self, small: Small, folder: Path, gate: dict[str, Any] | None = None) -> None:
        """Make its inputs in ``folder``, whose path is a part of its name, and plan it; ``gate``: more of its gate."""
        self.small = small
        self.plan = _planned(small, folder, {"engine": small.gate, **(gate or {})})
        begun = open_run(self.plan.config, self.plan.manifest(), kept=self.plan.kept).path
        self._fresh = begun.rename(folder / begun.name)
        gc.collect()
        gc.freeze()  # what is forked from here on shares it

    def fresh(self, slot: Path) -> RunFolder:
        """The run before its first bar, alone in the folder ``slot``."""
        shutil.rmtree(slot, ignore_errors=True)
        shutil.copytree(self._fresh, slot / "runs" / self._fresh.name)
        return self.at(slot)

    def at(self, slot: Path) -> RunFolder:
        """The run in ``slot``."""
        return RunFolder(slot / "runs" / self._fresh.name)

    def begin(self, slot: Path, *, spares: int, report: bool, bar_s: float = 0.0, tap: Path | None = None) -> Begun:
        """A process that plays what is left of the run in ``slot``, as the same command does.

        Args:
            slot: the folder that the run is alone in.
            spares: as many workers as it may start.
            report: whether it makes tables and page at its end.
            bar_s: waited after each bar, so that the run lasts.
            tap: as `tests.campaigns.forked_runs.begin`.
        """
        play = self._playing(slot, report, bar_s)
        return begin(play, spares=spares, log=slot / "log", pids=slot / "pids", tap=tap)

    def kept(self, slot: Path) -> Kept:
        """What it left."""
        run = self.at(slot)
        results = {
            path.name: path.read_bytes()
            for path in run.path.iterdir()
            if path.is_file() and path.name not in TOLD_BY_THE_CLOCK and path != run.journal
        }
        broker = broker_journal(run)
        at_broker = broker.read_bytes() if broker.exists() else b""
        return Kept(run.journal.read_bytes(), results, run.manifest().journal_head, at_broker)

    def _playing(self, slot: Path, report: bool, bar_s: float) -> Callable[[], None]:
        plan = self.plan._replace(config=self.plan.config.model_copy(update={"runs": slot / "runs"}))

        def play() -> None:
            os.environ["TRIGATE_TRIES"] = str(slot / "tries.jsonl")
            hooks = RunHooks(say=lambda text: print(text, flush=True), on_bar=lambda bars: time.sleep(bar_s))
            outcome = simulate(plan, hooks)
            assert outcome.complete
            if report:
                report_on(outcome.folder.path)

        return play


def broker_journal(run: RunFolder) -> Path:
    """Where the broker of a run that sends its orders writes."""
    return run.path / BROKER / run.journal.name


@contextmanager
def served_model(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A vLLM server on the tiny random model: its process, and the settings of a gate that asks it."""
    os.environ.setdefault("VLLM_API_KEY", secrets.token_hex(16))
    tool = str(Path(sys.executable).with_name("llm-gate"))
    words = ["serve", "--model", "tiny", "--port", str(PORT), "--mode", "choice", "--deadline", "400"]
    line = [tool, *words, "--log-file", str(folder / "serve" / "vllm.log")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = process.stdout.readline().split()
            assert told[:1] == ["ready"], "the model server did not start"
            # A busy machine answers slowly, and a deadline that is missed would be recorded.
            review = {"deadline_s": 60.0}
            yield process.pid, {"url": told[1], "model": "gate", "review": review, "ready_deadline_s": 400.0}
        finally:
            process.terminate()


def _planned(small: Small, folder: Path, gate: dict[str, Any]) -> RunPlan:
    world = demo_world(small.seed, HISTORY + 1, seconds=small.seconds)
    trading = compile_trading(TradingConfig(), world.minutes.instrument)
    view = view_of(world.minutes, trading.pack, trading.hours)
    last = int(np.unique(view.located.session)[HISTORY])
    first = int(np.searchsorted(view.located.session, last))
    opens = first + int(np.flatnonzero(view.hours.entry_open[first:])[0]) - BEFORE
    bars = _rows(world.minutes, np.r_[0:first, opens : opens + small.bars])
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"bars": folder / "NQ_D1M.parquet", "part": "all", "gate": gate}
    if small.broker:
        settings |= {"broker": "simulated", "broker_parts": small.parts, "broker_parts_a_bar": small.a_bar}
    write_bars(bars, settings["bars"])
    if world.seconds is not None:
        from_ns, ts_ns = int(bars.ts_event_ns[first]), world.seconds.ts_event_ns
        until_ns = from_ns + small.bars * 60_000_000_000
        settings["seconds"] = folder / "NQ_D1S.parquet"
        write_bars(_rows(world.seconds, np.flatnonzero((ts_ns >= from_ns) & (ts_ns < until_ns))), settings["seconds"])
    if small.entries:
        settings |= {"entries": _entries(bars, first, folder / "mine.csv"), "trading": {"risk_dollars": RISK_DOLLARS}}
    else:
        settings["checkpoint"] = _untrained(bars, folder, small.phase)
    return plan_run(RunConfig.model_validate({**settings, "runs": folder / "runs"}))


def _rows(bars: Bars, rows: "np.ndarray[Any, np.dtype[np.int64]]") -> Bars:
    return replace(bars, **{name: getattr(bars, name)[rows] for name in COLUMNS})


def _entries(bars: Bars, first: int, path: Path) -> Path:
    """An entry at every fourth bar, of which those in a position are not taken, long and short, near stops and far."""
    rows = ["time,side,stop_points"]
    for n, bar in enumerate(range(first + BEFORE, len(bars), 4)):
        time = np.datetime64(int(bars.ts_event_ns[bar]), "ns")
        rows.append(f"{time}Z,{'long' if n % 2 else 'short'},{('', '2.5', '6')[n % 3]}")
    path.write_text("\n".join(rows) + "\n")
    return path


def _untrained(bars: Bars, folder: Path, phase: int) -> Path:
    """A policy before its first update, made in a process of its own: what forks runs must not load JAX."""
    child = os.fork()
    if child == 0:
        try:
            from tests.processes.conftest import untrained

            untrained(folder, phase, bars, int(bars.ts_event_ns[0]))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "no checkpoint"
    return folder / f"phase{phase}"
