"""What verdicts earned: no interval is claimed where sessions cannot say one."""

from llm_gate.evals.scoring.money import RecordedVerdict, money


def test_vetoes_of_one_session_have_a_mean_and_no_interval() -> None:
    """Sessions differ in what they approved; what was vetoed is of the first session alone."""
    stakes = [RecordedVerdict(1, -1.0, 0.0, "veto", 1.0), RecordedVerdict(1, 3.0, 0.0, "veto", 1.0)]
    stakes += [RecordedVerdict(session, float(session), 1.0, "approve", 1.0) for session in range(1, 12)]

    found = money(stakes)

    assert found["r_vetoed"] == (1.0, None, None, 2)
    assert found["r_approved"].low is not None and found["r_approved"].rows == 11
