"""The command `orchestrator watch`: a live page of a run on the loopback address, read from the run's files alone."""

import asyncio
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.status import RUNS, newest
from orchestrator.report.status import holder_of_run, state_of
from orchestrator.run.folder import RunFolder, run_at
from trigate.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.live.server import LivePage


def watch(
    run: Annotated[Path | None, typer.Argument(help="A run's folder; none: the newest below runs/.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0: a free one.")] = 0,
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the token, for your eyes alone (chmod 600); none: one is drawn.")
    ] = None,
) -> None:
    """Show a run on a live page until Ctrl-C: prices, orders, account, decisions, workers and alarms; read-only."""
    from orchestrator.live.follower import Follower
    from orchestrator.live.server import LivePage

    token = "" if token_file is None else _token_in(token_file)
    folder = run_at(run or newest(RUNS))
    page = LivePage(Follower(folder), port=port, token=token)
    typer.echo(which_run(folder, asked_for=run is not None), err=True)
    asyncio.run(_until_stopped(page))


def which_run(folder: RunFolder, *, asked_for: bool) -> str:
    """What is watched, for a person; the newest run may be an older one than they mean, as theirs has yet to begin."""
    state = state_of(folder.manifest(), holder_of_run(folder))
    later = "" if asked_for or state == "running" else "; one that begins later is shown when watch is started again"
    return f"{folder.path}: {state}{later}"


def _token_in(path: Path) -> str:
    """The token that a person keeps in the file ``path``.

    Raises:
        ConfigError: there is none, it is too short to keep anybody out, or others can read it.
    """
    try:
        token, mode = path.read_text("ascii").strip(), path.stat().st_mode
    except (OSError, ValueError) as error:
        raise ConfigError(f"--token-file {path}: cannot be read: {error}") from error
    if mode & 0o077:
        raise ConfigError(f"--token-file {path}: others can read it; chmod 600 it")
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", token):
        raise ConfigError(f"--token-file {path}: 16 to 128 letters, digits, - and _ were expected")
    return token


async def _until_stopped(page: "LivePage") -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await page.serve(typer.echo, stop)
