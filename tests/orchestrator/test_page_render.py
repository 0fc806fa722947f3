"""The report in a real browser: its plots are drawn, nothing is fetched, nothing complains."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from played_runs import every_tenth_minute, play, walk

from llm_gate.contract import Approve, Outcome, Veto
from orchestrator.report import report_on

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=10000",
    "--dump-dom",
)
# Runs before anything of the page, and tells in the page itself what was seen.
WATCH = """<script>
const faults = [];
addEventListener("error", event => faults.push(String(event.message || event.target.src || event.target.href)), true);
addEventListener("securitypolicyviolation", event => faults.push(event.blockedURI));
for (const level of ["error", "warn"]) {
  const plain = console[level];
  console[level] = (...words) => { faults.push(words.join(" ")); plain(...words); };
}
addEventListener("load", () => setTimeout(() => {
  const fetched = performance.getEntriesByType("resource").map(entry => entry.name);
  document.body.dataset.seen = JSON.stringify({faults, fetched: fetched.filter(name => !name.startsWith("data:"))});
}, 1000));
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_the_page_draws_its_plots_and_fetches_nothing(tmp_path: Path) -> None:
    def veto_every_third(number: int) -> Outcome:
        return Veto(reason="<b>against</b> the trend & late") if number % 3 == 0 else Approve()

    bars = walk()
    folder = play(tmp_path, bars, every_tenth_minute(bars), veto_every_third, engine="vllm")
    report_on(folder.path)
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    watched = tmp_path / "watched.html"
    watched.write_text(re.sub(r"<head[^>]*>", lambda found: found[0] + WATCH, page, count=1), encoding="utf-8")

    drawn = drawn_by_a_browser(watched)

    seen = re.search(r'data-seen="([^"]*)"', drawn)
    assert seen is not None, drawn[-2000:]
    assert json.loads(html.unescape(seen[1])) == {"faults": [], "fetched": []}
    assert len(re.findall(r'<svg[^>]*class="main-svg"', drawn)) >= 2
    assert "<b>against</b>" not in drawn


def drawn_by_a_browser(page: Path) -> str:
    """The page's elements after its scripts have run, from a browser with a new profile."""
    assert BROWSER is not None
    line = [BROWSER, *FLAGS, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()]
    return subprocess.run(line, capture_output=True, text=True, timeout=180, check=True).stdout
