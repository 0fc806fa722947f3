"""The report in a real browser: its plots are drawn, nothing is fetched, nothing complains."""

from pathlib import Path

from played_runs import every_tenth_minute, play, walk

from llm_gate.contract import Approve, Outcome, Veto
from orchestrator.report.report import report_on
from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide


@needs_browser
def test_the_page_draws_its_plots_and_fetches_nothing(tmp_path: Path) -> None:
    def veto_every_third(number: int) -> Outcome:
        return Veto(reason="<b>against</b> the trend & late") if number % 3 == 0 else Approve()

    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars), veto_every_third, engine="vllm")
    report_on(folder.path)

    page = (folder.path / "report.html").read_text(encoding="utf-8")
    drawn = draw(page, tmp_path)

    assert drawn.seen == QUIET
    assert {width: too_wide(page, tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)
    assert drawn.plots >= 2
    assert "<b>against</b>" not in drawn.elements
