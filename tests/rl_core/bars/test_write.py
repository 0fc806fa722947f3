"""What a written file keeps besides its bars: a synthetic market says so wherever the file is copied."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pa_parquet
import pytest

from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.errors import DataError
from rl_core.worlds.demo import World, demo_world
from tests.rl_core.markets import random_bars, session_minutes


@pytest.fixture(scope="module")
def world() -> World:
    return demo_world(3, 2, seconds=True)


def test_a_copied_parquet_file_of_a_world_still_says_what_it_is(world: World, tmp_path: Path) -> None:
    assert world.seconds is not None
    for bars, name in ((world.minutes, "NQ_D1M.parquet"), (world.seconds, "NQ_D1S.parquet")):
        write_bars(bars, tmp_path / name)
        shutil.copy(tmp_path / name, tmp_path / f"NQ_copy_{name}")

        copied = read_bars(tmp_path / f"NQ_copy_{name}", interval_s=bars.interval_s)

        declared = json.loads(copied.world)
        assert (declared["declaration"], declared["expectancy_r"]) == (world.edge.text, world.edge.expectancy_r)
        assert declared["seed"] == 3 and "a synthetic market, as the file itself declares" in copied.notes
        assert copied.digest == bars.digest == replace(bars, world="", digest="").digest


def test_a_part_of_a_world_and_a_file_made_from_a_file_keep_the_declaration(world: World, tmp_path: Path) -> None:
    write_bars(world.minutes.slice(100, 900), tmp_path / "NQ_a.parquet")
    write_bars(read_bars(tmp_path / "NQ_a.parquet"), tmp_path / "NQ_b.parquet")

    assert json.loads(read_bars(tmp_path / "NQ_b.parquet").world)["declaration"] == world.edge.text


def test_a_markets_bars_declare_no_world(tmp_path: Path) -> None:
    bars = random_bars(0, session_minutes(1), missing=0.9)
    write_bars(bars, tmp_path / "NQ_D1M.parquet")

    assert read_bars(tmp_path / "NQ_D1M.parquet").world == "" == bars.world
    assert b"trigate.world" not in (pa_parquet.read_schema(tmp_path / "NQ_D1M.parquet").metadata or {})


@pytest.mark.parametrize("text", ["[1]", "{", '"x"'])
def test_a_declaration_that_cannot_be_read_is_refused(world: World, tmp_path: Path, text: str) -> None:
    """Bars that may be synthetic are never taken for a market's."""
    write_bars(replace(world.minutes, world=text), tmp_path / "NQ_D1M.parquet")

    with pytest.raises(DataError, match=r"world: 'trigate\.world' - the declaration of a world was expected"):
        read_bars(tmp_path / "NQ_D1M.parquet")
