"""Files of cases: written, read back, and refused by file, line and field."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from llm_gate.contract import EntryProposal
from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import Case, digest_of, read_cases, write_cases
from trigate.errors import ResourceError

ProposalMaker = Callable[..., EntryProposal]


def bank_case(proposal: EntryProposal, **changes: object) -> Case:
    """A valid bank case, but for ``changes``."""
    fields = {"case_id": "one", "source": "bank", "split": "tune", "label": "veto", "why": "w", "proposal": proposal}
    return Case.model_validate(fields | changes)


def line(proposal: EntryProposal, **changes: object) -> str:
    """That case as JSON, with any fault that ``changes`` brings."""
    return json.dumps(json.loads(bank_case(proposal).model_dump_json()) | changes)


def test_cases_come_back_as_they_were_written(tmp_path: Path, make_proposal: ProposalMaker) -> None:
    recorded = {"source": "recorded", "label": None, "why": "", "outcome_r_milli": -1000, "session": 7}
    cases = (bank_case(make_proposal()), bank_case(make_proposal(side="sell"), case_id="two", **recorded))

    write_cases(cases, tmp_path / "cases.jsonl")

    assert read_cases(tmp_path / "cases.jsonl") == cases
    assert cases[1].regime == "up/calm"


def test_the_digest_is_that_of_the_content_not_of_the_spacing(tmp_path: Path, make_proposal: ProposalMaker) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(line(make_proposal()) + "\n")  # json.dumps puts blanks where write_cases has none

    assert digest_of(read_cases(path)) == digest_of((bank_case(make_proposal()),))
    assert digest_of(read_cases(path)) != digest_of((bank_case(make_proposal(), label="shrink"),))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"case_id": "One"}, "case_id"),
        ({"case_id": "one\n"}, "case_id"),
        ({"split": "train"}, "split"),
        ({"label": "maybe"}, "label"),
        ({"label": None}, "needs a label"),
        ({"why": ""}, "needs a label and why"),
        ({"why": "x" * 281}, "why"),
        ({"session": 3}, "never traded"),
        ({"outcome_r_milli": 1.5}, "outcome_r_milli"),
        ({"outside_rules": "yes"}, "outside_rules"),
        ({"colour": 1}, "colour"),
        ({"source": "recorded"}, "not a label"),
        ({"source": "recorded", "label": None, "why": "", "outcome_r_milli": 10**400, "session": 1}, "outcome_r_milli"),
        ({"source": "recorded", "label": None, "why": "", "outcome_r_milli": 100}, "needs outcome_r_milli and session"),
        ({"source": "recorded", "label": None, "why": "", "session": 1}, "needs outcome_r_milli and session"),
    ],
)
def test_a_faulty_field_is_named_with_its_line(
    tmp_path: Path, make_proposal: ProposalMaker, changes: dict[str, object], fault: str
) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(line(make_proposal(), case_id="zero") + "\n" + line(make_proposal(), **changes) + "\n")

    with pytest.raises(RequestError, match=fault) as caught:
        read_cases(path)

    assert f"{path}:2: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "holds no case"),
        ("\n", ":1: not JSON"),
        ("{", ":1: not JSON"),
        ("[]", ":1: case: "),
        ('{"case_id": "a", "case_id": "b"}', "a key appears twice"),
        ('{"case_id": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_file_of_cases_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(text)

    with pytest.raises(RequestError, match=fault):
        read_cases(path)


def test_two_cases_of_one_name_are_refused(tmp_path: Path, make_proposal: ProposalMaker) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(line(make_proposal()) + "\n" + line(make_proposal(side="sell")) + "\n")

    with pytest.raises(RequestError, match=":2: case_id: 'one' is that of line 1"):
        read_cases(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"none\.jsonl: No such file"):
        read_cases(tmp_path / "none.jsonl")


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(
    tmp_path: Path, make_proposal: ProposalMaker
) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(ResourceError, match="taken"):
        write_cases([bank_case(make_proposal())], tmp_path / "taken")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_case_cannot_be_changed(make_proposal: ProposalMaker) -> None:
    case = bank_case(make_proposal())

    with pytest.raises(ValidationError, match="frozen"):
        case.split = "held_out"
