"""Every setting of a training, and where it comes from."""

from pathlib import Path

import pytest

from rl_core.training.settings import default_config, read_train_config, shown_settings
from tests.checkpoint_cards import checkpoint_card
from tests.import_graph import ROOT


def origins(
    phase: int, path: Path | None, settings: list[str], parent: Path | None = None
) -> dict[str, tuple[object, str]]:
    """Dotted key -> value and origin."""
    shown = shown_settings(read_train_config(phase, path, settings), parent)
    return {value.key: (value.value, value.origin) for value in shown}


def test_a_value_is_the_default_the_files_or_the_command_lines(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text("train_share = 0.7\n[trading]\nrisk_dollars = 250\n", encoding="utf-8")

    found = origins(1, path, ["trading.contract=same"])

    assert found["train_share"] == (0.7, f"file {path}")
    assert found["trading.risk_dollars"] == ("250", f"file {path}")
    assert found["trading.contract"] == ("same", "command line")
    assert found["phase"] == (1, "command line")
    assert found["ppo.discount"][1] == found["trading.costs.fees"][1] == "default"


@pytest.mark.parametrize("phase", [1, 2])
def test_without_a_file_it_is_that_of_the_phase(phase: int) -> None:
    found = origins(phase, None, [])

    assert found["ppo.total_steps"][1] == f"file configs/phase{phase}_nq.toml"
    assert (ROOT / default_config(phase)).is_file()


def test_phase_2_shows_what_it_takes_over(tmp_path: Path) -> None:
    run = checkpoint_card(tmp_path / "run", trading={"risk_dollars": 250}, ppo={"hidden": [128, 128]})
    path = tmp_path / "own.toml"
    path.write_text("", encoding="utf-8")

    found = origins(2, path, ["trading.rules=plain_static"], run)

    where = f"checkpoint {run / 'checkpoints/phase1_jax_final_128'}"
    assert found["trading.risk_dollars"] == ("250", where)
    assert found["trading.rules"] == ("plain_static", "command line")
    assert found["ppo.hidden"] == ([128, 128], where)
    assert found["train_share"][1] == where and found["mirror"][1] == "default"
