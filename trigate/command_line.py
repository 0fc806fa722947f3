"""How every command speaks: faults of the world as one line with an exit code, options and results alike."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO, cast

import typer

from trigate.errors import ExitCode, ResourceError, TrigateError
from trigate.toml_config import ShownValue

ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


class OutputError(ResourceError):
    """Standard output that takes nothing: a full disk, a closed pipe, or none at all."""


class _Output:
    """Standard output whose faults are our own: click would take a broken pipe for a wish to end in silence."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As the stream does."""
        with _output_faults():
            return self._stream.write(text)

    def flush(self) -> None:
        """As the stream does."""
        with _output_faults():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _output_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror or error}; the result is incomplete") from error


def run_command(app: Callable[[], Any], name: str) -> None:
    """Run the command that the arguments name; a fault of the world is one line and its exit code."""
    try:
        _with_checked_output(app)
    except TrigateError as error:
        if isinstance(error, OutputError):
            _silence_output()
        typer.echo(f"{name}: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def _with_checked_output(app: Callable[[], Any]) -> None:
    if sys.stdout is None:  # the shell's >&-: the next file that is opened would become standard output
        raise OutputError("standard output is closed; give /dev/null to throw the result away")
    output = _Output(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            app()
        finally:
            output.flush()


def _silence_output() -> None:
    """Let the interpreter flush what is left into nothing when it ends."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # a stream that is no file has nothing to silence
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stdout.fileno())
            os.close(nothing)


def print_settings(shown: Sequence[ShownValue], *, as_json: bool = False) -> None:
    """Print every value with its origin: lines for a person, one JSON object for a program."""
    if as_json:
        typer.echo(json.dumps({value.key: {"value": value.value, "origin": value.origin} for value in shown}))
        return
    rows = [(value.key, json.dumps(value.value), value.origin) for value in shown]
    wide, wider = (max(len(row[column]) for row in rows) for column in (0, 1))
    for key, text, origin in rows:
        typer.echo(f"{key:<{wide}}  {text:<{wider}}  {origin}")


def print_result(found: dict[str, Any], *, as_json: bool = False) -> None:
    """Print the result: a table for a person, one JSON object for a program."""
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    width = max(len(key) for key in found)
    for key, value in found.items():
        text = f"{value:,.4g}" if isinstance(value, float) else value
        typer.echo(f"{key:<{width}}  {'-' if text is None else text}")
