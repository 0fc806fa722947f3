"""Options that several commands share; those of every package are in `trigate.command_line`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rl_core.bars.layouts import LAYOUTS

BARS_PANEL, MANY_PANEL = "The file of bars", "Several at once"
"""Boxes of a long help, under the one that holds what a newcomer needs."""

Market = Annotated[
    str | None,
    typer.Option(help="Contract of the bars; default: from the file's name, else NQ.", rich_help_panel=BARS_PANEL),
]
Seconds = Annotated[
    Path | None, typer.Option(help="One-second bars of the same market and time.", rich_help_panel=BARS_PANEL)
]
Timezone = Annotated[
    str | None,
    typer.Option(help="Zone of naive times in the file, such as America/New_York.", rich_help_panel=BARS_PANEL),
]
Stamped = Annotated[
    Literal["start", "end"] | None,
    typer.Option(
        "--stamp",
        help="Which end of its bar a time marks; default: as the vendor documents, else the start.",
        rich_help_panel=BARS_PANEL,
    ),
]
Phase = Annotated[
    int | None, typer.Option(min=1, max=2, help="1: when to enter; 2: how to manage. Default: the file's, else 1.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", help=f"How the file is written: {', '.join(LAYOUTS)}; default: its first line tells."),
]
Jobs = Annotated[
    int,
    typer.Option(min=1, help="Train so many at once, each in a process of its own.", rich_help_panel=MANY_PANEL),
]
ExecutorName = Annotated[
    str,
    typer.Option("--executor", help="Who trains: local, or ray (a Ray cluster).", rich_help_panel=MANY_PANEL),
]
Address = Annotated[
    str | None,
    typer.Option(help="--executor ray: auto, host:port of the cluster, or local.", rich_help_panel=MANY_PANEL),
]
