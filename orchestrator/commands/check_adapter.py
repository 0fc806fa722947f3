"""`orchestrator check-adapter`: what a broker adapter must do, held against an installed one."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.run.settings import read_run_config
from orchestrator.workers.adapters import ADAPTERS, installed_adapters
from trigate.command_line import AsJson, ConfigFile, Settings
from trigate.errors import ConfigError, ExitCode

ACCOUNT = "PRACTICE"
RULES = "plain_static"
"""Of the account that is traded: nothing of it ends a check."""
MARKET = "NQ"


def check_adapter(
    name: Annotated[str, typer.Argument(help="Of the adapter, as its package names the entry point.")],
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Run the conformance checks over an installed adapter whose market is moved by bars; 100 if one does not hold.

    ``live.account`` (PRACTICE if it is not set) and ``live.settings`` are those of a run.
    """
    from orchestrator.workers.adapter_bench import WorkerBench  # a worker's imports take a second
    from orchestrator.workers.broker_bench import Account
    from orchestrator.workers.broker_checks import CHECKS, faults

    if name not in (installed := installed_adapters()):
        there = ", ".join(installed) or "none"
        raise ConfigError(f"broker adapter {name!r}: not among those installed, {there} (entry points of {ADAPTERS})")
    live = read_run_config(config, settings or ()).config.live
    with tempfile.TemporaryDirectory() as scratch:
        made_of = {
            "adapter": name,
            "account": live.account or ACCOUNT,
            "folder": str(Path(scratch, "broker")),
            "settings": live.settings,
            "trading": {"rules": RULES},
            "market": MARKET,
        }
        with WorkerBench(made_of, Path(scratch, "logs")) as bench:
            found = faults(Account(bench), lambda check, fault: None if as_json else _tell(check, fault))
    if as_json:
        typer.echo(json.dumps({"adapter": name, "checks": len(CHECKS), "faults": found}))
    else:
        typer.echo(f"{name}: {len(CHECKS) - len(found)} of {len(CHECKS)} checks hold")
    if found:
        sys.exit(ExitCode.ASSERTIONS_FAILED)


def _tell(check: str, fault: str) -> None:
    typer.echo(f"{'FAULT' if fault else 'ok':<6} {check.replace('_', ' ')}{fault and f': {fault}'}")
