"""How long reading bars takes and how much memory it needs, each in a process of its own.

    python bench/data.py [--rows-minute 1000000] [--rows-second 10000000] [--json]

One line per value: name, value, unit, settings, versions. Not a timed test: run it on a quiet machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import numpy as np

from bench.facts import versions
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.exchange.instruments import instrument

CASES = (("minute", 60, "csv"), ("minute", 60, "parquet"), ("second", 1, "csv"), ("second", 1, "parquet"))


def walk(rows: int, interval_s: int) -> Bars:
    """A random walk of NQ over consecutive intervals."""
    drawn = np.random.default_rng(0)
    start = np.datetime64("2015-01-05T00:00", "ns").astype(np.int64)
    close = 40_000 + np.cumsum(drawn.integers(-8, 9, rows), dtype=np.int64)
    close = np.abs(close - 20_000) + 20_000
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) + drawn.integers(0, 6, rows)
    low = np.minimum(opened, close) - drawn.integers(0, 6, rows)
    times = start + np.arange(rows) * interval_s * 1_000_000_000
    return Bars(
        instrument=instrument("NQ"),
        interval_s=interval_s,
        ts_event_ns=times,
        open=opened.astype(np.int32),
        high=high.astype(np.int32),
        low=low.astype(np.int32),
        close=close.astype(np.int32),
        volume=drawn.integers(1, 900, rows),
    )


def measure(path: Path, interval_s: int) -> None:
    """Read once in this process and print seconds and peak bytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    bars = read_bars(path, interval_s=interval_s)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_mb": peak / 1024, "start_mb": before / 1024, "rows": len(bars)}))


def say(name: str, value: float, unit: str, settings: dict[str, object], *, as_json: bool) -> None:
    """Print one value."""
    if as_json:
        line = {
            "name": name,
            "value": value,
            "unit": unit,
            "settings": settings,
            "versions": versions("pyarrow", "numpy"),
        }
        print(json.dumps(line), flush=True)
    else:
        print(f"{name:<28} {value:>10.2f} {unit:<4} {settings}", flush=True)


def main() -> None:
    """Write the files, read each in a fresh process, say what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows-minute", type=int, default=1_000_000)
    parser.add_argument("--rows-second", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "INTERVAL"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(Path(asked.measure[0]), int(asked.measure[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind, interval_s, ending in CASES:
            rows = asked.rows_minute if kind == "minute" else asked.rows_second
            path = Path(folder) / f"NQ_D1{kind[0].upper()}.{ending}"
            write_bars(walk(rows, interval_s), path)
            command = [sys.executable, __file__, "--measure", str(path), str(interval_s)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
            found = json.loads(done.stdout)
            settings = {"rows": rows, "file": ending, "mb": round(path.stat().st_size / 1e6), "cores": os.cpu_count()}
            say(f"read_{kind}_{ending}", found["seconds"], "s", settings, as_json=asked.json)
            say(f"read_{kind}_{ending}_peak", found["peak_mb"], "MB", settings, as_json=asked.json)
            path.unlink()


if __name__ == "__main__":
    main()
