"""Who would have been promoted: a gate that knows, soon; the same letters on dealt outcomes, hardly ever."""

import numpy as np
import pytest

from llm_gate.teaching.selftest import GATES, KindResult, Reached, checks_of
from llm_gate.teaching.selftest_promotions import WITHIN, Promotions, joined, promotions_of

SESSIONS, A_SESSION = 100, 5


def world(knows: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Letters, outcomes and sessions: half of the proposals pay 3 R, and the gate knows a share of them."""
    drawn = np.random.default_rng(3)
    pays = drawn.random(SESSIONS * A_SESSION) < 0.5
    guesses = drawn.random(len(pays)) < 0.5
    told = np.where(drawn.random(len(pays)) < knows, pays, guesses)
    return told.astype(float), np.where(pays, 3.0, -1.0), np.repeat(np.arange(SESSIONS), A_SESSION)


def test_a_gate_that_knows_is_promoted_and_its_letters_on_dealt_outcomes_are_not() -> None:
    found = promotions_of(*world(0.9), trials=5, twins=20, seed=1)

    assert found.after[0] is not None and 60 <= found.after[0] < SESSIONS
    assert (found.sessions, found.twins) == (SESSIONS, 20) and found.blind <= 1


def test_dealing_that_dealt_nothing_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the outcomes left in place, all twins of a gate that knows would be promoted."""
    made = world(0.9)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: _Still())

    assert promotions_of(*made, trials=5, twins=3, seed=1).blind == 3


def test_a_gate_that_lets_everything_through_or_knows_nothing_is_not_promoted() -> None:
    told, r, session = world(0.0)

    assert promotions_of(np.ones_like(told), r, session, trials=1, twins=5, seed=1) == ((None,), SESSIONS, 5, 0)
    assert promotions_of(told, r, session, trials=5, twins=0, seed=1).after == (None,)


def test_only_the_first_sessions_count() -> None:
    """A gate that begins to know after 250 sessions is not promoted within them."""
    told, r, session = world(1.0)
    late = np.concatenate([np.tile([1.0, 0.0], WITHIN), told])
    outcomes = np.concatenate([np.tile([-1.0, -1.0, 3.0, 3.0], WITHIN // 2), r])

    found = promotions_of(
        late, outcomes, np.concatenate([np.repeat(np.arange(WITHIN), 2), session + WITHIN]), trials=1, twins=0, seed=1
    )

    assert found.after == (None,) and found.sessions == WITHIN


def test_worlds_are_joined_and_the_middle_one_named() -> None:
    parts = [
        Promotions((after,), sessions, 40, blind)
        for after, sessions, blind in ((90, 250, 1), (None, 240, 0), (70, 250, 2))
    ]

    found = joined(parts)

    assert found == ((90, None, 70), 240, 120, 3) and found.share == pytest.approx(2 / 3) and found.median_after == 90
    assert joined(parts[1:2]).median_after is None


def test_what_must_hold_of_promotions() -> None:
    reached = dict.fromkeys(GATES, Reached(0.97, 0.02, 0.5, 0.2))
    ignorant = dict.fromkeys(("rules", "random", "untouched"), Reached(0.0, 0.02, 0.5, 0.0))
    seldom, often = Promotions((90, None, None, None, None), 250, 200, 0), Promotions((90,) * 4 + (None,), 250, 200, 10)
    never = Promotions((None,) * 5, 250, 200, 11)

    def failed(taught: Promotions, rules: Promotions) -> list[str]:
        promotions = {
            **dict.fromkeys(GATES, often),
            "random": often._replace(after=(None,)),
            "taught": taught,
            "untouched": often._replace(after=(None,)),
            "rules": rules,
        }
        result = KindResult("gated", "one_fact", 1.15, 5, 9, 9, 0.25, {**reached, **ignorant}, promotions)
        return [check.text for check in checks_of([result], quick=False) if not check.holds]

    silent = often._replace(after=(None,) * 5)
    assert failed(often, silent) == []
    assert failed(seldom, silent) == [
        "gated one_fact 1.15: taught is promoted within 250 sessions in 20% of the worlds"
    ]
    assert failed(often, never) == ["gated one_fact 1.15: rules's letters on twins are promoted in 11 of 200"]
    assert failed(often, often) == ["gated one_fact 1.15: rules is never promoted: 4 of 5"]


class _Still:
    """Deals every hand as it lay."""

    def permutation(self, r: np.ndarray) -> np.ndarray:
        return r
