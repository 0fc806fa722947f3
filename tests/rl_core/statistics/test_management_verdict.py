"""The word on management: from pairs of a session, by criteria of a file, of which each reason names its own."""

from pathlib import Path

import numpy as np
import pytest

from rl_core.statistics.criteria import ManagementCriteria, VerdictCriteria, read_criteria
from rl_core.statistics.management_verdict import (
    ManagementVerdict,
    managed_beside_alone,
    verdict_on_management,
)
from trigate.errors import ConfigError

USUAL = ManagementCriteria()


def judged(
    more: float,
    sessions: int = 70,
    criteria: ManagementCriteria = USUAL,
    doubts: tuple[str, ...] = (),
    spread: float = 0.3,
) -> ManagementVerdict:
    """Two trades a session, each ``more`` R better than its bracket alone on average, by ``spread`` R more or less."""
    rng = np.random.default_rng(0)
    alone = rng.choice([-1.0, 3.0], 2 * sessions, p=[0.75, 0.25])
    r, session = alone + more + rng.normal(0, spread, 2 * sessions), np.repeat(np.arange(sessions), 2)
    return verdict_on_management(managed_beside_alone(r, alone, session), criteria, in_sample=False, doubts=doubts)


@pytest.mark.parametrize(("more", "word"), [(0.2, "PASS"), (0.0, "NOT PROVEN"), (-0.2, "FAIL")])
def test_the_whole_interval_decides(more: float, word: str) -> None:
    found = judged(more)

    assert found.verdict.word == word
    assert "management.more_than_r = 0" in found.verdict.reasons[0]
    assert found.row()["verdict"] == word and found.managed.trades == 140


def test_pairs_cancel_what_the_brackets_share() -> None:
    """Two trades of one day are one pair: +1 and -0.5 more make +0.5 R of that session, whatever the brackets did."""
    found = managed_beside_alone(np.array([4.0, -1.5, 3.0]), np.array([3.0, -1.0, 3.0]), np.array([5, 5, 6]))

    assert found.difference is not None
    assert (found.difference.mean, found.difference.sessions) == (0.25, 2)
    assert (found.trades, found.r, found.alone) == (3, 5.5, 5.0)


@pytest.mark.parametrize("noise", [-1e-7, 0.0, 1e-7])
def test_what_only_rounding_tells_apart_is_no_management(noise: float) -> None:
    """Brackets alone come in single precision: a policy that never moved a stop neither fails nor passes by that."""
    found = judged(noise, spread=0.0)

    assert found.verdict.word == "NOT PROVEN" and found.managed.changed == 0
    assert found.managed.difference is not None and found.managed.difference.mean == 0
    assert found.verdict.reasons == (
        "each of the 140 trades earned what its bracket alone earns: management changed no result",
    )


def test_what_is_missing_is_named_by_its_criterion() -> None:
    few = judged(0.2, 40)
    doubted = judged(0.2, doubts=("the bars are a synthetic world",))
    strict = judged(0.2, criteria=ManagementCriteria(more_than_r=0.9))

    assert few.verdict.word == doubted.verdict.word == "NOT PROVEN" and strict.verdict.word == "FAIL"
    assert few.verdict.reasons == (
        "40 sessions with trades, under management.min_sessions = 60",
        "80 trades, under management.min_trades = 100",
    )
    assert doubted.verdict.reasons == ("the bars are a synthetic world",)
    nothing = verdict_on_management(
        managed_beside_alone(np.zeros(0), np.zeros(0), np.zeros(0, np.int64)), USUAL, in_sample=True, doubts=()
    )
    assert nothing.verdict.word == "IN SAMPLE" and "no trade was closed" in nothing.verdict.reasons


def test_the_shipped_file_says_the_defaults_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "verdict.toml"
    wrong.write_text("[management]\nmin_session = 1\n")

    assert read_criteria() == VerdictCriteria()
    with pytest.raises(ConfigError, match="min_session"):
        read_criteria(wrong)
