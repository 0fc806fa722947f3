"""A page in a real browser: what it draws, what it fetches, what complains."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
QUIET: dict[str, Any] = {"faults": [], "fetched": []}
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


# In a page around a frame of the asked width, as a window of a headless browser is never narrower than 500 pixels.
MEASURE = """<script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => setTimeout(() => {
  const page = frame.contentDocument, width = frame.contentWindow.innerWidth;
  const named = element => element.tagName + " " + element.textContent.trim().slice(0, 40);
  const clips = element => frame.contentWindow.getComputedStyle(element).overflowX !== "visible";
  const within = element => {
    for (let above = element.parentElement; above !== page.body; above = above.parentElement) {
      if (clips(above) && above.getBoundingClientRect().right <= width + 1) return true;
    }
    return false;
  };
  const sticksOut = element => element.getBoundingClientRect().right > width + 1 && !within(element);
  const spills = element => element.scrollWidth > element.clientWidth + 1 && !clips(element);
  const texts = [...page.querySelectorAll("p, li, dd, h1, h2, h3, div:not(.modebar, .modebar *)")];
  const scale = text => Math.hypot(text.getScreenCTM().a, text.getScreenCTM().b);  // a title may be turned
  const letters = text => scale(text) * parseFloat(frame.contentWindow.getComputedStyle(text).fontSize);
  const small = [...page.querySelectorAll("svg text")].filter(text => text.textContent.trim() && letters(text) < 9);
  const cut = [...page.querySelectorAll(".js-plotly-plot")].filter(
    plot => plot.querySelector(".main-svg").getBoundingClientRect().width > plot.clientWidth + 1);
  document.body.dataset.wide = JSON.stringify({
    "wider than the window": page.documentElement.scrollWidth > width ? [page.documentElement.scrollWidth] : [],
    "sticks out": [...page.body.querySelectorAll("*")].filter(sticksOut).map(named),
    "text spills": texts.filter(spills).map(named),
    "plot is cut": cut.map(plot => plot.id),
    "letters too small": small.map(named),
  });
}, 1500));
</script>"""
FITS: dict[str, list[Any]] = {
    name: [] for name in ("wider than the window", "sticks out", "text spills", "plot is cut", "letters too small")
}
"""What `too_wide` finds on a page that fits."""
WIDTHS = (390, 800)
"""A phone, and the narrowest window with the layout of a desktop."""


class Drawn(NamedTuple):
    """A page after its scripts have run."""

    elements: str
    seen: dict[str, Any]  # QUIET where nothing complained and nothing was fetched

    @property
    def plots(self) -> int:
        """How many were drawn."""
        return len(re.findall(r'<svg[^>]*class="main-svg"', self.elements))


def draw(page: str, folder: Path) -> Drawn:
    """``page`` in a browser with a new profile in ``folder``."""
    elements = _elements(re.sub(r"<head[^>]*>", lambda head: head[0] + WATCH, page, count=1), folder)
    seen = re.search(r'data-seen="([^"]*)"', elements)
    assert seen is not None, elements[-2000:]
    return Drawn(elements, json.loads(html.unescape(seen[1])))


def too_wide(page: str, folder: Path, width: int) -> dict[str, list[Any]]:
    """What does not fit where ``page`` is shown ``width`` pixels wide; `FITS` where everything does."""
    frame = f'<iframe id="frame" style="width:{width}px;height:3000px;border:0" srcdoc="{html.escape(page)}"></iframe>'
    head = '<head><meta charset="utf-8"></head>'
    elements = _elements(f'<!doctype html><html>{head}<body style="margin:0">{frame}{MEASURE}</body></html>', folder)
    found = re.search(r'data-wide="([^"]*)"', elements)
    assert found is not None, elements[-2000:]
    wide: dict[str, list[Any]] = json.loads(html.unescape(found[1]))
    return wide


def _elements(page: str, folder: Path) -> str:
    """The elements of ``page`` after its scripts have run."""
    assert BROWSER is not None
    path = folder / "shown.html"
    path.write_text(page, encoding="utf-8")
    line = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", path.as_uri()]
    return subprocess.run(line, capture_output=True, text=True, timeout=180, check=True).stdout
