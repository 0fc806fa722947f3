"""`orchestrator size-gate`: what cannot be fitted is refused and writes nothing; a fit is kept, told and counted."""

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from llm_gate.engines.logistic import read_logistic
from llm_gate.review.size_line import AskedAs, read_size
from orchestrator.cli import app
from orchestrator.report import sized_gate
from orchestrator.report.sized_gate import SizedGate
from orchestrator.run.folder import RunFolder
from rl_core.checkpoints.policy import load_trader
from rl_core.evaluation.size_near_floor import LINES, By, LineWorth, NearFloorFit
from rl_core.rules.prices import read_prices
from tests.orchestrator.played_files import FileWorld, play_file
from tests.regressions import regression


@pytest.fixture(scope="module")
def run(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One session of an untrained policy."""
    return play_file(file_world, tmp_path_factory.mktemp("sized"), policy=load_trader(file_world.checkpoint))


def size(run: RunFolder, folder: Path, last_session: int = 0, **options: str) -> Result:
    """The command with a regression that approves everything, and ``options``; writes sized.json."""
    gate = folder / "gate.json"
    model = regression().model_copy(update={"last_session": last_session})
    gate.write_text(model.model_dump_json(), encoding="utf-8")
    files = ["--gate", str(gate), "--out", str(folder / "sized.json"), "--trials", str(folder / "trials.jsonl")]
    more = [word for name, value in options.items() for word in (f"--{name}", value)]
    return CliRunner().invoke(app, ["size-gate", str(run.path), *files, *more])


@pytest.mark.parametrize(
    ("last_session", "by", "said"),
    [
        (0, "passes", "1 sessions to fit a size on; give 50 or more"),
        (9, "passes", "has 1 sessions, and the gate knows 10"),
        (0, "dollars", "so nobody knows what an attempt is worth; fit by passes"),
    ],
)
def test_what_cannot_be_fitted_is_refused(
    run: RunFolder, tmp_path: Path, last_session: int, by: str, said: str
) -> None:
    """On a real run, whose bars and policy are found again and whose one session is played; its pack has no price."""
    done = size(run, tmp_path, last_session, by=by)

    assert done.exit_code != 0 and said in str(done.exception)
    assert not (tmp_path / "sized.json").exists() and not (tmp_path / "trials.jsonl").exists()


def made(line: int, by: By = "passes") -> SizedGate:
    """A fit needs fifty sessions, so it is made up here; `test_size_near_floor` makes real ones."""
    dollars = {0: 100.0, 1_500: 90.0, 2_000: 300.0, 3_000: 450.0, 4_000: 400.0}
    passes = {0: 0.5, 1_500: 0.5, 2_000: 0.6, 3_000: 0.75, 4_000: 0.7}
    worth = {each: LineWorth(passes[each], 9.0, dollars[each] if by == "dollars" else None) for each in passes}
    fit = NearFloorFit(line, by, LINES, worth, gains=(0.2, 0.1, 0.3, 0.2, 0.2), r=0.4)
    later = {0: LineWorth(0.5, 9.0, None)} | ({3_000: LineWorth(0.7, 12.25, None)} if line else {})
    return SizedGate(fit, "a pack", "0" * 64, 90, 20, later)


@pytest.mark.parametrize("line", [3_000, 0])
def test_what_was_fitted_is_kept_told_and_counted(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    monkeypatch.setattr(sized_gate, "fit_size", lambda *given, **named: made(line))

    done = size(run, tmp_path)

    assert done.exit_code == 0, done.output
    kept = read_size(tmp_path / "sized.json").saved
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == kept.trials == len(LINES)
    assert (kept.halve_under, kept.by, kept.sessions, kept.last_session) == (line, "passes", 90, 0)
    assert [(each.halve_under, each.passes) for each in kept.tried][::3] == [(0, 0.5), (3_000, 0.75)]
    assert kept.gate == AskedAs(engine="logistic", model=read_logistic(tmp_path / "gate.json").name)
    assert ("full size everywhere\n4 lines" in done.stdout) != bool(line)
    on_later = "on 20 later sessions, which chose nothing: 70.0 % in 12.2 sessions; at full size 50.0 % in 9.0 sessions"
    assert (on_later in done.stdout) == bool(line)


def test_by_dollars_prices_are_read_and_each_way_of_choosing_is_a_trial_of_its_own(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def fit(*_: object, prices: object, **named: object) -> SizedGate:
        given.append(prices)
        return made(3_000, "passes" if prices is None else "dollars")

    monkeypatch.setattr(sized_gate, "fit_size", fit)

    first, second = size(run, tmp_path), size(run, tmp_path, by="dollars")

    assert given == [None, read_prices()]
    assert "halved under 3 risks of room: 75.0 % in 9.0 sessions, +450 dollars" in second.stdout
    assert "450 dollars" not in first.stdout and "8 trials on record" in second.stdout
    wrong = size(run, tmp_path, by="luck")
    assert wrong.exit_code != 0 and "--by luck: a line is chosen by passes or by dollars" in str(wrong.exception)


def test_a_model_that_nobody_taught_and_a_calibration_of_a_regression_are_refused(
    run: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    untaught = CliRunner().invoke(
        app, ["size-gate", str(run.path), "--gate", str(tmp_path / "model"), "--out", str(tmp_path / "sized.json")]
    )
    calibrated = size(run, tmp_path, calibration=str(tmp_path / "calibration.json"))

    assert "nobody taught this model" in str(untaught.exception)
    assert "--calibration is of a model folder" in str(calibrated.exception)
