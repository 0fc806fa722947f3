"""Where a run's bars come from, and what is written beside its checkpoints."""

import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rl_core.bars.write import write_bars
from rl_core.checkpoints.manifest import MANIFEST
from rl_core.cli import app
from rl_core.exchange.instruments import instrument
from rl_core.training.config import TrainConfig
from rl_core.training.source_file import FileTimes, Source
from rl_core.training.sources import (
    BarsFile,
    named_files,
    prepare_evaluation,
    prepare_training,
    refuse_own_parent,
    run_records,
)
from tests.processes.conftest import untrained
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import ConfigError, DataError

BARS = random_bars(0, session_minutes(1), missing=0.9)


def bars_in(folder: Path) -> Path:
    """A small file of NQ."""
    path = folder / "NQ_D1M.csv"
    write_bars(BARS, path)
    return path


def test_a_run_remembers_its_file_its_market_and_its_settings(tmp_path: Path) -> None:
    config = TrainConfig(train_share=0.5)
    job = prepare_training(config, bars=bars_in(tmp_path), parent=None, market=None)

    records = run_records(job)

    source = Source.model_validate_json(records["source.json"])
    assert (source.bars, source.market, source.digest) == (tmp_path / "NQ_D1M.csv", "NQ", BARS.digest)
    assert job.bars.digest == BARS.digest
    written = tomllib.loads(records["config.toml"])
    assert TrainConfig.model_validate(written) == config


def test_training_needs_bars_and_phase_2_a_parent(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which bars"):
        prepare_training(TrainConfig(), bars=None, parent=None, market=None)
    with pytest.raises(ConfigError, match="phase 2 starts from"):
        prepare_training(TrainConfig(phase=2), bars=bars_in(tmp_path), parent=None, market=None)
    with pytest.raises(ConfigError, match="no checkpoint of phase 1"):
        prepare_training(TrainConfig(phase=2), bars=bars_in(tmp_path), parent=tmp_path, market=None)


def test_a_roll_that_nobody_named_is_told_to_whoever_trains_or_judges(tmp_path: Path) -> None:
    """Sessions of the week before the third Friday, 1.2 % higher from their middle on."""
    bars = random_bars(0, session_minutes(3, date(2024, 12, 16)))
    later = np.int32(1000) * (np.arange(len(bars)) >= len(bars) // 2)
    prices = {name: (getattr(bars, name) + later).astype(np.int32) for name in ("open", "high", "low", "close")}
    write_bars(replace(bars, **prices, digest=""), path := tmp_path / "NQ_D1M.csv")

    job = prepare_training(TrainConfig(), bars=path, parent=None, market=None)
    judged = CliRunner().invoke(app, ["evaluate", "--entries", "long", "--bars", str(path), "--part", "all"])

    (note,) = job.notes
    assert "in roll weeks that no roll explains, the first at 2024-12-17" in note
    assert f"warning: {note}" in judged.stderr.replace("\n", " ")
    assert prepare_training(TrainConfig(), bars=bars_in(tmp_path), parent=None, market=None).notes == ()


def test_a_market_that_nobody_named_is_told_to_whoever_trains_or_judges(tmp_path: Path) -> None:
    """ES has the tick of NQ: bars of it would pass for NQ's, each dollar two fifths of the true one."""
    write_bars(random_bars(0, session_minutes(3)), path := tmp_path / "data.csv")

    trained = prepare_training(TrainConfig(), bars=path, parent=None, market=None).notes
    named = prepare_training(TrainConfig(), bars=path, parent=None, market="ES").notes
    judged = CliRunner().invoke(app, ["evaluate", "--entries", "long", "--bars", str(path), "--part", "all"])

    assert trained == ("the file's name states no market: NQ assumed; name another with --market",) and named == ()
    assert f"warning: {trained[0]}" in judged.stderr.replace("\n", " ")


def test_a_policy_is_told_of_a_market_that_it_never_saw(tmp_path: Path) -> None:
    """By a name without a market it is taken for its own, and that is said."""
    minutes = random_bars(0, session_minutes(3))
    write_bars(minutes, path := tmp_path / "data.csv")
    policy = untrained(tmp_path, 1, minutes, int(minutes.ts_event_ns[0]))

    def notes(market: str | None) -> str:
        return "\n".join(prepare_evaluation(policy, bars=path, part="all", market=market).notes)

    foreign = "the policy was trained on NQ, and these are bars of ES, which it never saw"
    assumed, named, other = notes(None), notes("NQ"), notes("ES")
    assert "states no market: NQ assumed" in assumed and foreign not in assumed
    assert "assumed" not in named and foreign not in named
    assert foreign in other and "assumed" not in other


def test_phase_2_never_sets_its_own_parent_aside(tmp_path: Path) -> None:
    """A run that was set aside before lies in the folder too, and stays where it is."""
    for run in (tmp_path, tmp_path / "before-1"):
        (run / "checkpoints" / "phase1_jax_final_64").mkdir(parents=True)
        (run / "checkpoints" / "phase1_jax_final_64" / MANIFEST).touch()

    for parent in (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints" / "phase1_jax_final_64"):
        done = CliRunner().invoke(app, ["train", "--phase", "2", "--from", str(parent), "--out", str(tmp_path)])
        assert isinstance(done.exception, ConfigError) and "give another --out" in str(done.exception)

    refuse_own_parent(tmp_path / "before-1", tmp_path)
    refuse_own_parent(None, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        prepare_training(TrainConfig(), bars=tmp_path / "none.csv", parent=None, market=None)


def test_evaluation_needs_a_checkpoint_and_a_known_part(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no checkpoint in"):
        prepare_evaluation(tmp_path, bars=bars_in(tmp_path), part="held_out", market=None)
    with pytest.raises(ConfigError, match="'future'"):
        prepare_evaluation(tmp_path, bars=bars_in(tmp_path), part="future", market=None)


def test_bars_of_end_stamps_are_trained_on_as_their_starts(tmp_path: Path) -> None:
    """The file's times are a minute late; the run remembers how it was read."""
    late = replace(BARS, ts_event_ns=BARS.ts_event_ns + 60_000_000_000, digest="")
    write_bars(late, tmp_path / "NQ_D1M.csv")
    times = FileTimes(stamp="end")

    job = prepare_training(TrainConfig(), bars=tmp_path / "NQ_D1M.csv", parent=None, market=None, times=times)

    assert job.bars.digest == BARS.digest != late.digest
    source = Source.model_validate_json(run_records(job)["source.json"])
    assert source.times == times and FileTimes("UTC").or_else(source.times) == FileTimes("UTC", "end")
    known = source.model_dump(mode="json")
    del known["stamp"]  # as runs wrote it before
    assert Source.model_validate(known).times == FileTimes()


def two_files(folder: Path) -> list[BarsFile]:
    """NQ, and the same prices as ES in a file whose name says nothing."""
    write_bars(replace(BARS, instrument=instrument("ES"), digest=""), folder / "other.csv")
    return named_files([str(bars_in(folder)), f"ES={folder / 'other.csv'}"])


def test_several_files_are_several_markets(tmp_path: Path) -> None:
    """The first is the run's, with the others beside it; evaluation must be told which."""
    job = prepare_training(TrainConfig(), bars=two_files(tmp_path), parent=None, market=None)

    source = Source.model_validate_json(run_records(job)["source.json"])

    assert [bars.instrument.symbol for bars in (job.bars, *job.others)] == ["NQ", "ES"]
    assert source.of("ES").bars == tmp_path / "other.csv" and source.of("NQ").digest == BARS.digest
    with pytest.raises(ConfigError, match="trained on NQ, ES; say which with --market"):
        source.of(None)


def test_a_run_of_one_market_has_no_file_of_another(tmp_path: Path) -> None:
    """Read as another market the file would seem to have changed."""
    job = prepare_training(TrainConfig(), bars=bars_in(tmp_path), parent=None, market=None)

    assert job.source.of("NQ") == job.source.of(None) == job.source
    with pytest.raises(ConfigError, match="trained on NQ; say which with --market, or give --bars"):
        job.source.of("ES")


def test_two_files_of_one_market_or_options_of_one_file_are_refused(tmp_path: Path) -> None:
    nq = bars_in(tmp_path)
    with pytest.raises(ConfigError, match="two files of one market: NQ, NQ"):
        prepare_training(TrainConfig(), bars=[BarsFile(nq)] * 2, parent=None, market=None)
    with pytest.raises(ConfigError, match="belong to one file"):
        prepare_training(TrainConfig(), bars=two_files(tmp_path), parent=None, market="NQ")
    with pytest.raises(ConfigError, match="did you mean"):
        named_files(["NQQ=bars.csv"])
    assert named_files(["a.csv"]) == [BarsFile(Path("a.csv"))]
