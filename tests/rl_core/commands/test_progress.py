"""What a person sees of training, how signals ask it to stop, and where compiled programs are kept."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rl_core.commands.progress import _as_table, as_line, stop_on_signals, training_progress

ROOT = Path(__file__).parents[3]
ROW: dict[str, Any] = {
    "step": 512,
    "steps_per_s": 87413.2,
    "episode_return": None,
    "mean_r": 0.035,
    "p_entry_flat": 0.114,
    "long_share": 0.26,
    "entropy_choice": 0.34,
    "kl": 0.001,
    "clip_fraction": 0.01,
    "explained_variance": 0.03,
    "drawdown_r": 0.5,
}
LINE = (
    "steps/s 87,413  return -  R +0.035  P(entry|flat) 0.114  long 0.26  entropy|choice 0.34  KL 0.0010  clip 0.01  "
    "expl. var. +0.03  drawdown 0.50"
)


def test_a_line_tells_every_figure_that_a_row_has() -> None:
    """What did not happen is a dash; a row without a figure is a mistake of ours, not a shorter line."""
    assert as_line(ROW) == LINE
    with pytest.raises(KeyError, match="drawdown_r"):
        as_line({key: value for key, value in ROW.items() if key != "drawdown_r"})


def test_a_terminal_shows_them_in_two_rows() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)

    console.print(_as_table(ROW))

    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2 and all(len(line) <= 80 for line in lines)
    assert "P(entry|flat) 0.114" in lines[0] and "KL 0.0010" in lines[1]


def test_elsewhere_each_look_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing with --json."""
    for quiet in (False, True):
        with training_progress(2048, 1, quiet=quiet) as shown:
            shown.row(ROW)

    assert capsys.readouterr().err == f"phase 1:        512 of 2,048 bars  {LINE}\n"


def test_sigterm_is_a_question_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with stop_on_signals() as asked:
        first = asked()
        os.kill(os.getpid(), signal.SIGTERM)
        second = asked()

    assert (first, second) == (False, True)
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigint_ends_the_command_afterwards_and_a_second_one_at_once() -> None:
    reached: list[int] = []

    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        reached.append(1)
    with pytest.raises(KeyboardInterrupt), stop_on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        reached.append(2)

    assert reached == [1]


COMPILE = """
import jax, jax.numpy as jnp
from rl_core.training.compile_cache import use_compile_cache
print(use_compile_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)  # this program compiles at once on a fast machine
jax.jit(lambda x: jax.lax.fori_loop(0, 9, lambda i, y: jnp.sort(y @ y + i, axis=0), x))(jnp.ones((8, 8)))
"""


@pytest.mark.parametrize("theirs", [None, "own"])
def test_compiled_programs_are_kept_unless_the_user_says_where(tmp_path: Path, theirs: str | None) -> None:
    """In the user's cache folder, apart for each kind of processor; JAX's own variable goes first."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    if theirs:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(tmp_path / theirs)

    ended = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True)

    kept = list((tmp_path / "cache/trigate").glob("jax-*"))
    if theirs:
        assert ended.stdout == "None\n" and kept == []
    else:
        assert ended.stdout == f"{kept[0]}\n" and any(kept[0].iterdir())
