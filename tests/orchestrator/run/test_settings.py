"""What a run was asked for, and what it takes from its checkpoint."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_gate.errors import GateError
from orchestrator.run.settings import OPTIONS, account_of, read_run_config, refuse_missing_demo, shown_settings
from rl_core.checkpoints.manifest import find_checkpoint, read_manifest
from rl_core.trading.setup import TradingConfig
from tests.checkpoint_cards import checkpoint_card
from trigate.errors import ConfigError

TRAINED: dict[str, Any] = {"risk_dollars": 250, "max_contracts": 4, "hours": {"first_minute": 585}}


def account(tmp_path: Path, *settings: str) -> TradingConfig:
    """The account of a run with ``settings``, over a checkpoint that was trained as `TRAINED`."""
    run = checkpoint_card(tmp_path / "run", phase=2, trading=TRAINED)
    identity = read_manifest(find_checkpoint(run)).identity
    return account_of(read_run_config(None, settings).config, identity)


def test_without_settings_it_is_the_checkpoints(tmp_path: Path) -> None:
    assert account(tmp_path) == TradingConfig.model_validate(TRAINED)


def test_another_rule_pack_leaves_the_risk_that_was_trained(tmp_path: Path) -> None:
    """Naming the rules alone doubled 250 dollars to the default 500."""
    changed = account(tmp_path, "trading.rules=configs/rules/plain_static.toml", "trading.hours.last_minute=720")

    assert changed.rules == Path("configs/rules/plain_static.toml")
    assert (changed.risk_dollars, changed.max_contracts) == (Decimal(250), 4)
    assert (changed.hours.first_minute, changed.hours.last_minute) == (585, 720)


def test_a_default_that_is_said_counts(tmp_path: Path) -> None:
    assert account(tmp_path, "trading.risk_dollars=500").risk_dollars == 500


def test_each_option_sets_its_key_and_comes_after_the_settings() -> None:
    given = {"--bars": Path("a.csv"), "--timezone": "America/New_York", "--gate": "off", "--shadow": True}
    given |= {"--stamp": "end", "--prompts": Path("own")}

    config = read_run_config(None, ["bars=b.csv", "gate.engine=rules"], given).config

    assert (config.bars, config.timezone, config.gate.engine, config.gate.shadow) == (
        Path("a.csv"),
        "America/New_York",
        "off",
        True,
    )
    assert (config.stamp, config.gate.prompts) == ("end", Path("own"))
    assert {"--timezone", "--seconds", "--market", "--checkpoint"} <= OPTIONS.keys()


def test_a_run_that_was_told_nothing_asks_for_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer's first `orchestrator run`, in a folder where make sim never made its demo."""
    monkeypatch.chdir(tmp_path)
    with_bars = read_run_config(None, (), {"--bars": Path("NQ.csv")}).config

    with pytest.raises(ConfigError, match=r"^run what\? give --bars FILE and --checkpoint RUN; .* make sim"):
        refuse_missing_demo(read_run_config(None, ()).config)
    with pytest.raises(ConfigError, match=r"^run what\? give --checkpoint RUN;"):
        refuse_missing_demo(with_bars)
    with pytest.raises(ConfigError, match=r"^run what\? give --checkpoint RUN;"):  # its bars planning asks for
        refuse_missing_demo(read_run_config(None, ["mode=paper"]).config)
    refuse_missing_demo(read_run_config(None, ["checkpoint=own"], {"--bars": Path("NQ.csv")}).config)
    own = {"--bars": Path("NQ.csv"), "--entries": Path("own.csv")}
    refuse_missing_demo(read_run_config(None, (), own).config)  # they take the checkpoint's place


def test_a_fault_of_an_option_names_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^--gate vlm: gate\.engine: "):
        read_run_config(None, (), {"--gate": "vlm", "--bars": None})


def test_every_value_is_shown_with_its_origin(tmp_path: Path) -> None:
    run = checkpoint_card(tmp_path / "run", phase=2, trading=TRAINED)
    path = tmp_path / "sim.toml"
    path.write_text("[trading]\nmax_contracts = 2\n[gate]\nengine = 'off'\n", encoding="utf-8")

    read = read_run_config(path, ["trading.rules=plain_static"], {"--checkpoint": run})
    shown = {value.key: (value.value, value.origin) for value in shown_settings(read)}

    assert shown["checkpoint"] == (str(run), "command line")
    assert shown["trading.rules"] == ("plain_static", "command line")
    assert shown["trading.max_contracts"] == (2, f"file {path}")
    assert shown["trading.risk_dollars"] == ("250", f"checkpoint {run}")
    assert shown["gate.engine"] == ("off", f"file {path}")
    assert shown["part"] == ("held_out", "default")


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("trading.rules=apex_50k", r"there is no such rule pack; did you mean 'apex_legacy#50k"),
        ("trading.contract=MNX", r"did you mean 'MNQ'"),
        ("trading.resolution=seconds", "needs one-second bars"),
        ("gate.prompt=entry_revew.v1", r"did you mean 'entry_review\.v1'"),
        ("gate.url=http://192.0.2.1:8000", "loopback"),
        ("gate.model=no/folder", r"config\.json"),
    ],
)
def test_what_a_run_names_must_be_there_to_be_shown(tmp_path: Path, setting: str, fault: str) -> None:
    """With a checkpoint and without one, which is told apart from settings that no run could have."""
    named = ["gate.model=gate", setting] if setting.startswith("gate.url") else [setting]
    for checkpoint in (checkpoint_card(tmp_path / "run", phase=2, trading=TRAINED), tmp_path / "none"):
        with pytest.raises((ConfigError, GateError), match=fault):
            shown_settings(read_run_config(None, named, {"--checkpoint": checkpoint}))


def test_without_the_checkpoint_its_account_is_not_made_up(tmp_path: Path) -> None:
    read = read_run_config(None, ["trading.contract=same"], {"--checkpoint": tmp_path / "none"})

    shown = {value.key: value.origin for value in shown_settings(read)}

    assert shown["trading.contract"] == "command line"
    assert shown["trading"] == f"checkpoint {tmp_path / 'none'}, which is not there"
    assert "trading.risk_dollars" not in shown and "bars" in shown
