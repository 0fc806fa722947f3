"""The command `orchestrator compare`: two runs side by side."""

from pathlib import Path
from typing import Annotated

import typer

from trigate.command_line import AsJson, print_result


def compare(
    first: Annotated[Path, typer.Argument(help="A run's folder.")],
    second: Annotated[Path, typer.Argument(help="Another run's, of the same market.")],
    page: Annotated[Path | None, typer.Option(help="Write an HTML page there too; it needs no network.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put two runs side by side, with the interval of their difference, paired by session, and what they differ in."""
    from orchestrator.report.compare import compare_runs, comparison_lines, comparison_row
    from orchestrator.report.compare_page import write_compare_page

    found = compare_runs(first, second)
    if page is not None:
        write_compare_page(found, page)
    if as_json:
        print_result(comparison_row(found), as_json=True)
        return
    typer.echo("\n".join(comparison_lines(found)))
    if page is not None:
        typer.echo(f"page {page}")
