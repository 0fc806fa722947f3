"""On paper nobody scrolls: whatever a page holds stands there whole."""

from pathlib import Path

from tests.browser import needs_browser
from tests.driven_browser import browser
from trigate.pages import render

STYLE = Path(render.__file__).parent / "templates" / "style.css"
SHEET = 1047
"""Pixels between the margins of A4 on its side."""
CUT = """[...document.querySelectorAll("body *")].filter(each => getComputedStyle(each).overflow !== "visible"
  && (each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1)).map(each => each.id)"""


@needs_browser
def test_nothing_that_scrolls_on_a_screen_is_cut_on_paper(tmp_path: Path) -> None:
    """A page's own style may limit a height after ours. What is wider than a sheet the browser shrinks."""
    cells = "".join(f"<td class='n'>{10_000_000 + column:,}</td>" for column in range(40))
    page = tmp_path / "page.html"
    page.write_text(
        f"<style>{STYLE.read_text()} .scroll {{ max-height: 40px; overflow: auto; }}</style><main>"
        f"<div class='scroll' id='scrolled'><table id='within'>{f'<tr>{cells}</tr>' * 9}</table></div>"
        f"<table id='alone'>{f'<tr>{cells}</tr>' * 9}</table></main>"
    )

    with browser(tmp_path) as tab:
        tab.open(page.as_uri(), width=700)
        tab.until("document.readyState === 'complete' && document.getElementById('alone') !== null")
        on_a_screen = tab.value(CUT)
        tab.ask("Emulation.setEmulatedMedia", media="print")
        tab.ask("Emulation.setDeviceMetricsOverride", width=SHEET, height=700, deviceScaleFactor=1, mobile=False)

        assert (on_a_screen, tab.value(CUT)) == (["scrolled", "within", "alone"], [])
        assert tab.value("scrolled.offsetHeight >= within.offsetHeight && within.offsetHeight > 100"), (
            "what follows is printed over it"
        )
