"""What is said of a policy by what it played: one side, hardly a trade, and neither just within the bounds."""

import pytest

from rl_core.proofs.played import ailments_of_play

PLAYED = {"sessions": 81, "trades": 145, "long_share": 0.9241}  # the quick start's policy on real bars


@pytest.mark.parametrize(
    ("figures", "name"),
    [
        ({}, "played_one_sided"),
        ({"long_share": 0.05}, "played_one_sided"),
        ({"trades": 8, "long_share": 0.5}, "played_rarely"),
        ({"trades": 0, "long_share": None}, "played_rarely"),
        ({"long_share": 0.9}, None),
        ({"long_share": 0.1}, None),
        ({"trades": 49, "long_share": 1.0}, None),  # too few to call it a habit
        ({"trades": 9, "long_share": 0.5}, None),
    ],
)
def test_what_was_played_is_named(figures: dict[str, float | None], name: str | None) -> None:
    assert [found.name for found in ailments_of_play({**PLAYED, **figures})] == ([] if name is None else [name])
