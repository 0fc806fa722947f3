"""The report in a real browser, and the logs that inspect-ai reads."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from llm_gate.evals.asking.run import run_suite
from llm_gate.evals.asking.suite import read_suite
from llm_gate.evals.report.findings import Findings, findings_of
from llm_gate.evals.report.inspect_log import write_inspect_logs
from llm_gate.evals.report.page import page
from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide


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
    section = drawn[drawn.index('id="judgement"') : drawn.index('id="scores"')]
    assert re.search(r"NO JUDGEMENT SHOWN</span>\s*<div><strong>always-approve</strong>", section)
    assert re.search(r'"word JUDGEMENT">JUDGEMENT</span>\s*<div><strong>rules</strong>', section)
    assert "SHADOW" in drawn[drawn.index('id="promotion"') :]
    assert {width: too_wide(page(found), tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)


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
