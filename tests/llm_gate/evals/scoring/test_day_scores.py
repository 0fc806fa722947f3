"""The probe asks one case a session where it comes from, of models alone, and the truth never enters a case."""

import json
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from llm_gate.errors import RequestError
from llm_gate.evals.asking.run import SuiteRun, run_suite
from llm_gate.evals.asking.suite import read_suite
from llm_gate.evals.data.cases import read_cases, write_cases
from llm_gate.evals.data.log import Row
from llm_gate.evals.data.true_days import OPTIONS, TrueDay, read_true_days, true_days_path, write_true_days
from llm_gate.evals.report.findings import findings_of, summary_of
from llm_gate.evals.report.page import page
from llm_gate.evals.scoring.day_scores import day_namings, wilson_share
from tests.llm_gate.evals.conftest import CaseMaker
from tests.llm_gate.evals.rows import row

MONDAY = date(2024, 6, 3)


@pytest.fixture
def probe_suite(tmp_path: Path, recording_of: CaseMaker, unused_port: int) -> Path:
    """A model that does not answer and a rule, over 60 recorded cases of six days, Monday to Monday."""
    cases = recording_of(60)
    path = tmp_path / "cases.jsonl"
    write_cases(cases, path)
    days = [MONDAY + timedelta(days=(0, 1, 2, 3, 4, 7)[case.session or 0]) for case in cases]
    write_true_days(
        (TrueDay.of(case.case_id, day, "NQ") for case, day in zip(cases, days, strict=True)), true_days_path(path)
    )
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f"""
cases = ["{path}"]
trials = "{tmp_path / "trials.jsonl"}"
models = [{{url = "http://127.0.0.1:{unused_port}"}}, {{engine = "rules"}}]
passes = [{{models = ["rules"]}}]
[probe]
truth = "{true_days_path(path)}"
"""
    )
    return suite


def run(suite: Path, folder: Path, *settings: str) -> SuiteRun:
    """The suite, run quietly."""
    return run_suite(read_suite(suite, settings), folder, say=lambda text: None, step=lambda m, done, total: None)


def test_one_case_a_session_is_asked_each_attribute_of_models_alone(probe_suite: Path, tmp_path: Path) -> None:
    """Six sessions of one month and market: the options are all months and markets all the same."""
    ran = run(probe_suite, tmp_path / "out")

    asked = [row for row in ran.rows if row.task != "entry"]
    assert Counter((row.task, row.model, row.options) for row in asked) == {
        ("weekday", "package", 5): 6,
        ("month", "package", 12): 6,
        ("market", "package", 6): 6,
    }
    assert [row.truth for row in asked if row.task == "weekday"] == [
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Monday",
    ]  # fmt: skip
    assert {row.session for row in asked} == set(range(6))
    assert {row.truth for row in asked if row.task == "market"} == {"NQ"}
    assert run(probe_suite, tmp_path / "out").newly_asked == 0


def test_what_is_found_is_on_the_page_and_in_the_json(probe_suite: Path, tmp_path: Path) -> None:
    """Answers written into the log by hand: every weekday named, every market called ES."""
    ran = run(probe_suite, tmp_path / "out")
    rows = [named(row) for row in ran.rows]

    found = findings_of(ran._replace(rows=rows))

    by_attribute = {one.score.attribute: one for one in found.day_namings}
    weekday, market = by_attribute["weekday"], by_attribute["market"]
    assert (weekday.word, weekday.score.right, weekday.score.guessing) == ("NAMES IT", 6, 0.2)
    assert weekday.chance == pytest.approx(8 / 36), "the same answers dealt at random: four days of one, Monday of two"
    assert (market.word, market.score.right) == ("NO BETTER THAN CHANCE", 0)
    assert weekday.right.low == pytest.approx(0.6097, abs=1e-4)
    text = page(found)
    assert "Can it name the day?" in text and "NAMES IT" in text and ">22.2<" in text
    told = json.loads(json.dumps(summary_of(found)))["named"]
    assert [(one["attribute"], one["word"], one["right"]) for one in told if one["right"]] == [
        ("weekday", "NAMES IT", 6)
    ]
    assert {score.answerer.task for score in found.scores} == {"entry"}, "the probe is no score of the gate"


def named(row: Row) -> Row:
    """The row with an answer."""
    answers = {"weekday": row.truth, "market": "ES", "month": "May", "entry": row.answer}
    return row.model_copy(update={"answer": answers[row.task]})


def weekday_rows(model: str, right: int) -> list[Row]:
    """Ten sessions, two of each weekday, of which so many are named; each weekday is answered twice."""
    days = [day for day in OPTIONS["weekday"] for _ in range(2)]
    answers = [*days[:right], *days[right + 2 :], *days[right : right + 2]]
    assert sum(a == b for a, b in zip(answers, days, strict=True)) == right
    return [
        row(number, answer=answer, task="weekday", model=model, truth=day, options=5)
        for number, (day, answer) in enumerate(zip(days, answers, strict=True))
    ]


def test_the_more_is_asked_the_more_a_model_has_to_name() -> None:
    """Five of ten by chance of one in five: 3.3 percent alone, and 6.6 over two rows of the table."""
    alone = day_namings(weekday_rows("a", 5))
    both = day_namings([*weekday_rows("a", 5), *weekday_rows("b", 1)])

    assert alone[0].score.p_value == pytest.approx(0.0328, abs=1e-4)
    assert [one.word for one in alone] == ["NAMES IT"]
    assert [one.word for one in both] == ["NO BETTER THAN CHANCE"] * 2


def test_a_share_of_none_has_an_interval() -> None:
    """Wilson 1927: 0 of 10 reaches up to z^2 / (10 + z^2)."""
    assert wilson_share(0, 10)[:3] == (0.0, 0.0, pytest.approx(3.8415 / 13.8415, abs=1e-4))
    assert wilson_share(0, 0).value is None
    assert day_namings([]) == []


def test_a_truth_file_of_other_cases_is_refused_before_anything_is_asked(probe_suite: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    write_true_days([TrueDay.of("recorded-x", MONDAY, "NQ")], other)

    with pytest.raises(RequestError, match="knows no case of the suite"):
        run(probe_suite, tmp_path / "out", f'probe={{truth="{other}"}}')
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{}", "truth.jsonl:1: Field required"),
        ("", "truth.jsonl:1: not JSON"),
        ('{"case_id":"a","year":2024,"month":6,"day":3,"weekday":1,"market":"NQ"}', "not that of the date"),
        ('{"case_id":"a","year":2024,"month":6,"day":31,"weekday":1,"market":"NQ"}', "day "),
        ('{"case_id":"a","year":99999999999999999999,"month":6,"day":3,"weekday":0,"market":"NQ"}', "less than"),
        (
            "\n".join([TrueDay.of("a", MONDAY, "NQ").model_dump_json()] * 2),
            "truth.jsonl:2: case_id: 'a' has a line already",
        ),
    ],
)
def test_a_truth_that_is_none_is_refused_by_line(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "truth.jsonl").write_text(line + "\n")

    with pytest.raises(RequestError, match=fault):
        read_true_days(tmp_path / "truth.jsonl")
    with pytest.raises(RequestError, match="name the file that orchestrator cases wrote"):
        read_true_days(tmp_path / "none.jsonl")


def test_no_case_holds_its_truth(probe_suite: Path, tmp_path: Path) -> None:
    text = (tmp_path / "cases.jsonl").read_text()

    assert len(read_true_days(tmp_path / "cases.truth.jsonl")) == len(read_cases(tmp_path / "cases.jsonl")) == 60
    assert not any(word in text for word in ("weekday", "market", "2024", "NQ"))
