"""`orchestrator rules` as a person or a script runs it."""

import json
import re
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.processes.commands import call_here

ROOT = Path(__file__).parents[3]
PLAIN = (ROOT / "configs/rules/plain_static.toml").read_text(encoding="utf-8")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """``orchestrator`` with these arguments, in the root of the project."""
    return call_here("orchestrator", *arguments)


def rules(*arguments: str) -> list[dict[str, str]]:
    ended = run("rules", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    found: list[dict[str, str]] = json.loads(ended.stdout)
    return found


def test_list_names_every_pack_once() -> None:
    packs = [row["pack"] for row in rules("list")]

    assert len(packs) == len(set(packs)) == 24 + 23 + 3 + 3 + 1
    assert {"apex_legacy.toml#50k-eval-rithmic", "topstep_combine.toml#150k", "plain_static.toml"} < set(packs)


def test_list_says_plainly_when_each_pack_was_checked(tmp_path: Path) -> None:
    """What is old is no alarm until it is used: then `verify` and a run warn."""
    for name, day in (("old", date(2020, 1, 1)), ("new", datetime.now(UTC).date())):
        (tmp_path / f"{name}.toml").write_text(PLAIN.replace("as_of = 2026-11-22", f"as_of = {day}"), encoding="utf-8")

    new, old = rules("list", "--folder", str(tmp_path))

    assert new["checked"] == "today"
    assert re.fullmatch(r"\d{4} days ago", old["checked"])


def test_show_prints_the_printed_and_the_compiled_fields() -> None:
    shown = {row["field"]: row["value"] for row in rules("show", "apex_4_0#50k-eod-pa")}

    assert (shown["max_loss.amount"], shown["compiled.max_loss"]) == ("2000", "200000")
    assert shown["contracts.tiers[2]"] == "from_profit 1500, max_mini 3, daily_loss 1000"
    assert shown["compiled.tier[2]"] == "(150000, 3, 100000)"


def test_diff_prints_what_differs_and_nothing_else() -> None:
    rows = rules("diff", "apex_legacy#50k-eval-rithmic", "apex_legacy#50k-eval-tradovate")

    a, b = "apex_legacy#50k-eval-rithmic", "apex_legacy#50k-eval-tradovate"
    assert rows == [
        {"field": "name", a: "Apex legacy 50K evaluation (Rithmic)", b: "Apex legacy 50K evaluation (Tradovate)"},
        {"field": "max_loss.lock", a: "target_balance", b: "never"},
    ]
    assert rules("diff", a, "apex_legacy_50k_eval") == []


def test_verify_holds_for_every_pack_and_warns_of_old_ones(tmp_path: Path) -> None:
    (tmp_path / "old.toml").write_text(PLAIN.replace("as_of = 2026-11-22", "as_of = 2020-01-01"), encoding="utf-8")

    assert {row["arithmetic"] for row in rules("verify")} == {"holds"}
    assert "warning" in rules("verify", str(tmp_path / "old.toml"))[0]["said"]


def test_verify_ends_with_100_where_an_example_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(PLAIN.replace("floor = 48_000", "floor = 47_000"), encoding="utf-8")

    ended = run("rules", "verify", "wrong", "--folder", str(tmp_path))

    assert ended.returncode == 100
    assert "wrong.toml\tBROKEN\t1\t" in ended.stdout and "the example says 47,000" in ended.stdout


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_folder_without_packs_is_refused(tmp_path: Path, command: str) -> None:
    """Nothing verified is not all that holds."""
    for folder in (tmp_path, tmp_path / "none"):
        ended = run("rules", command, "--folder", str(folder))

        assert ended.returncode == 2 and f"{folder}: holds no rule pack" in ended.stderr


def test_a_pack_that_is_not_there_is_one_line_and_exit_2() -> None:
    ended = run("rules", "show", "apex_legacy#50k-eval")

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "did you mean" in ended.stderr
