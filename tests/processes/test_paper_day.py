"""A compressed day on paper, as docs/operating.md has it: fed, watched, halted, killed, continued, verified."""

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser import BROWSER
from tests.driven_browser import Tab, browser
from tests.processes.commands import Started, call_here, journal_bytes, only_run, records, wait_until
from tests.processes.conftest import DemoWorld, Start

pytestmark = pytest.mark.process

SPEED, FROM = 350, "09:30"  # 450 minutes of the market in 77 s: a slow machine takes long to start everything
WORKERS = ("policy", "gate")


class Page:
    """The live page as a program reads it, and as a person sees it where there is a browser."""

    def __init__(self, address: str, tab: Tab | None) -> None:
        self._address, self._tab = address, tab
        if tab is not None:
            tab.open(address, width=1400)

    def told(self) -> dict[str, Any]:
        """What the page is told."""
        with urllib.request.urlopen(self._address.replace("/?", "/state.json?"), timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def shows(self, state: str, **told: object) -> bool:
        """Whether the run is told so, and drawn so."""
        now = self.told()
        if now["state"] != state or any(now[name] != value for name, value in told.items()):
            return False
        drawn = "document.getElementById('state')?.textContent === {!r}".format
        return self._tab is None or bool(self._tab.value(drawn(state)))


@pytest.fixture
def fed(demo_world: DemoWorld, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The options of a run to which the last session of the demo world comes from a port, from half past nine on."""
    past = tmp_path / "NQ_past.csv"
    line = ("feed", demo_world.minutes, "--to", past, "--port", 0, "--stay", 10)
    with Started(tmp_path / "output", "orchestrator", *line, "--speed", SPEED, "--from", FROM, "--wait", 4) as feed:
        feed.until(lambda: feed.stdout.count("\n") == 2)
        yield tuple(feed.stdout.splitlines()[1].split()[2:])
        assert feed.wait() == 0, feed.stderr


def said(*line: object) -> str:
    """What a command of `orchestrator` prints, run in this process while the day goes on."""
    ended = call_here("orchestrator", *line)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_day_on_paper_is_watched_halted_killed_continued_and_verified(
    start: Start, fed: tuple[str, ...], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    paper = (*fed, "--set", "paper.late_after_s=3")
    with ExitStack() as held:
        tab = None if BROWSER is None else held.enter_context(browser(tmp_path))
        run = start(*paper)
        run.until(lambda: journal_bytes(runs) > 0)
        folder = only_run(runs)
        watch = held.enter_context(Started(tmp_path / "output", "orchestrator", "watch", folder))
        watch.until(lambda: watch.stdout.endswith("\n"))
        page = Page(watch.stdout.strip(), tab)
        run.until(lambda: page.shows("running", mode="paper") and page.told()["bars_played"] > 10)
        assert [worker["name"] for worker in page.told()["workers"]] == sorted(WORKERS)

        assert said("halt", folder, "--wait", 60) == f"{folder}: is halted\n"
        run.until(lambda: page.shows("running", standing="halted"))
        before = page.told()["bars_played"]
        for pid in run.family():
            os.kill(pid, signal.SIGKILL)
        run.process.wait()
        wait_until(lambda: page.shows("killed", standing="halted"))
        assert page.told()["workers"] == [] and run.family() == {}

        assert "nobody plays it; it is trading from its next start on" in said("resume", folder)
        again = start(*paper)
        again.until(lambda: page.told()["bars_played"] > before)
        assert again.wait() == 0, again.stderr
        wait_until(lambda: page.shows("ended", standing="trading"))
        if tab is not None:
            assert tab.until("document.querySelectorAll('.main-svg').length >= 2") and tab.complaints == []
        assert watch.ask_to_stop(signal.SIGTERM) == 0

    assert only_run(runs) == folder
    assert "difference  none" in said("replay", folder, "--verify")
    bars = records(folder, "bar")
    assert [bar["seq"] for bar in bars] == list(range(len(bars))) and len(bars) > before
    starts = [bar["ts_event_ns"] for bar in bars]
    assert starts == list(range(starts[0], starts[0] + len(bars) * 60 * 10**9, 60 * 10**9)), "none is lost or doubled"
    words = [(record["standing"], record["n"]) for record in records(folder, "operator")]
    assert [standing for standing, _ in words] == ["halted", "trading"]
    assert not [one for one in records(folder, "intent") if words[0][1] < one["n"] < words[1][1]]
    assert sum(fill["quantity"] for fill in records(folder, "fill")) == 0
    assert (folder / "report.html").exists()
