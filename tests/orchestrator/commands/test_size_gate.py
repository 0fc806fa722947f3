"""`orchestrator size-gate`: what cannot be fitted is refused and writes nothing; a fit is kept, told and counted."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from llm_gate.engines.logistic import read_logistic
from orchestrator.cli import app
from orchestrator.report import sized_gate
from orchestrator.report.sized_gate import SizedGate
from orchestrator.run.folder import RunFolder
from rl_core.checkpoints.policy import load_trader
from rl_core.evaluation.size_near_floor import LINES, NearFloorFit
from tests.orchestrator.played_files import FileWorld, play_file
from tests.regressions import regression


@pytest.fixture(scope="module")
def run(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One session of an untrained policy."""
    return play_file(file_world, tmp_path_factory.mktemp("sized"), policy=load_trader(file_world.checkpoint))


def size(run: RunFolder, folder: Path, **saved: object) -> Result:
    """The command with a regression that approves everything and has the fields ``saved``; writes sized.json."""
    gate = folder / "gate.json"
    model = regression().model_copy(update={"last_session": 0, **saved})
    gate.write_text(model.model_dump_json(), encoding="utf-8")
    files = ["--gate", str(gate), "--out", str(folder / "sized.json"), "--trials", str(folder / "trials.jsonl")]
    return CliRunner().invoke(app, ["size-gate", str(run.path), *files])


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({}, "1 sessions to fit a size on; give 50 or more"),
        ({"last_session": 9}, "has 1 sessions, and the regression knows 10"),
        ({"veto_below": 0.25}, "shrinks by the chance of a win already; fit one without --max-veto-rate"),
    ],
)
def test_what_cannot_be_fitted_is_refused(run: RunFolder, tmp_path: Path, saved: dict[str, object], said: str) -> None:
    """On a real run, whose bars and policy are found again and whose one session is played."""
    done = size(run, tmp_path, **saved)

    assert done.exit_code != 0 and said in str(done.exception)
    assert not (tmp_path / "sized.json").exists() and not (tmp_path / "trials.jsonl").exists()


@pytest.mark.parametrize("line", [3_000, 0])
def test_what_was_fitted_is_kept_told_and_counted(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    """A fit needs fifty sessions, so it is made up here; `test_size_near_floor` makes real ones."""
    passes = {0: 0.5, 1_500: 0.5, 2_000: 0.6, 3_000: 0.75, 4_000: 0.7}
    fit = NearFloorFit(line, LINES, passes, gains=(0.2, 0.1, 0.3, 0.2, 0.2), r=0.4)
    later = {0: 0.5, 3_000: 0.7} if line else {0: 0.5}
    monkeypatch.setattr(sized_gate, "fit_size", lambda *given: SizedGate(fit, 20, later))

    done = size(run, tmp_path)

    assert done.exit_code == 0, done.output
    near = read_logistic(tmp_path / "sized.json").saved.near_floor
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == len(LINES)
    if line:
        assert near is not None and (near.halve_under, near.passes, near.passes_without) == (3_000, 0.75, 0.5)
        assert near.trials == len(LINES) and near.tried == LINES
        assert "on 20 later sessions, which chose nothing: 70.0 % of attempts pass, 50.0 % at full size" in done.stdout
    else:
        assert near is None and "full size everywhere" in done.stdout
