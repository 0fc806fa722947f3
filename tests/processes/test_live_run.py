"""A live run through an installed adapter, in processes of their own: checked, played to its end, and replayed."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.orchestrator.practice_adapter import ACCOUNT, NAME, install_practice, pack_that_says
from tests.processes.commands import Started, call_here, only_run, records
from tests.processes.conftest import DemoWorld, Start

pytestmark = pytest.mark.process

GUARDS = ("guards.contracts=50", "guards.entries_a_day=100", "guards.loss_a_day_dollars=100000")


def test_an_adapter_is_checked_by_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of docs/extending.md holds; one that loses contracts is found out.

    One that trades another account than was asked for, or whose market moves by itself, is asked nothing.
    """
    install_practice(tmp_path / "site", monkeypatch)
    module = tmp_path / "site" / "practice_broker.py"
    whole = module.read_text()

    def checked(*more: str, defect: str = "") -> tuple[int, str]:
        module.write_text(whole + defect)
        ended = call_here("orchestrator", "check-adapter", NAME, *more)
        return ended.returncode, ended.stdout + ended.stderr

    code, said = checked()
    assert code == 0 and said.endswith("practice: 21 of 21 checks hold\n"), said
    code, said = checked("--set", "live.settings.logged_in_as=OTHER")
    assert code == 2 and "trades account OTHER, and PRACTICE was asked for" in said and "ok " not in said
    code, said = checked(defect="Practice.submit = lambda self, it: self._broker.state(it.order_id)\n")
    assert code == 100 and "FAULT  an order fills with its bracket: " in said and "ok     an id that never came" in said
    code, said = checked(defect="del Practice.move\n")
    assert code == 2 and "moves by itself, so nothing is checked here" in said and "ok " not in said


def test_a_live_run_plays_to_its_end_whoever_is_killed(
    start: Start, demo_world: DemoWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bars come from a port as a rehearsal; the adapter's process is killed on the way, and every byte comes again."""
    install_practice(tmp_path / "site", monkeypatch)
    past, pack = tmp_path / "NQ_past.csv", pack_that_says("allowed", tmp_path)
    line = ("feed", demo_world.minutes, "--to", past, "--port", 0, "--stay", 10, "--speed", 3000, "--from", "14:00")
    with Started(tmp_path / "output", "orchestrator", *line, "--wait", 4) as feed:
        feed.until(lambda: feed.stdout.count("\n") == 2)
        words = feed.stdout.splitlines()[1].split()[2:]
        given = [word for setting in (*GUARDS, f"live.account={ACCOUNT}") for word in ("--set", setting)]
        rules = ("--set", f'trading.rules="{pack}"', "--mode", "live", "--broker", NAME, "--send-orders-to", ACCOUNT)
        run = start(*words, *given, *rules)
        run.until(lambda: "broker" in str(run.family()) and bool(records_of(tmp_path, "order")))
        os.kill(run.worker("broker"), signal.SIGKILL)
        assert run.wait() == 0, run.stderr
    folder = only_run(tmp_path / "runs")

    assert "live: ORDERS ARE SENT, to account PRACTICE by the adapter practice" in run.stderr
    assert "broker: ready again" in run.stderr
    assert len(records(folder, "trade")) > 2 and sum(fill["quantity"] for fill in records(folder, "fill")) == 0
    page = (folder / "report.html").read_text()
    assert "Orders were sent to account PRACTICE." in page and "Nothing was sent" not in page
    assert "Fills are those that the broker of account PRACTICE told" in page and "Fills are simulated" not in page
    told = json.loads(call_here("orchestrator", "status", folder, "--json").stdout)
    assert told["sent_to"] == ACCOUNT and told["filled_by"] == "the broker of the adapter practice, account PRACTICE"
    assert "difference  none" in call_here("orchestrator", "replay", folder, "--verify").stdout


def records_of(place: Path, kind: str) -> list[dict[str, object]]:
    """Of the run below ``place``, once there is one."""
    found = list((place / "runs").glob("*/journal.jsonl"))
    return records(found[0].parent, kind) if found else []
