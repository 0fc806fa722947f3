"""`rl-core walk-forward`: each fold is an ordinary run on what lies before it, and the last fold stays locked."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from rl_core.bars.bars import Bars
from rl_core.bars.write import write_bars
from rl_core.cli import app
from rl_core.exchange.calendar import locate
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import ConfigError

TINY = ("num_envs=4", "rollout_length=8", "total_steps=64", "minibatches=2", "epochs=1", "hidden=[8]", "hold_bias=-2")
SETTINGS = [word for name in TINY for word in ("--set", f"ppo.{name}")]


def rl_core(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def walk(folder: Path, *more: object) -> Result:
    bars, out = folder / "NQ_D1M.parquet", folder / "walk"
    how = ("--folds", 3, "--seeds", 2, "--first-share", 0.6, "--gate-share", 0.3, "--json")
    return rl_core("walk-forward", "--bars", bars, "--out", out, *how, *SETTINGS, *more)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("walk")
    write_bars(random_bars(4, session_minutes(10)), folder / "NQ_D1M.parquet")
    done = walk(folder)
    assert done.exit_code == 0, done.output
    return folder, json.loads(done.stdout)


@pytest.fixture
def copy(walked: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """The bars and the walk, for a test that goes on with it; no try is known here."""
    folder, _ = walked
    shutil.copy(folder / "NQ_D1M.parquet", tmp_path)
    shutil.copytree(folder / "walk", tmp_path / "walk")
    return tmp_path


def test_the_last_fold_stays_locked(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, record = walked

    assert [fold["fold"] for fold in record["folds"]] == [1, 2] and record["openings_of_the_locked_fold"] == 0
    assert not (folder / "walk/fold-3").exists()
    assert record["verdict"] == "NOT PROVEN" and not any("in sample" in reason for reason in record["because"])


def test_what_training_earned_of_its_own_sessions_stands_beside_what_was_judged(
    walked: tuple[Path, dict[str, Any]],
) -> None:
    folder, record = walked
    for fold in record["folds"]:
        runs = sorted((folder / f"walk/fold-{fold['fold']}").glob("seed-*/phase1/metrics.jsonl"))
        rows = [[json.loads(line) for line in run.read_text().splitlines()] for run in runs]
        late = [row for each in rows for row in each[len(each) // 2 :] if row["trades"]]
        trades = sum(row["trades"] for row in late)
        earned = sum(row["trades"] * row["mean_r"] for row in late) / trades if trades else None

        assert len(runs) == len(record["seeds"]) and fold["mean_r_in_training"] == pytest.approx(earned)


def test_page_and_terminal_say_the_same_of_judged_sessions_and_of_the_locked_fold(tmp_path: Path) -> None:
    """Of three sessions of the first fold one has no bar in entry hours, as where a contract expires at 09:30 ET."""
    minutes = session_minutes(10)
    sixth = locate(minutes, "equity").session == np.unique(locate(minutes, "equity").session)[5]
    after_open = (minutes - minutes[sixth][0]) >= 930 * 60 * 10**9  # 15 hours and a half after 18:00 ET
    bars, out = tmp_path / "NQ_D1M.parquet", tmp_path / "walk"
    write_bars(random_bars(4, minutes[~(sixth & after_open)]), bars)
    how = ("--folds", 2, "--seeds", 1, "--first-share", 0.4)

    done = rl_core("walk-forward", "--bars", bars, "--out", out, *how, *SETTINGS)

    assert done.exit_code == 0, done.output
    judged, locked = (line.split() for line in done.stdout.splitlines()[1:3])
    assert judged[:5] == ["1", "2024-11-22", "to", "2024-11-26", "2"]
    assert locked[:5] == ["2", "2024-11-27", "to", "2024-11-29", "locked:"]
    page = (out / "walk_forward.html").read_text()
    assert f'<td class="t">2024-11-22 to 2024-11-26</td><td class="n">{judged[4]}</td>' in page
    assert "fold 2, 2024-11-27 to 2024-11-29: shut" in page and "1 seed, phase 1" in page


def test_a_walk_without_a_trade_says_so_instead_of_an_empty_plot(tmp_path: Path) -> None:
    bars, out = tmp_path / "NQ_D1M.parquet", tmp_path / "walk"
    write_bars(random_bars(4, session_minutes(10)), bars)
    how = ("--folds", 2, "--seeds", 1, "--first-share", 0.4, *SETTINGS, "--set", "ppo.hold_bias=20")

    done = rl_core("walk-forward", "--bars", bars, "--out", out, *how)

    assert done.exit_code == 0 and "NOT PROVEN: no trade was closed" in done.stdout, done.output
    page = (out / "walk_forward.html").read_text()
    assert "<p>No trade was closed.</p>" in page and 'id="plot-equity"' not in page and 'id="plot-folds"' in page
    run = out / "fold-1/seed-0/phase1"
    hint = f"the policy entered nowhere; why, and what to change, says: rl-core diagnose {run}"
    judged = rl_core("evaluate", run)
    assert hint in judged.stderr.replace("\n", "") and "played_rarely: 0 trades in " in judged.stdout


def test_a_fold_is_the_run_that_train_makes_with_its_dates(walked: tuple[Path, dict[str, Any]]) -> None:
    """And `evaluate` finds what the fold says on the sessions behind it."""
    folder, record = walked
    second = record["folds"][1]
    begin, end = second["trained_on"].split(" to ")
    alone = folder / "alone"
    until = second["judged_on"].split(" to ")[0]

    trained = rl_core("train", "--bars", folder / "NQ_D1M.parquet", "--out", alone, *SETTINGS, "--set", "ppo.seed=1",
                      "--set", f"train_from={begin}", "--set", f"train_until={_after(end)}")  # fmt: skip

    assert trained.exit_code == 0, trained.output
    assert _policy(alone) == _policy(folder / "walk/fold-2/seed-1/phase1")
    played = json.loads(rl_core("evaluate", alone, "--json", "--trades", folder / "trades.csv").stdout.splitlines()[-1])
    rows = (folder / "trades.csv").read_text().splitlines()[1:]
    last = second["judged_on"].split(" to ")[1]
    within = [row for row in rows if until <= row.split(",")[2] <= last]
    assert len(within) == second["trades"][1] and played["in_sample"] is False


def test_a_second_time_nothing_is_trained_and_the_figures_are_the_same(
    walked: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, record = walked

    def refuse(*given: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("rl_core.training.run.train", refuse)

    again = json.loads(walk(folder).stdout)
    assert {**again, "tries": 0, "sharpe_above_luck": 0} == {**record, "tries": 0, "sharpe_above_luck": 0}


def test_an_opening_of_the_locked_fold_is_counted_and_the_second_is_a_doubt(copy: Path) -> None:
    first, second = (json.loads(walk(copy, "--open-last").stdout) for _ in range(2))

    assert [fold["fold"] for fold in first["folds"]] == [1, 2, 3] and first["folds"][2]["locked"]
    assert first["openings_of_the_locked_fold"] == 1 and not any("opened" in reason for reason in first["because"])
    assert any("opened 2 times" in reason for reason in second["because"])
    page = (copy / "walk/walk_forward.html").read_text()
    assert "opened 2 times" in page and 'id="plot-equity"' in page and "<script src" not in page


def test_phase_2_is_trained_from_each_folds_own_phase_1(copy: Path) -> None:
    done = walk(copy, "--phase-2")

    assert done.exit_code == 0, done.output
    # Another procedure on the same sessions: two were tried, however often and with however many folds each is judged.
    tries = [json.loads(done.stdout)["tries"], *(json.loads(walk(copy).stdout)["tries"] for _ in range(2))]
    assert tries == [1, 2, 2]
    for fold in (1, 2):
        run = copy / f"walk/fold-{fold}/seed-1"
        dates = [json.loads((run / f"phase{phase}/metadata.json").read_text())["config"] for phase in (1, 2)]
        assert dates[0]["train_until"] == dates[1]["train_until"]
        assert dates[0]["trained_until_ns"] == dates[1]["trained_until_ns"]


def test_what_is_left_to_a_gate_is_evaluated_and_kept_and_a_gate_is_made_of_it(
    walked: tuple[Path, dict[str, Any]],
) -> None:
    """Two sessions teach nothing; that the gate's command finds all it needs in the folder is what is shown here."""
    from orchestrator.cli import app as orchestrator

    folder, record = walked

    for fold in record["folds"]:
        spans = [fold[name].split(" to ") for name in ("trained_on", "left_to_gate", "judged_on")]
        assert spans[0][1] < spans[1][0] and spans[1][1] < spans[2][0]
        assert fold["gate_sessions"] == 2 and len(fold["gate_r_a_session"]) == 2 and sum(fold["gate_trades"]) > 0
    assert "left to a gate" in (folder / "walk/walk_forward.html").read_text()
    done = CliRunner().invoke(orchestrator, ["walk-gate", str(folder / "walk"), "--reruns", "2", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [fold["judged_on"] for fold in told["folds"]] == [fold["judged_on"] for fold in record["folds"]]
    assert any("4 of 4 gates had nothing to be taught on" in reason for reason in told["reasons"])


def test_every_choice_of_folds_is_judged_by_policies_that_saw_nothing_of_it(tmp_path: Path) -> None:
    """Three folds, one at a time: three splits of which the middle one trains on both sides, and one path over all."""
    bars, out = tmp_path / "NQ_D1M.parquet", tmp_path / "cpcv"
    write_bars(random_bars(4, session_minutes(10)), bars)
    how = ("--scheme", "cpcv", "--folds", 3, "--judged-folds", 1, "--seeds", 1, "--json")

    done = rl_core("walk-forward", "--bars", bars, "--out", out, *how, *SETTINGS)

    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record == json.loads((out / "cpcv.json").read_text())
    judged = [split["judged"][0] for split in record["splits"]]
    assert [len(split["trained_on"]) for split in record["splits"]] == [1, 2, 1]
    config = json.loads((out / "split-2/seed-0/phase1/metadata.json").read_text())["config"]
    ((first, last),) = config["left_out"]
    begin, end = judged[1]["sessions"].split(" to ")
    assert config["train_from"] < first < begin and end < last < config["train_until"]
    (path,) = record["paths"]
    # Evaluations count the sessions that can be entered: nine of ten, as the first one warms up.
    each_group = np.array([group["r_a_session"] for group in judged])
    assert path["by_seed"] == pytest.approx(np.array([2, 3, 4]) @ each_group / 9)
    assert record["verdict"] == "NOT PROVEN" and "sessions after the judged ones" in record["because"][0]
    page = (out / "cpcv.html").read_text()
    assert page.count('<td class="trained">') == 6 and page.count("<small>path 1</small>") == 3
    assert all(f">{r:+.3f}<small>" in page for r in each_group[:, 0]), "each group under the split that judged it"
    assert "sessions after the judged ones" in page and "10 sessions" in page


def test_a_policy_knows_nothing_of_sessions_that_were_left_out(tmp_path: Path) -> None:
    """Noise in their place, an embargo of two sessions away, changes no bit of it; noise in what trains it does.

    Of prices, that is: volume is compared with that of more sessions before, whoever trains on them.
    """
    bars = random_bars(4, session_minutes(10))
    session = locate(bars.ts_event_ns, "equity").session
    days = np.unique(session)
    dates = [str(day) for day in days.astype("datetime64[D]")]
    split = ["--set", f"train_from={dates[0]}", "--set", f"train_until={_after(dates[9])}"]
    split += ["--set", f'left_out=[["{dates[2]}","{dates[6]}"]]']
    trained = {}
    for name, noisy in (("as_it_was", days[:0]), ("left_out", days[4:5]), ("trained_on", days[8:9])):
        file, out = tmp_path / f"{name}.parquet", tmp_path / name
        write_bars(with_noise_in(bars, np.isin(session, noisy)), file)
        done = rl_core("train", "--bars", file, "--market", "NQ", "--out", out, *SETTINGS, *split)
        assert done.exit_code == 0, (done.output, done.exception)
        trained[name] = _policy(out)

    assert trained["as_it_was"] == trained["left_out"] != trained["trained_on"]


@pytest.mark.parametrize("option", [("--gate-share", 0.2), ("--open-last",), ("--first-share", 0.5)])
def test_options_that_need_an_order_in_time_are_refused_with_cpcv(tmp_path: Path, option: tuple[object, ...]) -> None:
    bars = tmp_path / "NQ_D1M.parquet"
    write_bars(random_bars(4, session_minutes(2)), bars)

    refused = rl_core("walk-forward", "--bars", bars, "--out", tmp_path / "walk", "--scheme", "cpcv", *option)

    assert isinstance(refused.exception, ConfigError) and f"{option[0]} goes with --scheme" in str(refused.exception)


def test_settings_that_say_what_to_train_on_are_refused(walked: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = walked

    refused = walk(folder, "--set", "train_share=0.6")

    assert isinstance(refused.exception, ConfigError) and "train_share is set" in str(refused.exception)


def with_noise_in(bars: Bars, there: np.ndarray) -> Bars:
    """The same minutes and volume with another market's prices where ``there`` [T] says so."""
    noise = random_bars(99, bars.ts_event_ns, spread=30.0)
    names = ("open", "high", "low", "close")
    return replace(
        bars, **{name: np.where(there, getattr(noise, name), getattr(bars, name)) for name in names}, digest=""
    )


def _policy(run: Path) -> bytes:
    (policy,) = run.glob("checkpoints/*/policy.npz")
    return policy.read_bytes()


def _after(day: str) -> str:
    from datetime import date, timedelta

    return str(date.fromisoformat(day) + timedelta(days=1))
