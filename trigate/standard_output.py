"""Standard output that takes nothing is a fault like that of any file: one line and an exit code, not a traceback."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

from trigate.errors import ExitCode, ResourceError


class OutputError(ResourceError):
    """Standard output that takes nothing: a full disk, or none at all."""


class ReaderLeftError(OutputError):
    """Whoever read the pipe has had enough, as ``head`` has: nobody is there to be told, and nothing is wrong."""

    exit_code = ExitCode.READER_LEFT


def run_checked(command: Callable[[], Any]) -> None:
    """Run ``command`` so that what it prints arrives, or raises.

    Raises:
        OutputError: standard output took nothing, or not everything.
        ReaderLeftError: it is a pipe that nobody reads any more.
    """
    if sys.stdout is None:  # the shell's >&-: the next file that is opened would become standard output
        raise OutputError("standard output is closed; give /dev/null to throw the result away")
    output = _Output(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            command()
        finally:
            output.flush()


def silence_output() -> None:
    """Let the interpreter flush what is left into nothing when it ends."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):  # a stream that is no file has nothing to silence
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, sys.stdout.fileno())
            os.close(nothing)


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
    except BrokenPipeError as error:
        raise ReaderLeftError("the reader of standard output has left") from error
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror or error}; the result is incomplete") from error
