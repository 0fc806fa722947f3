"""Where a run's bars come from, and what is written beside its checkpoints."""

import tomllib
from pathlib import Path

import pytest

from rl_core.bars import write_bars
from rl_core.errors import ConfigError, DataError
from rl_core.runs import Source, prepare_evaluation, prepare_training, record_training
from rl_core.training import TrainConfig
from tests.rl_core.markets import random_bars, session_minutes

BARS = random_bars(0, session_minutes(1), missing=0.9)


def bars_in(folder: Path) -> Path:
    """A small file of NQ."""
    path = folder / "NQ_D1M.csv"
    write_bars(BARS, path)
    return path


def test_a_run_remembers_its_file_its_market_and_its_settings(tmp_path: Path) -> None:
    config = TrainConfig(train_share=0.5)
    job = prepare_training(config, bars=bars_in(tmp_path), parent=None, market=None, timezone=None)

    record_training(tmp_path / "run", job)

    source = Source.model_validate_json((tmp_path / "run/source.json").read_bytes())
    assert (source.bars, source.market, source.digest) == (tmp_path / "NQ_D1M.csv", "NQ", BARS.digest)
    assert job.bars.digest == BARS.digest
    written = tomllib.loads((tmp_path / "run/config.toml").read_text())
    assert TrainConfig.model_validate(written) == config


def test_training_needs_bars_and_phase_2_a_parent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which bars"):
        prepare_training(TrainConfig(), bars=None, parent=None, market=None, timezone=None)
    with pytest.raises(ConfigError, match="phase 2 starts from"):
        prepare_training(TrainConfig(phase=2), bars=bars_in(tmp_path), parent=None, market=None, timezone=None)
    with pytest.raises(ConfigError, match="no checkpoint of phase 1"):
        prepare_training(TrainConfig(phase=2), bars=bars_in(tmp_path), parent=tmp_path, market=None, timezone=None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        prepare_training(TrainConfig(), bars=tmp_path / "none.csv", parent=None, market=None, timezone=None)


def test_evaluation_needs_a_checkpoint_and_a_known_part(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint in"):
        prepare_evaluation(tmp_path, bars=bars_in(tmp_path), part="held_out", market=None, timezone=None)
    with pytest.raises(ConfigError, match="'future'"):
        prepare_evaluation(tmp_path, bars=bars_in(tmp_path), part="future", market=None, timezone=None)
