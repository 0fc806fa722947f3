"""`rl-core sweep`: members are runs of their own, judged where nobody else judges, and a kill changes nothing."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from rl_core.bars.write import write_bars
from rl_core.cli import app
from rl_core.commands.progress import job_context
from rl_core.jobs.job import JobContext
from rl_core.training.config import TrainConfig
from rl_core.training.source_file import Source
from rl_core.training.sweep.member import MemberOrder, TuneSessions, train_member
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import ConfigError

TINY = ("num_envs=16", "rollout_length=16", "total_steps=5120", "updates_per_sync=1", "minibatches=2", "epochs=1",
        "hidden=[8]", "hold_bias=-2")  # fmt: skip
"""Twenty updates, in which some episodes end."""
SETTINGS = [word for name in TINY for word in ("--set", f"ppo.{name}")] + ["--set", "checkpoint_every_updates=16"]
OVER = ("--over", "trading.commission_dollars=0,2,20")
"""Of other costs everything is learned anew, by the same program."""
KEY = "trading.commission_dollars"


class _Killed(BaseException):
    """Stands for a process that ends without a word."""


class Swept(NamedTuple):
    """A sweep of three members with one seed each, and what it printed."""

    folder: Path
    said: str
    record: dict[str, Any]

    @property
    def bars(self) -> Path:
        """What it trained on: eight sessions, of which six may be trained on."""
        return self.folder / "NQ_D1M.parquet"


def rl_core(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def sweep(bars: Path, out: Path, *more: object) -> Result:
    how = ("--members", 3, "--seeds", 1, "--round", 2, "--tune-share", 0.34, "--set", "train_share=0.75", *OVER)
    return rl_core("sweep", "--bars", bars, "--out", out, *how, *SETTINGS, *more)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = tmp_path_factory.mktemp("sweep")
    write_bars(random_bars(4, session_minutes(8)), folder / "NQ_D1M.parquet")
    done = sweep(folder / "NQ_D1M.parquet", folder / "whole")
    assert done.exit_code == 0, done.output
    return Swept(folder, done.output, json.loads((folder / "whole/sweep.json").read_text()))


def policies(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("policy.npz"))}


def test_every_member_is_the_run_that_train_makes_with_its_settings(swept: Swept) -> None:
    """Trained before the tune sessions, with one session left out between."""
    best = swept.record["best"]
    costs = swept.record["best_settings"][KEY]
    run = json.loads((swept.folder / f"whole/member-{best:03}/seed-0/run.json").read_text())
    until = run["inputs"]["config"]["train_until"]

    alone = rl_core("train", "--bars", swept.bars, "--out", swept.folder / "alone", *SETTINGS,
                    "--set", f"{KEY}={costs}", "--set", "train_share=0.75",
                    "--set", f"train_until={until}")  # fmt: skip

    assert alone.exit_code == 0, alone.output
    assert policies(swept.folder / "alone") == policies(swept.folder / f"whole/member-{best:03}/seed-0")
    assert until < swept.record["judged_on"].split(" to ")[0]


def test_members_differ_and_the_best_is_the_one_that_earns_most(swept: Swept) -> None:
    members = swept.record["members"]

    assert sorted(member["settings"][KEY] for member in members) == [0, 2, 20]
    assert {member["state"] for member in members} == {"judged"}
    means = [sum(member["by_seed"].values()) for member in members]
    assert [member["r_a_session"] for member in members] == pytest.approx(means)
    assert swept.record["best"] == max(range(3), key=lambda number: means[number])
    assert len(set(means)) > 1 and swept.record["sessions"] == 2


def test_best_toml_is_taken_by_train_and_trains_on_the_tune_sessions_too(swept: Swept) -> None:
    best = swept.folder / "whole/best.toml"

    shown = json.loads(rl_core("show-config", "--config", best, "--json").stdout)

    assert float(shown[KEY]["value"]) == swept.record["best_settings"][KEY]
    assert shown["train_share"]["value"] == 0.75 and shown["train_until"]["value"] is None
    assert shown["ppo.total_steps"]["value"] == 5120 and shown["ppo.seed"]["origin"] == "default"


def test_each_member_is_a_try_for_whoever_judges_later(swept: Swept, tmp_path: Path) -> None:
    """The chosen one is the best of three, and says so where it is judged on what was held out of all."""
    shutil.copy(swept.folder / "tries.jsonl", tmp_path / "tries.jsonl")
    trained = rl_core(
        "train", "--bars", swept.bars, "--out", tmp_path / "best", "--config", swept.folder / "whole/best.toml"
    )
    assert trained.exit_code == 0, trained.output

    judged = json.loads(rl_core("evaluate", tmp_path / "best", "--json").stdout.splitlines()[-1])

    assert judged["tries"] == 4, "three members, and this look"
    begin = swept.record["judged_on"].split(" to ")[0]
    noted = [json.loads(line) for line in (swept.folder / "tries.jsonl").read_text().splitlines()]
    days = {str(np.datetime64(line["first"], "D")) for line in noted[:3]}
    assert days == {begin} and len({line["who"] for line in noted[:3]}) == 3


def test_a_sweep_that_was_killed_goes_on_to_the_same_bytes(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the second round, within the training of the third member, behind a checkpoint."""
    left = [2 * 20 + 18]

    def dying(asked: Callable[[], bool], *, quiet: bool) -> JobContext:
        @contextmanager
        def progress(total: int, phase: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
            def row(row: Mapping[str, Any]) -> None:
                left[0] -= 1
                if not left[0]:
                    raise _Killed

            yield row

        return job_context(asked, quiet=quiet)._replace(progress=progress)

    monkeypatch.setattr("rl_core.commands.sweep.job_context", dying)
    with pytest.raises(_Killed):
        sweep(swept.bars, tmp_path / "broken")
    monkeypatch.undo()
    assert not (tmp_path / "broken/sweep.json").exists()

    again = sweep(swept.bars, tmp_path / "broken")

    assert again.exit_code == 0, again.output
    for name in ("sweep.json", "best.toml"):
        assert (tmp_path / "broken" / name).read_bytes() == (swept.folder / "whole" / name).read_bytes()
    assert policies(tmp_path / "broken") == policies(swept.folder / "whole")
    assert (tmp_path / "tries.jsonl").read_text().count("\n") == 3


def test_a_second_time_nothing_is_trained_and_the_table_is_the_same(swept: Swept) -> None:
    again = sweep(swept.bars, swept.folder / "whole")

    table = swept.said[swept.said.index("3 judged") :]
    assert again.exit_code == 0 and again.output.endswith(table) and "seed 0" not in again.output
    assert table.splitlines()[1].split()[:4] == ["member", "R", "a", "session"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--over", "lerning_rate=1e-4..1e-3"), "did you mean"),
        (("--over", "learning_rate=-1..1"), "--over learning_rate=-1..1: ppo.learning_rate"),
        (("--over", "epochs=1,2.5"), "--over epochs=1,2.5: ppo.epochs"),
        (("--executor", "slurm"), "there are local and ray"),
        (("--address", "auto"), "--address is for --executor ray"),
    ],
)
def test_what_cannot_be_swept_is_one_line(swept: Swept, tmp_path: Path, more: tuple[str, str], said: str) -> None:
    refused = sweep(swept.bars, tmp_path / "out", *more)

    assert isinstance(refused.exception, ConfigError) and said in str(refused.exception)
    assert not (tmp_path / "out/study.sqlite").exists()


def test_phase_2_is_not_judged_where_its_phase_1_was_trained(swept: Swept, tmp_path: Path) -> None:
    parent = swept.folder / "parent"
    rl_core("train", "--bars", swept.bars, "--out", parent, *SETTINGS, "--set", "train_share=0.75")

    refused = sweep(swept.bars, tmp_path / "out", "--phase", 2, "--from", parent)

    assert isinstance(refused.exception, ConfigError) and "was trained on the tune sessions" in str(refused.exception)


def order(swept: Swept, folder: Path, medians: dict[int, float]) -> MemberOrder:
    """A member with settings that no other has."""
    run = json.loads((swept.folder / "whole/member-000/seed-0/source.json").read_text())
    ppo = {name: json.loads(value) for name, value in (word.split("=") for word in TINY)}
    return MemberOrder(
        source=Source.model_validate(run),
        config=TrainConfig.model_validate({"train_share": 0.5, "ppo": ppo}),
        parent=None,
        folder=folder,
        seeds=(0, 1),
        tune=TuneSessions(first=0, last=0),
        medians=medians,
    )


def test_a_member_under_the_median_is_left_at_its_first_seed_and_again_if_it_is_done_again(
    swept: Swept, tmp_path: Path
) -> None:
    medians = dict.fromkeys(range(1, 11), 9.0)
    given = order(swept, tmp_path, medians).as_job("member 7").given
    said: list[str] = []

    told = train_member(dict(given), JobContext(say=said.append))
    again = train_member(dict(given), JobContext())

    assert told["state"] == "left" and "% of the training" in told["why"] and said == ["member 7, seed 0"]
    assert told["curve"] and all(value < 9 for value in told["curve"].values())
    assert again == {**told, "worked": False} and not (tmp_path / "seed-1").exists()


def test_settings_that_do_not_go_together_are_told_and_no_fault_of_the_sweep(swept: Swept, tmp_path: Path) -> None:
    done = rl_core("sweep", "--bars", swept.bars, "--out", tmp_path / "out", "--over", "least_room=0.8,0.9", "--over",
                   "most_room=0.5,0.6", "--members", 9, *SETTINGS)  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "there are no other values: 4 members are all" in done.output and "4 refused" in done.output
    assert "no member was trained to its end" in done.output and not (tmp_path / "out/best.toml").exists()
    members = json.loads((tmp_path / "out/sweep.json").read_text())["members"]
    assert all("least_room 0." in member["why"] and "is above most_room" in member["why"] for member in members)
