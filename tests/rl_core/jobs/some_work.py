"""Jobs for the tests of executors: short ones, one that fails, one that dies, one that waits to be asked to stop."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from rl_core.jobs.job import Job, JobContext, Result
from trigate.errors import DataError


def job(name: str, **given: Any) -> Job:
    """A job that `work` does."""
    return Job(name, f"{__name__}:work", given)


def work(given: dict[str, Any], context: JobContext) -> Result:
    """Write its process id to ``begun``, then do what it is told."""
    if "begun" in given:
        with Path(given["begun"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if given.get("fault"):
        raise DataError(given["fault"])
    if given.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    if given.get("mistake"):
        raise ZeroDivisionError(given["mistake"])
    while given.get("waits") and not context.asked():
        time.sleep(0.02)
    stop = "asked" if context.asked() else "finished"
    time.sleep(given.get("takes_s", 0))
    return {"stop": stop, "square": given.get("number", 0) ** 2, "worked": True}
