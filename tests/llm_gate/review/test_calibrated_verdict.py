"""A saved calibration makes the verdicts, never more than the proposal, and only for what it was fitted on."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_gate.contract import Approve, EntryProposal, GateFailed, Resize, Reviewed, Veto
from llm_gate.engines.base import Answer, Question
from llm_gate.engines.rules import RulesEngine
from llm_gate.errors import RequestError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.calibrated_verdict import CalibrationFile, read_calibration
from llm_gate.review.gate import Gate, GateConfig

MakeProposal = Callable[..., EntryProposal]


class Certain:
    """Says one letter, and of each letter the probability it was given."""

    name = "certain"
    model = "certain.v1"
    by_case = True

    def __init__(self, letter: str, probabilities: tuple[float, float, float] | None) -> None:
        """``probabilities`` of A, B and C."""
        self._letter, self._probabilities = letter, probabilities

    async def decide(self, question: Question) -> Answer:
        """The same answer to all."""
        said = None if self._probabilities is None else dict(zip("ABC", self._probabilities, strict=True))
        return Answer(question.proposal.proposal_id, self._letter, said, "", "code")


def saved(**changed: object) -> dict[str, Any]:
    """A calibration of `Certain`: 0.2, 0.4, 0.6 come true in 10, 30 and 70 percent; approved from 0.4 on."""
    fold = {"fold": 1, "rows": 40, "brier_said": 0.3, "brier_mapped": 0.2, "threshold": 0.4, "veto_rate": 0.3}
    return {
        "model": "certain",
        "model_digest": "certain.v1",
        "prompt": DEFAULT_PROMPT,
        "prompt_digest": find_prompt(DEFAULT_PROMPT).digest,
        "mode": "choice",
        "target": "outcome",
        "map": {"method": "isotonic", "said": [0.2, 0.4, 0.6], "observed": [0.1, 0.3, 0.7]},
        "threshold": 0.4,
        "max_veto_rate": 0.5,
        "fitted_rows": 160,
        "data_digest": "d" * 64,
        "folds": [{**fold, "r_gate": 0.1, "r_always": 0.05}],
        "thresholds_tried": [0.0, 0.4],
        "trials": 7,
        **changed,
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a calibration with some fields changed."""

    def to_file(**changed: object) -> Path:
        path = tmp_path / "calibration.json"
        path.write_text(json.dumps(saved(**changed)))
        return path

    return to_file


def reviewed_by(engine: Certain, proposal: EntryProposal, path: Path) -> Reviewed:
    """One review through a gate with the calibration in ``path``."""
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig(calibration=path))
    return asyncio.run(gate.review(proposal))


@pytest.mark.parametrize(
    ("letter", "p", "kind", "calibrated"),
    [
        ("A", 0.40, "approve", 0.3),
        ("C", 0.50, "approve", 0.5),
        ("A", 0.39, "veto", 0.29),
        ("B", 0.10, "veto", 0.1),
        ("B", 0.90, "approve", 0.7),
    ],
)
def test_the_threshold_decides_whatever_the_letter(
    make_proposal: MakeProposal, write: Callable[..., Path], letter: str, p: float, kind: str, calibrated: float
) -> None:
    path = write()

    reviewed = reviewed_by(Certain(letter, (p, 0.0, 1 - p)), make_proposal(), path)

    assert reviewed.outcome.kind == kind
    assert reviewed.calibrated == pytest.approx(calibrated)
    assert reviewed.calibration == read_calibration(path).digest
    assert reviewed.reason_source == ("none" if kind == "approve" else "code")
    if isinstance(reviewed.outcome, Veto):
        assert reviewed.outcome.reason == f"approve {p:.3f}, calibrated {calibrated:.3f}: under 0.300"


def test_between_its_two_lines_half_of_the_proposal_goes_through(write: Callable[..., Path]) -> None:
    read = read_calibration(write(shrink_from=0.3))

    ruled = [read.rule(p).verdict for p in (0.29, 0.3, 0.39, 0.4)]

    assert [one.kind for one in ruled] == ["veto", "resize", "resize", "approve"]
    assert isinstance(ruled[1], Resize) and ruled[1].size_factor == Decimal("0.5")


@pytest.mark.parametrize("temperature", [0.02, 1.0, 50.0])
def test_no_probability_lets_more_through_than_the_proposal(temperature: float, write: Callable[..., Path]) -> None:
    """An approval has no size, so it is the proposal as it stands; a calibrated gate shrinks nothing."""
    read = read_calibration(write(map={"method": "temperature", "temperature": temperature}))

    ruled = [read.rule(float(p)) for p in np.linspace(0, 1, 501)]

    assert {type(one.verdict) for one in ruled} == {Approve, Veto}
    assert [isinstance(one.verdict, Approve) for one in ruled] == [p >= 0.4 for p in np.linspace(0, 1, 501)]
    assert all(0 <= one.probability <= 1 for one in ruled)


def test_without_a_calibration_the_letter_counts_and_none_is_recorded(make_proposal: MakeProposal) -> None:
    gate = Gate(Certain("C", (0.9, 0.0, 0.1)), find_prompt(DEFAULT_PROMPT), GateConfig())

    reviewed = asyncio.run(gate.review(make_proposal()))

    assert (reviewed.outcome.kind, reviewed.calibration, reviewed.calibrated) == ("veto", None, None)


def test_an_answer_without_probabilities_is_a_failure(make_proposal: MakeProposal, write: Callable[..., Path]) -> None:
    reviewed = reviewed_by(Certain("A", None), make_proposal(), write())

    assert reviewed.outcome == GateFailed(cause="malformed")
    assert reviewed.calibration is None


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"prompt_digest": "0" * 64}, "of another prompt: 0000"),
        ({"model_digest": "other@1"}, r"of another model: other@1, not certain\.v1"),
        ({"mode": "json"}, "of another mode: json, not choice"),
        ({"threshold": None, "target": "label"}, "fitted on labels and has no threshold"),
        ({"threshold": 0.0}, "approves of everything"),
        ({"threshold": 1.5}, "threshold: "),
        ({"shrink_from": 0.4}, "shrink_from lies under the threshold"),
        ({"extra": 1}, "extra: "),
        ({"folds": []}, "folds: "),
        ({"map": {"method": "isotonic", "said": [0.2, 0.4], "observed": [0.5, 0.4]}}, "an isotonic map rises"),
        ({"map": {"method": "isotonic", "said": [0.2, 0.2], "observed": [0.4, 0.5]}}, "its knots do not repeat"),
        ({"map": {"method": "isotonic", "said": [0.2], "observed": []}}, "as many observed shares"),
        ({"map": {"method": "isotonic", "said": [0.2], "observed": [1.1]}}, r"map\.observed\.0"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(
    write: Callable[..., Path], changed: dict[str, object], fault: str
) -> None:
    with pytest.raises(RequestError, match=fault):
        Gate(Certain("A", None), find_prompt(DEFAULT_PROMPT), GateConfig(calibration=write(**changed)))


def test_one_of_a_model_is_refused_by_the_rule(write: Callable[..., Path]) -> None:
    with pytest.raises(RequestError, match="of another model"):
        Gate(RulesEngine(), find_prompt(DEFAULT_PROMPT), GateConfig(calibration=write()))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model": "a", "model": "b"}', b"\xff", b'{"threshold": NaN}'])
def test_what_is_no_calibration_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "calibration.json"
    path.write_bytes(content)

    with pytest.raises(RequestError, match=r"calibration\.json: is no calibration"):
        read_calibration(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="name a file that llm-gate calibrate saved"):
        read_calibration(tmp_path / "none.json")


def test_the_digest_is_that_of_the_file(write: Callable[..., Path]) -> None:
    one, other = read_calibration(write()), read_calibration(write(trials=8))

    assert isinstance(one, CalibrationFile)
    assert one.digest != other.digest
