"""`rl-core show-config`: what a training would be, and where each value comes from."""

from pathlib import Path
from typing import Annotated

import typer

from rl_core.commands.options import Phase
from trigate.command_line import AsJson, ConfigFile, Schema, Settings, print_schema, print_settings


def show_config(
    phase: Phase = None,
    parent: Annotated[Path | None, typer.Option("--from", help="Phase 1's run, for phase 2.")] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    schema: Schema = False,
    as_json: AsJson = False,
) -> None:
    """Print every value that `train` would use, and its origin: default, file, checkpoint or command line."""
    from rl_core.training.config import TrainConfig
    from rl_core.training.settings import read_train_config, shown_settings

    if schema:
        print_schema(TrainConfig)
        return
    print_settings(shown_settings(read_train_config(phase, config, settings or ()), parent), as_json=as_json)
