"""The capacity model against sums by hand; every input is used and says where it was measured."""

import sys

import pytest

from bench.capacity import INPUTS, Asked, limits, main, needs

ROUND = {
    "training_cpu_s": 60.0,
    "training_mb": 1000.0,
    "ruled_bar_cpu_ms": 1.0,
    "run_start_cpu_s": 6.0,
    "run_mb": 500.0,
    "together_mb": 600.0,
    "together_account_mb": 0.5,
    "together_bar_cpu_ms": 0.5,
    "model_mb": 4000.0,
    "journal_bytes": 100.0,
    "verdicts_a_session": 10.0,
    "gate_per_s": 20.0,
    "gate_deadline_s": 10.0,
    "member_cpu_s": 60.0,
}
ASKED = Asked(accounts=1000, markets=4, folds=5, seeds=3, members=24, cases=7200, cores=2)


def test_what_a_thousand_accounts_need() -> None:
    """For instance 1,000 x 252 sessions x 1,380 bars x 100 bytes = 34.8 GB of journals a year."""
    needed = needs(ASKED, ROUND)

    assert needed["journals a year, GB"] == pytest.approx(34.776)
    assert needed["memory, accounts together, GB"] == pytest.approx(8 * 0.6 + 0.5 + 4), "eight commands of 128 at most"
    assert needed["memory, a run each, GB"] == 504.0 and needed["start of all, min"] == 50.0
    assert needed["walks, h"] == 0.5, "4 x 5 x 3 trainings of a minute on two cores"
    assert needed["sweeps, h"] == pytest.approx(2.4) and needed["gate cases, h"] == pytest.approx(0.1)
    assert needed["worst minute at one gate, s"] == 50.0 and needed["verdicts of a year, h"] == 35.0


def test_what_breaks_first() -> None:
    assert list(limits(ROUND, memory_gb=24).values()) == [200.0, 40.0, 60_000.0]


def test_every_input_is_used_and_has_a_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {**needs(ASKED, ROUND), **limits(ROUND, memory_gb=24)}
    for name in INPUTS:
        doubled = {**ROUND, name: 2 * ROUND[name]}
        assert {**needs(ASKED, doubled), **limits(doubled, memory_gb=24)} != before, name
    assert all(given.source for given in INPUTS.values()) and INPUTS.keys() == ROUND.keys()

    monkeypatch.setattr(sys, "argv", ["capacity.py", "--set", "gate_per_s=100", "--accounts", "10"])
    main()

    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("one gate")]
    assert line.split()[-1] == "1,000"
