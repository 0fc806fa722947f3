"""TensorBoard files: read back by TensorBoard's own reader, and without a step twice after a resume."""

import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_core.ppo.metrics import MetricRow
from rl_core.training.tensorboard_log import tensorboard_log
from tests.rl_core.markets import small_view
from tests.rl_core.training.planned_runs import train_run
from tests.rl_core.training.test_plan import config
from trigate.errors import ResourceError


def row(step: int, kl: float | None = 0.5) -> MetricRow:
    return {"step": step, "update": step // 8, "kl": kl, "steps_per_s": 100.0, "p_entry_flat": 0.25}


def read(folder: Path, tag: str) -> list[tuple[int, float]]:
    found = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_each_row_is_on_disk_at_once_and_reads_back(tmp_path: Path) -> None:
    with tensorboard_log(tmp_path) as log:
        log(row(8))
        assert read(tmp_path, "learning/kl") == [(8, 0.5)]
        log(row(16, kl=None))
        log(row(24, kl=0.75))

    assert read(tmp_path, "learning/kl") == [(8, 0.5), (24, 0.75)]
    assert [step for step, _ in read(tmp_path, "policy/p_entry_flat")] == [8, 16, 24]
    assert read(tmp_path, "speed/steps_per_s")[0] == (8, 100.0)


def test_a_resumed_run_has_no_step_twice(tmp_path: Path) -> None:
    """The first process went on to 32 after its checkpoint at 16; the second keeps 8 and 16."""
    with tensorboard_log(tmp_path) as log:
        for step in (8, 16, 24, 32):
            log(row(step, kl=0.25))

    with tensorboard_log(tmp_path, [row(8), row(16)]) as log:
        log(row(24, kl=0.75))

    assert read(tmp_path, "learning/kl") == [(8, 0.5), (16, 0.5), (24, 0.75)]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_a_resource_fault(tmp_path: Path) -> None:
    (tmp_path / "tb").write_text("")

    with pytest.raises(ResourceError, match="make room"), tensorboard_log(tmp_path / "tb"):
        pass


def test_neither_torch_nor_tensorflow_is_loaded() -> None:
    code = (
        "import sys, pathlib, tempfile; from rl_core.training.tensorboard_log import tensorboard_log\n"
        "with tensorboard_log(pathlib.Path(tempfile.mkdtemp())) as log: log({'step': 1, 'kl': 1.0})\n"
        "assert not {'torch', 'tensorflow'} & set(sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_training_run_that_goes_on_has_each_step_once(tmp_path: Path) -> None:
    """Asked to stop after the first of eight rows, then the same command again."""
    train_run(config(), small_view().bars, tmp_path, on_update=lambda row: True)
    first = read(tmp_path / "tb", "learning/kl")

    train_run(config(), small_view().bars, tmp_path)

    assert [step for step, _ in first] == [32]
    assert [step for step, _ in read(tmp_path / "tb", "learning/kl")] == [32 * update for update in range(1, 9)]
