"""A simulated run, measured: seconds to its first bar, bars a second, CPU seconds, all processes together.

python bench/whole_run.py --json --bars FILE --checkpoint DIR --sessions 2 --gate off rules
With --against DIR, another checkout, the two are run in turn, as often as --repeats says, and each row has the ratio.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions

ROOT = Path(__file__).parents[1]
UNITS = {"to_first_bar_s": "s", "bars_per_s": "bars/s", "cpu_s": "s"}
POLL_S = 0.01


class Measured(NamedTuple):
    """One run."""

    to_first_bar_s: float  # from the command to the first recorded bar
    bars_per_s: float  # from there to the last
    cpu_s: float  # of every process of the run


def measure(code: Path, line: list[str]) -> Measured:
    """Run ``orchestrator run`` of the checkout ``code`` with the arguments ``line``."""
    with tempfile.TemporaryDirectory() as runs:
        before, began_s = _cpu_s(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", *line, "--set", f'runs="{runs}"'],
            env={**os.environ, "PYTHONPATH": str(code)},
            cwd=code,  # which Python looks in before any other place
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        first_s = last_s = 0.0
        while process.poll() is None:
            for journal in Path(runs).glob("*/journal.jsonl"):
                first_s = first_s or (time.perf_counter() if b'"t":"bar"' in journal.read_bytes()[:4096] else 0.0)
            if first_s and not last_s and _ended(Path(runs)):
                last_s = time.perf_counter()
            time.sleep(POLL_S)
        if process.returncode != 0:
            raise SystemExit(f"the run ended with {process.returncode}: {' '.join(line)}")
        (journal,) = Path(runs).glob("*/journal.jsonl")
        bars = journal.read_bytes().count(b'"t":"bar"')
    return Measured(first_s - began_s, bars / (last_s - first_s), _cpu_s() - before)


def _ended(runs: Path) -> bool:
    """Whether the last bar was played; the report is still to come."""
    return any('"status": "ended"' in manifest.read_text() for manifest in runs.glob("*/manifest.json"))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows_of(arguments: argparse.Namespace, gate: str) -> list[dict[str, Any]]:
    """One row a figure, the median of the repeats; runs of the two checkouts take turns."""
    line = [
        "--bars",
        str(arguments.bars.resolve()),
        "--checkpoint",
        str(arguments.checkpoint.resolve()),
        "--gate",
        gate,
    ]
    line += ["--set", f"sessions={arguments.sessions}"]
    codes = [ROOT, *([arguments.against.resolve()] if arguments.against else [])]
    found: dict[Path, list[Measured]] = {code: [] for code in codes}
    for _ in range(arguments.repeats):
        for code in codes:
            found[code].append(measure(code, line))
    settings = {"gate": gate, "sessions": arguments.sessions, "repeats": arguments.repeats, "load": os.getloadavg()[0]}
    rows = []
    for name, unit in UNITS.items():
        own, *other = (statistics.median(getattr(one, name) for one in found[code]) for code in codes)
        ratio = {"against": round(own / other[0], 3)} if other else {}
        row = {"name": name, "value": round(own, 2), "unit": unit, "ratio_to": ratio, "settings": settings}
        rows.append({**row, "device": f"{os.cpu_count()} x {platform.machine()}", "versions": versions("pyzmq")})
    return rows


def main() -> None:
    """Measure each gate and print one row a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--bars", type=Path, default=ROOT / ".cache/demo/NQ_D1M.parquet")
    parser.add_argument("--checkpoint", type=Path, default=ROOT / ".cache/demo/phase2")
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--gate", nargs="+", default=["off", "rules"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout of the code, run in turn with this one")
    arguments = parser.parse_args()
    for gate in arguments.gate:
        for row in rows_of(arguments, gate):
            print(
                json.dumps(row) if arguments.json else f"{gate:<6} {row['name']:<15} {row['value']:>10} {row['unit']}"
            )


if __name__ == "__main__":
    main()
