"""A run of which any process dies at a moment that a number decides, or two do; the run is continued until it ends."""

import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.campaigns.forked_runs import Begun, left_alive, workers_in

if TYPE_CHECKING:
    from tests.campaigns.run_kills import RunCase

SEED = 20
RUNNER = "runner"
SPARES = 10
STILL_STARTING = " while starting; see "
"""How a run stops that loses a worker before its first answer: the same command plays it."""
LATEST = 0.9
"""Share of the journal after which no kill is aimed: the run would end before it."""


def random_kill(case: "RunCase", number: int, slot: Path) -> dict[str, Any]:
    """Kill what ``number`` draws, when the journal has as many bytes as it draws, and see the run to its end."""
    rng = random.Random(f"{SEED} {number}")
    small = case.run.small
    workers = ["feed", "policy", *(["gate"] if small.gate != "off" else []), *(["broker"] if small.broker else [])]
    victims = rng.sample([RUNNER, *workers], rng.choice((1, 2)))
    place = int(rng.random() * LATEST * len(case.unbroken.journal)) if rng.random() < 0.9 else 0
    pause_s = rng.random() * 0.02
    journal = case.run.fresh(slot).journal
    begun = case.run.begin(slot, spares=SPARES, report=False)
    begun.let_go()
    while journal.stat().st_size <= place and not begun.ended():
        time.sleep(0.0005)
    time.sleep(pause_s)
    killed = [victim for victim in victims if _killed(victim, begun, slot)]
    code = begun.wait()
    found = {"killed": bool(killed), "victims": killed, "place": place, "pause_s": round(pause_s, 4)}
    found |= {"alive": left_alive(), "records": case.whole_records(journal)}
    stopped = code not in (0, -signal.SIGKILL)
    said = (slot / "log").read_text()[-2000:] if stopped else ""
    if stopped and STILL_STARTING not in said:
        return found | {"results": False, "same": False, "said": said}
    if stopped or RUNNER in killed:
        return found | case.continued(slot, report=number % 4 == 0, spares=SPARES)
    return found | {"results": False, "same": code == 0 and case.is_whole(case.run.kept(slot), report=False)}


def _killed(victim: str, begun: Begun, slot: Path) -> bool:
    """Kill it, if it is there."""
    if victim == RUNNER:
        if begun.ended():
            return False
        os.kill(begun.pid, signal.SIGKILL)
        return True
    living = workers_in(slot / "pids", f"orchestrator.workers.{victim}")
    try:
        os.kill(living[-1], signal.SIGKILL)
    except (IndexError, ProcessLookupError):
        return False
    return True
