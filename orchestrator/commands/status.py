"""The commands `orchestrator status` and `orchestrator list`: how runs stand, read without touching them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.report.filled_by import filled_by, refused, sent_to
from orchestrator.report.status import RunStatus, holder_of_run, state_of, status_of
from orchestrator.run.accounts_folder import ACCOUNTS
from orchestrator.run.folder import MANIFEST, RunFolder, run_at
from rl_core.exchange.instruments import instrument
from trigate.command_line import AsJson, print_lines, print_result
from trigate.errors import ConfigError, ResourceError

LAST_WIDE = 36
"""Columns before the words of a last record."""
RUNS = Path("runs")
"""Where `orchestrator run` makes its folders unless it is told otherwise."""


def status(
    run: Annotated[Path | None, typer.Argument(help="A run's folder; none: the newest below runs/.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say how a run stands: alive or not, position, equity, room and target, halted or not, last records, alarms."""
    found = status_of(run_at(run or newest(RUNS)))
    print_result(_for_programs(found) if as_json else _for_people(found), as_json=as_json)
    if not as_json:
        print_lines(_last(found), hang=LAST_WIDE)
        for alarm in found.alarms:
            typer.echo(f"  ALARM  {alarm}")


def list_runs(
    runs: Annotated[Path, typer.Argument(help="A folder of runs.")] = RUNS,
    as_json: AsJson = False,
) -> None:
    """List the runs of a folder, the newest first, each with its state and its verdict."""
    rows, of_accounts = [_row(RunFolder(path)) for path in _folders(runs)], _folders(runs, ACCOUNTS)
    if as_json:
        print_result({"runs": rows, "accounts": [path.name for path in of_accounts]}, as_json=True)
        return
    if not rows and not of_accounts:
        raise ConfigError(f"{runs}: holds no run; orchestrator run makes one, and prints its folder")
    wide = max((len(row["run"]) for row in rows), default=0)
    for row in rows:
        reported = "no report yet" if row["trades"] is None else f"{row['verdict']:<12}  {row['trades']:>6,} trades"
        typer.echo(f"{row['run']:<{wide}}  {row['state']:<11}  {row['market']:<4}  {reported}")
    for path in of_accounts:
        typer.echo(f"{path.name}  many accounts: orchestrator list {path}")


def newest(runs: Path) -> Path:
    """The newest run's folder below ``runs``.

    Raises:
        ConfigError: there is none.
    """
    found = _folders(runs)
    if not found:
        raise ConfigError(f"{runs}: holds no run; give a run's folder")
    return found[0]


def _folders(runs: Path, holding: str = MANIFEST) -> list[Path]:
    """Newest first, as a folder's name begins with the time at which its run began; none that is half made."""
    found = [path.parent for path in runs.glob(f"[!.]*/{holding}")]
    return sorted(found, key=lambda path: path.name, reverse=True)


def _row(folder: RunFolder) -> dict[str, Any]:
    """One run of the list; one whose manifest cannot be read is listed as that."""
    row = {"run": folder.path.name, "state": "unreadable", "market": "-", "verdict": "", "trades": None, "pid": None}
    try:
        manifest = folder.manifest()
    except ResourceError:
        return row
    pid, said = holder_of_run(folder), _verdict(folder.path / "verdict.json")
    known = {"state": state_of(manifest, pid), "market": manifest.market, "pid": pid}
    return {**row, **known, "verdict": said.get("verdict", ""), "trades": said.get("trades")}


def _verdict(path: Path) -> dict[str, Any]:
    """What the report said, nothing where there is none yet."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _for_programs(found: RunStatus) -> dict[str, Any]:
    now = found.now._asdict()
    return {
        "run": str(found.folder.path),
        "run_id": found.manifest.run_id,
        "state": found.state,
        "mode": found.manifest.inputs.config.get("mode", "sim"),
        "alive": found.pid is not None,
        "pid": found.pid,
        "starts": found.manifest.starts,
        "market": found.manifest.market,
        "filled_by": filled_by(found.manifest.inputs.config),
        "sent_to": sent_to(found.manifest.inputs.config),
        "contract": found.manifest.contract,
        "records": found.records,
        "torn": found.torn,
        **now,
        "room": found.room,
        "to_target": found.to_target,
        "asked": found.asked,
        "last_records": [{"n": record.number, "type": record.type, **record.payload} for record in found.last],
        "alarms": list(found.alarms),
    }


def _for_people(found: RunStatus) -> dict[str, Any]:
    from orchestrator.report.formats import dollars, exchange_time, points  # pandas takes a second

    told = refused(found.now.rejected, found.now.moves_refused)
    now, tick = found.now, instrument(found.manifest.contract).tick_size
    lives = f"yes, process {found.pid}" if found.pid is not None else "no"
    position = "flat"
    if now.quantity:
        side = "long" if now.quantity > 0 else "short"
        size = f"{abs(now.quantity)} of {abs(now.entered)}" if now.entered != now.quantity else f"{abs(now.quantity)}"
        position = f"{side} {size} {found.manifest.contract} from {points(now.entry or 0, tick)}"
        position += f", stop {points(now.stop, tick)}" if now.stop is not None else ""
    bar = "none yet"
    if now.last_bar_ns is not None and now.close is not None:
        bar = f"number {now.bars:,}, of {exchange_time(now.last_bar_ns)} ET, close {points(now.close, tick)}"
    return {
        "state": found.state,
        "alive": f"{lives}; start {found.manifest.starts}, the first at {found.manifest.started}",
        "bar": bar,
        "position": position,
        "equity": dollars(now.equity),
        "room to floor": dollars(found.room),
        "to target": dollars(found.to_target),
        "account": f"attempt {now.attempt}: {now.account}",
        "trades": now.trades,
        "filled by": filled_by(found.manifest.inputs.config) + (f"; it refused {told}" if told else ""),
        "standing": now.standing if now.standing == found.asked else f"{now.standing}; {found.asked} is asked for",
        "records": f"{found.records:,}" + (f", and a torn one of {found.torn} bytes" if found.torn else ""),
        "run": str(found.folder.path),
    }


def _last(found: RunStatus) -> Iterator[str]:
    """The last records, a line each."""
    from orchestrator.report.record_words import record_in_words

    tick = instrument(found.manifest.market).tick_size
    for record in found.last:
        named = f"  record {record.number:>8,}  {record.type.replace('_', ' ')}"
        yield f"{named:<{LAST_WIDE}}{record_in_words(record.payload, tick)}"
