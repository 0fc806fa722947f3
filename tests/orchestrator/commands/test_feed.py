"""`orchestrator feed`: recorded bars come into a csv file or from a port one by one, with a clock beside the file."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.messaging.sockets import FeedServer
from orchestrator.run.fed_rows import FedRows
from orchestrator.run.rehearsal import read_rehearsal
from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from tests.orchestrator.played_files import FileWorld
from trigate.errors import ConfigError


def free_port() -> int:
    """A port of the loopback address that nobody has."""
    served = FeedServer(0)
    served.close()
    return int(served.address.rpartition(":")[2])


def feed(*line: object) -> str:
    """What it says; the first fault is raised."""
    ended = CliRunner().invoke(app, ["feed", *map(str, line)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_last_minutes_of_a_session_come_as_they_happened(file_world: FileWorld, tmp_path: Path) -> None:
    """From 16:50 in New York: ten bars, in 600 / 10,000 s; the file is then what was recorded."""
    grows = tmp_path / "NQ_live.csv"

    said = feed(file_world.bars, "--to", grows, "--speed", 10_000, "--from", "16:50", "--wait", 0)

    recorded = read_bars(file_world.bars)
    assert read_bars(grows).digest == recorded.digest
    assert said.splitlines()[0].startswith(f"{len(recorded) - 10:,} bars of history stand in {grows}; 10 follow")
    assert f"orchestrator run --mode paper --bars {grows} --clock {grows}.clock" in said
    clock = read_rehearsal(Path(f"{grows}.clock"))
    assert (clock.market_ns, clock.speed) == (int(recorded.ts_event_ns[-10]), 10_000.0)
    assert json.loads(clock.world)["declaration"], "the bars of a generated world say so here too"


def test_bars_come_from_a_port_as_well(file_world: FileWorld, tmp_path: Path) -> None:
    """The file keeps the history; whoever asks late gets the ten bars too, and the feed ends without a reader."""
    past = tmp_path / "NQ_past.csv"
    line = (file_world.bars, "--to", past, "--port", 0, "--speed", 10_000, "--from", "16:50", "--wait", 0, "--stay", 2)
    clock = Path(f"{past}.clock")
    with ThreadPoolExecutor() as beside:
        port = free_port()
        playing = beside.submit(feed, *line[:4], port, *line[5:])
        told, got = list[str](), list[bytes]()
        rows = FedRows(f"tcp://127.0.0.1:{port}", told.append)
        while len(got) < 11 and not playing.done():
            got += rows.read().lines
        rows.close()
        said = playing.result()

    recorded = read_bars(file_world.bars)
    whole = past.read_bytes() + b"".join(line + b"\n" for line in got[1:])
    past.write_bytes(whole)
    assert read_bars(past).digest == recorded.digest and whole.startswith(got[0])
    assert f"orchestrator run --mode paper --bars {past} --feed tcp://127.0.0.1:{port} --clock {clock}" in said
    assert [line for line in told if "nobody answers" not in line and "gives its rows" not in line] == []
    assert read_rehearsal(clock).speed == 10_000.0


def test_seconds_come_from_a_port_in_the_place_of_minutes(file_world: FileWorld, tmp_path: Path) -> None:
    """One a minute here, at its start; those of the history are not played."""
    recorded = read_bars(file_world.bars)
    past, seconds = tmp_path / "NQ_past.csv", tmp_path / "NQ_D1S.csv"
    write_bars(recorded.slice(len(recorded) - 15, len(recorded)), seconds)
    port = free_port()
    line = (file_world.bars, "--seconds", seconds, "--to", past, "--port", port, "--speed", 10_000, "--from", "16:50")
    with ThreadPoolExecutor() as beside:
        playing, got = beside.submit(feed, *line, "--wait", 0, "--stay", 1), list[bytes]()
        rows = FedRows(f"tcp://127.0.0.1:{port}", lambda text: None)
        while len(got) < 11 and not playing.done():
            got += rows.read().lines
        rows.close()
        said = playing.result()

    assert got[1:] == seconds.read_bytes().splitlines()[6:]
    assert "10 seconds follow" in said and f"--feed tcp://127.0.0.1:{port} --set feed.rows=seconds --clock" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--to", "NQ_live.parquet"), "a file that ends in .csv was expected"),
        (("--to", "NQ_live.csv", "--sessions", 3), "leaves none as history"),
        (("--to", "NQ_live.csv", "--seconds", "NQ_D1S.csv"), "seconds come from a port"),
        (("--to", "NQ_live.csv", "--from", "9.30"), "a time like 09:30 was expected"),
        (("--to", "NQ_live.csv", "--from", "17:30"), "the session has no bar then or later"),
    ],
)
def test_what_cannot_be_played_is_refused(
    file_world: FileWorld, tmp_path: Path, line: tuple[str, ...], said: str
) -> None:
    named = [tmp_path / word if str(word).startswith("NQ_") else word for word in line]
    with pytest.raises(ConfigError, match=said):
        feed(file_world.bars, *named)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_alone(file_world: FileWorld, tmp_path: Path) -> None:
    grows = tmp_path / "NQ_live.csv"
    grows.write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        feed(file_world.bars, "--to", grows)

    assert grows.read_text() == "mine"
