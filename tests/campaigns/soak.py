"""A run for long: sixty sessions with seconds as fast as they go, then half an hour on paper in a storm of faults.

    python -m tests.campaigns.soak [--part sim|storm] [--sessions 60] [--minutes 30] [--checkpoint DIR] [--out FILE]

Real commands as processes: `orchestrator run --mode sim --seconds`, and `orchestrator feed` with `orchestrator run
--mode paper`, whose gate asks a model server through a proxy that spoils every reply in another way. In the storm a
fault comes every few seconds: a worker is killed or stands still, the feed's program stands still, the run is halted or
flattened, and resumed. Every process is looked at twice a second: private memory, descriptors, threads, zombies. Memory
may grow by no more than 1 MiB an hour and 1 KiB a bar that is played (`tests/campaigns/watched.py`); nothing else may
grow. At the end SIGTERM ends the run, `orchestrator replay --verify` reads it, and nothing may be alive. FILE holds one
JSON object a part; what it holds of this code is not played again. Prints one JSON object a part; exit code 100 if a
promise is broken.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.campaigns.run_faults import ORCHESTRATOR, Faults, told
from tests.campaigns.storm import child
from tests.campaigns.watched import LEAST_LOOKS, Moment, Watch, broken_in, table_of
from trigate.versions import code_digest

ROOT = Path(__file__).parents[2]
EVERY_S = 0.5
DEADLINE_MS = 500
SPEED = 700
HISTORY = 22
"""Sessions before the first that is played: what a trader remembers of 20 sessions is full from the first bar on."""
SESSIONS = 60
STOPPED = 143
STOPS_WITHIN_S = 15.0


def soaked_sim(world: Path, checkpoint: Path, sessions: int) -> dict[str, Any]:
    """Play the last ``sessions`` of a world with its seconds, and look on."""
    runs = world / "runs-sim"
    bars = Bars(runs)
    line = ["run", "--mode", "sim", "--bars", "NQ_D1M.parquet", "--seconds", "NQ_D1S.parquet", "--gate", "rules"]
    with commanded(world, *line, *settings(runs, checkpoint), f"--set=sessions={sessions}") as run:
        watch = Watch(run.pid, lambda: Moment(0.0, bars()))
        while run.poll() is None:
            if bars() and not reporting(runs):
                watch.look()
            time.sleep(EVERY_S)
        code = run.wait()
    return _judged("sim", watch, runs, {"sessions": sessions, "bars": bars(), "exit": code}, wanted=0)


def soaked_storm(world: Path, checkpoint: Path, minutes: float) -> dict[str, Any]:
    """Trade on paper for so many minutes while faults come, and look on."""
    runs, past = world / "runs-storm", world / "past.csv"
    bars = Bars(runs)
    sound = world / "sound"
    sound.touch()
    spoiler = "tests.llm_gate.fault_proxy"
    with child("bench.stub_server") as server, child(spoiler, server, str(DEADLINE_MS), str(sound)) as proxy:
        feed = ["feed", "NQ_D1M.parquet", "--seconds", "NQ_D1S.parquet", "--to", past.name, "--port", "0"]
        with commanded(world, *feed, "--speed", str(SPEED), f"--sessions={SESSIONS}", "--wait=20") as program:
            line = ["run", *paper_line(program), "--gate", "vllm", f"--set=gate.url=http://127.0.0.1:{proxy}"]
            line += ["--set=gate.model=gate", f"--set=gate.review.deadline_s={DEADLINE_MS / 1000}"]
            with commanded(world, *line, *settings(runs, checkpoint)) as run:
                faults, watch = _stormed(run, program, Storm(bars, sound, minutes))
                asked_s = time.monotonic()
                run.send_signal(signal.SIGTERM)
                code = run.wait()
                ended_s = time.monotonic() - asked_s
    found = {"minutes": minutes, "bars": bars(), "exit": code, "stopped_in_s": round(ended_s, 1)}
    return _judged("storm", watch, runs, {**found, "faults": faults}, wanted=STOPPED)


class Storm(NamedTuple):
    """Where a storm takes place."""

    bars: "Bars"
    """Of its run."""
    sound: Path
    """The file by which its model server answers well."""
    minutes: float


def _stormed(
    run: "subprocess.Popen[str]", program: "subprocess.Popen[str]", storm: Storm
) -> tuple[dict[str, int], Watch]:
    """The faults that came, by name, and what was seen meanwhile."""
    bars, sound, minutes = storm
    while not bars():
        if run.poll() is not None:
            raise SystemExit(f"the run ended with {run.returncode} before its first bar: {_said(bars.runs.parent)}")
        time.sleep(EVERY_S)
    faults = Faults(run.pid, program.pid, bars.journals()[0].parent, sound)
    began_s = time.monotonic()
    watch = Watch(run.pid, lambda: Moment((time.monotonic() - began_s) / 3600, bars()))
    while time.monotonic() - began_s < minutes * 60 and run.poll() is None:
        watch.look()
        faults.blow(time.monotonic() - began_s)
        time.sleep(EVERY_S)
    faults.calm()
    return dict(faults.counts), watch


def _judged(part: str, watch: Watch, runs: Path, found: dict[str, Any], *, wanted: int) -> dict[str, Any]:
    """The row of a part, its promises judged."""
    seen = [each for each in watch.seen() if len(each.looks) >= LEAST_LOOKS]
    broken = broken_in(seen, watch.zombies)
    broken += [f"ended with {found['exit']}: {_said(runs.parent)}"] * (found["exit"] != wanted)
    broken += ["nobody was seen long enough"] * (not seen)
    stopped_in_s = found.get("stopped_in_s", 0.0)
    broken += [f"took {stopped_in_s} s to stop"] * (stopped_in_s > STOPS_WITHIN_S)
    for journal in runs.glob("*/journal.jsonl"):
        verified = told("replay", journal.parent, "--verify")
        broken += [f"replay: {verified.stderr[-300:]}"] * bool(verified.returncode)
    alive = watch.alive()
    broken += [f"alive after its end: {alive}"] * bool(alive)
    return {"part": part, **found, "load": os.getloadavg()[0], "processes": table_of(seen), "broken": broken}


def _said(world: Path) -> str:
    """The last words of the runs there."""
    return "".join(path.read_text()[-1500:] for path in sorted(world.glob("run-*.err")))


@contextmanager
def commanded(folder: Path, *line: str) -> Iterator["subprocess.Popen[str]"]:
    """An orchestrator command that plays in ``folder``; killed if it is left before its end."""
    errors = (folder / f"{line[0]}-{time.monotonic_ns()}.err").open("w")
    with (
        errors,
        subprocess.Popen(
            [str(ORCHESTRATOR), *line], cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def settings(runs: Path, checkpoint: Path) -> list[str]:
    """Options of a run that writes into ``runs``."""
    return ["--checkpoint", str(checkpoint.resolve()), f'--set=runs="{runs}"']


def paper_line(program: "subprocess.Popen[str]") -> list[str]:
    """The options of the run that the program of a feed prints."""
    assert program.stdout is not None
    for line in program.stdout:
        if line.startswith("orchestrator run "):
            return line.split()[2:]
    raise SystemExit(f"the feed ended with {program.wait()} and named no run")


class Bars:
    """Counts the bars of the only run in a folder, reading on where it has read to."""

    def __init__(self, runs: Path) -> None:
        """None yet."""
        self.runs, self._read, self._count = runs, 0, 0

    def journals(self) -> list[Path]:
        """That of the run, once it has one."""
        return list(self.runs.glob("*/journal.jsonl"))

    def __call__(self) -> int:
        """As many as are recorded whole by now."""
        for journal in self.journals():
            with journal.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")[0]
            self._count += whole.count(b'"t":"bar"')
            self._read += len(whole)
        return self._count


def reporting(runs: Path) -> bool:
    """Whether a run has played its last bar, and makes its tables and page."""
    return any('"status": "ended"' in manifest.read_text() for manifest in runs.glob("*/manifest.json"))


PARTS = ("sim", "storm")


def main() -> None:
    """Play the parts that FILE does not hold yet, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--sessions", type=int, default=SESSIONS)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--checkpoint", type=Path, default=ROOT / ".cache/demo/phase2")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    code = code_digest()
    held = given.out.read_text().splitlines() if given.out and given.out.exists() else []
    done = {row["part"]: row for row in map(json.loads, held) if row["code"] == code}
    os.environ["VLLM_API_KEY"] = "key"
    with tempfile.TemporaryDirectory() as scratch:
        world = Path(scratch)
        os.environ["TRIGATE_TRIES"] = str(world / "tries.jsonl")
        for part in [part for part in given.part or PARTS if part not in done]:
            made(world)
            row = (
                soaked_sim(world, given.checkpoint, given.sessions)
                if part == "sim"
                else soaked_storm(world, given.checkpoint, given.minutes)
            )
            done[part] = {"code": code, **row}
            if given.out:
                with given.out.open("a") as file:
                    file.write(json.dumps(done[part]) + "\n")
    for part in given.part or PARTS:
        sys.stdout.write(json.dumps(done[part]) + "\n")
    sys.exit(100 if any(done[part]["broken"] for part in given.part or PARTS) else 0)


def made(world: Path) -> None:
    """The demo world of other days, with its seconds, unless it is there."""
    if not (world / "NQ_D1S.parquet").exists():
        line = ["data", "demo", "--out", str(world), f"--sessions={SESSIONS + HISTORY}", "--seed=8", "--seconds"]
        subprocess.run(
            [str(ORCHESTRATOR.with_name("rl-core")), *line, "--first-day=2027-07-01"],
            check=True,
            stdout=subprocess.DEVNULL,
        )


if __name__ == "__main__":
    main()
