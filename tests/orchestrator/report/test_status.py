"""How a run stands: told alive, stopped, ended, killed or damaged, and never touched."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.commands.watch import which_run
from orchestrator.journal.journal import Journal, read_journal, verify_journal
from orchestrator.report.report import report_on
from orchestrator.report.status import Standings, after, status_of
from orchestrator.run.control import ask
from orchestrator.run.folder import RunFolder
from orchestrator.run.telemetry import Telemetry
from tests.orchestrator.played_files import FileWorld, play_file
from trigate.errors import ConfigError


@pytest.fixture(scope="module")
def played(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended."""
    return play_file(file_world, tmp_path_factory.mktemp("played"))


@pytest.fixture
def ended(played: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it."""
    return RunFolder(Path(shutil.copytree(played.path, tmp_path / "runs" / played.path.name)))


def told(run: RunFolder) -> dict[str, Any]:
    """`orchestrator status --json`, held to leave the folder as it was."""
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.path.rglob("*") if path.is_file()}
    ended = CliRunner().invoke(app, ["status", str(run.path), "--json"])
    assert ended.exit_code == 0, ended.exception
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in run.path.rglob("*") if path.is_file()}
    assert after == before
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def in_a_position(file_world: FileWorld, played: RunFolder, runs: Path) -> RunFolder:
    """A run that was stopped at the close of the first bar that ends with a position."""
    bar = next(r.payload["bar"] for r in read_journal(played.journal) if r.type == "mark" and r.payload["quantity"])
    return play_file(file_world, runs, stop_after=bar + 1)


def test_an_open_position_stands_with_its_stop_and_its_room(
    file_world: FileWorld, played: RunFolder, tmp_path: Path
) -> None:
    """By hand from the last mark and fill: room = equity - floor; the target is 53,000 of 50,000 dollars."""
    run = in_a_position(file_world, played, tmp_path)
    records = list(read_journal(run.journal))
    mark = next(r.payload for r in reversed(records) if r.type == "mark")
    fill = next(r.payload for r in reversed(records) if r.type == "fill")

    found = told(run)

    assert (found["state"], found["alive"], found["pid"]) == ("stopped", False, None)
    assert (found["quantity"], found["stop"], found["entry"]) == (mark["quantity"], mark["stop"], fill["price"])
    assert found["room"] == mark["equity"] - mark["floor"] == found["equity"] - found["floor"]
    assert found["to_target"] == 5_300_000 - mark["equity"]
    assert (found["bars"], found["records"], found["standing"]) == (mark["bar"] + 1, len(records), "trading")
    assert found["last_records"][-1]["n"] <= len(records)
    shown = CliRunner().invoke(app, ["status", str(run.path)]).stdout
    side = "long" if mark["quantity"] > 0 else "short"
    assert f"{side} {abs(mark['quantity'])} MNQ from {fill['price'] * 0.25:,.2f}".rstrip("0").rstrip(".") in shown
    assert f"price {fill['price'] * 0.25:,.2f}" in shown and "price=" not in shown


def test_a_position_of_which_a_part_has_left_is_told_with_what_it_began_with() -> None:
    """The entry's price stays the entry's, and nothing is told once the last contract is gone."""
    fills = (("entry", 3, 80_000), ("target", -2, 80_300), ("stop", -1, 79_900))
    now, told_of = Standings(), []
    for reason, quantity, price in fills:
        now = after(now, "fill", {"reason": reason, "quantity": quantity, "price": price})
        told_of.append((now.quantity, now.entered, now.entry))

    assert told_of == [(3, 3, 80_000), (1, 3, 80_000), (0, 0, None)]


def test_an_ended_run_is_flat_and_agrees_with_its_report(ended: RunFolder) -> None:
    summary = report_on(ended.path)

    found = told(ended)

    assert (found["state"], found["ended"], found["quantity"], found["entry"]) == ("ended", True, 0, None)
    assert found["trades"] == summary["trades"]
    assert found["last_records"][-1]["type"] == "end"
    assert found["alarms"] == []


def test_watch_says_which_run_it_shows(ended: RunFolder) -> None:
    """The newest one has ended where the run that was meant has no folder yet."""
    newest, named = which_run(ended, asked_for=False), which_run(ended, asked_for=True)

    assert newest == f"{ended.path}: ended; one that begins later is shown when watch is started again"
    assert named == f"{ended.path}: ended"


def test_trouble_with_a_feed_is_an_alarm(ended: RunFolder) -> None:
    """How often it was told stands in the telemetry of every start."""
    with Telemetry(ended.telemetry) as telemetry:
        telemetry.note("feed_trouble", text="feed tcp://127.0.0.1:5557: nobody answers there")

    assert "the feed was away or gave what are no rows: told 1 times in telemetry.jsonl" in told(ended)["alarms"]


def test_a_living_run_is_told_by_its_process_though_its_last_line_is_half_written(
    file_world: FileWorld, tmp_path: Path
) -> None:
    run = play_file(file_world, tmp_path, stop_after=40)
    with Journal.open(run.journal):
        run.mark_started()
        whole = run.journal.read_bytes()
        run.journal.write_bytes(whole + b"12345678 {")
        found = told(run)

    assert (found["state"], found["alive"], found["pid"], found["torn"]) == ("running", True, os.getpid(), 0)
    assert found["bars"] == 40
    dead = told(run)
    assert (dead["state"], dead["alive"], dead["torn"]) == ("killed", False, 10)


def test_what_a_person_asked_for_is_told_until_it_is_in_force(file_world: FileWorld, tmp_path: Path) -> None:
    run = play_file(file_world, tmp_path, stop_after=10)
    ask(run.path, "halt")

    before = told(run)
    play_file(file_world, tmp_path, stop_after=20)
    after = told(run)

    assert (before["standing"], before["asked"], after["standing"]) == ("trading", "halted", "halted")
    assert any("halted was asked for and is not in force yet" in alarm for alarm in before["alarms"])
    assert [alarm for alarm in after["alarms"] if "asked for" in alarm] == []
    assert any("takes no further entry until orchestrator resume" in alarm for alarm in after["alarms"])


def test_what_a_broker_says_at_every_bar_is_not_among_the_last_records(file_world: FileWorld, tmp_path: Path) -> None:
    """A run that sends has such a record for every bar of a position; a person looks for what is none of them."""
    run = play_file(file_world, tmp_path, stop_after=40)
    before = told(run)
    chain = verify_journal(run.journal).chain
    with run.journal.open("ab") as file:
        for bar in range(20):
            line = chain.line("executions", {"bar": bar, "executions": []}, sync=False)
            chain = chain.after(line, sync=False)
            file.write(line)

    after = told(run)

    assert after["records"] == before["records"] + 20
    assert after["last_records"] == before["last_records"] != []


def test_a_damaged_run_is_told_as_far_as_it_is_whole(ended: RunFolder) -> None:
    lines = ended.journal.read_bytes().splitlines(keepends=True)
    lines[999] = lines[999].replace(b'"n":1000', b'"n":1001')
    ended.journal.write_bytes(b"".join(lines))

    found = told(ended)

    assert found["records"] == 999
    assert any("record 1000 at byte" in alarm and "is damaged" in alarm for alarm in found["alarms"])
    assert CliRunner().invoke(app, ["status", str(ended.path)]).exit_code == 0


def test_alarms_of_gate_and_workers_are_counted(ended: RunFolder) -> None:
    with Telemetry(ended.telemetry) as telemetry:
        telemetry.note("gate_degenerate", proposal="p")
        for _ in range(3):
            telemetry.note("policy_missed", cause="timeout")

    assert told(ended)["alarms"] == [
        "the gate says the same to everything: alarmed 1 times",
        "policy did not answer 3 times and was asked again",
    ]


def test_rules_that_are_gone_leave_the_rest_to_be_told(ended: RunFolder) -> None:
    manifest = ended.manifest()
    config = {**manifest.inputs.config, "trading": {**manifest.inputs.config["trading"], "rules": "gone.toml"}}
    ended.write_manifest(manifest.model_copy(update={"inputs": manifest.inputs.model_copy(update={"config": config})}))

    found = status_of(ended)

    assert (found.to_target, found.room is None) == (None, False)
    assert any("the account's rules cannot be read" in alarm for alarm in found.alarms)


def test_the_list_has_every_run_with_state_and_verdict_the_newest_first(
    file_world: FileWorld, ended: RunFolder, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    report_on(ended.path)
    broken = runs / "20200101T000000Z-sim-00000000"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    (runs / "eval-x").mkdir()
    stopped = runs / "29990101T000000Z-sim-11111111"
    play_file(file_world, tmp_path / "other", stop_after=1).path.rename(stopped)

    rows = json.loads(CliRunner().invoke(app, ["list", str(runs), "--json"]).stdout)["runs"]
    shown = CliRunner().invoke(app, ["list", str(runs)]).stdout.splitlines()

    states = [(row["run"], row["state"], row["verdict"]) for row in rows]
    verdict = json.loads((ended.path / "verdict.json").read_bytes())["verdict"]
    assert states == [
        (stopped.name, "stopped", ""),
        (ended.path.name, "ended", verdict),
        (broken.name, "unreadable", ""),
    ]
    assert ["no report yet" in line for line in shown] == [True, False, True]


def test_a_folder_of_accounts_is_named_with_the_command_that_lists_it(tmp_path: Path) -> None:
    """Its runs lie in it; to who played nothing else, "holds no run" would be wrong."""
    folder = tmp_path / "runs" / "20260301T090000Z-sim-accounts-1a2b3c4d"
    folder.mkdir(parents=True)
    (folder / "accounts.json").write_text("{}")

    shown = CliRunner().invoke(app, ["list", str(tmp_path / "runs")])
    told = CliRunner().invoke(app, ["list", str(tmp_path / "runs"), "--json"])

    assert shown.stdout == f"{folder.name}  many accounts: orchestrator list {folder}\n"
    assert json.loads(told.stdout) == {"runs": [], "accounts": [folder.name]}


def test_without_a_run_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    for line in (["status"], ["list"]):
        ended = CliRunner().invoke(app, line)
        assert isinstance(ended.exception, ConfigError)
        assert str(ended.exception).startswith("runs: holds no run")


def test_without_a_name_the_newest_run_below_here_is_told(ended: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ended.path.parent.parent)

    shown = CliRunner().invoke(app, ["status", "--json"])

    assert json.loads(shown.stdout)["run"] == f"runs/{ended.path.name}"
