"""A training run end to end: what it trains on, what it leaves, and what it refuses."""

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import jax
import numpy as np
import pytest

from rl_core.bars.write import write_bars
from rl_core.checkpoints.checkpoint import digest_of, load_learned
from rl_core.checkpoints.manifest import Expected, Identity, read_manifest, write_manifest
from rl_core.checkpoints.policy import load_policy
from rl_core.checkpoints.provenance import WORLDS_FILE, TrainingWorlds, first_held_out, training_worlds
from rl_core.errors import DamagedCheckpointError, FitError
from rl_core.ppo.config import PPOConfig
from rl_core.regimes.fitted import UNFITTED, fit_regimes, frozen_regimes
from rl_core.regimes.labels import Thresholds
from rl_core.trading.setup import TradingConfig
from rl_core.training.config import TrainConfig
from rl_core.training.plan import identity_of as plan_identity
from rl_core.training.plan import plan_training, training_split
from rl_core.training.run import TrainingResult
from rl_core.training.sources import prepare_training
from rl_core.training.unlikely import unlikely_settings
from tests.rl_core.markets import small_view
from tests.rl_core.training.planned_runs import planned, train_run
from tests.rl_core.training.settings import PPO
from trigate.errors import ConfigError, DataError
from trigate.toml_config import read_config

ROOT = Path(__file__).parents[3]
TINY = PPOConfig.model_validate(PPO | {"updates_per_sync": 1})
RULES = TradingConfig(rules=ROOT / "configs/rules/apex_legacy_50k_eval.toml")


def config(phase: int = 1) -> TrainConfig:
    """Eight updates on the first two of three sessions."""
    return TrainConfig(phase=phase, train_share=0.7, ppo=TINY, trading=RULES)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingResult, TrainingResult]:
    """Phase 1, and phase 2 from it, asked to stop after one update."""
    folder = tmp_path_factory.mktemp("training")
    first = train_run(config(), small_view().bars, folder / "one")
    return (
        folder,
        first,
        train_run(config(2), small_view().bars, folder / "two", parent=folder / "one", on_update=lambda row: True),
    )


def identity_of(trained: TrainingResult) -> Identity:
    """What its checkpoint says."""
    return read_manifest(trained.checkpoint).identity


def test_phase_2_is_continued_with_its_parent(
    runs: tuple[Path, TrainingResult, TrainingResult], tmp_path: Path
) -> None:
    """Its transfer is told once and recorded in the end; with another parent it is another run."""
    folder, first, second = runs
    two = Path(shutil.copytree(folder / "two", tmp_path / "two"))
    whole = train_run(config(2), small_view().bars, tmp_path / "whole", parent=folder / "one")

    run = train_run(config(2), small_view().bars, two, parent=folder / "one")

    assert (run.began, run.transfer, whole.transfer) == (32, None, second.transfer)
    assert [row | {"steps_per_s": 0} for row in run.rows] == [row | {"steps_per_s": 0} for row in whole.rows]
    written = [json.loads((place / "metadata.json").read_text()) for place in (two, tmp_path / "whole")]
    assert written[0] == written[1] and written[0]["transfer"]["states"] > 0
    learned = load_learned(first.checkpoint, expected=Expected())
    assert digest_of(learned.parameters) != digest_of(jax.tree.map(lambda leaf: leaf + 1, learned.parameters))
    card = json.loads((two / "run.json").read_text())
    card["inputs"]["parent_digest"] = "0" * 64
    (two / "run.json").write_text(json.dumps(card))
    with pytest.raises(FitError, match=r'parent_digest is "000000000\.\.\." there'):
        train_run(config(2), small_view().bars, two, parent=folder / "one")


def test_both_phases_leave_a_policy_that_serves(runs: tuple[Path, TrainingResult, TrainingResult]) -> None:
    _, first, second = runs

    assert [trained.checkpoint.name for trained in (first, second)] == ["phase1_jax_final_256", "phase2_jax_32"]
    assert [load_policy(trained.checkpoint).num_actions for trained in (first, second)] == [3, 6]
    assert (first.stop, first.transfer, second.transfer is not None) == ("finished", None, True)


def test_a_stopped_parent_is_taken_with_a_word(
    runs: tuple[Path, TrainingResult, TrainingResult], tmp_path: Path
) -> None:
    """Phase 1 may be good enough before its end; who starts phase 2 from there is told."""
    _, first, _ = runs
    bars = tmp_path / "NQ_D1M.parquet"
    write_bars(small_view().bars, bars)
    stopped = shutil.copytree(first.checkpoint, tmp_path / "phase1_jax_256")

    notes = [
        prepare_training(config(2), bars=bars, parent=parent, market=None).notes
        for parent in (first.checkpoint, stopped)
    ]

    said = f"{stopped} was saved on the way, at step 256 of 256: its training has not ended"
    few_bars = unlikely_settings(config(2))  # told of this tiny training in any case
    assert notes == [few_bars, (said, *few_bars)]


def test_the_records_lie_beside_the_checkpoints(runs: tuple[Path, TrainingResult, TrainingResult]) -> None:
    folder, first, _ = runs
    metadata = json.loads((folder / "two/metadata.json").read_text())

    assert len(json.loads((folder / "one/training_metrics_NQ.json").read_text())) == len(first.rows) > 0
    assert metadata["checkpoint"] == "phase2_jax_32" and "divergence" in metadata["transfer"]
    assert "transfer" not in json.loads((folder / "one/metadata.json").read_text())


def test_what_was_not_trained_on_is_held_out(runs: tuple[Path, TrainingResult, TrainingResult]) -> None:
    view, (_, first, _) = small_view(), runs
    days = np.unique(view.located.session)

    held = first_held_out(identity_of(first), view.bars)

    assert view.located.session[held] == days[2] and view.located.session[held - 1] == days[1]


def test_what_phase_1_was_trained_on_is_never_held_out(runs: tuple[Path, TrainingResult, TrainingResult]) -> None:
    """Phase 2 takes a file that ends ten minutes before phase 1's training did."""
    folder, first, _ = runs
    bars, held = small_view().bars, first_held_out(identity_of(first), small_view().bars)
    shorter = bars.slice(0, held - 10)

    plan = plan_training(config(2).model_copy(update={"train_share": 1.0}), shorter, parent=folder / "one")

    assert plan.split.stop == held - 10 and plan_identity(plan, 0).config["trained_until_ns"] == bars.ts_event_ns[held]


def test_a_checkpoint_keeps_the_worlds_of_its_bars_and_of_its_phase_1(
    runs: tuple[Path, TrainingResult, TrainingResult], tmp_path: Path
) -> None:
    """Phase 1 knows a world; phase 2 on a market still says so, and markets alone leave an empty list."""
    _, first, _ = runs
    bars = small_view().bars
    world = replace(bars, world=json.dumps({"declaration": "planted", "expectancy_r": 0.25, "seed": 7}))
    parent = shutil.copytree(first.checkpoint, tmp_path / first.checkpoint.name)
    assert training_worlds(first.checkpoint) == ()

    trained_on_world = plan_training(config(), world).extra[WORLDS_FILE]
    (parent / WORLDS_FILE).write_bytes(trained_on_world)
    write_manifest(parent, identity_of(first))
    phase_2 = plan_training(config(2), bars, parent=parent).extra[WORLDS_FILE]

    assert [card.digest for card in TrainingWorlds.model_validate_json(trained_on_world).worlds] == [bars.digest]
    assert phase_2 == trained_on_world


@pytest.mark.parametrize(("share", "kept"), [(1.0, 3), (0.99, 2), (0.67, 2), (0.34, 1)])
def test_a_share_is_whole_sessions_from_the_first(share: float, kept: int) -> None:
    view = small_view()

    split = training_split(view, TrainConfig(train_share=share))

    assert len(np.unique(view.located.session[: split.stop])) == kept
    assert (view.bars.ts_event_ns < split.stop_ns).sum() == split.stop


def test_dates_say_which_sessions_are_trained_on_instead_of_a_share() -> None:
    """A date need not be a session: what lies between the two is whole sessions, and episodes start nowhere else."""
    view = small_view()
    days = np.unique(view.located.session)
    dates = [date.fromisoformat(str(day)) for day in days.astype("datetime64[D]")]
    between = TrainConfig(train_share=0.1, train_from=dates[1], train_until=dates[2])

    split = training_split(view, between)

    assert np.unique(view.located.session[split.first : split.stop]).tolist() == [days[1]]
    for only in (1, 2):  # session 0 warms up
        asked = TrainConfig(
            train_from=dates[only], train_until=dates[only] + timedelta(days=1), ppo=TINY, trading=RULES
        )
        market = plan_training(asked, view.bars).env_arrays.market
        starts = np.asarray(market.starts[: market.start_count])
        assert set(view.located.session[starts]) == {days[only]}
    assert training_split(view, TrainConfig(train_until=date(2199, 1, 1))).stop == len(view.bars)
    with pytest.raises(DataError, match="no session to train on from 2199-01-01"):
        training_split(view, TrainConfig(train_from=date(2199, 1, 1)))
    with pytest.raises(ValueError, match="is not before train_until"):
        TrainConfig(train_from=dates[1], train_until=dates[1])


def test_sessions_in_between_may_be_left_out() -> None:
    """No episode starts in them; what is trained on ends where it ended, and regimes are not fitted over them."""
    view = small_view(0, 6)
    days = np.unique(view.located.session)
    dates = [date.fromisoformat(str(day)) for day in days.astype("datetime64[D]")]
    left_out = ((dates[2], dates[3]),)
    asked = TrainConfig(train_until=dates[5], left_out=left_out, ppo=TINY, trading=RULES)

    plan = plan_training(asked, view.bars)

    market = plan.env_arrays.market
    starts = np.asarray(market.starts[: market.start_count])
    assert set(view.located.session[starts]) == {days[1], days[4]} and plan.sessions == 2
    assert plan.split.stop_ns == training_split(view, TrainConfig(train_until=dates[5])).stop_ns
    assert "left out" in plan.regimes and plan_identity(plan, 0).config["left_out"] == [
        [str(day) for day in left_out[0]]
    ]
    with pytest.raises(DataError, match="no warm bar"):
        plan_training(asked.model_copy(update={"left_out": ((dates[1], dates[4]),)}), view.bars)
    with pytest.raises(ValueError, match="is after"):
        TrainConfig(left_out=((dates[3], dates[2]),))


@pytest.mark.parametrize(("phase", "most"), [(1, 10_000), (2, 6_000)])
def test_a_plan_that_plays_its_sessions_too_often_says_how_often(phase: int, most: int) -> None:
    """Updates of 32 bars and 32 sessions: as many updates are as many bars of each."""

    def told(updates: int) -> str | None:
        asked = config(phase).model_copy(update={"ppo": TINY.model_copy(update={"total_steps": 32 * updates})})
        return planned(config(), small_view().bars)._replace(config=asked, sessions=32).by_heart

    says = told(most)
    assert (
        says is not None and f"the 32 sessions to train on is played for {most:,} bars: where it was {most:,}" in says
    )
    assert f"ppo.total_steps below {32 * most:,}" in says
    assert told(most - 1) is None


def test_too_little_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few to train"):
        training_split(small_view(), TrainConfig(train_share=0.3))
    with pytest.raises(DataError, match="no warm bar"):
        train_run(config().model_copy(update={"train_share": 0.34}), small_view().bars, tmp_path)


def test_phase_2_starts_from_phase_1_and_phase_1_from_nothing(tmp_path: Path) -> None:
    for phase, parent in ((2, None), (1, tmp_path)):
        with pytest.raises(ConfigError, match="phase 2 starts from a phase 1 run"):
            train_run(config(phase), small_view().bars, tmp_path / "out", parent=parent)
    with pytest.raises(ConfigError, match="no checkpoint of phase 1"):
        train_run(config(2), small_view().bars, tmp_path / "out", parent=tmp_path)


def test_asked_to_stop_it_saves_what_it_has(runs: tuple[Path, TrainingResult, TrainingResult]) -> None:
    """32 bars an update: phase 1 played all eight, phase 2 one."""
    _, first, second = runs

    assert [(trained.stop, len(trained.rows)) for trained in (first, second)] == [("finished", 8), ("asked", 1)]
    assert (identity_of(first).step, identity_of(second).step) == (256, 32)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("phase*.toml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_valid_configuration(path: Path) -> None:
    assert read_config(TrainConfig, path).phase == int(path.stem[5])


def test_the_regimes_of_the_training_split_lie_in_the_checkpoint(
    runs: tuple[Path, TrainingResult, TrainingResult],
) -> None:
    folder, first, second = runs
    view = small_view()

    for trained in (first, second):
        frozen = frozen_regimes(trained.checkpoint, "NQ")
        assert frozen.model == fit_regimes(view, training_split(view, config()).stop)
        assert frozen.digest == hashlib.sha256((trained.checkpoint / "regimes.json").read_bytes()).hexdigest()
    assert json.loads((folder / "one/metadata.json").read_text())["regimes"] == "fitted on 2,760 bars"
    assert frozen_regimes(first.checkpoint, "ES") == UNFITTED


def test_too_few_bars_for_regimes_leave_no_file_and_say_so(tmp_path: Path) -> None:
    """Two short sessions of which the policy can trade the second, too few bars after the warm-up."""
    view = small_view()
    first_warm = int(np.flatnonzero(view.features.warm)[0])
    bars = view.bars.slice(0, first_warm + 990)

    trained = train_run(config().model_copy(update={"train_share": 1.0}), bars, tmp_path)

    assert frozen_regimes(trained.checkpoint, "NQ") == UNFITTED
    assert frozen_regimes(trained.checkpoint, "NQ").thresholds == Thresholds()
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert metadata["regimes"].startswith("not fitted, so the usual thresholds hold: regimes need 1,000 bars")


def test_a_flipped_byte_of_the_regimes_is_refused(
    runs: tuple[Path, TrainingResult, TrainingResult], tmp_path: Path
) -> None:
    copy = shutil.copytree(runs[1].checkpoint, tmp_path / runs[1].checkpoint.name)
    path = copy / "regimes.json"
    flipped = bytearray(path.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(bytes(flipped))

    for read in (lambda: frozen_regimes(copy, "NQ"), lambda: load_policy(copy)):
        with pytest.raises(DamagedCheckpointError, match=r"regimes.json is damaged"):
            read()


def test_more_devices_than_there_are_begin_no_run(tmp_path: Path) -> None:
    """The settings are well formed; nothing is left that another run would meet."""
    count = len(jax.devices()) + 1
    wide = TINY.model_copy(update={"num_envs": 2 * count, "devices": count})

    with pytest.raises(ConfigError, match=rf"ppo\.devices is {count}, but {count - 1} are there"):
        train_run(config().model_copy(update={"ppo": wide}), small_view().bars, tmp_path / "run")

    assert not (tmp_path / "run").exists()
