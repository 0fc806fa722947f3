"""What a run writes: bytes and fdatasyncs a bar and an entry, and how long a bar takes until its decision is recorded.

python bench/journal.py [--json] --bars FILE --checkpoint DIR [--mode sim paper] [--gate rules] [--sessions 2]

The run is a real command under strace, which tells every record that is handed to the journal and every fdatasync of
it, in their order. A sync belongs to an exit where it makes the fill of one durable, and to an entry where it does
so with another record of one (proposal, verdict, order, fill, end). In paper mode `orchestrator feed` plays the last
session, so fast that a day takes two minutes (`--speed`), and a second time without strace, for the time a bar takes:
`bar_ms` is that from its arrival until all that follows from it is on the disk, syncs included, as the run's own
telemetry tells it. In sim it is from the record of a bar to that of the policy's answer, under strace: an upper bound.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions
from orchestrator.run.telemetry import read_telemetry

ROOT = Path(__file__).parents[1]
ORCHESTRATOR = Path(sys.executable).with_name("orchestrator")
OF_AN_ENTRY = {"proposed", "decided", "intent", "refused", "fill", "trade", "proposal_closed"}
EXIT = "exit"
_CALL = re.compile(r"^\d+ +(\d+\.\d+) (write|fdatasync)\(\d+<[^>]*/journal\.jsonl>(.*)$")
_TYPE = re.compile(r'"t":"([a-z_]+)"')
_LEAVES = re.compile(r'"reason":"(?!entry")')
_SHOWN = 2000  # bytes of a record that strace writes down
_STRACE = ["strace", "-f", "-qq", "-y", "-ttt", "-s", str(_SHOWN), "-o", "trace", "-e", "trace=write,fdatasync"]
"""Writes what is done with the journal into `trace`."""


class Call(NamedTuple):
    """One system call on the journal."""

    at_s: float
    record: str
    """Type of the record that is written, ``exit`` of a fill that closes; empty for a sync."""


def calls_in(trace: Path) -> Iterator[Call]:
    """All of them, in their order."""
    for line in trace.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is not None:
            text = match[3].replace("\\", "") if match[2] == "write" else ""  # strace writes \" for "
            kind = _TYPE.search(text)
            record = "" if kind is None else kind[1]
            yield Call(float(match[1]), EXIT if record == "fill" and _LEAVES.search(text) else record)


def figures(calls: list[Call], journal: bytes) -> dict[str, float]:
    """What they amount to."""
    bytes_by, counts = Counter[str](), Counter[str]()
    for line in journal.splitlines(keepends=True):
        kind = _TYPE.search(line.decode())
        assert kind is not None, "every record has a type"
        bytes_by[kind[1]] += len(line)
        counts[kind[1]] += 1
    entries = sum(bytes_by[kind] for kind in OF_AN_ENTRY)
    of_entries = of_exits = syncs = 0
    waiting, answered, bar_s = set[str](), list[float](), 0.0
    for call in calls:
        if call.record:
            waiting.add(call.record)
            bar_s = call.at_s if call.record == "bar" else bar_s
            if call.record == "acted":
                answered.append((call.at_s - bar_s) * 1000)
            continue
        syncs += 1
        of_exits += EXIT in waiting
        of_entries += EXIT not in waiting and bool(waiting & OF_AN_ENTRY)
        waiting.clear()
    if not answered:
        raise SystemExit("strace has seen no record of the journal")
    bars, orders = counts["bar"], max(1, counts["intent"])
    return {
        "bars": bars,
        "entries": counts["intent"],
        "bytes_a_bar": (len(journal) - entries) / bars,
        "bytes_an_entry": entries / orders,
        "syncs_a_bar": (syncs - of_entries - of_exits) / bars,
        "syncs_an_entry": of_entries / orders,
        "syncs_an_exit": of_exits / orders,
        "bar_ms_p50": float(np.percentile(answered, 50)),
        "bar_ms_p99": float(np.percentile(answered, 99)),
    }


def measured(given: argparse.Namespace, mode: str, gate: str) -> dict[str, Any]:
    """One row: a run in a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["TRIGATE_TRIES"] = str(folder / "tries.jsonl")
        line = ["--checkpoint", str(given.checkpoint.resolve()), "--gate", gate, f'--set=runs="{folder / "runs"}"']
        if mode == "sim":
            line += ["--mode", "sim", "--bars", str(given.bars.resolve()), f"--set=sessions={given.sessions}"]
            _played(folder, line, _STRACE)
        else:
            _on_paper(folder, line, given, _STRACE)
        (journal,) = folder.glob("runs/*/journal.jsonl")
        found = figures(list(calls_in(folder / "trace")), journal.read_bytes())
        if mode == "paper":
            shutil.rmtree(folder / "runs")
            for past in folder.glob("past.csv*"):
                past.unlink()
            _on_paper(folder, line, given, [])
            found |= _bars_told(next(folder.glob("runs/*/telemetry.jsonl")))
    return {
        "name": "journal",
        "value": round(found["syncs_an_entry"], 2),
        "unit": "fdatasyncs/entry",
        "ratio_to": {},
        "settings": {"mode": mode, "gate": gate, "load": os.getloadavg()[0]},
        **{name: round(value, 3) for name, value in found.items()},
        "device": f"{os.cpu_count()} x {platform.machine()}",
        "versions": versions("pyzmq"),
    }


def _on_paper(folder: Path, line: list[str], given: argparse.Namespace, under: list[str]) -> None:
    """Play the last session as it comes."""
    feed = [ORCHESTRATOR, "feed", given.bars.resolve(), "--to", "past.csv", "--port", "0", "--wait", "15"]
    words = [*map(str, feed), "--speed", str(given.speed)]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        said = next(line for line in program.stdout if line.startswith("orchestrator run "))
        _played(folder, [*said.split()[2:], *line, "--set=sessions=1"], under)
        program.kill()


def _bars_told(telemetry: Path) -> dict[str, float]:
    """How long bars took, as the run has noted it."""
    told = [event for event in read_telemetry(telemetry) if event["event"] == "bar_done"]
    took_ms = [1000 * float(str(event["seconds"])) for event in told]
    shares = {"p50": 50, "p99": 99, "max": 100}
    return {f"bar_ms_{name}": float(np.percentile(took_ms, share)) for name, share in shares.items()}


def _played(folder: Path, line: list[str], under: list[str]) -> None:
    """Play a run to its end."""
    command = [*under, str(ORCHESTRATOR), "run", *line]
    ended = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        raise SystemExit(f"the run ended with {ended.returncode}: {ended.stderr[-500:]}")


def main() -> None:
    """Measure and print one row a mode and gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--bars", type=Path, default=ROOT / ".cache/demo/NQ_D1M.parquet")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / ".cache/demo/phase2")
    parser.add_argument("--mode", nargs="+", choices=["sim", "paper"], default=["sim", "paper"])
    parser.add_argument("--gate", nargs="+", default=["rules"])
    parser.add_argument("--sessions", type=int, default=2, help="of a sim")
    parser.add_argument("--speed", type=float, default=700.0, help="of a market on paper")
    given = parser.parse_args()
    for mode in given.mode:
        for gate in given.gate:
            row = measured(given, mode, gate)
            text = f"{mode} {gate}: {row['syncs_an_entry']} syncs and {row['bytes_an_entry']:.0f} bytes an entry"
            print(json.dumps(row) if given.json else text)


if __name__ == "__main__":
    main()
