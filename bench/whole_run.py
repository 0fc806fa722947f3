"""A simulated run, measured: seconds to its first bar, bars a second, CPU seconds, all processes together.

python bench/whole_run.py --json --bars FILE --checkpoint DIR --sessions 2 --gate off rules
With --against DIR, another checkout, the two are run in turn, as often as --repeats says, and each row has the ratio.

python bench/whole_run.py --json --only accounts --accounts 64 --sessions 1 --gate rules
plays so many accounts in one run, over one policy and one gate: decisions of the policy a second, from the first bar to
the last account's end, with CPU seconds and the peak of the resident memory of all processes together.

python bench/whole_run.py --json --only restart --bars FILE --checkpoint DIR --sessions 12 --gate off rules --repeats 5
kills a run's supervisor in the middle: seconds from the same command to the next record, the median.
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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions

ROOT = Path(__file__).parents[1]
UNITS = {
    "to_first_bar_s": "s",
    "cpu_to_first_bar_s": "s",
    "bars_per_s": "bars/s",
    "bars_per_cpu_s": "bars/s",
    "cpu_s": "s",
}
POLL_S = 0.01
UNDER_WAY = 200_000  # bytes of journal: a run is in the middle
WORKERS_GONE_S = 1.5  # after their supervisor's death


class Measured(NamedTuple):
    """One run."""

    to_first_bar_s: float  # from the command to the first recorded bar
    cpu_to_first_bar_s: float  # of every process by then
    bars_per_s: float  # from there to the last
    bars_per_cpu_s: float  # the same, by the CPU seconds of every process
    cpu_s: float  # of every process of the run


def measure(code: Path, line: list[str]) -> Measured:
    """Run ``orchestrator run`` of the checkout ``code`` with the arguments ``line``."""
    with tempfile.TemporaryDirectory() as runs:
        before, began_s = _cpu_s(), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", *line, "--set", f'runs="{runs}"'],
            env=_environment(code),
            cwd=code,  # which Python looks in before any other place
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        first, last = _watched(process, Path(runs))
        if process.returncode != 0:
            raise SystemExit(f"the run ended with {process.returncode}: {' '.join(line)}")
        (journal,) = Path(runs).glob("*/journal.jsonl")
        bars = journal.read_bytes().count(b'"t":"bar"')
    rates = bars / (last.s - first.s), bars / (last.cpu_s - first.cpu_s)
    return Measured(first.s - began_s, first.cpu_s, *rates, _cpu_s() - before)


class _Moment(NamedTuple):
    """When something was seen; 0 where it was not yet."""

    s: float = 0.0  # of the clock
    cpu_s: float = 0.0  # of every process of the run so far


def _watched(process: "subprocess.Popen[bytes]", runs: Path) -> tuple[_Moment, _Moment]:
    """Wait for a run to end: when its first bar was recorded, and when its last."""
    first = last = _Moment()
    while process.poll() is None:
        if not first.s:
            first = _Moment(time.perf_counter(), _cpu_of(process.pid)) if _begun(runs) else first
        elif not last.s:
            # The workers are gone when the manifest says so, and their CPU seconds with them.
            last = _Moment(time.perf_counter() if _ended(runs) else 0.0, max(last.cpu_s, _cpu_of(process.pid)))
        time.sleep(POLL_S)
    return first, last


def _environment(code: Path) -> dict[str, str]:
    """What a run of the checkout is started with; it keeps its bytecode, as an installed one does."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(code)}


def _begun(runs: Path) -> bool:
    """Whether a bar was recorded."""
    return any(b'"t":"bar"' in journal.read_bytes()[:4096] for journal in runs.glob("*/journal.jsonl"))


def _ended(runs: Path) -> bool:
    """Whether the last bar was played; the report is still to come."""
    return any('"status": "ended"' in manifest.read_text() for manifest in runs.glob("*/manifest.json"))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def rows_of(arguments: argparse.Namespace, gate: str) -> list[dict[str, Any]]:
    """One row a figure, the median of the repeats; runs of the two checkouts take turns."""
    line = _line(arguments, gate)
    codes = [ROOT, *([arguments.against.resolve()] if arguments.against else [])]
    found: dict[Path, list[Measured]] = {code: [] for code in codes}
    for _ in range(arguments.repeats):
        for code in codes:
            found[code].append(measure(code, line))
    return [
        _row(arguments, gate, (name, unit), [[getattr(one, name) for one in found[code]] for code in codes])
        for name, unit in UNITS.items()
    ]


def _row(
    arguments: argparse.Namespace, gate: str, named: tuple[str, str], by_code: list[list[float]]
) -> dict[str, Any]:
    """The median of the repeats of this checkout, beside that of the other where there is one."""
    own, *other = map(statistics.median, by_code)
    return {
        "name": named[0],
        "value": round(own, 2),
        "unit": named[1],
        "ratio_to": {"against": round(own / other[0], 3)} if other else {},
        "settings": {
            "gate": gate,
            "sessions": arguments.sessions,
            "repeats": arguments.repeats,
            "load": os.getloadavg()[0],
        },
        "device": f"{os.cpu_count()} x {platform.machine()}",
        "versions": versions("pyzmq"),
    }


def restart_row(arguments: argparse.Namespace, gate: str) -> dict[str, Any]:
    """One row: seconds from the command that continues a killed run to its next record; checkouts take turns."""
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
    found: dict[Path, list[float]] = {code: [] for code in codes}
    for _ in range(arguments.repeats):
        for code in codes:
            found[code].append(_ready_after_kill(code, line))
    return _row(arguments, gate, ("ready_after_restart_s", "s"), [found[code] for code in codes])


def _ready_after_kill(code: Path, line: list[str]) -> float:
    with tempfile.TemporaryDirectory() as runs:
        command = [sys.executable, "-m", "orchestrator", "run", *line, "--set", f'runs="{runs}"']
        start = partial(
            subprocess.Popen,
            command,
            env=_environment(code),
            cwd=code,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        killed = start()
        while _recorded(Path(runs)) < UNDER_WAY:
            if killed.poll() is not None:
                raise SystemExit(f"the run ended with {killed.returncode} before it could be killed")
            time.sleep(POLL_S)
        killed.kill()
        killed.wait()
        time.sleep(WORKERS_GONE_S)
        known, began_s = _recorded(Path(runs)), time.perf_counter()
        again = start()
        while _recorded(Path(runs)) <= known:
            if again.poll() is not None:
                raise SystemExit(f"the continued run ended with {again.returncode} and recorded nothing")
            time.sleep(POLL_S)
        took_s = time.perf_counter() - began_s
        again.terminate()
        again.wait()
    return took_s


def _recorded(runs: Path) -> int:
    """Bytes of the run's journal."""
    return sum(journal.stat().st_size for journal in runs.glob("*/journal.jsonl"))


def _line(arguments: argparse.Namespace, gate: str) -> list[str]:
    """The arguments of ``orchestrator run``."""
    line = ["--bars", str(arguments.bars.resolve()), "--checkpoint", str(arguments.checkpoint.resolve())]
    return [*line, "--gate", gate, "--set", f"sessions={arguments.sessions}"]


PACKS = ("topstep_combine#50k", "apex_legacy#50k-pa", "apex_4_0#50k-eod-pa", "apex_legacy#25k-pa")
"""The accounts of `--only accounts` take them in turn."""
RISKS = (100, 150, 200, 250)


def accounts_row(arguments: argparse.Namespace, gate: str) -> dict[str, Any]:
    """One row: many accounts in one run."""
    line = ["--bars", str(arguments.bars.resolve()), "--checkpoint", str(arguments.checkpoint.resolve())]
    with tempfile.TemporaryDirectory() as scratch:
        file, runs = Path(scratch, "accounts.toml"), Path(scratch, "runs")
        line += ["--gate", gate, "--set", f"sessions={arguments.sessions}", "--set", f'runs="{runs}"']
        file.write_text("".join(_account(number) for number in range(arguments.accounts)))
        before, began_s, memory, first_s = _cpu_s(), time.perf_counter(), 0, 0.0
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", "--accounts", str(file), *line],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TRIGATE_TRIES": str(Path(scratch, "tries.jsonl"))},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        played_s = cpu_played_s = 0.0
        while process.poll() is None:
            journals = list(runs.glob("*/*/journal.jsonl"))
            if journals and not first_s and any(b'"t":"bar"' in each.read_bytes()[:4096] for each in journals):
                first_s = time.perf_counter()
            if first_s and not played_s and _ended_accounts(runs) == arguments.accounts:
                played_s, cpu_played_s = time.perf_counter(), _cpu_of(process.pid)
            memory = max(memory, _resident(process.pid))
            time.sleep(0.1)
        if process.returncode != 0 or not played_s:
            raise SystemExit(f"the accounts ended with {process.returncode}")
        records = [path.read_bytes() for path in runs.glob("*/*/journal.jsonl")]
    decisions = sum(record.count(b'"t":"acted"') for record in records)
    settings = {
        "gate": gate,
        "accounts": arguments.accounts,
        "sessions": arguments.sessions,
        "load": os.getloadavg()[0],
    }
    return {
        "name": "accounts_decisions_per_s",
        "value": round(decisions / (played_s - first_s)),
        "unit": "decisions/s",
        "ratio_to": {},
        "settings": settings,
        "decisions": decisions,
        "verdicts": sum(record.count(b'"t":"decided"') for record in records),
        "bars": sum(record.count(b'"t":"bar"') for record in records),
        "to_first_bar_s": round(first_s - began_s, 1),
        "played_s": round(played_s - first_s, 1),
        "cpu_until_played_s": round(cpu_played_s, 1),
        "cpu_with_reports_s": round(_cpu_s() - before, 1),
        "peak_memory_mb": round(memory / 1e6),
        "device": f"{os.cpu_count()} x {platform.machine()}",
        "versions": versions("pyzmq"),
    }


def _account(number: int) -> str:
    pack, risk = PACKS[number % len(PACKS)], RISKS[number // len(PACKS) % len(RISKS)]
    return f'[accounts.a{number:03}]\ntrading.rules = "{pack}"\ntrading.risk_dollars = {risk}\n\n'


def _ended_accounts(runs: Path) -> int:
    return sum('"status": "ended"' in manifest.read_text() for manifest in runs.glob("*/*/manifest.json"))


def _family(pid: int) -> list[Path]:
    """Entries of /proc of a process and its children, each of which leads a session of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [Path(f"/proc/{each}") for each in (str(pid), *children.read_text().split())]
    except OSError:
        return []


def _resident(pid: int) -> int:
    """Bytes in memory, pages that several processes share counted for each."""
    found = 0
    for entry in _family(pid):
        try:
            found += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            continue
    return found


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process and its living children so far."""
    ticks = 0
    for entry in _family(pid):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
    parser.add_argument("--only", choices=["accounts", "restart"], help="that, in the place of one run alone")
    parser.add_argument("--accounts", type=int, default=64)
    arguments = parser.parse_args()
    for gate in arguments.gate if arguments.only == "accounts" else ():
        row = accounts_row(arguments, gate)
        print(json.dumps(row) if arguments.json else f"{row['value']:,} decisions/s, {row['peak_memory_mb']:,} MB")
    for gate in arguments.gate if arguments.only == "restart" else ():
        row = restart_row(arguments, gate)
        print(json.dumps(row) if arguments.json else f"{gate:<6} ready after a restart {row['value']} s")
    for gate in () if arguments.only else arguments.gate:
        for row in rows_of(arguments, gate):
            print(
                json.dumps(row) if arguments.json else f"{gate:<6} {row['name']:<15} {row['value']:>10} {row['unit']}"
            )


if __name__ == "__main__":
    main()
