"""A run is continued where it was left, bit for bit; another run, another process and damage are refused."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.checkpoints.checkpoint import named_arrays, restore_state
from rl_core.checkpoints.manifest import Expected, find_checkpoint, read_manifest, unfinished_note
from rl_core.errors import DamagedCheckpointError, FitError
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.metrics import MetricRow
from rl_core.ppo.train import initial_state
from rl_core.training.config import TrainConfig
from rl_core.training.folder import lock_folder
from rl_core.training.metric_log import METRICS
from rl_core.training.run import TrainingResult, continue_run
from tests.rl_core.markets import RULES_FOLDER, random_bars, session_minutes, small_view
from tests.rl_core.training.planned_runs import planned, train_run
from tests.rl_core.training.settings import PPO
from trigate.errors import ResourceError, TrigateError

BARS = small_view().bars
TRADING = {"rules": RULES_FOLDER / "apex_legacy_50k_eval.toml"}


class _Killed(BaseException):
    """Stands for a process that ends without a word."""


def config(*, every: int = 2, kept: int = 2, room: float = 0.2, **ppo: Any) -> TrainConfig:
    """Eight updates on two of three sessions, looked at after each; another ``room`` compiles nothing."""
    learner = PPOConfig.model_validate(PPO | {"updates_per_sync": 1} | ppo)
    return TrainConfig.model_validate(
        {"train_share": 0.7, "ppo": learner, "trading": TRADING, "episodes": {"least_room": room}}
        | {"checkpoint_every_updates": every, "checkpoints_kept": kept}
    )


def stopped_after(updates: int, out: Path, given: TrainConfig | None = None, *, killed: bool = False) -> list[str]:
    """Train until ``updates`` have been seen, then stop or die; what was said."""
    said: list[str] = []

    def on_update(row: MetricRow) -> bool:
        if row["update"] == updates and killed:
            raise _Killed
        return row["update"] == updates

    plan = planned(given or config(), BARS)
    try:
        continue_run(plan, out, say=said.append, on_update=on_update)
    except _Killed:
        assert killed
    return said


def arrays_of(checkpoint: Path, given: TrainConfig) -> dict[str, Any]:
    """Everything in it."""
    plan = planned(given, BARS)
    like = initial_state(given.ppo, plan.env, plan.env_arrays)
    return named_arrays(restore_state(checkpoint, like, expected=Expected())[0])


def without_clock(rows: list[MetricRow]) -> list[MetricRow]:
    """The rows less what a wall clock says."""
    return [{key: value for key, value in row.items() if key != "steps_per_s"} for row in rows]


def assert_same(run: TrainingResult, whole: TrainingResult, given: TrainConfig) -> None:
    """Every array, and every row."""
    ours, theirs = arrays_of(run.checkpoint, given), arrays_of(whole.checkpoint, given)
    assert ours.keys() == theirs.keys()
    assert [name for name in theirs if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert without_clock(run.rows) == without_clock(whole.rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """Eight updates at once."""
    return train_run(config(), BARS, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that was asked to stop after four of eight updates, with checkpoints of updates 2 and 4."""
    stopped_after(4, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(("updates", "killed"), [(4, False), (5, True), (1, True)])
def test_half_and_half_is_the_whole(tmp_path: Path, whole: TrainingResult, updates: int, killed: bool) -> None:
    """Stopped at 4; or dead at 5, after the checkpoint of 4 and row 5; or dead before any checkpoint."""
    out = tmp_path / "run"
    stopped_after(updates, out, killed=killed)
    logged = (out / METRICS).read_text().splitlines()

    run = train_run(config(), BARS, out)

    assert len(logged) == updates
    assert run.began == 32 * (4 if updates > 1 else 0)
    assert_same(run, whole, config())
    assert [json.loads(line) for line in (out / METRICS).read_text().splitlines()] == run.rows
    assert json.loads((out / "training_metrics_NQ.json").read_text()) == run.rows


def test_the_schedule_is_the_whole_runs(tmp_path: Path, stopped: Path) -> None:
    """Half of the optimiser steps are behind, so half of the learning rate is left: the stop changed no schedule."""
    last = json.loads((stopped / METRICS).read_text().splitlines()[-1])

    assert last["learning_rate"] == pytest.approx(config().ppo.learning_rate / 2)


def test_a_row_torn_by_a_crash_is_cut_off(stopped: Path, whole: TrainingResult) -> None:
    with (stopped / METRICS).open("a") as file:
        file.write('{"step": 160, "upd')

    assert_same(train_run(config(), BARS, stopped), whole, config())


def test_lost_and_broken_rows_are_refused(stopped: Path) -> None:
    """The whole run's rows could not be told any more."""
    path = stopped / METRICS
    lines = path.read_text().splitlines(keepends=True)

    path.write_text("".join(lines[:-1]))
    with pytest.raises(DamagedCheckpointError, match=r"metrics\.jsonl: has no row of step 128"):
        train_run(config(), BARS, stopped)
    path.write_text(lines[0] + "nonsense\n" + "".join(lines[1:]))
    with pytest.raises(DamagedCheckpointError, match=r"metrics\.jsonl:2: is no row"):
        train_run(config(), BARS, stopped)


def test_saves_come_every_so_many_updates_and_the_last_ones_stay(whole: TrainingResult) -> None:
    """At 2, 4 and 6 of 8; two are kept, and the final one."""
    names = sorted(path.name for path in whole.checkpoint.parent.iterdir())

    assert names == ["phase1_jax_128", "phase1_jax_192", "phase1_jax_final_256"]


def test_a_run_that_was_stopped_between_two_saves_goes_on_saving_at_the_same_steps(tmp_path: Path) -> None:
    """Stopped and saved at 5 of 8: the next save is at 6, not at 7."""
    stopped_after(5, tmp_path / "run")

    run = train_run(config(), BARS, tmp_path / "run")

    names = sorted(path.name for path in run.checkpoint.parent.iterdir())
    assert names == ["phase1_jax_160", "phase1_jax_192", "phase1_jax_final_256"]


def test_how_often_is_saved_changes_nothing_else(tmp_path: Path, whole: TrainingResult) -> None:
    """Neither the numbers nor whether it is the same run."""
    stopped_after(3, tmp_path, config(every=1, kept=1), killed=True)
    kept = [path.name for path in (tmp_path / "checkpoints").iterdir()]

    run = train_run(config(every=100), BARS, tmp_path)

    assert kept == ["phase1_jax_64"]
    assert_same(run, whole, config())


def test_a_finished_run_says_so_and_is_left_alone(tmp_path: Path, whole: TrainingResult) -> None:
    out = Path(shutil.copytree(whole.checkpoint.parents[1], tmp_path / "run"))
    (out / "metadata.json").unlink()
    said: list[str] = []

    def never(row: MetricRow) -> bool:
        raise AssertionError(row)

    run = continue_run(planned(config(), BARS), out, say=said.append, on_update=never)

    assert said == [f"{out} has finished: 256 of 256 steps"]
    assert (run.stop, run.checkpoint.name, len(run.rows)) == ("finished", whole.checkpoint.name, 8)
    assert json.loads((out / "metadata.json").read_text())["stop"] == "finished"


def other_bars() -> Bars:
    """Another market of the same minutes."""
    return random_bars(1, session_minutes(3))


@pytest.mark.parametrize(
    ("given", "bars", "told"),
    [
        (config(learning_rate=1e-3), BARS, r"config\.ppo\.learning_rate is 0\.0003 there, 0\.001 here"),
        (config(total_steps=512), BARS, r"config\.ppo\.total_steps is 256 there, 512 here"),
        (config(), other_bars(), r'bars_digest is "[0-9a-f]{9}\.\.\." there, "[0-9a-f]{9}\.\.\." here'),
    ],
)
def test_another_run_is_refused_by_what_differs(stopped: Path, given: TrainConfig, bars: Bars, told: str) -> None:
    before = sorted(path for path in stopped.rglob("*"))

    with pytest.raises(FitError, match=told) as refusal:
        train_run(given, bars, stopped)

    assert "--new-run" in str(refusal.value) and str(stopped) in str(refusal.value)
    assert sorted(path for path in stopped.rglob("*")) == before


def test_another_code_is_another_run(stopped: Path) -> None:
    card = json.loads((stopped / "run.json").read_text())
    card["inputs"]["code_version"] = "0"
    (stopped / "run.json").write_text(json.dumps(card))

    with pytest.raises(FitError, match=r'code_version is "0" there'):
        train_run(config(), BARS, stopped)


def test_a_new_run_sets_the_other_aside(stopped: Path) -> None:
    """Nothing is lost, and what is not ours stays; a number that somebody has freed is taken again."""
    (stopped / "NQ_D1M.csv").write_text("mine")
    (stopped / "before-2").mkdir()
    said: list[str] = []

    continue_run(planned(config(room=0.9), BARS), stopped, new_run=True, say=said.append)

    assert said == [
        f"the other run in {stopped} is now in {stopped}/before-1 (config.episodes.least_room is 0.2 there, 0.9 here)"
    ]
    assert find_checkpoint(stopped).name == "phase1_jax_final_256"
    assert find_checkpoint(stopped / "before-1").name == "phase1_jax_128"
    assert (stopped / "NQ_D1M.csv").read_text() == "mine"


def test_new_run_leaves_the_same_run_alone(stopped: Path, whole: TrainingResult) -> None:
    run = continue_run(planned(config(), BARS), stopped, new_run=True)

    assert run.began == 128
    assert not (stopped / "before-1").exists()


def test_checkpoints_that_nobody_knows_are_not_trained_over(stopped: Path) -> None:
    (stopped / "run.json").unlink()

    with pytest.raises(FitError, match=r"it has no readable run\.json"):
        train_run(config(), BARS, stopped)


def test_a_checkpoint_of_another_run_is_not_continued(stopped: Path, tmp_path: Path) -> None:
    """Copied there by hand."""
    stopped_after(6, tmp_path / "other", config(room=0.9))
    shutil.copytree(find_checkpoint(tmp_path / "other"), stopped / "checkpoints/phase1_jax_192")

    with pytest.raises(FitError, match="phase1_jax_192 is of another run"):
        train_run(config(), BARS, stopped)


def test_what_an_interrupted_save_left_is_told_and_removed(stopped: Path, whole: TrainingResult) -> None:
    """Half written, half removed, a torn record; and a checkpoint that had stepped aside for one that never came."""
    folder = stopped / "checkpoints"
    newest = folder / "phase1_jax_128"
    shutil.copytree(newest, folder / ".phase1_jax_192.tmp")
    shutil.copytree(newest, folder / ".phase1_jax_32.gone")
    newest.rename(folder / ".phase1_jax_128.old")
    (stopped / ".metadata.json.tmp").write_text("{")

    said = stopped_after(5, stopped)

    assert said == [
        ".phase1_jax_128.old is phase1_jax_128 again: its replacement was interrupted",
        ".phase1_jax_192.tmp was half written or half removed: cleaned up",
        ".phase1_jax_32.gone was half written or half removed: cleaned up",
        ".metadata.json.tmp was half written: cleaned up",
        f"going on from {newest}, step 128 of 256",
    ]
    assert [path.name for path in stopped.rglob(".*")] == [".lock"]


def test_a_damaged_checkpoint_is_told_and_the_one_before_continued(stopped: Path, whole: TrainingResult) -> None:
    """The same numbers come of it; where none is whole the run is refused."""
    damage(stopped / "checkpoints/phase1_jax_128")
    said: list[str] = []

    run = continue_run(planned(config(), BARS), stopped, say=said.append)

    assert said[0].startswith(f"checkpoint {stopped}/checkpoints/phase1_jax_128: policy.npz is damaged")
    assert said[0].endswith("going back to the one before")
    assert run.began == 64
    assert_same(run, whole, config())


def test_where_no_checkpoint_is_whole_nothing_is_trained(stopped: Path) -> None:
    for name in ("phase1_jax_64", "phase1_jax_128"):
        damage(stopped / "checkpoints" / name)

    with pytest.raises(DamagedCheckpointError, match=r"phase1_jax_64: policy\.npz is damaged"):
        train_run(config(), BARS, stopped)


def damage(checkpoint: Path) -> None:
    """Flip one bit."""
    path = checkpoint / "policy.npz"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(ResourceError, match=rf"locked by pid {os.getpid()}"):
        train_run(config(), BARS, tmp_path)
    with lock_folder(tmp_path):
        pass


def test_what_cannot_be_trained_writes_nothing(tmp_path: Path) -> None:
    given = config().model_copy(update={"train_share": 0.3})

    with pytest.raises(TrigateError, match="too few to train"):
        train_run(given, BARS, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_numbers_that_overflow_stop_training_with_the_last_finite_state(tmp_path: Path) -> None:
    """Parameters of 1e38 give no finite loss; at 2 optimiser steps an update the ninth in a row is in update 5."""
    given = config(learning_rate=3e38, schedule="constant")

    rate = r"not finite with ppo.learning_rate 3e\+38; give a lower"
    with pytest.raises(TrigateError, match=rf"stopped at step 160, saved in .*phase1_jax_160: .* {rate}") as stop:
        train_run(given, BARS, tmp_path)

    assert stop.value.exit_code == 2, "the settings are the user's"
    saved = find_checkpoint(tmp_path)
    assert all(np.isfinite(array).all() for array in arrays_of(saved, given).values())
    with pytest.raises(TrigateError, match=rf"phase1_jax_160 is where this run stopped: .* {rate}"):
        train_run(given, BARS, tmp_path)


def test_a_stopped_checkpoint_says_so(stopped: Path, whole: TrainingResult) -> None:
    found = find_checkpoint(stopped)

    said = unfinished_note(found, read_manifest(found).identity)

    assert said == f"{found} was saved on the way, at step 128 of 256: its training has not ended"
    assert unfinished_note(whole.checkpoint, read_manifest(whole.checkpoint).identity) is None
