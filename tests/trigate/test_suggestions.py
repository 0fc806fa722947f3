"""What a mistyped name may have meant."""

import pytest

from trigate.suggestions import meant, nearest

SETTINGS = ("ppo.learning_rate", "ppo.hidden", "gate.on_failure", "gate.model", "gate.engine", "trading.rules", "steps")
PACKS = ("apex_legacy_50k_eval", "apex_legacy#50k-pa", "apex_legacy#100k-pa", "plain_static", "topstep_combine#50k")


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("stepps", "steps"),
        ("ppo.lr", "ppo.learning_rate"),
        ("lr", "ppo.learning_rate"),
        ("gate.learning_rate", "ppo.learning_rate"),
        ("gate.fail_mode", "gate.on_failure"),
        ("gate.engin", "gate.engine"),
        ("rules", "trading.rules"),
    ],
)
def test_a_setting_is_found_by_letters_initials_and_words(word: str, first: str) -> None:
    assert first in nearest(word, SETTINGS)
    assert len(nearest(word, SETTINGS)) <= 3


def test_a_pack_is_found_by_the_words_in_its_name() -> None:
    near = nearest("apex_50k", PACKS)

    assert set(near) >= {"apex_legacy_50k_eval", "apex_legacy#50k-pa"} and "plain_static" not in near


def test_what_is_like_nothing_suggests_nothing() -> None:
    assert nearest("zzz", SETTINGS) == []
    assert meant("zzz", ["a", "b"]) == "there are: a, b"
    assert meant("zzz", []) == "there are none"


def test_a_dot_need_not_end_a_section() -> None:
    """Of versions, `v1` says nothing."""
    prompts = ("entry_review.v1", "entry_facts.v1", "plain.v1")

    assert nearest("entry_revew.v1", prompts, dotted=False)[0] == "entry_review.v1"
    assert nearest("zzz.v1", prompts, dotted=False) == []


def test_the_words_for_a_person() -> None:
    assert meant("gate.engin", SETTINGS) == "did you mean 'gate.engine'?"
