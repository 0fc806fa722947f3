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


HELD_OUT = {**PLAYED, "long_share": 0.5, "mean_r": 0.085, "mean_r_low": -0.2, "mean_r_high": 0.41}


def rows(earned: float, trades: int = 100) -> list[dict[str, float]]:
    """Four rows of a training; the first half, in which it lost, does not count."""
    return [{"step": 1, "trades": 900, "mean_r": -1.0}] * 2 + [{"step": 2, "trades": trades, "mean_r": earned}] * 2


@pytest.mark.parametrize(
    ("figures", "training", "found"),
    [
        ({}, rows(2.27), True),
        ({}, rows(0.42), True),
        ({}, rows(0.41), False),  # the interval reaches it
        ({}, rows(2.27, trades=24), False),  # too few to call it what training earns
        ({}, [], False),
        ({"mean_r_high": None}, rows(2.27), False),
        ({"in_sample": True}, rows(2.27), False),
        ({"mean_r": -0.5, "mean_r_high": -0.2}, rows(-0.1), False),  # it lost in training, too
        ({"mean_r": -0.5, "mean_r_high": -0.2}, rows(0.1), True),
    ],
)
def test_less_than_the_training_bars_paid_is_named(
    figures: dict[str, float | None], training: list[dict[str, float]], found: bool
) -> None:
    ailing = ailments_of_play({**HELD_OUT, **figures}, training)

    assert [each.name for each in ailing] == (["known_by_heart"] if found else [])


def test_the_finding_says_both_figures() -> None:
    (found,) = ailments_of_play(HELD_OUT, rows(2.27))

    assert "training earned +2.27 R each and these +0.09 R (-0.20 to +0.41)" in found.says


@pytest.mark.parametrize(
    ("training", "advice"), [(rows(2.5), "more sessions"), (rows(0.5), "train longer"), ([], "train longer")]
)
def test_who_plays_rarely_is_told_to_train_on_more_sessions_where_training_was_learned_by_heart(
    training: list[dict[str, float]], advice: str
) -> None:
    (found,) = ailments_of_play({"sessions": 2, "trades": 0, "long_share": None}, training)

    assert found.name == "played_rarely" and advice in found.change
