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
    assert BROWSER is not None
    watched = folder / "watched.html"
    watched.write_text(re.sub(r"<head[^>]*>", lambda head: head[0] + WATCH, page, count=1), encoding="utf-8")
    line = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'profile'}", watched.as_uri()]
    elements = subprocess.run(line, capture_output=True, text=True, timeout=180, check=True).stdout
    seen = re.search(r'data-seen="([^"]*)"', elements)
    assert seen is not None, elements[-2000:]
    return Drawn(elements, json.loads(html.unescape(seen[1])))
