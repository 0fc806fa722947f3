"""`orchestrator show-config`: what a run would be, and where each value comes from."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.run.config import RunConfig
from orchestrator.run.settings import read_run_config, shown_settings
from trigate.command_line import AsJson, ConfigFile, Schema, Settings, print_schema, print_settings


def show_config(
    checkpoint: Annotated[Path | None, typer.Option(help="A training run or checkpoint folder.")] = None,
    entries: Annotated[Path | None, typer.Option(help="Your own entries in its place.")] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    schema: Schema = False,
    as_json: AsJson = False,
) -> None:
    """Print every value that `run` would use, and its origin: default, file, checkpoint or command line."""
    if schema:
        print_schema(RunConfig)
        return
    read = read_run_config(config, settings or (), {"--checkpoint": checkpoint, "--entries": entries})
    print_settings(shown_settings(read), as_json=as_json)
