"""`--over KEY=VALUES`: a range, a logarithmic range or choices; everything else is refused in one line."""

import math
from typing import Any

import pytest

from rl_core.training.config import TrainConfig
from rl_core.training.sweep.axes import Axis, read_axes
from trigate.errors import ConfigError
from trigate.toml_config import shown_values

KEYS: dict[str, Any] = {value.key: value.value for value in shown_values(TrainConfig(), {})}


def axis(text: str) -> Axis:
    (found,) = read_axes([text], KEYS)
    return found


def test_a_range_is_of_the_kind_that_the_setting_has() -> None:
    rate, epochs = axis("learning_rate=log:1e-4..3e-3"), axis("ppo.epochs=2..6")

    assert (rate.key, rate.low, rate.high, rate.logarithmic, rate.whole) == (
        "ppo.learning_rate",
        1e-4,
        3e-3,
        True,
        False,
    )
    assert (epochs.whole, epochs.size, epochs.examples) == (True, 5, (2, 6)) and rate.size == math.inf


def test_choices_are_what_toml_reads_in_a_list_or_bare_words() -> None:
    assert axis("hold_bias=0,1,2").choices == (0, 1, 2)
    assert axis("ppo.hidden=[64, 64],[128]").choices == ([64, 64], [128])
    assert axis("schedule=linear,cosine").choices == ("linear", "cosine")
    assert axis("mirror=true,false").choices == (True, False)


def test_a_number_that_is_drawn_keeps_four_digits_and_stays_within_the_ends() -> None:
    rate = axis("learning_rate=0.0012354..0.0067896")

    assert [rate.value(drawn) for drawn in (0.0012354, 0.00345678, 0.0067896)] == [0.0012354, 0.003457, 0.0067896]


def test_a_choice_comes_back_from_its_label() -> None:
    hidden = axis("ppo.hidden=[64, 64],[128]")

    assert hidden.value("[128]") == [128] and hidden.value("[64, 64]") == [64, 64]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("learning_rate", "expected KEY=VALUES"),
        ("lerning_rate=1..2", "did you mean"),
        ("nothing_like_it=1..2", "no such key"),
        ("seed=1..5", "decided by --seeds"),
        ("train_share=0.5..0.9", "decided by --set"),
        ("hold_bias=1", "nothing to choose from"),
        ("hold_bias=1,1", "given twice"),
        ("learning_rate=3e-3..1e-3", "is not below"),
        ("learning_rate=log:0..1e-3", "above 0"),
        ("learning_rate=low..high", "are not both numbers"),
        ("epochs=1.5..3", "whole number"),
    ],
)
def test_what_says_no_axis_is_refused(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--over") as refused:
        axis(given)

    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_last_part_that_several_settings_share_must_be_written_out() -> None:
    with pytest.raises(ConfigError, match=r"which least\? a\.least or b\.least"):
        read_axes(["least=1..2"], {"a.least": 1.0, "b.least": 1.0})


def test_a_key_is_given_once() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        read_axes(["hold_bias=0,1", "ppo.hold_bias=2,3"], KEYS)
