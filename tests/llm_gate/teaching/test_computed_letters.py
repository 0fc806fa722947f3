"""Letters that are computed: the likeliest one or what a calibration makes of them, each prompt read once."""

from pathlib import Path

import numpy as np
import pytest

from llm_gate.evals.data.cases import Case
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.review.calibrated_verdict import Calibration, CalibrationFile, FoldResult, ProbabilityMap
from llm_gate.teaching.computed_letters import ComputedLetters
from llm_gate.teaching.fit_head import chances_of
from llm_gate.teaching.hidden_states import Reader
from llm_gate.teaching.states_file import StatesFile
from tests.llm_gate.teaching.conftest import MakeCases
from tests.optional import skip_module_without

skip_module_without("torch")

PROMPT = find_prompt("entry_taught.v1")


@pytest.fixture(scope="module")
def reader(tiny_folder: Path) -> Reader:
    return Reader(tiny_folder)


@pytest.fixture(scope="module")
def cases(make_cases: MakeCases) -> list[Case]:
    return make_cases(40)


def approvals(reader: Reader, cases: list[Case], path: Path) -> np.ndarray:
    """[N, L] the chances of the letters."""
    with StatesFile(path, reader.width) as kept:
        states = reader.states([PROMPT.render(case.proposal) for case in cases], kept, lambda done, total: None)
    return chances_of(states, reader.letters(PROMPT.front.letters).rows.astype(np.float64))


def test_the_likeliest_letter_decides_and_no_prompt_is_read_twice(
    reader: Reader, cases: list[Case], tmp_path: Path
) -> None:
    read: list[int] = []
    labels = list(PROMPT.front.letters.values())
    chances = approvals(reader, cases, tmp_path / "again.states")

    with StatesFile(tmp_path / "states", reader.width) as kept:
        letters = ComputedLetters(reader, PROMPT, kept, None)
        letters.judge_all([case.proposal for case in cases], lambda done, total: read.append(total))
        said = [letters.judge(case.proposal) for case in cases]
        letters.judge_all([case.proposal for case in cases], lambda done, total: read.append(-1))

    assert said == [labels[place] for place in chances.argmax(axis=1)]
    assert read and -1 not in read


def test_with_a_calibration_its_lines_decide(reader: Reader, cases: list[Case], tmp_path: Path) -> None:
    """Of P(approve): approved above the median, shrunk above the lowest quarter, vetoed below."""
    p = approvals(reader, cases, tmp_path / "again.states")[:, 0]
    low, middle = np.quantile(p, [0.25, 0.5])
    fold = FoldResult(
        fold=1, rows=1, brier_said=0, brier_mapped=0, threshold=None, veto_rate=None, r_gate=None, r_always=None
    )
    saved = Calibration(
        model="tiny",
        model_digest="tiny@1",
        prompt=PROMPT.name,
        prompt_digest=PROMPT.digest,
        mode="choice",
        target="outcome",
        map=ProbabilityMap(method="temperature"),
        threshold=float(middle),
        shrink_from=float(low),
        max_veto_rate=0.3,
        fitted_rows=1,
        data_digest="d" * 64,
        folds=(fold,),
        thresholds_tried=(0.0,),
    )

    with StatesFile(tmp_path / "states", reader.width) as kept:
        letters = ComputedLetters(reader, PROMPT, kept, CalibrationFile(saved, saved.model_dump_json()))
        said = [letters.judge(case.proposal) for case in cases]

    expected = np.where(p >= middle, "approve", np.where(p >= low, "shrink", "veto")).tolist()
    assert said == expected and set(said) == {"approve", "shrink", "veto"}
