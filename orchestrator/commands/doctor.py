"""`orchestrator doctor`: whether a run could start here and now, one line for each thing that it needs."""

import json
from typing import TYPE_CHECKING, NoReturn

import typer

from orchestrator.commands.run_options import (
    AccountsFile,
    Broker,
    Checkpoint,
    Clock,
    Contract,
    FeedAddress,
    GateEngine,
    GatePrompts,
    MinuteBars,
    Mode,
    OwnEntriesFile,
    SecondBars,
    SeenUntil,
    SendOrdersTo,
    Shadow,
    run_asked_for,
    typed_options,
)
from orchestrator.run.accounts_file import parse_accounts
from rl_core.commands.options import Stamped, Timezone
from trigate.command_line import AsJson, ConfigFile, Settings
from trigate.errors import TrigateError

if TYPE_CHECKING:
    from orchestrator.run.doctor import Check


def doctor(
    mode: Mode = None,
    broker: Broker = None,
    send_orders_to: SendOrdersTo = None,
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
    prompts: GatePrompts = None,
    accounts: AccountsFile = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Say whether `run` with the same options would start, and what to mend; ends as `run` would, 0 if it starts."""
    options = {
        "--mode": mode,
        "--broker": broker,
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
    from orchestrator.run.accounts_doctor import examine_accounts  # what a run needs takes seconds to import
    from orchestrator.run.doctor import Check, examine

    try:
        asked_for = run_asked_for(config, settings, options)
        named = parse_accounts(accounts, config, settings or (), typed_options(options)) if accounts else None
    except TrigateError as error:
        checks = [Check("settings", "wrong", str(error), error.exit_code)]
    else:
        checks = examine(asked_for, send_orders_to) if named is None else examine_accounts(named, asked_for)
    _tell(checks, as_json=as_json)


def _tell(checks: "list[Check]", *, as_json: bool) -> NoReturn:
    """Print one line a check, or one object, and end as `run` would."""
    from orchestrator.run.doctor import exit_code_of

    code = exit_code_of(checks)
    if as_json:
        rows = [{"check": each.name, "level": each.level, "said": each.said} for each in checks]
        owned = [{"account": each.account} if each.account else {} for each in checks]
        rows = [{**row, **own} for row, own in zip(rows, owned, strict=True)]
        typer.echo(json.dumps({"can_start": code == 0, "exit_code": int(code), "checks": rows}))
        raise SystemExit(code)
    for each in checks:
        whose = each.account and f"{each.account}: "
        typer.echo(f"{each.level:<8} {whose}{each.name:<10} {each.said}")
    typer.echo("a run can start" if code == 0 else f"a run would not start: exit code {int(code)}")
    raise SystemExit(code)
