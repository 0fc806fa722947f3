"""The options that `orchestrator run` and `orchestrator doctor` share, and the run that they ask for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from llm_gate.commands.prompts import PROMPTS_HELP
from orchestrator.run.config import RunConfig
from orchestrator.run.modes import refuse_unknown_mode
from orchestrator.run.settings import read_run_config
from rl_core.evaluation.seen_until import day_of

BARS, COMING, OWN, GATE = (
    "The file of bars",
    "On paper and live: bars as they come, and who fills orders",
    "Entries of your own, or many accounts",
    "The gate",
)
"""Boxes of the help, under the one that holds what a newcomer needs."""
Mode = Annotated[
    str | None,
    typer.Option(
        help="sim: recorded bars; paper: bars as they come in --bars; advisory: as paper, and tells a person what to "
        "do; live: as paper, and orders are sent (docs/operating.md)."
    ),
]
MinuteBars = Annotated[
    Path | None, typer.Option(help="Minute bars; in paper mode a csv file that grows, or with --feed what came before.")
]
Checkpoint = Annotated[Path | None, typer.Option(help="A training run or checkpoint folder.")]
GateEngine = Annotated[str | None, typer.Option(help="vllm, logistic, rules or off.")]
SecondBars = Annotated[Path | None, typer.Option(help="Second bars of the same market.", rich_help_panel=BARS)]
Contract = Annotated[str | None, typer.Option(help="Contract of the bars.", rich_help_panel=BARS)]
Broker = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="simulated: orders go through the adapter protocol to a simulated broker in a process of its own; "
        "live: an installed adapter; none: the run computes its fills.",
        rich_help_panel=COMING,
    ),
]
SendOrdersTo = Annotated[
    str | None,
    typer.Option(
        metavar="ACCOUNT",
        help="live: the account at the broker once more, as in live.account; asked for at each start.",
        rich_help_panel=COMING,
    ),
]
FeedAddress = Annotated[
    str | None,
    typer.Option(
        "--feed",
        metavar="ADDRESS",
        help="In paper mode: rows come from tcp://127.0.0.1:PORT, ipc:///PATH or a csv that grows.",
        rich_help_panel=COMING,
    ),
]
Clock = Annotated[
    Path | None,
    typer.Option(help="In paper mode: the clock that orchestrator feed wrote; none: UTC.", rich_help_panel=COMING),
]
OwnEntriesFile = Annotated[
    Path | None,
    typer.Option(
        "--entries",
        metavar="FILE",
        help="Judge your own entries in the place of a checkpoint: a csv or parquet with time and side, perhaps stop "
        "and target (docs/verdict.md).",
        rich_help_panel=OWN,
    ),
]
SeenUntil = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="--entries: the last day of bars that you had seen when you made them.",
        rich_help_panel=OWN,
    ),
]
AccountsFile = Annotated[
    Path | None,
    typer.Option(
        "--accounts",
        metavar="FILE",
        help="Play many accounts in one run: a TOML file with a table accounts.NAME for each, which holds the "
        "settings that are its own (docs/operating.md).",
        rich_help_panel=OWN,
    ),
]
Shadow = Annotated[
    bool,
    typer.Option("--shadow", help="The gate judges and is recorded, but does not act.", rich_help_panel=GATE),
]
GatePrompts = Annotated[Path | None, typer.Option("--prompts", help=PROMPTS_HELP, rich_help_panel=GATE)]


def run_asked_for(config: Path | None, settings: Sequence[str] | None, options: dict[str, Any]) -> RunConfig:
    """The run of a file, the ``--set`` over it and the ``options`` over both, None where one was not given.

    Raises:
        ConfigError: a file, key, value or mode that cannot be used.
    """
    return read_run_config(config, settings or (), typed_options(options)).config


def typed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The ``options`` as their settings take them.

    Raises:
        ConfigError: there is no such mode, or a day that is none.
    """
    if options["--mode"] is not None:
        refuse_unknown_mode(options["--mode"])
    return {**options, "--seen-until": day_of(options.get("--seen-until"))}
