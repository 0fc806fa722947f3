"""Handles the signals that ask `rl-core train` to stop, and shows its progress."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from rl_core.jobs.job import JobContext

Row = Mapping[str, Any]
READING = "reading the bars"
"""What a terminal is told before anything else can be."""

FIGURES = {
    "steps_per_s": ("steps/s", ",.0f"),
    "episode_return": ("return", "+.2f"),
    "mean_r": ("R", "+.3f"),
    "p_entry_flat": ("P(entry|flat)", ".3f"),
    "long_share": ("long", ".2f"),
    "entropy_choice": ("entropy|choice", ".2f"),
    "kl": ("KL", ".4f"),
    "clip_fraction": ("clip", ".2f"),
    "explained_variance": ("expl. var.", "+.2f"),
    "drawdown_r": ("drawdown", ".2f"),
}
"""Key of a row of metrics -> what it is called and how it is shown."""


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGTERM or SIGINT has come.

    Training then saves and ends; a second SIGINT ends it at once.

    Raises:
        KeyboardInterrupt: SIGINT came.
    """
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        del frame
        if number == signal.SIGINT and number in asked:
            raise KeyboardInterrupt
        asked.append(number)

    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, note) for number in signals]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
    if signal.SIGINT in asked:
        raise KeyboardInterrupt


class ProgressSinks(NamedTuple):
    """Where progress goes: rows of metrics, and lines of text."""

    row: Callable[[Row], None]
    say: Callable[[str], None]


@contextmanager
def training_progress(total: int, phase: int, *, quiet: bool) -> Iterator[ProgressSinks]:
    """A live bar with its figures on a terminal, plain lines elsewhere."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    if not console.is_terminal:
        yield ProgressSinks(
            lambda row: say(f"phase {phase}: {row['step']:>10,} of {total:,} bars  {as_line(row)}", quiet=quiet), say
        )
        return
    columns = (TextColumn("phase {task.fields[phase]}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    progress = Progress(*columns, *times, TextColumn("{task.fields[note]}"), console=console)
    task = progress.add_task("train", total=total, phase=phase, note="compiling")
    with Live(progress, console=console, refresh_per_second=8) as live:

        def show(row: Row) -> None:
            progress.update(task, completed=float(row["step"]), note="")
            live.update(Group(progress, _as_table(row)))

        yield ProgressSinks(show, lambda text: console.print(text, markup=False))


def job_context(asked: Callable[[], bool], *, quiet: bool) -> JobContext:
    """How the jobs of a command are shown: their lines, and a bar of each training, unless ``quiet``."""

    @contextmanager
    def progress(total: int, phase: int) -> Iterator[Callable[[Row], None]]:
        with training_progress(total, phase, quiet=quiet) as sinks:
            yield sinks.row

    return JobContext(asked, lambda line: say(line, quiet=quiet), progress)


def say(text: str, *, quiet: bool = False) -> None:
    """One line for a person, on standard error."""
    console = Console(stderr=True, highlight=False, markup=False, quiet=quiet)
    console.print(text, soft_wrap=not sys.stderr.isatty())


def warn(notes: Iterable[str]) -> None:
    """One line for each of ``notes``, on standard error."""
    for note in notes:
        say(f"warning: {note}")


def as_line(row: Row) -> str:
    """The figures of ``row`` side by side."""
    return "  ".join(f"{name} {value}" for name, value in _figures(row))


def _as_table(row: Row) -> Table:
    """The figures of ``row`` in columns, as many as the terminal is wide."""
    table = Table.grid(padding=(0, 2))
    figures = [f"[dim]{name}[/dim] {value}" for name, value in _figures(row)]
    half = (len(figures) + 1) // 2
    table.add_row(*figures[:half])
    table.add_row(*figures[half:])
    return table


def _figures(row: Row) -> list[tuple[str, str]]:
    figures = [(name, row[key], form) for key, (name, form) in FIGURES.items()]
    return [(name, "-" if value is None else format(value, form)) for name, value, form in figures]
