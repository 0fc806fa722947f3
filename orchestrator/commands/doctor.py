"""`orchestrator doctor`: whether a run could start here and now, one line for each thing that it needs."""

import json

import typer

from llm_gate.commands.prompts import PromptsFolder
from orchestrator.commands.run_options import (
    Checkpoint,
    Clock,
    Contract,
    FeedAddress,
    GateEngine,
    MinuteBars,
    Mode,
    OwnEntriesFile,
    SecondBars,
    SeenUntil,
    Shadow,
    run_asked_for,
)
from orchestrator.run.config import RunConfig
from rl_core.commands.options import Stamped, Timezone
from trigate.command_line import AsJson, ConfigFile, Settings
from trigate.errors import TrigateError


def doctor(
    mode: Mode = None,
    bars: MinuteBars = None,
    feed: FeedAddress = None,
    clock: Clock = None,
    seconds: SecondBars = None,
    market: Contract = None,
    timezone: Timezone = None,
    stamp: Stamped = None,
    checkpoint: Checkpoint = None,
    entries: OwnEntriesFile = None,
    seen_until: SeenUntil = None,
    gate: GateEngine = None,
    shadow: Shadow = False,
    prompts: PromptsFolder = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Say whether `run` with the same options would start, and what to mend; ends as `run` would, 0 if it starts."""
    options = {
        "--mode": mode,
        "--feed": feed,
        "--clock": clock,
        "--bars": bars,
        "--seconds": seconds,
        "--market": market,
        "--timezone": timezone,
        "--stamp": stamp,
        "--checkpoint": checkpoint,
        "--entries": entries,
        "--seen-until": seen_until,
        "--gate": gate,
        "--shadow": shadow or None,
        "--prompts": prompts,
    }
    try:
        asked_for = run_asked_for(config, settings, options)
    except TrigateError as error:
        _tell([("settings", "wrong", str(error))], error.exit_code, as_json=as_json)
    _examine(asked_for, as_json=as_json)


def _examine(asked_for: RunConfig, *, as_json: bool) -> None:
    from orchestrator.run.doctor import examine, exit_code_of  # what a run needs takes seconds to import

    checks = examine(asked_for)
    _tell([(check.name, check.level, check.said) for check in checks], exit_code_of(checks), as_json=as_json)


def _tell(rows: list[tuple[str, str, str]], code: int, *, as_json: bool) -> None:
    """Print one line a check, or one object, and end with ``code``."""
    if as_json:
        checks = [{"check": name, "level": level, "said": said} for name, level, said in rows]
        typer.echo(json.dumps({"can_start": code == 0, "exit_code": int(code), "checks": checks}))
        raise SystemExit(code)
    for name, level, said in rows:
        typer.echo(f"{level:<8} {name:<10} {said}")
    typer.echo("a run can start" if code == 0 else f"a run would not start: exit code {int(code)}")
    raise SystemExit(code)
