"""What a sweep draws depends on the members before and on nothing else, and no two members are the same."""

from pathlib import Path
from typing import Any

import pytest

from rl_core.errors import FitError
from rl_core.training.sweep.axes import Axis
from rl_core.training.sweep.study import DRAWN_AT_RANDOM, Member, Study
from trigate.errors import ConfigError

RATE = Axis("ppo.learning_rate", "--over", low=1e-4, high=1e-2, logarithmic=True)
BIAS = Axis("ppo.hold_bias", "--over", choices=(0, 1, 2))
CARD = {"settings": {"a": 1}, "seeds": [0, 1]}


def judged(number: int, drawn: dict[str, Any], earned: float) -> Member:
    return Member(number, drawn, {"state": "judged", "r_a_session": earned, "curve": {"3": 0.5}})


def filled(folder: Path, members: int) -> Study:
    """A study whose members earn more the nearer the rate is to 1e-3."""
    study = Study(folder, [RATE, BIAS], CARD, 0)
    for number in range(members):
        (drawn,) = study.drawn(number, 1)
        study.tell(judged(number, drawn, -abs(drawn["ppo.learning_rate"] - 1e-3)))
    return study


def test_a_study_that_goes_on_draws_what_an_unbroken_one_draws(tmp_path: Path) -> None:
    """Past the members that are drawn at random, so that what was told counts."""
    whole = filled(tmp_path / "whole", DRAWN_AT_RANDOM + 2)

    filled(tmp_path / "broken", DRAWN_AT_RANDOM + 1)
    again = Study(tmp_path / "broken", [RATE, BIAS], CARD, 0)

    drawn = [member.drawn for member in whole.members()]
    assert again.drawn(DRAWN_AT_RANDOM + 1, 1) == drawn[-1:]
    assert [member.drawn for member in again.members()] == drawn[:-1]
    other = Study(tmp_path / "other", [RATE, BIAS], CARD, 1)
    assert other.drawn(0, 1) != drawn[:1], "another seed draws others"


def test_a_round_is_the_same_however_much_of_it_was_told(tmp_path: Path) -> None:
    study = Study(tmp_path, [RATE, BIAS], CARD, 0)
    four = study.drawn(0, 4)

    study.tell(judged(0, four[0], 1.0))

    assert study.drawn(0, 4) == four and study.drawn(0, 2) == four[:2]


def test_all_choices_are_taken_once_and_then_there_are_no_more(tmp_path: Path) -> None:
    study = Study(tmp_path, [BIAS], CARD, 0)

    assert sorted(drawn["ppo.hold_bias"] for drawn in study.drawn(0, 9)) == ["0", "1", "2"]


def test_what_was_left_is_kept_with_its_curve(tmp_path: Path) -> None:
    study = Study(tmp_path, [BIAS], CARD, 0)
    left = {"state": "left", "curve": {"3": -1.0, "4": -2.0}}

    study.tell(Member(0, {"ppo.hold_bias": "1"}, left))

    (member,) = Study(tmp_path, [BIAS], CARD, 0).members()
    assert member == Member(0, {"ppo.hold_bias": "1"}, left) and member.curve == {3: -1.0, 4: -2.0}


def test_another_sweep_in_the_folder_is_refused_with_what_differs(tmp_path: Path) -> None:
    Study(tmp_path, [BIAS], CARD, 0)

    with pytest.raises(FitError, match="its seeds differ; give another --out"):
        Study(tmp_path, [BIAS], {**CARD, "seeds": [0]}, 0)


def test_without_optuna_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)

    with pytest.raises(ConfigError, match="rl-core sweep needs Optuna"):
        Study(tmp_path, [BIAS], CARD, 0)
