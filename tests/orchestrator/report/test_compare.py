"""Two runs side by side: the difference is paired by session, and what they differ in is named."""

import json
from pathlib import Path

import pytest
from played_runs import every_tenth_minute, play, walk, winning_run

from orchestrator.report.compare import compare_runs, comparison_lines
from orchestrator.report.compare_page import compare_page
from orchestrator.run.folder import RunFolder
from rl_core.statistics.bootstrap import Interval
from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide
from tests.processes.commands import call_here
from trigate.errors import ConfigError

DAY = ("2024-06-03",)


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The sessions of the run that won, wrong on all days but the first two."""
    return winning_run(tmp_path_factory.mktemp("lost"), wrong=range(2, 12), engine="vllm", name="lost")


def test_the_difference_is_paired_by_session(won: RunFolder, lost: RunFolder) -> None:
    found, turned = compare_runs(won.path, lost.path), compare_runs(lost.path, won.path)
    itself = compare_runs(won.path, won.path)

    first, second = (run.days for run in found.runs)
    paired = [second[day].r - first[day].r for day in found.shared]
    assert found.r is not None and turned.r is not None and itself.r is not None and found.dollars is not None
    assert len(paired) == 12 and paired[0] == 0 and found.r.mean == pytest.approx(sum(paired) / 12)
    assert found.dollars.mean == pytest.approx(sum(second[d].net - first[d].net for d in found.shared) / 1200)
    assert found.r.mean == pytest.approx(-turned.r.mean) and found.r.mean < 0
    assert itself.r.mean == 0 and not itself.differs


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-0.3, -0.1, "the first"), (0.1, 0.3, "the second"), (-0.1, 0.3, "neither is shown to be")],
)
def test_the_better_run_is_named_where_its_interval_says_so(won: RunFolder, low: float, high: float, word: str) -> None:
    found = compare_runs(won.path, won.path)

    assert found._replace(r=Interval((low + high) / 2, low, high, 0.95, 40, 40)).word == word
    assert found._replace(r=None).word == "not known: no session was played by both"


def test_only_sessions_that_both_played_count(won: RunFolder, tmp_path: Path) -> None:
    bars = walk(DAY)
    one_day = play(tmp_path, bars, every_tenth_minute(bars), engine="vllm")

    found = compare_runs(won.path, one_day.path)

    assert found.shared == ["2024-06-03"]
    assert found.word == "not known: 1 session with trades; at least 10 are needed"


def test_what_differs_is_named_and_printed(won: RunFolder, lost: RunFolder, tmp_path: Path) -> None:
    bars = walk(DAY)
    other = play(tmp_path, bars, every_tenth_minute(bars), engine="rules", max_entries_per_session=7)

    same = compare_runs(won.path, lost.path)
    found = compare_runs(won.path, other.path)
    told = call_here("orchestrator", "compare", won.path, other.path)
    row = json.loads(call_here("orchestrator", "compare", won.path, lost.path, "--json").stdout)

    assert same.differs == {}, "names make no other run"
    assert found.differs["gate.engine"] == ("vllm", "rules") and found.differs["max_entries_per_session"] == (50, 7)
    assert told.stdout.splitlines() == comparison_lines(found)
    assert (row["better"], row["shared_sessions"], row["differs"]) == (same.word, 12, {})
    assert same.r is not None and row["r_a_session_difference"] == same.r._asdict()


def test_runs_of_two_markets_are_not_compared(won: RunFolder, tmp_path: Path) -> None:
    bars = walk(DAY)
    other = play(tmp_path, bars, every_tenth_minute(bars))
    other.write_manifest(other.manifest().model_copy(update={"market": "ES"}))

    with pytest.raises(ConfigError, match=r"traded NQ bars and .* ES; compare runs of one market"):
        compare_runs(won.path, other.path)


def test_the_page_says_what_the_terminal_says(won: RunFolder, lost: RunFolder, tmp_path: Path) -> None:
    page, found = tmp_path / "compare.html", compare_runs(won.path, lost.path)
    told = call_here("orchestrator", "compare", won.path, lost.path, "--page", page)
    text = page.read_text("utf-8")

    assert told.stdout.splitlines() == [*comparison_lines(found), f"page {page}"]
    assert found.r is not None and found.r.bounds is not None and found.word == "the first"
    assert "The first is better" in text and f"95 %: {found.r.bounds[0]:+.3f} R to {found.r.bounds[1]:+.3f} R" in text
    assert "settings, bars, checkpoint, gate and rules are the same" in text and text.count("<polyline") == 3


def test_names_and_settings_cannot_write_into_the_page(won: RunFolder) -> None:
    found = compare_runs(won.path, won.path)

    text = compare_page(found._replace(differs={"gate.model": ("<script>alert(1)</script>", None)}))

    assert "<script>alert" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@needs_browser
def test_the_page_fits_phone_and_desktop_and_fetches_nothing(won: RunFolder, lost: RunFolder, tmp_path: Path) -> None:
    page = compare_page(compare_runs(won.path, lost.path))

    assert draw(page, tmp_path).seen == QUIET
    assert {width: too_wide(page, tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)
