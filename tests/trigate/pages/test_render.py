"""One base template and one stylesheet for every page."""

import re
from pathlib import Path

import jinja2
import pytest

from tests.browser import QUIET, draw, needs_browser
from tests.import_graph import PACKAGES, ROOT
from trigate.pages.render import rendered

TEMPLATES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.j2"))
BASES = ("base.html.j2", "base_with_plots.html.j2")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with one template of its own."""
    (tmp_path / "pagemaker" / "templates").mkdir(parents=True)
    (tmp_path / "pagemaker" / "__init__.py").write_text('"""Pages."""\n')
    (tmp_path / "pagemaker/templates/own.html.j2").write_text(
        '{% extends "base.html.j2" %}\n{% block title %}T{% endblock %}\n'
        "{% block body %}<section><table><tr>{% for k in range(40) %}<td>{{ word|shout }}</td>{% endfor %}</tr>"
        "</table></section>{% endblock %}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "pagemaker"


def filled(package: str, word: str) -> str:
    """Its page."""
    return rendered(package, "own.html.j2", {"word": word}, filters={"shout": str.upper})


def test_a_page_has_the_base_around_it_and_escapes_what_it_shows(package: str) -> None:
    page = filled(package, "<b>")

    assert page.startswith("<!doctype html>") and "&lt;B&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"(src|href)=|https?://|@import|<script", page)


def test_a_name_that_is_missing_is_an_error(package: str) -> None:
    with pytest.raises(jinja2.UndefinedError, match="word"):
        rendered(package, "own.html.j2", {}, filters={"shout": str})


def test_every_page_extends_the_one_base_and_no_stylesheet_repeats_it() -> None:
    own = [path for path in TEMPLATES if path.parent != ROOT / "trigate/pages/templates"]

    included = {name for path in own for name in re.findall(r'{% include "([^"]+)" %}', path.read_text("utf-8"))}
    pages = [path for path in own if path.name not in included]

    assert len(pages) >= 4
    for path in own:
        text = path.read_text(encoding="utf-8")
        assert path not in pages or re.match(r'{% extends "(base|base_with_plots)\.html\.j2" %}', text), path
        assert not re.search(r"#[0-9a-f]{3,6}\b", text.split("{% block body %}")[0]), f"{path}: a colour of its own"


@needs_browser
def test_a_wide_table_scrolls_inside_its_card_on_a_phone(package: str, tmp_path: Path) -> None:
    """The frame is 390 pixels wide, as a phone."""
    page = filled(package, "nine chars")
    measure = (
        "<script>addEventListener('load', () => {"
        "const d = document.querySelector('iframe').contentDocument;"
        "document.body.dataset.widths = [d.documentElement.scrollWidth, d.documentElement.clientWidth].join(' ')"
        "})</script>"
    )
    escaped = page.replace("&", "&amp;").replace('"', "&quot;")
    frame = f'<iframe style="width:390px;height:800px;border:0" srcdoc="{escaped}"></iframe>'

    drawn = draw(f"<!doctype html><html><head>{measure}</head><body>{frame}</body></html>", tmp_path)

    assert drawn.seen == QUIET
    widths = re.search(r'data-widths="(\d+) (\d+)"', drawn.elements)
    assert widths is not None
    content, frame_width = map(int, widths.groups())
    assert frame_width == 390 and content <= 390  # less where a vertical scroll bar takes its room
