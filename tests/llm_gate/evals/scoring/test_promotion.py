"""The anytime-valid interval covers, and only a gate that knows something is promoted."""

import numpy as np
import pytest

from llm_gate.evals.scoring.confidence_sequence import confidence_sequence
from llm_gate.evals.scoring.promotion import Judged, PromotionCriteria, promoted_after, promotion, session_uplifts

EASY = PromotionCriteria(min_proposals=100, min_sessions=20, alpha=0.1)


def stream(seed: int, *, knows: float, sessions: int = 80, veto_rate: float = 0.3, drift: float = 0.0) -> list[Judged]:
    """Ten proposals a session, 24 % win 3 R; the gate knows the outcome of a share ``knows`` of them."""
    drawn = np.random.default_rng(seed)
    rows = []
    for session in range(sessions):
        for _ in range(10):
            r = 3.0 if drawn.random() < 0.24 else -1.0
            blind = float(drawn.random() > veto_rate + drift * session)
            rows.append(Judged(session, float(r > 0) if drawn.random() < knows else blind, r))
    return rows


@pytest.mark.parametrize("mean", [0.2, 0.5])
def test_all_intervals_of_a_stream_cover_the_mean_at_once(mean: float) -> None:
    """Of 100 streams at most 10 % may ever miss, plus three standard errors (9 %)."""
    missed = 0
    for seed in range(100):
        values = np.random.default_rng(seed).beta(4 * mean, 4 * (1 - mean), 200)
        found = confidence_sequence(values, least=0.0, most=1.0, alpha=0.1)
        missed += not ((found.low <= mean) & (mean <= found.high)).all()

    assert missed / 100 <= 0.1 + 0.09


def test_the_interval_only_narrows_and_finds_the_mean() -> None:
    values = np.random.default_rng(1).beta(2, 6, 2000)

    found = confidence_sequence(values, least=0.0, most=1.0)

    assert (np.diff(found.low) >= 0).all() and (np.diff(found.high) <= 0).all()
    assert 0.2 < found.low[-1] < 0.25 < found.high[-1] < 0.3


def test_bounds_of_each_value_are_kept() -> None:
    with pytest.raises(ValueError, match="outside the bounds"):
        confidence_sequence([0.5, 0.9], least=0.0, most=[1.0, 0.8])


def test_a_session_is_compared_with_those_before_it() -> None:
    """First session: share 1/2, R 1. Second: (1 - 1/2) x (2 - 1)."""
    rows = [Judged(1, 1.0, 3.0), Judged(1, 0.0, -1.0), Judged(2, 1.0, 2.0)]

    (found,) = session_uplifts(rows, PromotionCriteria())

    assert found == (0.5, -1.5, 1.5)


def test_a_gate_that_knows_is_promoted_and_a_blind_one_is_not() -> None:
    assert promotion(stream(0, knows=0.5), EASY, trials=1).word == "PROMOTE"
    assert promotion(stream(0, knows=0.0), EASY, trials=1).word == "SHADOW"


def test_the_session_of_the_promotion_is_the_first_whose_record_promotes() -> None:
    """Record by record: SHADOW after every shorter one, PROMOTE after this one."""
    rows = stream(0, knows=0.5)

    after = promoted_after(rows, EASY, trials=3)

    words = [
        promotion([row for row in rows if row.session < count], EASY, trials=3).word
        for count in range(1, (after or 0) + 1)
    ]
    assert after is not None and words == ["SHADOW"] * (after - 1) + ["PROMOTE"]
    assert after > EASY.min_sessions, "the interval decided, not a minimum"
    late = EASY.model_copy(update={"min_proposals": 10 * (after + 5)})
    assert promoted_after(rows, late, trials=3) == after + 5
    assert promoted_after(rows, EASY.model_copy(update={"min_sessions": after + 7}), trials=3) == after + 7
    assert promoted_after(stream(0, knows=0.0), EASY, trials=3) is None


def test_blind_gates_are_promoted_no_more_often_than_alpha_even_while_they_veto_more_and_more() -> None:
    """A losing strategy, vetoed ever more often: the veto rate alone must earn nothing. 5 % is allowed one-sided."""
    promoted = sum(
        promotion(stream(seed, knows=0.0, sessions=40, drift=0.01), EASY, trials=1).word == "PROMOTE"
        for seed in range(100)
    )

    assert promoted <= 5


def test_every_trial_makes_it_harder_and_too_few_proposals_stay_in_shadow() -> None:
    rows = stream(3, knows=0.2)

    once, often = promotion(rows, EASY, trials=1), promotion(rows, EASY, trials=1000)
    few = promotion(rows[:60], EASY, trials=1)

    assert once.low is not None and often.low is not None and often.low < once.low
    assert often.alpha == pytest.approx(0.1 / 1000)
    assert few.word == "SHADOW" and "60 judged proposals with an outcome, fewer than 100" in few.line


def test_exactly_as_many_proposals_and_sessions_as_asked_for_are_enough() -> None:
    """Twenty sessions of ten proposals."""
    rows = stream(3, knows=1.0, sessions=20)
    enough = EASY.model_copy(update={"min_proposals": 200, "min_sessions": 20})
    more = EASY.model_copy(update={"min_proposals": 201, "min_sessions": 21})

    assert "fewer" not in promotion(rows, enough, trials=1).line
    assert "200 judged proposals with an outcome, fewer than 201; 20 sessions, fewer than 21" in (
        promotion(rows, more, trials=1).line
    )


def test_outcomes_are_clipped_and_the_share_is_told() -> None:
    rows = [Judged(n // 2, 1.0, 9.0 if n == 0 else 1.0) for n in range(4)]

    assert promotion(rows, EASY, trials=1).clipped == 0.25


def test_an_interval_that_cannot_be_computed_promotes_nothing() -> None:
    """Outcomes without a bound have no interval."""
    unbounded = PromotionCriteria.model_construct(**EASY.model_dump() | {"clip_high_r": float("inf")})

    with np.errstate(all="ignore"):
        assert promotion(stream(0, knows=0.5), unbounded, trials=1).word == "SHADOW"
