"""A run's gate on whole paths: its own verdicts lead to its own trades, others to theirs, and its report tells it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.report.account_book import read_account_book
from orchestrator.report.gate_reruns import GATE_WORTH, RecordedVerdicts, _refuse_without_a_gate, weigh_gate
from orchestrator.run.config import GateSection
from orchestrator.run.folder import RunFolder
from orchestrator.run.found_again import Sources, found_again
from rl_core.checkpoints.policy import load_trader
from rl_core.evaluation.gates import VETOED
from rl_core.evaluation.tries import ELSEWHERE, TRIES
from tests.orchestrator.played_files import FileWorld, play_file
from trigate.errors import ConfigError

RERUNS = 4


def weigh(run: Path, *options: str) -> Result:
    """`orchestrator weigh` in this process."""
    return CliRunner().invoke(app, ["weigh", str(run), "--reruns", str(RERUNS), *options])


@pytest.fixture(scope="module")
def gated(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A session of an untrained policy under a gate that approves, vetoes and halves by the clock."""
    policy = load_trader(file_world.checkpoint)
    return play_file(file_world, tmp_path_factory.mktemp("gated"), policy=policy)


@pytest.fixture(scope="module")
def told(gated: RunFolder) -> Iterator[dict[str, Any]]:
    """What the command printed of it, as JSON; its report is a look, which other files of tests must not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ELSEWHERE, str(gated.path.parent / TRIES))
        result = weigh(gated.path, "--json")
    assert result.exit_code == 0, result.output
    yield json.loads(result.stdout)


def test_the_gates_own_path_is_the_run(gated: RunFolder, told: dict[str, Any]) -> None:
    verdict = json.loads((gated.path / "verdict.json").read_text())
    own = told["paths"]["gate"]

    assert own["trades"] == verdict["trades"] > 2 and round(100 * own["dollars"]) == verdict["net_cents"]
    assert own["attempts"] == verdict["attempts"]["opened"] and own["failed"] == verdict["attempts"]["failed"]
    assert verdict["gate"]["outcomes"]["veto"] > 0 and 0 < told["vetoed_share"] < 1 and 0 < told["shrunk_share"] < 1


def test_other_gates_lead_to_other_paths(told: dict[str, Any]) -> None:
    paths, against = told["paths"], {each["other"]: each for each in told["against"]}

    assert paths["always approving"]["trades"] >= paths["gate"]["trades"]
    assert paths["always approving"] != paths["gate"] != paths["the three-line rule"]
    for other in ("always approving", "the three-line rule"):
        assert against[other]["dollars"] == pytest.approx(paths["gate"]["dollars"] - paths[other]["dollars"])
    assert told["random"]["reruns"] == RERUNS and 0 <= against["random"]["beaten"] <= 1
    assert against["random"]["r"] == pytest.approx(paths["gate"]["r"] - told["random"]["r"])


def test_regimes_add_up_to_the_path(told: dict[str, Any]) -> None:
    for name, path in told["paths"].items():
        assert sum(row[name]["trades"] for row in told["by_regime"]) == path["trades"]
        assert sum(row[name]["r"] for row in told["by_regime"]) == pytest.approx(path["r"])


def test_one_session_of_a_synthetic_world_proves_nothing(told: dict[str, Any]) -> None:
    assert told["verdict"] in ("NOT PROVEN", "IN SAMPLE") and told["reasons"]


def test_verdict_and_page_hold_it(gated: RunFolder, told: dict[str, Any]) -> None:
    verdict, page = (gated.path / "verdict.json").read_text(), (gated.path / "report.html").read_text()

    assert json.loads(verdict)["gate_worth"] == told == json.loads((gated.path / GATE_WORTH).read_text())
    assert "What was the gate worth?" in page and "random vetoes at its rates, mean of 4" in page
    assert "always approving" in page and "Not weighed yet" not in page


def test_the_command_prints_a_table(gated: RunFolder) -> None:
    result = weigh(gated.path, "--strict")
    lines = result.stdout.splitlines()

    assert result.exit_code == 4, "a session proves nothing"

    assert lines[0].startswith("1 session; the gate vetoed ")
    assert [line.split("  ")[0] for line in lines[2:6]] == [
        "gate",
        "always approving",
        "the three-line rule",
        f"random, mean of {RERUNS}",
    ]


def test_what_was_kept_of_another_journal_is_not_shown(gated: RunFolder, told: dict[str, Any], tmp_path: Path) -> None:
    from orchestrator.report.gate_reruns import read_weighed

    assert read_weighed(gated.path, told["journal_head"]) == told
    assert read_weighed(gated.path, "0" * 64) is None and read_weighed(tmp_path, told["journal_head"]) is None


def test_a_run_whose_actions_were_not_its_policys_is_refused(file_world: FileWorld, tmp_path: Path) -> None:
    """The script entered where the checkpoint would not have."""
    run = play_file(file_world, tmp_path)

    with pytest.raises(ConfigError, match="its own verdicts do not lead to its own trades again"):
        weigh_gate(run.path, reruns=2)


@pytest.mark.parametrize(
    ("ended", "gate", "cause"),
    [
        (True, {"engine": "off"}, "its gate was off"),
        (True, {"engine": "rules", "shadow": True}, "its gate was a shadow"),
        (False, {"engine": "rules"}, "it has not ended"),
    ],
)
def test_a_run_in_which_no_gate_acted_to_the_end_is_refused(
    gated: RunFolder, ended: bool, gate: dict[str, Any], cause: str
) -> None:
    book, found = read_account_book(gated), found_again(gated, Sources())
    other = found._replace(config=found.config.model_copy(update={"gate": GateSection.model_validate(gate)}))

    _refuse_without_a_gate(gated, book, found)
    with pytest.raises(ConfigError, match=cause):
        _refuse_without_a_gate(gated, book._replace(ended=ended), other)


def test_a_question_that_was_never_asked_goes_through() -> None:
    """So that a path which is not the run's shows as other trades."""
    from rl_core.evaluation.gates import APPROVED, Wanted
    from rl_core.market.types import NO_ORDER, Account

    gate = RecordedVerdicts({7: VETOED})
    asked = [gate.review(Wanted(bar, NO_ORDER, Account(0, 0), 0)) for bar in (7, 8)]

    assert asked == [VETOED, APPROVED]
