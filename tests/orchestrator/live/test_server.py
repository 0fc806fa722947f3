"""The live page: only for its token, on the loopback address, read-only; drawn in a browser while a run grows."""

import asyncio
import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.live.follower import Follower
from orchestrator.live.server import LivePage
from orchestrator.run.folder import RunFolder
from tests.browser import needs_browser
from tests.driven_browser import browser
from tests.orchestrator.played_files import FileWorld, play_file
from trigate.errors import ResourceError


@pytest.fixture(scope="module")
def played(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended."""
    return play_file(file_world, tmp_path_factory.mktemp("shown"), guards={"contracts": 6})


@pytest.fixture
def grows(played: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it with half of its records."""
    folder = RunFolder(Path(shutil.copytree(played.path, tmp_path / "run")))
    lines = played.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    return folder


@contextmanager
def served(folder: RunFolder, port: int = 0) -> Iterator[str]:
    """The address of a live page of ``folder``, in a thread of its own."""
    address, ready, loop, stop = list[str](), threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    def listening(said: str) -> None:
        address.append(said)
        ready.set()

    thread = threading.Thread(
        target=lambda: loop.run_until_complete(LivePage(Follower(folder), port=port).serve(listening, stop))
    )
    thread.start()
    try:
        assert ready.wait(30)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def asked(url: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_only_who_has_the_token_sees_anything(played: RunFolder) -> None:
    """Not without it, with another, by a foreign name that was made to point here, or to change something."""
    with served(played) as url:
        base, _, token = url.partition("?token=")
        assert base.startswith("http://127.0.0.1:")
        for path in ("", "state.json", "events", "plotly.js", "metrics"):
            assert asked(f"{base}{path}")[0] in (403, 404)
            assert asked(f"{base}{path}?token={token[:-1]}x")[0] in (403, 404)
            assert asked(f"{base}{path}?token={token}", Host="evil.example")[0] in (403, 404)
            assert asked(f"{base}{path}?token={token}", method="POST")[0] in (403, 404, 405)
        status, page = asked(url)
        assert status == 200 and "trigate live" in page and played.path.name in page
        told = json.loads(asked(f"{base}state.json?token={token}")[1])
    assert (told["state"], told["name"]) == ("ended", played.path.name)
    assert told["guards"] == [{"name": "contracts", "limit": "6", "acted": True}]


def test_prometheus_reads_the_figures_by_the_token_in_its_header(played: RunFolder) -> None:
    """Every name is said once with its kind, and the values are those of the page."""
    with served(played) as url:
        base, _, token = url.partition("?token=")
        status, text = asked(f"{base}metrics", Authorization=f"Bearer {token}")
        assert asked(f"{base}metrics", Authorization=f"Bearer {token}x")[0] == 403
        told = json.loads(asked(f"{base}state.json?token={token}")[1])

    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert status == 200 and len(names) == len(set(names))
    assert {name.partition("{")[0] for name in values} == set(names)
    assert float(values["trigate_bars_total"]) == told["bars_played"]
    assert float(values["trigate_trades_total"]) == told["trade_count"]
    assert f"${float(values['trigate_equity_dollars']):,.2f}" == told["equity"]
    assert float(values['trigate_gate_verdicts_total{outcome="veto"}']) > 0
    assert float(values["trigate_run_alive"]) == 0.0


def test_the_events_tell_everything_and_then_what_is_new(played: RunFolder, grows: RunFolder) -> None:
    content = played.journal.read_bytes()
    bars = content.count(b'"t":"bar"')
    with served(grows) as url, urllib.request.urlopen(url.replace("/?", "/events?"), timeout=30) as stream:
        first = next_rows(stream)
        with grows.journal.open("ab") as file:
            file.write(content[grows.journal.stat().st_size :])
        later = next_rows(stream)

    assert first["anew"] and not later["anew"]
    assert first["bars"][-1][0] < later["bars"][0][0], "each bar once"
    assert len(first["bars"]) + len(later["bars"]) == bars


def next_rows(stream: object) -> dict[str, list[list[object]]]:
    """The data of the next event that holds rows."""
    name = ""
    for raw in stream:  # type: ignore[attr-defined]
        key, _, value = raw.decode().strip().partition(": ")
        if key == "event":
            name = value
        elif key == "data" and name == "rows":
            found: dict[str, list[list[object]]] = json.loads(value)
            return found
    raise AssertionError("the stream ended")


def test_a_port_that_is_taken_is_named(played: RunFolder) -> None:
    with served(played) as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(ResourceError, match=f"127.0.0.1:{port}: .*; name another --port"):
            asyncio.run(LivePage(Follower(played), port=port).serve(lambda said: None, asyncio.Event()))


@needs_browser
def test_a_page_is_drawn_as_the_run_grows_and_fits_every_width(
    played: RunFolder, grows: RunFolder, tmp_path: Path
) -> None:
    """Half of a run, then all of it: at a phone's width, in the dark and in the light, without a complaint."""
    whole = played.journal.read_bytes()
    shows = "document.getElementById({!r}).textContent".format
    with served(grows) as url, browser(tmp_path) as tab:
        tab.open(url, width=390, dark=True)
        tab.until("document.querySelectorAll('.main-svg').length >= 2")
        half = int(tab.until(shows("records")).replace(",", ""))
        with grows.journal.open("ab") as file:
            file.write(whole[grows.journal.stat().st_size :])
        every = f"{whole.count(bytes([10])):,}"
        tab.until(f"{shows('records')} === '{every}'")

        assert half < whole.count(b"\n")
        assert tab.value(shows("state")) == "ended"
        assert tab.value("document.querySelectorAll('#decisions tr').length") > 5
        assert tab.value("document.querySelectorAll('#trades tr').length") > 3
        for width, dark in ((390, True), (390, False), (800, False), (1400, True)):
            tab.open(url, width=width, dark=dark)
            tab.until("document.querySelectorAll('.main-svg').length >= 2")
            assert tab.value("document.documentElement.scrollWidth") <= width
            assert tab.value(STICKS_OUT) == [], (width, dark)
        assert tab.complaints == []


STICKS_OUT = """[...document.querySelectorAll("section, .tile, .banner, p, h1, h2, li, .plot")]
  .filter(element => element.getBoundingClientRect().right > innerWidth + 1
                     || element.scrollWidth > element.clientWidth + 1)
  .map(element => element.tagName + " " + element.textContent.trim().slice(0, 40))"""
