"""The gate in a storm of faults: many reviews at a time through a proxy that spoils every reply in another way.

    python -m tests.campaigns.storm [--calls 20000] [--at-once 64] [--deadline-ms 250] [--mode choice]

Server, proxy and client are three processes with real sockets between them. Prints one JSON object: latency beyond
the deadline, resident memory over the run, and how each fault ended; exit status 100 if a promise is broken.
"""

import argparse
import asyncio
import gc
import json
import logging
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from llm_gate.contract import EntryProposal, GateFailed, Mode, Reviewed
from llm_gate.engines.vllm import VllmEngine
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from tests.llm_gate.fault_proxy import fault_of
from tests.proposals import CONTEXT

ROOT = Path(__file__).parents[2]
P99_OVER_S, MAX_OVER_S, GROWTH_MIB = 0.010, 0.050, 16.0
_SAMPLES = 20
_FIRST = 20
_PAGE_MIB = 4096 / (1 << 20)


class Storm(NamedTuple):
    """What was seen."""

    calls: int
    seconds: float
    p50_s: float
    p99_s: float
    max_s: float
    memory_mib: list[float]
    """Resident, of the client, at even steps through the calls."""
    ended: dict[str, dict[str, int]]
    """Fault -> outcome or cause -> calls."""
    counts: dict[str, int]
    """As the gate itself counted."""
    wrong: list[str]
    """Calls that ended as their fault does not allow."""
    machine_late_s: dict[str, float]
    """How late an idle process beside it woke up: p99 and worst."""


def faults(storm: Storm, deadline_s: float) -> list[str]:
    """The promises that were broken."""
    sound = storm.ended.get("none", {})
    growth = max(storm.memory_mib[len(storm.memory_mib) // 2 :]) - storm.memory_mib[len(storm.memory_mib) // 5]
    found = {
        f"p99 {storm.p99_s:.4f} s": storm.p99_s > deadline_s + P99_OVER_S,
        f"max {storm.max_s:.4f} s": storm.max_s > deadline_s + MAX_OVER_S,
        f"memory grew by {growth:.1f} MiB": growth > GROWTH_MIB,
        f"{len(storm.wrong)} outcomes without a right cause": bool(storm.wrong),
        "a sound reply was seldom a verdict": sound.get("approve", 0) * 2 < sum(sound.values()),
        "not every call was counted": sum(sum(row.values()) for row in storm.ended.values()) != storm.calls,
    }
    return [name for name, broken in found.items() if broken]


def storm(calls: int, *, at_once: int, deadline_s: float, mode: Mode = "choice") -> Storm:
    """Play it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    prompt = find_prompt(DEFAULT_PROMPT)
    # Every call is to be made: the breaker, which would spare most of them, has tests of its own.
    config = GateConfig(deadline_s=deadline_s, mode=mode, breaker_failures=calls + _FIRST + 1)
    gc.collect()
    gc.freeze()  # as the worker does
    with (
        child("bench.stub_server") as server,
        child("tests.llm_gate.fault_proxy", server, str(round(deadline_s * 1000))) as proxy,
        idle_timer() as late,
    ):
        gate = Gate(VllmEngine(f"http://127.0.0.1:{proxy}", "key"), prompt, config)
        seen = asyncio.run(_played(gate, calls, at_once))
    return seen._replace(machine_late_s=late)


async def _played(gate: Gate, calls: int, at_once: int) -> Storm:
    for number in range(_FIRST):  # what is loaded at the first call belongs to no deadline
        await gate.review(proposal_of(calls + number))
    gate.counts.clear()
    spent: list[float] = []
    memory: list[float] = []
    ended: defaultdict[str, Counter[str]] = defaultdict(Counter)
    wrong: list[str] = []
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            proposal = proposal_of(number)
            started_s = time.perf_counter()
            reviewed = await gate.review(proposal)
            spent.append(time.perf_counter() - started_s)
            name, _, allowed = fault_of(proposal.proposal_id)
            how = how_it_ended(reviewed)
            ended[name][how] += 1
            if how not in allowed:
                wrong.append(f"{name}: {how}")
            if len(spent) % max(1, calls // _SAMPLES) == 0:
                memory.append(resident_mib())

    started_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    seconds = time.perf_counter() - started_s
    spent.sort()
    p50, p99 = spent[len(spent) // 2], spent[len(spent) * 99 // 100]
    table = {name: dict(row) for name, row in sorted(ended.items())}
    return Storm(calls, seconds, p50, p99, spent[-1], memory, table, dict(gate.counts), wrong, {})


def proposal_of(number: int) -> EntryProposal:
    """The ``number``-th decision; its id's first byte, and with it its fault, changes from one to the next."""
    return EntryProposal.model_validate(
        {
            "proposal_id": f"{number % 256:02x}{number:030x}",
            "side": "buy" if number % 2 else "sell",
            "quantity": 1 + number % 7,
            "stop_atr_milli": 1500,
            "target_atr_milli": 4500,
            "context": CONTEXT | {"minutes_to_flat": number % 400},
        }
    )


def how_it_ended(reviewed: Reviewed) -> str:
    """The kind of a verdict, or the cause of a failure."""
    outcome = reviewed.outcome
    return outcome.cause if isinstance(outcome, GateFailed) else outcome.kind


def resident_mib() -> float:
    """Of this process."""
    return round(int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_MIB, 1)


@contextmanager
def child(module: str, *arguments: str) -> Iterator[str]:
    """The port of a server in a process of its own."""
    process = _started(module, *arguments)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@contextmanager
def idle_timer() -> Iterator[dict[str, float]]:
    """Filled at the end with how late an idle process woke up meanwhile."""
    process, late = _started("tests.campaigns.idle_timer"), dict[str, float]()
    try:
        yield late
        late.update(json.loads(process.communicate(timeout=10)[0]))
    finally:
        process.kill()
        process.communicate()


def _started(module: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def main() -> None:
    """Play the storm and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--deadline-ms", type=int, default=250)
    parser.add_argument("--mode", choices=("choice", "json"), default="choice")
    given = parser.parse_args()
    deadline_s = given.deadline_ms / 1000
    seen = storm(given.calls, at_once=given.at_once, deadline_s=deadline_s, mode=given.mode)
    broken = faults(seen, deadline_s)
    settings = {"at_once": given.at_once, "deadline_s": deadline_s, "mode": given.mode}
    sys.stdout.write(json.dumps({"campaign": "storm", **settings, **seen._asdict(), "broken": broken}) + "\n")
    sys.exit(100 if broken else 0)


if __name__ == "__main__":
    main()
