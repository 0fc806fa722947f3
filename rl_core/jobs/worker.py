"""Does one job in a process of its own: the job comes as one line on standard input, its outcome goes to a file.

Standard input stays open while the parent lives: where it closes, the parent is gone, however it ended, and so is
this process.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from rl_core.jobs.job import JobContext, outcome_of


def main() -> None:
    """Do the job; the argument is the file that its outcome is written to."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    text = sys.stdin.readline()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    outcome = outcome_of(text, JobContext(asked=lambda: bool(asked)))
    Path(sys.argv[1]).write_text(outcome, encoding="utf-8")


def _end_with_the_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
