"""The command `orchestrator compare`: two runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from trigate.command_line import AsJson, print_result


def compare(
    first: Annotated[Path, typer.Argument(help="A run's folder.")],
    second: Annotated[Path, typer.Argument(help="Another run's, of the same market.")],
    as_json: AsJson = False,
) -> None:
    """Put two runs side by side, with the interval of their difference, paired by session, and what they differ in."""
    from orchestrator.report.compare import compare_runs, comparison_lines, comparison_row

    found = compare_runs(first, second)
    if as_json:
        print_result(comparison_row(found), as_json=True)
        return
    typer.echo("\n".join(comparison_lines(found)))
