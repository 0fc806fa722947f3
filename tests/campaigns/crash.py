"""Kill training, continue it, compare: `python -m tests.campaigns.crash --kills 50 --out FILE`; one JSON line a kill.

Half of the kills fall at a random moment between the first row of metrics and the last; the others at a system call
of a save (rename, fsync, write, mkdir, unlinkat, by strace). Kill number and seed decide where. The file is continued:
what it holds already is not done again.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.processes.training import ROOT, ROWS, Ended, command, ended, injected, rows_in, strace, was_killed

SEED = 20
CALLS = {"rename": 40, "fsync": 400, "write": 300, "mkdir": 40, "unlinkat": 200}
"""System call -> the most that one thread of an unbroken run makes, roughly; where it makes fewer nothing is killed."""
ATTEMPTS = 8


def main() -> int:
    """Run what is missing; 1 if one run ended otherwise than the unbroken one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each kind")
    parser.add_argument("--out", type=Path, default=Path(".cache/crash.jsonl"))
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    kinds = ["training", "save"] if strace() else ["training"]
    wanted = [(kind, number) for number in range(given.kills) for kind in kinds]
    done = {(row["kind"], row["number"]) for row in known}
    with tempfile.TemporaryDirectory() as folder:
        campaign = _Campaign(Path(folder))
        for kind, number in wanted:
            if (kind, number) not in done:
                known.append(campaign.kill(kind, number))
                with given.out.open("a") as file:
                    file.write(json.dumps(known[-1]) + "\n")
    return _told(known)


class _Campaign:
    """A world, a cache of compiled programs, and what the unbroken run comes to."""

    def __init__(self, folder: Path) -> None:
        from rl_core.bars.write import write_bars
        from rl_core.worlds.demo import demo_world

        self.folder, self.bars = folder, folder / "NQ_D1M.parquet"
        write_bars(demo_world(7, 12).minutes, self.bars)
        self.environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        self.run("cold")
        self.whole: Ended = self.run("whole")

    def run(self, name: str) -> Ended:
        """Train to the end in the folder ``name``."""
        subprocess.run(command(self.bars, self.folder / name), **self.options(), check=True)
        return ended(self.folder / name)

    def options(self) -> dict[str, Any]:
        """For a child."""
        return {"env": self.environment, "cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def kill(self, kind: str, number: int) -> dict[str, Any]:
        """One run, killed and continued; what came of it."""
        rng = random.Random(f"{SEED} {kind} {number}")
        out = self.folder / "run"
        attempts, where = 0, None
        while where is None and attempts < ATTEMPTS:
            shutil.rmtree(out, ignore_errors=True)
            where = self.in_training(out, rng) if kind == "training" else self.in_a_save(out, rng)
            attempts += 1
        rows = rows_in(out)
        left = sorted(path.name for path in out.rglob(".phase*"))
        try:
            same = self.run("run") == self.whole
        except (AssertionError, subprocess.CalledProcessError):
            same = False
        found = {
            "killed": where is not None,
            "where": where,
            "attempts": attempts,
            "rows": rows,
            "half_written": left,
        }
        return {"kind": kind, "number": number, "seed": SEED, **found, "same": same}

    def in_training(self, out: Path, rng: random.Random) -> str | None:
        """Kill at a random moment after the first row."""
        target, pause_s = rng.randrange(1, ROWS), rng.random() * 0.03
        run = subprocess.Popen(command(self.bars, out), **self.options())
        while rows_in(out) < target and run.poll() is None:
            time.sleep(0.001)
        time.sleep(pause_s)
        run.kill()
        return f"row {target} + {1e3 * pause_s:.1f} ms" if was_killed(run.wait()) else None

    def in_a_save(self, out: Path, rng: random.Random) -> str | None:
        """Kill at the k-th of one system call, after the first row."""
        call = rng.choice(sorted(CALLS))
        count = rng.randrange(1, CALLS[call])
        fault = f"{call}:signal=SIGKILL:when={count}"
        code = subprocess.run(injected(fault, command(self.bars, out)), **self.options()).returncode
        return fault if was_killed(code) and rows_in(out) else None


def _told(rows: list[dict[str, Any]]) -> int:
    """Print the sums."""
    for kind in sorted({row["kind"] for row in rows}):
        of_kind = [row for row in rows if row["kind"] == kind]
        killed = [row for row in of_kind if row["killed"]]
        print(
            json.dumps(
                {
                    "kind": kind,
                    "runs": len(of_kind),
                    "killed": len(killed),
                    "half_written": sum(bool(row["half_written"]) for row in killed),
                    "same": sum(row["same"] for row in of_kind),
                    "calls": Counter(row["where"].partition(":")[0] for row in killed) if kind == "save" else {},
                }
            )
        )
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
