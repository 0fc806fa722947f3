"""`rl-core evaluate --entries` as a trader runs it: own entries and written rules, judged without a checkpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from rl_core.bars.write import write_bars
from rl_core.cli import app
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import ConfigError, DataError, ExitCode

SESSIONS = 16  # of which the first two are warm-up


def evaluate(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def told(*words: object) -> dict[str, Any]:
    result = evaluate(*words, "--json")
    assert result.exit_code == 0, result.output + repr(result.exception)
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market without an edge, and a file of two entries a session: bought at 10:00, sold at 14:00."""
    made = tmp_path_factory.mktemp("own")
    bars = random_bars(4, session_minutes(SESSIONS))
    write_bars(bars, made / "NQ_D1M.parquet")
    days = [f"2024-11-{day}" for day in (20, 21, 22, 25, 26, 27)] + [f"2024-12-{day:02}" for day in (2, 3, 4, 5, 6, 9)]
    rows = [f"{day} {clock},{side}" for day in days for clock, side in (("09:59", "long"), ("13:59", "short"))]
    (made / "mine.csv").write_text("\n".join(["time,side", *rows[:10], *rows[12:], rows[10]]) + "\n")
    return made


def given(folder: Path) -> tuple[object, ...]:
    return ("--bars", folder / "NQ_D1M.parquet", "--timezone", "America/New_York")


def test_own_entries_are_judged_without_a_checkpoint(folder: Path) -> None:
    found = told("--entries", folder / "mine.csv", *given(folder), "--seen-until", "2024-11-18")

    assert found["played"]["market"] == "NQ" and found["played"]["contract"] == "MNQ"
    assert (found["played"]["tick_dollars"], found["played"]["commission_dollars"]) == (0.5, 0.6)
    assert found["played"]["first_session"] == "2024-11-20" and found["played"]["last_session"] == "2024-12-09"
    assert found["entries_given"] == 23 == found["entries_traded"] + found["entries_while_open"]
    assert found["trades"] == found["entries_traded"] and found["mean_r_low"] is not None
    assert found["shuffled_draws"] == 1_000 and found["shuffled_low"] < found["shuffled_high"]
    assert (found["verdict"], found["in_sample"]) == ("NOT PROVEN", False)
    assert "nobody has said" not in found["because"] and "fewer than 60" in found["because"]


def test_what_was_compiled_is_there_for_the_next_evaluation(folder: Path, tmp_path: Path) -> None:
    """A process of its own, as the tests of this one share a cache already."""
    own = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    own |= {
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    words = ["-m", "rl_core", "evaluate", "--entries", "flat", *map(str, given(folder)), "--json"]

    subprocess.run([sys.executable, *words], env=own, check=True, stdout=subprocess.DEVNULL)

    assert list(tmp_path.glob("trigate/jax-*/jit__tabulated*"))


def test_entries_of_which_nobody_says_when_they_were_made_prove_nothing(folder: Path) -> None:
    result = evaluate("--entries", folder / "mine.csv", *given(folder), "--strict")
    table = result.stdout

    assert result.exit_code == ExitCode.NOT_PASSED == 4
    assert "nobody has said which bars these entries" in table and "entries_denied" in table
    assert "nobody has said" not in told("--entries", "breakout", *given(folder))["because"]


def test_others_that_were_judged_on_the_same_sessions_are_counted(folder: Path, tmp_path: Path) -> None:
    """The same entries once, others as another try, and a written rule not at all."""
    words = (*given(folder), "--seen-until", "2024-11-18")
    lines = (folder / "mine.csv").read_text().splitlines()
    for name, rows in (("one", lines), ("two", lines[:-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(rows) + "\n")

    tries = [
        told("--entries", who, *words)["tries"] for who in (tmp_path / "one.csv", "breakout", tmp_path / "one.csv")
    ]

    assert tries == [1, 1, 1]
    second = told("--entries", tmp_path / "two.csv", *words)
    assert second["tries"] == 2 and 0 <= second["sharpe_above_luck"] < second["sharpe_above_zero"]


def test_what_was_seen_is_left_out_or_in_sample(folder: Path) -> None:
    words = ("--entries", folder / "mine.csv", *given(folder), "--seen-until", "2024-11-27")

    later, everything = told(*words), told(*words, "--part", "all")

    assert (later["in_sample"], later["entries_outside_span"], later["entries_given"]) == (False, 11, 23)
    assert (everything["verdict"], everything["entries_outside_span"]) == ("IN SAMPLE", 0)
    with pytest.raises(DataError, match="every bar was seen by 2025-01-01"):
        raise evaluate(*words[:-1], "2025-01-01").exception or AssertionError


def test_settings_change_the_account_that_entries_are_judged_by(folder: Path, tmp_path: Path) -> None:
    words = ("--entries", "long", *given(folder), "--sessions", 1, "--trades", tmp_path / "trades.csv")
    risked = []
    for risk in (500, 250):
        told(*words, "--set", f"trading.risk_dollars={risk}", "--account", "carried")
        risked.append(pd.read_csv(tmp_path / "trades.csv")["risk_cents"])

    assert risked[0].between(35_000, 50_000).all() and risked[1].between(15_000, 25_000).all()
    assert len(risked[0]) > 0 and len(risked[1]) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "what is judged"),
        (("RUN", "--entries", "long"), "either a run or --entries"),
        (("RUN", "--set", "trading.risk_dollars=1"), "belong to --entries"),
        (("RUN", "--seen-until", "2024-01-01"), "belong to --entries"),
        (("--entries", "long"), "which bars"),
        (("--entries", "sideways", "--bars", "BARS"), "no file, and no rule"),
        (("--entries", "long", "--bars", "BARS", "--seen-until", "May"), "a day such as"),
        (("--entries", "long", "--bars", "BARS", "--part", "half"), "held_out and all"),
    ],
)
def test_a_line_that_cannot_be_meant_is_refused(folder: Path, words: tuple[str, ...], said: str) -> None:
    refused = evaluate(*(folder / "NQ_D1M.parquet" if word == "BARS" else word for word in words))

    assert isinstance(refused.exception, ConfigError) and said in str(refused.exception)


def test_every_named_pack_says_how_its_attempts_end(folder: Path) -> None:
    """Two packs of other flat times and one without a target; the shares of each are of all its attempts."""
    packs = "topstep_combine#50k,plain_static,apex_legacy#50k-pa"
    words = ("--entries", "breakout", *given(folder), "--rules", packs)

    rows = {row["pack"]: row for row in told(*words)["rule_packs"]}
    table = evaluate(*words).stdout

    assert set(rows) == set(packs.split(",")) and "which account suits it" in table
    for row in rows.values():
        assert sum(value for name, value in row.items() if name.startswith("share_")) == pytest.approx(1)
        unpriced = f"no price of {row['pack']} in configs/account_prices.toml"
        passes, priced = row["pass_probability"] is not None, row["pack"].startswith("topstep")
        assert row["expected_value"].get("unknown") == (None if priced else unpriced if passes else "nothing to pass")
    combine, funded = rows["topstep_combine#50k"], rows["apex_legacy#50k-pa"]
    assert combine["low"] <= combine["pass_probability"] <= combine["high"]
    assert funded["pass_probability"] is None and funded["low"] is None


def test_the_checklist_is_answered_under_the_pack_that_is_named(folder: Path, tmp_path: Path) -> None:
    """Untrained policies of both phases, all bars unseen; and a list of entries, which has no policy to look at."""
    from rl_core.bars.read import read_bars
    from tests.processes.conftest import untrained

    bars = read_bars(folder / "NQ_D1M.parquet")
    first, second = (untrained(tmp_path, phase, bars, int(bars.ts_event_ns[0])) for phase in (1, 2))
    pack = "apex_legacy_50k_eval"
    few = ("--bars", folder / "NQ_D1M.parquet", "--sessions", 3, "--draws", 10)
    words = (second, *few, "--rules", pack, "--checklist")

    found = told(*words, "--phase1", first)
    own = evaluate("--entries", "breakout", *given(folder), "--checklist", "--sessions", 3).stdout

    lines = {line["asked"]: line for line in found["checklist"]}
    assert found["management"]["verdict"] == "NOT PROVEN" and found["management"]["trades"] == found["trades"]
    assert found["management"]["r"] == pytest.approx(found["session_r"] * found["sessions"])
    assert "management" not in told(first, *few)
    assert found["checklist_pack"] == pack and len(lines) == 8
    assert lines["entropy above 0.15 nats where there is a choice"]["word"] == "met"
    assert " to $" in lines["drawdown no worse than phase 1's"]["measured"]
    assert lines["win rate above what its payoff needs"]["measured"].startswith(f"{found['win_rate']:.1%} at payoff ")
    assert "of 8 met" in own and "entries that were known before are no policy" in own
    for wrong in ((*words[:-1], "--phase1", first), (*words[:-3], "--rules", "all", "--checklist")):
        assert isinstance(evaluate(*wrong).exception, ConfigError)


def test_what_training_earned_is_read_beside_the_checkpoint_and_compared_with_what_was_played(
    folder: Path, tmp_path: Path
) -> None:
    """A policy that nobody trained, beside the metrics of a training that won nearly every trade."""
    from rl_core.bars.read import read_bars
    from tests.processes.conftest import untrained

    bars = read_bars(folder / "NQ_D1M.parquet")
    policy = untrained(tmp_path / "run", 1, bars, int(bars.ts_event_ns[0]))
    words = (policy, "--bars", folder / "NQ_D1M.parquet", "--draws", 10)

    without = {found["name"] for found in told(*words)["findings"]}
    row = json.dumps({"step": 1, "trades": 100, "mean_r": 2.83})
    (tmp_path / "run" / "metrics.jsonl").write_text(f"{row}\n" * 4)
    beside = {found["name"] for found in told(*words)["findings"]}

    assert beside - without == {"known_by_heart"}
