"""How every command speaks: faults of the world as one line with an exit code, options and results alike."""

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from trigate.errors import ExitCode, TrigateError
from trigate.standard_output import OutputError, ReaderLeftError, run_checked, silence_output
from trigate.toml_config import ShownValue
from trigate.versions import OURS, version_of

if TYPE_CHECKING:
    from rich.console import Console

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Schema = Annotated[
    bool, typer.Option("--schema", help="Print the JSON Schema of the TOML file instead, for an editor.")
]
WHOLE_FROM = 1_000
"""A person reads 21,615 dollars, not 2.161e+04."""
LEAST_COLUMNS = 20
"""Beside a row's name; where fewer are left, the terminal may break its text as it likes."""
Strict = Annotated[bool, typer.Option("--strict", help="Exit 4 unless the verdict is PASS.")]


def new_app(help_text: str) -> typer.Typer:
    """The root of a command's groups: with ``--version`` and shell completion, and with our own mistakes in full."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

    @app.callback(help=help_text)
    def _root(version: Version = False) -> None:
        """Only its options count; `_print_version` has answered if they say so."""

    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trigate {version_of(OURS)}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
]


def run_command(app: Callable[[], Any], name: str) -> None:
    """Run the command that the arguments name; a fault of the world is one line and its exit code."""
    try:
        run_checked(app)
    except TrigateError as error:
        if isinstance(error, OutputError):
            silence_output()
        if not isinstance(error, ReaderLeftError):
            typer.echo(f"{name}: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def print_settings(shown: Sequence[ShownValue], *, as_json: bool = False) -> None:
    """Print every value with its origin: lines for a person, one JSON object for a program."""
    if as_json:
        typer.echo(json.dumps({value.key: {"value": value.value, "origin": value.origin} for value in shown}))
        return
    rows = [(value.key, json.dumps(value.value), value.origin) for value in shown]
    wide, wider = (max(len(row[column]) for row in rows) for column in (0, 1))
    for key, text, origin in rows:
        typer.echo(f"{key:<{wide}}  {text:<{wider}}  {origin}")


def print_schema(model: type[BaseModel]) -> None:
    """Print what a TOML file of ``model`` may hold as JSON Schema, by which an editor completes and marks keys."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    typer.echo(json.dumps({"$schema": dialect, **model.model_json_schema()}, indent=1))


def print_result(found: dict[str, Any], *, as_json: bool = False) -> None:
    """Print the result: a table for a person, one JSON object for a program."""
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    width = max(len(key) for key in found)
    print_lines((f"{key:<{width}}  {line}" for key, value in found.items() for line in _lines(value)), hang=width + 2)


def print_lines(lines: Iterable[str], *, hang: int = 2) -> None:
    """Print ``lines``; on a terminal a longer one goes on below, ``hang`` columns further right."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        typer.echo(broken(line, columns, hang))


def broken(line: str, columns: int | None, hang: int) -> str:
    """``line`` as lines of at most ``columns``, broken between words; None: as it is."""
    if columns is None or len(line) <= columns or columns - hang < LEAST_COLUMNS:
        return line
    return "\n".join(
        textwrap.wrap(
            line,
            columns,
            subsequent_indent=" " * hang,
            expand_tabs=False,
            replace_whitespace=False,
            break_on_hyphens=False,
        )
    )


@contextmanager
def waiting(what: str, *, console: "Console | None" = None, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show ``what``, a moving sign and the seconds on standard error until the block ends; yields what changes it.

    Only a terminal is shown it, and nothing of it stays. In the block nothing else may be printed, but by ``console``.

    Args:
        what: words such as "reading the bars".
        console: whose lines may come meanwhile; None: there are none.
        quiet: show nothing.
    """
    if quiet:
        yield lambda text: None
        return
    # Loaded here: importing a command must not cost what only a long one needs.
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False) if console is None else console
    if not console.is_terminal:
        yield lambda text: None
        return
    columns = (SpinnerColumn("line"), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # Standard output stays as it is: rich would send what is printed to a pipe to the terminal.
    shown = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    with shown:
        task = shown.add_task(what, total=None)
        yield lambda text: shown.update(task, description=text)


def exit_unless_passed(word: str, *, strict: bool) -> None:
    """End the command with 4 where ``strict`` was asked for and the verdict is another word than PASS."""
    if strict and word != "PASS":
        raise SystemExit(ExitCode.NOT_PASSED)


def _lines(value: object) -> list[str]:
    """One line; of several texts, such as warnings, one line each."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value or ["-"]
    return [_in_words(value)]


def _in_words(value: object) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= WHOLE_FROM else f"{value:.4g}"
