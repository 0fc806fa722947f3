"""`rl-core train` and `rl-core evaluate` as a user runs them: second bars, old rules, rows that were left out."""

import json
import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from rl_core.bars.read import read_bars
from rl_core.bars.write import write_bars
from rl_core.cli import app
from rl_core.errors import FitError
from tests.rl_core.markets import RULES_FOLDER, random_seconds, session_minutes
from trigate.errors import ConfigError, DataError

TINY = ("num_envs=4", "rollout_length=8", "total_steps=64", "minibatches=2", "epochs=1", "hidden=[8]", "hold_bias=-2")
ROW = 40  # left out: the file's line 42
CLEAN = "clean/NQ_D1M.parquet"
TWO_SESSIONS = Path(__file__).parents[4] / "shared/data/faults/two_losing_sessions_NQ_D1M.parquet"


class Made(NamedTuple):
    """A market of four sessions, three of them to train on, seconds included, and a policy trained on it."""

    folder: Path
    trained: Result

    @property
    def bars(self) -> Path:
        """What `data check` accepted."""
        return self.folder / CLEAN

    @property
    def run(self) -> Path:
        """What `train` left."""
        return self.folder / "run"


def rl_core(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    minutes, seconds = random_seconds(4, session_minutes(4))
    write_bars(minutes, folder / "NQ_D1M.csv")
    write_bars(seconds, folder / "NQ_D1S.parquet")
    at = np.datetime64(int(minutes.ts_event_ns[ROW]), "ns").astype("datetime64[s]")
    (folder / "exclude.toml").write_text(f'[[row]]\nline = {ROW + 2}\nts_event = {at}Z\nreason = "a bad print"\n')
    checked = rl_core("data", "check", folder / "NQ_D1M.csv", "--exclude", folder / "exclude.toml",
                      "--out", folder / "clean")  # fmt: skip
    assert checked.exit_code == 0, checked.output
    pack = (RULES_FOLDER / "plain_static.toml").read_text()
    (folder / "old.toml").write_text(pack.replace(f"as_of = {read_on(pack)}", "as_of = 2020-01-01"))
    settings = [f"ppo.{word}" for word in TINY] + ["train_share=0.75", f"trading.rules={folder / 'old.toml'}"]
    words = [word for setting in settings for word in ("--set", setting)]
    files = ("--bars", folder / CLEAN, "--seconds", folder / "NQ_D1S.parquet", "--out", folder / "run")
    return Made(folder, rl_core("train", *files, *words))


def as_table(text: str) -> dict[str, str]:
    """The rows of a printed table."""
    rows = [line.split(maxsplit=1) for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 2}


def read_on(pack: str) -> str:
    return next(line.split("=")[1].strip() for line in pack.splitlines() if line.startswith("as_of"))


def test_train_and_evaluate_take_seconds(made: Made) -> None:
    """The run remembers its seconds; named again they give the same trades, and another resolution other money."""
    assert made.trained.exit_code == 0, made.trained.output
    assert made.trained.output.rstrip().endswith(f"rl-core evaluate {made.run} plays those held out")
    source = json.loads((made.run / "source.json").read_text())

    named = json.loads(rl_core("evaluate", made.run, "--seconds", made.folder / "NQ_D1S.parquet", "--json").stdout)
    known = json.loads(rl_core("evaluate", made.run, "--json").stdout)

    assert source["seconds"] == str(made.folder / "NQ_D1S.parquet")
    assert named == known and named["seconds_share"] == 1.0 and named["trades"] > 0
    assert named["pnl_dollars"] == named["seconds_pnl_dollars"] != named["pessimistic_pnl_dollars"]


def test_bars_that_were_trained_on_are_in_sample(made: Made) -> None:
    """A policy may know its training bars by heart: no figure on them is evidence, and word, table and JSON say so."""
    table, told = (rl_core("evaluate", made.run, "--part", "all", *more).stdout for more in ((), ("--json",)))
    held_out = json.loads(rl_core("evaluate", made.run, "--json").stdout)

    told = json.loads(told)
    assert (told["verdict"], told["in_sample"], told["sessions"]) == ("IN SAMPLE", True, 2)
    assert "trained on, or that had been seen, are included" in told["because"]
    assert {"verdict": "IN SAMPLE", "in_sample": "yes"}.items() <= as_table(table).items()
    assert (held_out["verdict"], held_out["in_sample"], held_out["sessions"]) == ("NOT PROVEN", False, 1)


def test_a_few_losing_sessions_are_no_fail(made: Made) -> None:
    """Two sessions of the demo world without its declaration; the first one is warm-up."""
    if not TWO_SESSIONS.exists():
        pytest.skip("needs shared/data/faults")

    told = json.loads(rl_core("evaluate", made.run, "--bars", TWO_SESSIONS, "--json").stdout)

    assert told["trades"] > 0 and told["sessions"] == 1
    assert (told["verdict"], told["mean_r_low"], told["mean_r_high"]) == ("NOT PROVEN", None, None)
    assert "1 session with trades; at least 10 are needed" in told["because"]


def test_evaluate_carries_an_account_and_lists_the_trades_of_either_kind(made: Made, tmp_path: Path) -> None:
    """One session is held out, so both accounts are new in it and trade alike."""
    fresh = json.loads(rl_core("evaluate", made.run, "--trades", tmp_path / "fresh.csv", "--json").stdout)
    words = ("evaluate", made.run, "--account", "carried", "--sessions", 1, "--trades", tmp_path / "carried.csv")
    carried = json.loads(rl_core(*words, "--json").stdout)

    assert (tmp_path / "fresh.csv").read_text() == (tmp_path / "carried.csv").read_text()
    assert len((tmp_path / "fresh.csv").read_text().splitlines()) == 1 + fresh["trades"] > 1
    ends = [key for key in carried if key.startswith("attempts_")]
    assert ends == [f"attempts_{status}" for status in ("passed", "failed", "stranded", "expired")]
    assert {key: carried[key] for key in fresh} == fresh


@pytest.mark.parametrize(
    ("words", "fault"),
    [(("--account", "both"), "fresh and carried"), (("--trades", "trades.xlsx"), r"\.parquet or \.csv")],
)
def test_an_account_or_a_file_that_evaluate_does_not_know_is_refused(
    made: Made, words: tuple[str, str], fault: str
) -> None:
    refused = rl_core("evaluate", made.run, *words)

    assert isinstance(refused.exception, ConfigError) and re.search(fault, str(refused.exception))


def test_seconds_of_another_time_are_refused_by_both(made: Made, tmp_path: Path) -> None:
    _, other = random_seconds(4, session_minutes(1, date(2025, 2, 3))[:30])
    write_bars(other, tmp_path / "NQ_D1S.parquet")

    for words in (("train", "--bars", made.bars, "--out", tmp_path / "run"), ("evaluate", made.run)):
        refused = rl_core(*words, "--seconds", tmp_path / "NQ_D1S.parquet")
        assert isinstance(refused.exception, DataError) and "none of its minutes" in str(refused.exception)


def test_train_warns_of_old_rules(made: Made) -> None:
    assert "warning: rules 'Plain static 50K' were read on 2020-01-01" in made.trained.stderr


def test_train_warns_of_settings_that_nobody_means(made: Made) -> None:
    """4 environments x 8 bars in 2 minibatches."""
    assert "warning: 4 optimiser steps learn from 16 bars each" in made.trained.stderr


def test_train_says_before_it_begins_that_its_sessions_will_be_known_by_heart(made: Made) -> None:
    """1,048,576 bars on two sessions, the first being warm-up; 64 bars are not too many. It ends at another run."""
    asked = rl_core("train", "--bars", made.bars, "--out", made.run, "--set", "train_share=0.75",
                    "--set", "ppo.known_entries=false")  # fmt: skip

    assert isinstance(asked.exception, FitError)
    assert "warning: each of the 2 sessions to train on is played for 524,288 bars" in asked.stderr
    assert "ppo.total_steps below 20,000" in asked.stderr
    assert "by heart" not in made.trained.stderr


def test_training_on_a_checked_file_records_which_rows_were_left_out(made: Made) -> None:
    metadata = json.loads((made.run / "metadata.json").read_text())

    assert metadata["rows_left_out"] == [f"{ROW + 2}: 2024-11-17T23:40:00+00:00: a bad print"]
    assert read_bars(made.bars).notes == ("rows left out when the file was made: 1",)
