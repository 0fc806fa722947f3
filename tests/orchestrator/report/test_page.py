"""The report in a real browser: it is drawn, its table sorts, filters, opens and exports, and nothing is fetched."""

import html
import json
import re
from pathlib import Path
from typing import Any

from played_runs import every_tenth_minute, play, walk

from llm_gate.contract import Approve, Outcome, Veto
from orchestrator.report.report import report_on
from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide

# Waits for the table, then uses it as a person does, and leaves in the page what was seen after each step.
USE = """<script>
const wait = setInterval(() => {
  const root = document.getElementById("explorer");
  if (!root.dataset.ready) return;
  clearInterval(wait);
  const rows = () => [...root.querySelectorAll("tr.row")].map(row => [...row.cells].map(cell => cell.textContent));
  const choose = (name, label) => {
    const select = root.querySelector(`select[aria-label="${name}"]`);
    select.value = [...select.options].findIndex(option => option.text === label);
    select.dispatchEvent(new Event("change"));
  };
  const sort = label => [...root.querySelectorAll("th button")].find(button => button.textContent === label).click();
  const steps = {first: rows()};
  sort("R"); steps.sorted = rows();
  sort("R"); steps.reversed = rows();
  choose("what", "all proposals"); choose("gate", "vetoed"); steps.vetoed = rows();
  root.querySelector("tr.row").click();
  steps.told = root.querySelector("tr.detail").textContent;
  steps.candles = root.querySelectorAll("tr.detail svg rect").length;
  root.querySelector(".controls button").click(); steps.exported = root.dataset.exported;
  choose("gate", "every verdict"); choose("side", "short"); choose("what", "trades"); steps.short = rows();
  root.querySelector("tr.row").click();
  document.body.dataset.steps = JSON.stringify(steps);
}, 50);
</script>"""


def veto_every_third(number: int) -> Outcome:
    return Veto(reason="<b>against</b> the trend & late") if number % 3 == 0 else Approve()


@needs_browser
def test_the_page_is_drawn_and_its_table_does_what_a_person_asks(tmp_path: Path) -> None:
    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars), veto_every_third, engine="vllm")
    trades = report_on(folder.path)["trades"]

    page = (folder.path / "report.html").read_text(encoding="utf-8")
    drawn = draw(page.replace("</body>", USE + "</body>"), tmp_path)
    found = re.search(r'data-steps="([^"]*)"', drawn.elements)
    assert found is not None
    steps: dict[str, Any] = json.loads(html.unescape(found[1]))

    assert drawn.seen == QUIET
    assert {width: too_wide(page, tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)
    assert len(re.findall(r'<svg id="plot-[a-z]+" class="chart"', drawn.elements)) == 2
    results = [float(row[7].replace("\u2212", "-")) for row in steps["sorted"]]
    assert len(steps["first"]) == len(results) == trades > 10
    assert results == sorted(results) and steps["reversed"] == steps["sorted"][::-1]
    assert {row[12] for row in steps["vetoed"]} == {"vetoed"} and len(steps["vetoed"]) == int(steps["exported"]) > 5
    assert all(re.match(r"(saved|cost) \$", row[13]) for row in steps["vetoed"])
    assert "<b>against</b> the trend & late" in steps["told"] and steps["candles"] > 30
    assert {row[2] for row in steps["short"]} == {"short"} and 0 < len(steps["short"]) < trades
    assert "<b>against</b>" not in drawn.elements
