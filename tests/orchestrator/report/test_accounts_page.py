"""The page of many accounts: a row an account, also of those that failed, and the way to each report."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.accounts_page import EDGE, WIDTH, accounts_page, write_accounts_page
from orchestrator.report.report import report_on
from orchestrator.run.folder import RunFolder
from rl_core.evaluation.tries import ELSEWHERE, TRIES
from tests.orchestrator.played_files import FileWorld, play_file
from trigate.errors import ResourceError

FAILED = {"account": "gold", "became": "failed", "exit_code": 3, "word": "GC.csv: not_a_file", "verdict": None}


@pytest.fixture(scope="module")
def reported(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended, with its report."""
    folder = tmp_path_factory.mktemp("reported")
    run = play_file(file_world, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ELSEWHERE, str(folder / TRIES))  # the world is shared: no other module's look may count this one
        report_on(run.path)
    return run


def seated(reported: RunFolder, folder: Path, name: str, **said: Any) -> dict[str, Any]:
    """An account of its own in ``folder``, whose report says ``said``; its row names a place that it was moved from."""
    run = Path(shutil.copytree(reported.path, folder / f"20260101T000000Z-{name}-1a2b3c4d"))
    verdict = {**json.loads((run / "verdict.json").read_bytes()), **said}
    (run / "verdict.json").write_text(json.dumps(verdict))
    row = {"account": name, "became": "ended", "exit_code": 0, "word": "", "verdict": verdict["verdict"]}
    return {**row, "trades": verdict["trades"], "run": f"elsewhere/{run.name}"}


def mean(low: float | None, value: float, high: float | None) -> dict[str, Any]:
    return {"mean": value, "low": low, "high": high, "level": 0.95, "sessions": 20, "trades": 40}


def test_each_account_stands_in_a_row_with_its_interval_on_one_scale(reported: RunFolder, tmp_path: Path) -> None:
    """By hand: from -1 to +1 R over 200 units less 6 on either side, zero lies in the middle and 0.5 at 147."""
    rows = [
        seated(reported, tmp_path, "first", mean_r=mean(-1.0, 0.5, 1.0), net_cents=-12_345, reasons=["one", "two"]),
        seated(reported, tmp_path, "second", mean_r=mean(None, 0.25, None), net_cents=5, verdict="PASS"),
        {**FAILED, "run": None},
    ]

    page = accounts_page(tmp_path, rows)

    assert (WIDTH, EDGE) == (200, 6)
    assert '<line class="zero" x1="100.0" x2="100.0"' in page
    assert '<line x1="6.0" x2="194.0" y1="8" y2="8"/><circle cx="147.0"' in page
    assert page.count("<svg") == 1, "an account without an interval has no drawing"
    cells = [re.sub(r"<[^>]+>", "|", line) for line in page.splitlines() if line.lstrip().startswith("<tr class=")]
    assert [re.findall(r"\+0\.\d{3}|-\$[\d.]+", line) for line in cells] == [["+0.500", "-$123.45"], ["+0.250"], []]
    assert "-1.000 to +1.000" in cells[0] and "failed" in cells[2]
    assert "1 of 2 verdicts is PASS" in page and "2 of 3 ended; the same command continues the others" in page
    assert "<dt>gold, failed</dt><dd>GC.csv: not_a_file</dd>" in page
    assert "<dt>first, NOT PROVEN</dt><dd>one; two</dd>" in page


def test_every_link_leads_to_a_report_wherever_the_folder_lies(reported: RunFolder, tmp_path: Path) -> None:
    rows = [seated(reported, tmp_path, "first"), seated(reported, tmp_path, "second"), {**FAILED, "run": None}]

    page = write_accounts_page(tmp_path, rows)

    links = re.findall(r'href="([^"]+)"', page.read_text())
    assert len(links) == 2 and all((tmp_path / link).is_file() for link in links)


def test_accounts_of_which_none_traded_are_told_without_a_drawing(reported: RunFolder, tmp_path: Path) -> None:
    rows = [seated(reported, tmp_path, "first", mean_r=None, trades=0)]

    page = accounts_page(tmp_path, rows)

    assert "<svg" not in page and "1 account in one run" in page


def test_a_report_that_is_gone_is_named(reported: RunFolder, tmp_path: Path) -> None:
    rows = [seated(reported, tmp_path, "first")]
    said = tmp_path / Path(rows[0]["run"]).name / "verdict.json"
    said.unlink()

    with pytest.raises(ResourceError, match=re.escape(str(said))):
        accounts_page(tmp_path, rows)
