"""The commands `orchestrator halt`, `flatten` and `resume`: a word for a run that lives, or for its next start."""

import time
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.report.status import holder_of_run
from orchestrator.run.control import COMMANDS, ask, standing_in_force
from orchestrator.run.folder import RunFolder, run_at
from trigate.errors import ConfigError, ProcessNotReadyError

Run = Annotated[Path, typer.Argument(help="A run's folder.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until the run has taken it.")]
WAIT_S = 10.0
_LOOK_S = 0.1


def halt(run: Run, wait: Wait = WAIT_S) -> None:
    """Let a run take no further entry; what is open keeps its stop and target."""
    _command(run, "halt", wait)


def flatten(run: Run, wait: Wait = WAIT_S) -> None:
    """Close what is open at the next fill, then let the run take no further entry."""
    _command(run, "flatten", wait)


def resume(run: Run, wait: Wait = WAIT_S) -> None:
    """Let a run that was halted or flattened trade on."""
    _command(run, "resume", wait)


def _command(run: Path, command: str, wait_s: float) -> None:
    """Write the word, then wait until the run has recorded it.

    Raises:
        ConfigError: the run has ended.
        ProcessNotReadyError: it lives, and has not taken the word in time.
    """
    folder = run_at(run)
    if folder.manifest().status in ("ended", "quarantined"):
        raise ConfigError(f"{run}: {folder.manifest().status}, so there is nothing to {command}")
    ask(folder.path, command)
    wanted, end_s = COMMANDS[command], time.monotonic() + wait_s
    while (lives := holder_of_run(folder) is not None) and standing_in_force(folder.journal) != wanted:
        if time.monotonic() >= end_s:
            raise ProcessNotReadyError(
                f"{run}: lives and has not taken {command!r} within {wait_s:g} s; it is taken between two bars, and "
                f"orchestrator status says when"
            )
        time.sleep(_LOOK_S)
    typer.echo(_said(folder, command, lives=lives))


def _said(folder: RunFolder, command: str, *, lives: bool) -> str:
    wanted = COMMANDS[command]
    if lives:
        return f"{folder.path}: is {wanted}"
    return f"{folder.path}: nobody plays it; it is {wanted} from its next start on"
