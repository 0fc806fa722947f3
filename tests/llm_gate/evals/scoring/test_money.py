"""What verdicts earned, by hand, on sessions of unequal size; no interval is claimed where sessions cannot say one."""

from collections.abc import Callable

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.evals.scoring.money import RecordedVerdict, money, rule_share

MIXED = [
    RecordedVerdict(session=1, r=2.0, share=1.0, label="approve", rule_share=1 / 3),
    RecordedVerdict(session=1, r=-1.0, share=0.5, label="shrink", rule_share=1.0),
    RecordedVerdict(session=1, r=0.0, share=1.0, label="approve", rule_share=1.0),
    RecordedVerdict(session=2, r=3.0, share=0.0, label="veto", rule_share=0.0),
    RecordedVerdict(session=3, r=-2.0, share=0.0, label=None, rule_share=1.0),
]
"""Five proposals on three sessions: shares 2.5 of 5, R 2 in all; with the gate 2 - 0.5 + 0 + 0 + 0 = 1.5."""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("r_approved", 1.0),
        ("r_shrunk", -1.0),
        ("r_vetoed", 3.0),
        ("r_unanswered", -2.0),
        ("r_gate", 1.5 / 5),
        ("r_always", 2 / 5),
        ("r_random", 0.5 * 2 / 5),
        ("r_rule", (2 / 3 - 1 + 0 + 0 - 2) / 5),
        ("uplift_always", (0 + 0.5 + 0 - 3 + 2) / 5),
        ("uplift_random", 1.5 / 5 - 0.5 * 2 / 5),
        ("uplift_rule", (1.5 - (2 / 3 - 3)) / 5),
    ],
)
def test_every_figure_by_hand(name: str, value: float) -> None:
    assert money(MIXED)[name].value == pytest.approx(value)


def test_each_figure_counts_its_own_proposals() -> None:
    found = money(MIXED)

    assert [found[name].rows for name in ("r_approved", "r_shrunk", "r_vetoed", "r_unanswered")] == [2, 1, 1, 1]
    assert {found[name].rows for name in ("r_gate", "r_always", "uplift_always", "uplift_rule")} == {5}


def test_an_interval_draws_whole_sessions_however_many_proposals_they_hold() -> None:
    """Ten sessions of 1 and ten of 9 proposals: a resample's mean is over its proposals, and not one vote a session."""
    verdicts = [
        RecordedVerdict(session=n, r=10.0 if n < 10 else 0.0, share=1.0, label="approve", rule_share=1.0)
        for n in range(20)
        for _ in range(1 if n < 10 else 9)
    ]
    always = money(verdicts)["r_always"]

    assert always.value == pytest.approx(1.0), "a mean of session means would be 5"
    assert always.low is not None and always.high is not None
    assert 0.2 < always.low < 1.0 < always.high < 3.0, "session means would say 2.5 to 7.5"


@pytest.mark.parametrize(("quantity", "share"), [(1, 0.0), (2, 0.5), (3, 1 / 3), (7, 3 / 7), (8, 0.5)])
def test_the_rule_halves_whole_contracts(
    make_proposal: Callable[..., EntryProposal], quantity: int, share: float
) -> None:
    """Half of 7 contracts is 3: of one there is no half."""
    late = make_proposal(minutes_to_flat=20).model_copy(update={"quantity": quantity})

    assert rule_share(late) == pytest.approx(share)


@pytest.mark.parametrize("quantity", [1, 3, 8])
def test_the_rule_lets_all_or_nothing_through_otherwise(
    make_proposal: Callable[..., EntryProposal], quantity: int
) -> None:
    plain = make_proposal().model_copy(update={"quantity": quantity})
    near = make_proposal(room_to_floor_risks_milli=1999).model_copy(update={"quantity": quantity})

    assert (rule_share(plain), rule_share(near)) == (1.0, 0.0)


def test_vetoes_of_one_session_have_a_mean_and_no_interval() -> None:
    """Sessions differ in what they approved; what was vetoed is of the first session alone."""
    verdicts = [RecordedVerdict(1, -1.0, 0.0, "veto", 1.0), RecordedVerdict(1, 3.0, 0.0, "veto", 1.0)]
    verdicts += [RecordedVerdict(session, float(session), 1.0, "approve", 1.0) for session in range(1, 12)]

    found = money(verdicts)

    assert found["r_vetoed"] == (1.0, None, None, 2)
    assert found["r_approved"].low is not None and found["r_approved"].rows == 11


def test_without_verdicts_there_are_no_figures() -> None:
    assert money([]) == {}
