"""Wall time and peak memory of a command, children included: python bench/commands.py [--json] -- make sim."""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions

SAMPLE_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(root: int) -> set[int]:
    """The living processes that descend from ``root``, itself included."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def resident_bytes(pids: set[int]) -> int:
    """Resident memory of the processes; pages that they share count once a process."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except OSError:
            continue
    return total


def measure(command: list[str]) -> dict[str, float]:
    """Run ``command``; its exit status, wall seconds and the peak of its processes' resident memory in MB."""
    began, peak, ended = time.perf_counter(), 0, threading.Event()
    process = subprocess.Popen(command, stdout=sys.stderr)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(SAMPLE_S):
            peak = max(peak, resident_bytes(descendants(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    ended.set()
    watcher.join()
    return {"exit_status": status, "wall_s": time.perf_counter() - began, "peak_mb": peak / 1e6}


def main() -> None:
    """Measure the command after ``--`` and print one row a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    found = measure(arguments.command)
    settings = {"command": " ".join(arguments.command), "load_before": load, "cores": os.cpu_count()}
    for name, unit in (("wall_s", "s"), ("peak_mb", "MB")):
        row = {
            "name": name,
            "value": round(found[name], 1),
            "unit": unit,
            "ratio_to": None,
            "settings": settings,
            "device": platform.machine(),
            "versions": versions("trigate"),
        }
        print(json.dumps(row) if arguments.json else f"{name:<8} {row['value']:>10} {unit}")
    sys.exit(int(found["exit_status"]))


if __name__ == "__main__":
    main()
