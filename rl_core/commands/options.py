"""The options that several commands share, and how they print a result."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Market = Annotated[str | None, typer.Option(help="Contract of the bars; default: from the file's name, else NQ.")]
Seconds = Annotated[Path | None, typer.Option(help="One-second bars of the same market and time.")]
Timezone = Annotated[str | None, typer.Option(help="Zone of naive times in the file, such as America/New_York.")]


def print_result(result: dict[str, Any], *, as_json: bool = False) -> None:
    """Print the result: a table for a person, one JSON object for a program."""
    if as_json:
        typer.echo(json.dumps(result, default=str))
        return
    width = max(len(key) for key in result)
    for key, value in result.items():
        text = f"{value:,.4g}" if isinstance(value, float) else value
        typer.echo(f"{key:<{width}}  {'-' if text is None else text}")
