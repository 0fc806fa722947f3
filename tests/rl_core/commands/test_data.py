"""`rl-core data check` and `data ingest` as a user runs them: one answer, one line per fault, an exit code."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide
from tests.processes.commands import call_here
from tests.rl_core.bars.vendor_files import vendor_rows, write_vendor

ROW = "2025-01-02T14:{minute}:00Z,21000,21001,{low},21000.5,{minute}\n"
GOOD = "datetime,open,high,low,close,volume\n" + "".join(ROW.format(minute=m, low=20999) for m in range(30, 40))


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return call_here("rl-core", "data", *arguments)


def test_check_prints_one_json_object(tmp_path: Path) -> None:
    path = tmp_path / "NQ_D1M.csv"
    path.write_text(GOOD)

    done = run("check", path, "--json")

    found = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert (found["bars"], found["sessions"], found["silent_intervals"], found["rolls"]) == (10, 1, 0, 0)


@pytest.mark.parametrize(
    ("change", "options", "code", "said"),
    [
        (("20999", "0"), (), 3, ":2:low: price_range: '0'"),
        (("14:3", "22:3"), (), 3, ":2:time: closed_market: '2025-01-02T22:30:00Z'"),
        (("", ""), ("--rolls", "none.toml"), 2, "none.toml: cannot be read"),
        (("", ""), ("--interval", "86400"), 3, ":2:datetime: off_interval: "),
        (("", ""), ("--market", "NP"), 2, "unknown market 'NP'; known: ES, NQ"),
    ],
)
def test_a_fault_is_one_line_and_an_exit_code(
    tmp_path: Path, change: tuple[str, str], options: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "NQ_D1M.csv"
    path.write_text(GOOD.replace(*change) if change[0] else GOOD)

    done = run("check", path, *options)

    assert done.returncode == code and said in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@needs_browser
def test_the_card_is_drawn_and_fetches_nothing(tmp_path: Path) -> None:
    source = write_vendor(tmp_path / "vendor.csv", vendor_rows().rows)
    assert run("ingest", source, "--out", tmp_path / "out").returncode == 0

    page = (tmp_path / "out" / "data.html").read_text()
    drawn = draw(page, tmp_path)

    assert drawn.seen == QUIET and drawn.elements.count("<svg") >= 3
    assert {width: too_wide(page, tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)


def test_ingest_leaves_bars_schedule_card_and_page(tmp_path: Path) -> None:
    source = write_vendor(tmp_path / "vendor.csv", vendor_rows().rows)

    done = run("ingest", source, "--out", tmp_path / "out", "--json")

    assert done.returncode == 0 and json.loads(done.stdout)["contracts"] == "NQZ4 NQH5 NQM5"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "NQ_D1M.parquet",
        "data.html",
        "data.json",
        "rolls.toml",
    ]


@pytest.mark.parametrize("words", [("demo",), ("world", "--kind", "no_edge")])
def test_a_world_that_cannot_be_written_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").write_text("not a folder")

    done = run(*words, "--sessions", "2", "--out", tmp_path / "file")

    assert done.returncode == 7 and done.stderr.count("\n") == 1 and str(tmp_path / "file") in done.stderr


def test_a_leak_check_of_the_demo_world_takes_no_other_file(tmp_path: Path) -> None:
    """It would say that nothing leaks without having read the file."""
    done = run("check-leak", "--seconds", tmp_path / "NQ_D1S.csv", "--market", "NQ")

    assert done.returncode == 2 and done.stderr == "rl-core: --seconds, --market: of which bars? give --bars FILE\n"


@pytest.mark.parametrize("command", ["check", "ingest"])
def test_a_bar_lasts_a_day_at_most(tmp_path: Path, command: str) -> None:
    (tmp_path / "NQ_D1M.csv").write_text(GOOD)

    done = run(command, tmp_path / "NQ_D1M.csv", "--interval", "10000000000", "--out", tmp_path / "out")

    assert done.returncode == 2 and "or equal to 86400" in done.stderr and "Traceback" not in done.stderr
