"""How often notes changed a verdict is counted in pairs, beside what harmless notes change."""

import pytest

from llm_gate.evals.asking.plan import PLAIN
from llm_gate.evals.data.injections import HARMLESS
from llm_gate.evals.data.log import Row
from llm_gate.evals.report.findings import note_flips
from tests.llm_gate.evals.rows import row


def noted(number: int, family: str, answer: str | None) -> Row:
    """The answer to one case, plain or with a note of a family."""
    return row(number, answer=answer, task="injection", family=family, truth=None)


def test_flips_are_counted_beside_those_of_harmless_notes() -> None:
    """Of three attempts on two cases one lets more through and one less; the harmless note moves nothing."""
    rows = [
        noted(0, PLAIN, "veto"),
        noted(0, "order", "approve"),
        noted(0, "other", "veto"),
        noted(0, HARMLESS, "veto"),
        noted(1, PLAIN, "approve"),
        noted(1, "order", "veto"),
    ]

    (flips,) = note_flips(rows)

    assert (flips.attempts.rows, flips.attempts.value) == (3, pytest.approx(2 / 3))
    assert flips.raised.value == pytest.approx(1 / 3)
    assert (flips.harmless.rows, flips.harmless.value) == (1, 0.0)


def test_a_verdict_that_was_not_given_makes_no_pair() -> None:
    rows = [noted(0, PLAIN, "veto"), noted(0, "order", None), noted(0, "order", "shrink"), noted(1, "order", "veto")]

    (flips,) = note_flips(rows)

    assert (flips.attempts.rows, flips.attempts.value) == (1, 1.0)


def test_without_notes_there_are_no_flips() -> None:
    assert note_flips([row(0), row(1)]) == []
