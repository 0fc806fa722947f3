"""The members from the best to the worst, each with what its seeds differ by."""

from typing import Any

import pytest

from rl_core.statistics.sharpe import SharpeRatio, deflated_sharpe
from rl_core.training.sweep.ranking import above_luck, ranked, table_of
from rl_core.training.sweep.study import Member


def member(number: int, r: float, state: str = "judged") -> Member:
    told: dict[str, Any] = {"state": state, "curve": {}, "sharpe": [0.4, 60, 0.0, 3.0]}
    return Member(number, {}, told | ({"r_a_session": r} if state == "judged" else {}))


def test_the_best_comes_first_and_of_equal_ones_the_earlier() -> None:
    members = [member(0, 0.1), member(1, 0.3), member(2, 9.0, state="left"), member(3, 0.3)]

    assert [each.number for each in ranked(members)] == [1, 3, 0]


def test_the_best_of_more_tries_is_less_sure_to_be_above_luck() -> None:
    found = SharpeRatio(0.4, 60, 0.0, 3.0)

    assert above_luck(member(0, 1.0), 20) == pytest.approx(deflated_sharpe(found, tries=20))
    assert above_luck(member(0, 1.0), 20) < above_luck(member(0, 1.0), 2)
    assert above_luck(Member(0, {}, {"sharpe": None}), 20) is None


def test_the_table_shows_each_members_seeds_and_leaves_out_who_was_not_judged() -> None:
    def row(number: int, r: float | None, by_seed: dict[str, float]) -> dict[str, Any]:
        settings = {"ppo.clip": number}
        return {"member": number, "r_a_session": r, "by_seed": by_seed, "trades": [3, 4], "settings": settings}

    members = [row(0, 0.5, {"0": 0.25, "1": 0.75}), row(1, None, {}), row(2, 1.0, {"0": 1.0})]

    head, first, second = table_of({"members": members, "best_settings": {"ppo.clip": 2}})

    assert head.split("  ")[0].strip() == "member" and head.endswith("ppo.clip")
    assert first.split() == ["2", "+1.000", "one", "7", "2"]
    assert second.split() == ["0", "+0.500", "+0.250", "to", "+0.750", "7", "0"]
