"""The command `orchestrator watch`: a live page of a run on the loopback address, read from the run's files alone."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.status import RUNS, newest
from orchestrator.run.folder import run_at

if TYPE_CHECKING:
    from orchestrator.live.server import LivePage


def watch(
    run: Annotated[Path | None, typer.Argument(help="A run's folder; none: the newest below runs/.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0: a free one.")] = 0,
) -> None:
    """Show a run on a live page until Ctrl-C: prices, orders, account, decisions, workers and alarms; read-only."""
    from orchestrator.live.follower import Follower
    from orchestrator.live.server import LivePage

    page = LivePage(Follower(run_at(run or newest(RUNS))), port=port)
    asyncio.run(_until_stopped(page))


async def _until_stopped(page: "LivePage") -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await page.serve(typer.echo, stop)
