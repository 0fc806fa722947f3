"""Kill runs and their broker at every system call, and at random; continue them; compare every byte.

    python -m tests.campaigns.run_kills [--points N] [--random N] [--only NAME ...] [--at-once 1] [--out FILE]
    python -m tests.campaigns.run_kills --gate vllm --random N

The points of a run are enumerated from an unbroken one: every write and every fdatasync of its journal, every message
that it hands to a socket; of the broker worker the same, alone and within a run that sends its orders. At each of them
the process is killed by strace. One second later nothing of ours may live; then the same run is continued, and its
journal, and at every fourth point its tables and verdict, must be those of the unbroken one. Random kills
(`tests/campaigns/random_kills.py`) take any process of a run, or two. Processes are forked from this one
(`tests/campaigns/forked_runs.py`), so that a point costs half a CPU second. FILE holds one JSON object a point; what it
holds already, of the same runs, is not done again. Exit code 1 if one run ended otherwise than the unbroken one, or
left something alive.
"""

import argparse
import importlib
import json
import logging
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog

from orchestrator.run.folder import RunFolder
from tests.campaigns.broker_kills import BrokerCase
from tests.campaigns.forked_runs import SPARE, Begun, left_alive, workers_in
from tests.campaigns.random_kills import random_kill
from tests.campaigns.small_runs import MODEL, WORLDS, Kept, SmallRun, broker_journal, served_model
from tests.campaigns.traced import killed_at, listed, points_in
from trigate.process_control import adopt_orphans
from trigate.versions import code_digest

ROOT = Path(__file__).parents[2]
SPARES = 5  # workers that one start of a run may need, one of them a second time
RESULTS_EVERY = 4
LOADED = ("feed", "policy", "gate", "broker")
Row = dict[str, Any]


class Point(NamedTuple):
    """Where a case is broken."""

    case: str
    call: str
    """A system call, or ``random``."""
    number: int


class Case(Protocol):
    """Something that can be killed at a system call, and continued."""

    name: str
    whole: str
    """Digest of what the unbroken one left: rows of another one do not count."""
    points: list[tuple[str, int]]

    def kill(self, call: str, number: int, slot: Path) -> Row:
        """Kill it there, in the folder ``slot``, and continue it; what came of it, ``same`` among it."""


class RunCase:
    """A run of a few bars."""

    def __init__(self, run: SmallRun, slot: Path, beside: frozenset[int] = frozenset()) -> None:
        """Play it unbroken and listed, so that its points are known; processes ``beside`` it are not its own."""
        self.name, self.run = run.small.name, run
        journal = self.traced_journal(run.fresh(slot))
        begun = run.begin(slot, spares=SPARES, report=True)
        tracer = listed(self.victim(begun, slot), slot / "trace")
        begun.let_go()
        assert begun.wait() == 0, (slot / "log").read_text()
        tracer.wait()
        assert left_alive(beside=beside) == 0, "an unbroken run left a process"
        self.unbroken = run.kept(slot)
        self.whole = self.unbroken.head
        self.points = points_in(slot / "trace", journal)

    def victim(self, begun: Begun, slot: Path) -> int:
        """The process that is killed."""
        return begun.pid

    def traced_journal(self, run: RunFolder) -> Path:
        """The journal that it writes."""
        return run.journal

    def kill(self, call: str, number: int, slot: Path) -> Row:
        """Kill it there, and continue it."""
        journal = self.run.fresh(slot).journal
        begun = self.run.begin(slot, spares=SPARES, report=False)
        tracer = killed_at(begun.pid, call, number, journal)
        begun.let_go()
        code = begun.wait()
        tracer.wait()
        found = {"killed": code == -9, "alive": left_alive(), "records": self.whole_records(journal)}
        return found | self.continued(slot, report=number % RESULTS_EVERY == 0)

    def whole_records(self, journal: Path) -> int | None:
        """How many records a kill left, None if they are not those of the unbroken run."""
        left = journal.read_bytes()
        whole = left[: left.rfind(b"\n") + 1]
        return whole.count(b"\n") if self.unbroken.journal.startswith(whole) else None

    def continued(self, slot: Path, *, report: bool, spares: int = SPARES) -> Row:
        """What the same command makes of it; ``same`` says whether every byte is the unbroken run's."""
        begun = self.run.begin(slot, spares=spares, report=report)
        begun.let_go()
        code = begun.wait()
        alive = left_alive()
        same = code == 0 and alive == 0 and self.is_whole(self.run.kept(slot), report=report)
        return {"results": report, "same": same} | ({} if same else {"said": (slot / "log").read_text()[-2000:]})

    def is_whole(self, kept: Kept, *, report: bool) -> bool:
        """Whether a run ended as the unbroken one; without a ``report`` its results are not looked at."""
        whole = self.unbroken
        return kept == whole if report else kept._replace(results={}) == whole._replace(results={})


class SentCase(RunCase):
    """The broker of a run that sends its orders, killed while the run goes on and starts it again."""

    def __init__(self, run: SmallRun, slot: Path) -> None:
        """Play it unbroken; its name tells it from the run's own."""
        super().__init__(run, slot)
        self.name = f"{run.small.name}-broker"
        assert self.points, "the broker of an unbroken run writes and answers"

    def victim(self, begun: Begun, slot: Path) -> int:
        """The spare that becomes the broker, the last to be started of four, or of three without a gate."""
        started = len(LOADED) - (self.run.small.gate == "off")
        return workers_in(slot / "pids", SPARE)[-started]

    def traced_journal(self, run: RunFolder) -> Path:
        """The broker's own."""
        return broker_journal(run)

    def kill(self, call: str, number: int, slot: Path) -> Row:
        """Kill it there; a run that lost it while it started is continued."""
        run = self.run.fresh(slot)
        begun = self.run.begin(slot, spares=SPARES, report=False)
        tracer = killed_at(self.victim(begun, slot), call, number, self.traced_journal(run))
        begun.let_go()
        code = begun.wait()
        tracer.wait()
        again = len(workers_in(slot / "pids", "orchestrator.workers.broker")) > 1
        found = {"killed": again or code != 0, "alive": left_alive(), "records": self.whole_records(run.journal)}
        if code != 0:
            return found | self.continued(slot, report=False)
        same = self.is_whole(self.run.kept(slot), report=False)
        return found | {"results": False, "same": same} | ({} if same else {"said": (slot / "log").read_text()[-2000:]})


def main() -> int:
    """Do what is missing; 1 if one point failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, help="so many, drawn out of all; none: every one")
    parser.add_argument("--random", type=int, default=0, help="kills of any process, or two, at any moment")
    parser.add_argument("--only", nargs="+", default=[], help="cases: the runs' names, and broker; none: all")
    parser.add_argument("--gate", choices=("vllm",), help="only a run whose gate asks a vLLM server, at random")
    parser.add_argument("--at-once", type=int, default=1, help="points beside each other")
    parser.add_argument("--out", type=Path, default=Path(".cache/run_kills.jsonl"))
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out = given.out.resolve()
    load()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, ExitStack() as stack:
        os.chdir(folder)  # a run's name holds the paths of its inputs: relative ones are those of the next campaign too
        stack.callback(os.chdir, ROOT)
        made = _with_a_model(Path(folder), stack) if given.gate else _cases(Path(folder), given.only)
        cases = {case.name: case for case in made}
        every = [Point(case.name, *point) for case in cases.values() for point in case.points]
        wanted = every if given.points is None else _spread(every, given.points)
        runs = [name for name, case in cases.items() if isinstance(case, RunCase) and not isinstance(case, SentCase)]
        wanted += [Point(runs[n % len(runs)], "random", n) for n in range(given.random if runs else 0)]
        known = _known(given.out, cases)
        todo = [point for point in wanted if point not in known]
        print(f"{len(every)} points, {len(wanted)} wanted, {len(todo)} to do", flush=True)
        _shared_out(todo, given.at_once, lambda point, slot: _kept_row(cases, point, slot, given.out), Path(folder))
        known = _known(given.out, cases)
    return _told(list(known.values()), missing=sum(point not in known for point in wanted))


def load() -> None:
    """Import what the forked processes need, and become the parent of what they leave."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    for name in LOADED:
        importlib.import_module(f"orchestrator.workers.{name}")
    code_digest()
    adopt_orphans()


def _cases(folder: Path, only: list[str]) -> Iterator[Case]:
    for small in WORLDS:
        if small.name in (only or [small.name]):
            yield RunCase(SmallRun(small, Path(small.name)), folder / "unbroken")
        if small.broker and f"{small.name}-broker" in (only or [f"{small.name}-broker"]):
            yield SentCase(SmallRun(small, Path(f"{small.name}-broker")), folder / "unbroken")
    if BrokerCase.name in (only or [BrokerCase.name]):
        yield BrokerCase(folder / "unbroken")


def _with_a_model(folder: Path, stack: ExitStack) -> Iterator[Case]:
    server, gate = stack.enter_context(served_model(folder))
    case = RunCase(SmallRun(MODEL, Path(MODEL.name), gate), folder / "unbroken", frozenset((server,)))
    case.points = []
    yield case


def _spread(points: list[Point], count: int) -> list[Point]:
    """So many of the points, as many of each case, drawn by their names.

    A larger count goes on from a smaller one, and a point more or less moves no other.
    """
    ranks, ranked = Counter[str](), []
    for point in sorted(points, key=lambda point: blake2b(repr(tuple(point)).encode()).digest()):
        ranked.append((ranks[point.case], point))
        ranks[point.case] += 1
    return [point for _, point in sorted(ranked, key=lambda each: each[0])][:count]


def _known(out: Path, cases: dict[str, Case]) -> dict[Point, Row]:
    """What was done before, of the runs as they are now."""
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = [row for row in rows if row["case"] in cases and row["whole"] == cases[row["case"]].whole]
    return {Point(row["case"], row["call"], row["number"]): row for row in done}


def _shared_out(todo: list[Point], at_once: int, do: Callable[[Point, Path], None], folder: Path) -> None:
    """Do the points, ``at_once`` of them beside each other, each in the folder of its process, which ends with us."""
    children, parent = [], os.getpid()
    for n in range(at_once):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                adopt_orphans()
                for point in todo[n::at_once]:
                    if os.getppid() != parent:
                        break
                    do(point, folder / f"slot{n}")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    assert not any(codes), "a part of the campaign itself failed"


def _kept_row(cases: dict[str, Case], point: Point, slot: Path, out: Path) -> None:
    """Do one point and write down what came of it."""
    case, began_s, began_cpu_s = cases[point.case], time.monotonic(), _cpu_s()
    if point.call == "random":
        assert isinstance(case, RunCase)
        found = random_kill(case, point.number, slot)
    else:
        found = case.kill(point.call, point.number, slot)
    spent = {"cpu_s": round(_cpu_s() - began_cpu_s, 3), "seconds": round(time.monotonic() - began_s, 2)}
    row = {**point._asdict(), "whole": case.whole, **found, **spent}
    with out.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _told(rows: list[Row], missing: int) -> int:
    """Print the sums of what was done so far."""
    for kind in sorted({(row["case"], row["call"]) for row in rows}):
        of_kind = [row for row in rows if (row["case"], row["call"]) == kind]
        print(
            json.dumps(
                {
                    "case": kind[0],
                    "call": kind[1],
                    "points": len(of_kind),
                    "killed": sum(row["killed"] for row in of_kind),
                    "same": sum(row["same"] for row in of_kind),
                    "results_compared": sum(row["results"] for row in of_kind),
                    "alive_after_1_s": sum(row["alive"] for row in of_kind),
                    "not_a_prefix": sum(row["records"] is None for row in of_kind),
                    "cpu_s_a_point": round(sum(row["cpu_s"] for row in of_kind) / len(of_kind), 2),
                }
            )
        )
    broken = [row for row in rows if not row["same"] or row["alive"] or row["records"] is None]
    cases = dict(Counter(row["case"] for row in rows))
    print(json.dumps({"done": len(rows), "missing": missing, "broken": len(broken), "cases": cases}))
    for row in broken[:5]:
        print(json.dumps(row))
    return 1 if broken or missing else 0


if __name__ == "__main__":
    sys.exit(main())
