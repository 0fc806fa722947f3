"""The report in a real browser, and the logs that inspect-ai reads."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from llm_gate.evals.asking.run import run_suite
from llm_gate.evals.asking.suite import read_suite
from llm_gate.evals.report.case_browser import browsed, judged, unpacked
from llm_gate.evals.report.findings import Findings, findings_of
from llm_gate.evals.report.inspect_log import write_inspect_logs
from llm_gate.evals.report.page import millis, page
from llm_gate.evals.scoring.intervals import Figure
from llm_gate.prompts.prompt_files import find_prompt
from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide
from tests.llm_gate.evals.rows import recorded, row


@pytest.fixture
def found(suite_file: Path, tmp_path: Path) -> Findings:
    """The small suite's findings."""
    suite = read_suite(suite_file)
    return findings_of(run_suite(suite, tmp_path / "out", say=lambda text: None, step=lambda m, done, total: None))


@needs_browser
def test_the_page_draws_its_plots_fetches_nothing_and_says_who_has_no_judgement(
    found: Findings, tmp_path: Path
) -> None:
    drawn, seen = draw(page(found), tmp_path)

    assert seen == QUIET
    for name in ("accuracy", "reliability", "money", "promotion"):
        assert re.search(rf'id="plot-{name}".*?<svg[^>]*class="main-svg"', drawn, re.DOTALL)
    glance = drawn[drawn.index('id="glance"') : drawn.index('id="judgement"')]
    assert re.search(r"always-approve/entry_review.v1/choice</td><td>held-out</td><td class=\"n\">0.0</td>", glance)
    nobody, always = (
        re.findall(rf'{name}</td><td>held-out</td><td class="n">0.0</td><td class="n">([^<]+)</td>', glance)
        for name in ("nobody: all approved", "always-approve/entry_review.v1/choice")
    )
    assert nobody == always and len(always) == 1
    section = drawn[drawn.index('id="judgement"') : drawn.index('id="scores"')]
    assert re.search(r"NO JUDGEMENT SHOWN</span>\s*<div><strong>always-approve</strong>", section)
    assert re.search(r'"word JUDGEMENT">JUDGEMENT</span>\s*<div><strong>rules</strong>', section)
    assert "SHADOW" in drawn[drawn.index('id="promotion"') :]
    assert {width: too_wide(page(found), tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)


def test_on_a_phone_each_figure_of_a_wide_table_stands_beside_its_heading(found: Findings) -> None:
    """There a row is a block and the row of headings is not shown: each cell repeats its own."""
    tables = re.findall(r'<table class="stacked">(.*?)</table>', page(found), re.DOTALL)

    assert len(tables) == 6
    for table in tables:
        headings, *rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        named = re.findall(r"<th[^>]*>(.*?)</th>", headings)[1:]
        assert rows and len(named) > 2
        for row_ in rows:
            cells = re.findall(r"<td[^>]*>", row_)
            told = [found[1] if (found := re.search(r'data-h="([^"]*)"', cell)) else "" for cell in cells]
            assert [each.replace("tokens out", "out") for each in told] == ["", *named]


def test_every_answerer_has_a_log_in_the_form_of_inspect_ai(found: Findings, tmp_path: Path) -> None:
    paths = write_inspect_logs(found, tmp_path / "inspect")

    logs = {path.name: json.loads(path.read_text()) for path in paths}
    rules = logs["rules_entry_review.v1_choice.json"]
    assert len(logs) == 3
    assert (rules["version"], rules["status"]) == (2, "success")
    assert {"created", "task", "dataset", "model", "config"} <= rules["eval"].keys()
    assert len(rules["samples"]) == rules["results"]["total_samples"] == 120
    assert len({(sample["id"], sample["epoch"]) for sample in rules["samples"]}) == 120
    graded = [sample["scores"]["label"]["value"] for sample in rules["samples"] if sample["scores"]]
    assert graded and set(graded) == {"C"}
    names = {score["name"]: score["metrics"] for score in rules["results"]["scores"]}
    assert names["held_out_fields"]["accuracy"]["value"] == 1.0


@pytest.mark.skipif(
    importlib.util.find_spec("inspect_ai") is None, reason="inspect-ai cannot be installed beside the locked fsspec"
)
def test_inspect_ai_reads_them_back(found: Findings, tmp_path: Path) -> None:
    log = importlib.import_module("inspect_ai.log")

    for path in write_inspect_logs(found, tmp_path / "inspect"):
        assert log.read_eval_log(str(path)).status == "success"


def test_the_case_browser_holds_every_question_as_it_was_sent(found: Findings) -> None:
    kept = unpacked(browsed(found.suite_run).data)

    prompt = find_prompt("entry_review.v1")
    case = next(case for case in found.suite_run.cases if case.case_id == "bank-2")
    shown = next(each for each in kept["rows"] if each["case"] == "bank-2" and each["model"] == "rules")
    sent = [(turn.role, turn.text) for turn in prompt.render(case.proposal)]
    assert [(role, kept["texts"][number]) for role, number in shown["chat"]] == sent
    assert (shown["label"], shown["judged"], shown["letters"]) == (case.label, "right", prompt.front.letters)
    assert len(kept["rows"]) == len(found.suite_run.rows)


def test_right_and_wrong_are_told_by_the_label_or_by_what_was_earned() -> None:
    assert [judged(row(1, answer=answer)) for answer in ("approve", "veto", None)] == ["right", "wrong", "no verdict"]
    won, lost = recorded(1, 0.9, 700, 0), recorded(2, 0.9, -1000, 0)
    assert [judged(won), judged(lost)] == ["right", "wrong"]
    assert judged(lost.model_copy(update={"answer": "shrink"})) == "right"


def test_more_answers_than_fit_are_spread_evenly_and_the_page_says_so(found: Findings, tmp_path: Path) -> None:
    few, small = browsed(found.suite_run, most=7), browsed(found.suite_run, most_bytes=4_000)
    total = len(found.suite_run.rows)

    assert [each["case"] for each in unpacked(few.data)["rows"]] == [
        found.suite_run.rows[n * total // 7].case_id for n in range(7)
    ]
    assert (few.kept, few.of) == (7, total) and len(small.data) <= 4_000 and 1 <= small.kept < total
    assert f"All {total} answers" in page(found)


@pytest.mark.parametrize(
    ("taken", "shown"), [(0.04, "<0.1"), (0.24, "0.2"), (9.94, "9.9"), (1234.4, "1,234"), (None, "–")]
)
def test_milliseconds_of_an_engine_without_a_model_are_not_none(taken: float | None, shown: str) -> None:
    assert millis(Figure(taken)) == shown


@needs_browser
def test_what_a_model_said_is_text_and_never_html(found: Findings, tmp_path: Path) -> None:
    """A reply that would run a script, close the block of data or fetch a picture, as verdict, reason and error."""
    hostile = "</script><img src=x onerror=console.error('ran')><script>console.error('ran')</script>"
    first = found.suite_run.rows[0].model_copy(update={"answer": hostile, "reason": hostile, "error": hostile})
    run = found.suite_run._replace(rows=[first, *found.suite_run.rows[1:]])

    text = page(found._replace(suite_run=run)).replace(
        "  render();\n  root", "  state.open = rows[0];\n  render();\n  root"
    )
    drawn = draw(text, tmp_path)

    assert hostile not in text and drawn.seen == QUIET
    assert "turns of worked examples</summary>" in drawn.elements
    assert drawn.elements.count("&lt;/script&gt;&lt;img src=x onerror") >= 4  # verdict, filter, reason, why none
