"""What a command does while bars are played: it notes the signals that ask it to stop, and tells how far it is."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PAPER_STEP = 60  # bars between two lines of progress, where nobody knows how many will come


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """The signals that asked to stop, as they come; a second Ctrl-C ends at once."""
    asked: list[int] = []

    def note(number: int, frame: object) -> None:
        if number == signal.SIGINT and signal.SIGINT in asked:
            raise KeyboardInterrupt
        asked.append(number)

    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in watched]
    try:
        yield asked
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)


def saying(console: Console) -> Callable[[str], None]:
    """Prints a line for a person; only a terminal breaks it where it is too wide."""
    return partial(console.print, soft_wrap=not console.is_terminal)


@contextmanager
def progress_of(total: int | None, console: Console) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, lines elsewhere; called with the bars done, of ``total`` where that is known."""
    if total is None:
        yield lambda done: console.print(f"{done:,} bars have come") if done % PAPER_STEP == 0 else None
        return
    step = max(1, total // 10)
    if not console.is_terminal:
        yield lambda done: console.print(f"{done:,} of {total:,} bars") if done % step == 0 else None
        return
    columns = (TextColumn("bars"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("bars", total=total)
        yield lambda done: progress.update(task, completed=done) if done % 50 == 0 or done == total else None
