"""`llm-gate show-config`: what an evaluation of the gate would be, and where each value comes from."""

from pathlib import Path
from typing import Annotated

import typer

from llm_gate.commands.evals import DEFAULT_SUITE
from trigate.command_line import AsJson, Schema, Settings, print_schema, print_settings
from trigate.toml_config import read_with_origins, shown_values


def show_config(
    suite: Annotated[Path | None, typer.Argument(help="A suite in TOML; none: configs/gate_eval.toml.")] = None,
    settings: Settings = None,
    schema: Schema = False,
    as_json: AsJson = False,
) -> None:
    """Print every value that `eval` would use, and its origin: default, file or command line."""
    from llm_gate.evals.asking.suite import Suite

    if schema:
        print_schema(Suite)
        return
    read = read_with_origins(Suite, suite or DEFAULT_SUITE, settings or ())
    print_settings(shown_values(read.config, read.origins), as_json=as_json)
