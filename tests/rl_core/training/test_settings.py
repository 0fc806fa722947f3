"""Every setting of a training, and where it comes from."""

from pathlib import Path

import pytest

from rl_core.training.settings import default_config, read_train_config, shown_settings
from tests.checkpoint_cards import checkpoint_card
from tests.import_graph import ROOT
from trigate.errors import ConfigError


def origins(
    phase: int | None, path: Path | None, settings: list[str], parent: Path | None = None
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


def test_a_phase_that_nobody_typed_is_the_default_or_the_files(tmp_path: Path) -> None:
    path, other = tmp_path / "own.toml", tmp_path / "second.toml"
    path.write_text("", encoding="utf-8")
    other.write_text("phase = 2\n", encoding="utf-8")

    assert origins(None, path, [])["phase"] == (1, "default")
    assert origins(None, other, [])["phase"] == (2, f"file {other}")
    assert origins(1, other, [])["phase"] == (1, "command line")
    assert origins(None, None, [])["phase"] == (1, "file configs/phase1_nq.toml")
    typed = origins(None, None, ["phase=2"])
    assert typed["phase"] == (2, "command line")
    assert typed["ppo.total_steps"][1] == "file configs/phase2_nq.toml"


@pytest.mark.parametrize("setting", ["trading.rules=apex_50k", "trading.contract=MNX", "trading.costs.fees=fee.toml"])
def test_what_is_named_must_be_there(tmp_path: Path, setting: str) -> None:
    run = checkpoint_card(tmp_path / "run")

    with pytest.raises(ConfigError, match=r"did you mean '(apex_legacy#50k|MNQ)|fee\.toml: cannot be read"):
        origins(1, None, [setting])
    with pytest.raises(ConfigError, match=r"did you mean '(apex_legacy#50k|MNQ)|fee\.toml: cannot be read"):
        origins(2, None, [setting], run)


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


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trading.risk_dollars=1e12", "less than or equal to 1000000"),
        ("trading.commission_dollars=1e9", "less than or equal to 1000"),
        ("trading.commission_dollars=0.625", "no more than 2 decimal places"),
        ("trading.costs.slippage_ticks=10001", "less than or equal to 10000"),
        ('trading.costs.slippage_by_time={"09:30"=10001}', "less than or equal to 10000"),
        ("ppo.seed=4294967296", "less than 4294967296"),
        ("trading.hours.first_minute=946", "first_minute 946 comes after last_minute 945: no entry would be decided"),
    ],
)
def test_what_cannot_be_counted_or_never_trades_is_refused(setting: str, said: str) -> None:
    """Money is 32 bits of whole cents, of which a part was cut off silently; a key of JAX is 32 bits of its seed."""
    with pytest.raises(ConfigError, match=said):
        read_train_config(1, None, [setting])
