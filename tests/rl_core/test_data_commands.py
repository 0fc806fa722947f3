"""`rl-core data world | check-leak | regimes` as a user runs them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rl_core.bars import read_bars
from rl_core.cli import app
from rl_core.provenance import read_world

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
    assert "2024-H1" in table.stdout and "state 3" in table.stdout
