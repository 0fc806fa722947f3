"""`orchestrator feed`: recorded bars come into a csv file one by one, with a clock beside it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.run.rehearsal import read_rehearsal
from rl_core.bars.read import read_bars
from tests.orchestrator.played_files import FileWorld
from trigate.errors import ConfigError


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("--to", "NQ_live.parquet"), "a file that ends in .csv was expected"),
        (("--to", "NQ_live.csv", "--sessions", 3), "leaves none as history"),
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
