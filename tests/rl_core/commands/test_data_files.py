"""`rl-core data world | check-leak | regimes` as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.checkpoints.provenance import read_world
from rl_core.cli import app

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    arguments = ["--kind", "planted", "--drift", "0.5", "--sessions", "8", "--out", str(folder)]

    result = RUNNER.invoke(app, ["data", "world", *arguments])

    assert result.exit_code == 0, result.output
    return folder / "NQ_D1M.parquet"


def test_a_world_is_written_with_its_declaration(world: Path) -> None:
    card = read_world(world, read_bars(world).digest)

    assert card is not None and "0.50 ATR in all" in card.declaration and card.expectancy_r > 0.2


def test_a_link_to_a_world_still_leads_to_its_declaration(world: Path, tmp_path: Path) -> None:
    link = tmp_path / "NQ_other.parquet"
    link.symlink_to(world)

    assert read_world(link, read_bars(link).digest) == read_world(world, read_bars(world).digest) is not None


def test_a_checked_copy_of_a_world_still_says_that_it_is_one(world: Path, tmp_path: Path) -> None:
    """Else its verdict would read as a market's."""
    bars = read_bars(world)
    (tmp_path / "out.toml").write_text(f'[[row]]\nline = 1\nts_event = {_time(bars, 0)}\nreason = "tried"\n')
    whole, less = tmp_path / "whole", tmp_path / "less"

    for folder, more in ((whole, []), (less, ["--exclude", str(tmp_path / "out.toml")])):
        done = RUNNER.invoke(app, ["data", "check", str(world), "--out", str(folder), *more])
        assert done.exit_code == 0, done.output

    for folder, count in ((whole, len(bars)), (less, len(bars) - 1)):
        copy = read_bars(folder / "NQ_D1M.parquet")
        card = read_world(folder / "NQ_D1M.parquet", copy.digest)
        assert len(copy) == count and card is not None and "0.50 ATR in all" in card.declaration


def _time(bars: Bars, row: int) -> str:
    return f"{np.datetime64(int(bars.ts_event_ns[row]), 'ns').astype('datetime64[s]')}Z"


def test_the_leak_check_of_a_file_finds_nothing(world: Path) -> None:
    result = RUNNER.invoke(app, ["data", "check-leak", "--bars", str(world), "--moments", "1", "--json"])

    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["leaks"] == [] and "account.floor" in found["compared"]


def test_regimes_are_fitted_kept_and_used_again(world: Path, tmp_path: Path) -> None:
    kept = str(tmp_path / "regimes.json")

    fitted = RUNNER.invoke(app, ["data", "regimes", str(world), "--out", kept, "--states", "3", "--json"])
    again = RUNNER.invoke(app, ["data", "regimes", str(world), "--model", kept, "--json"])
    table = RUNNER.invoke(app, ["data", "regimes", str(world), "--model", kept])

    assert json.loads(fitted.stdout) == json.loads(again.stdout)
    assert [len(row["share"]) for row in json.loads(fitted.stdout)["stability"]] == [3, 3, 3]
    assert "2024-H1" in table.stdout and "calm" in table.stdout


def test_results_of_another_file_are_not_replaced_in_silence(world: Path, tmp_path: Path) -> None:
    """A folder holds one card, and one file of bars a market; the same file again is what was meant."""
    other, gold = tmp_path / "NQ_part.csv", tmp_path / "GC_part.csv"
    rows = "".join(f"2025-01-02T14:{m}:00Z,2100,2101,2099,2100,{m}\n" for m in range(30, 40))
    for path in (other, gold):
        path.write_text("datetime,open,high,low,close,volume\n" + rows)

    def replaced(path: Path) -> str:
        done = RUNNER.invoke(app, ["data", "check", str(path), "--out", str(tmp_path / "bars"), "--json"])
        assert done.exit_code == 0, done.output
        found: str = json.loads(done.stdout).get("replaced", "")
        return found.partition(";")[0]

    assert [replaced(path) for path in (world, world, other, gold)] == [
        "",
        "",
        f"the bars and the card of {world.name}",
        "the card of NQ_part.csv",
    ]
