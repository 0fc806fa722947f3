"""A coin that falls the same way for the same proposal."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.engines.base import Question
from llm_gate.engines.random import RandomEngine


def letters_drawn(engine: RandomEngine, make_proposal: Callable[..., EntryProposal], number: int) -> list[str]:
    """The engine's letters for ``number`` different proposals."""

    async def draw() -> list[str]:
        ids = [hashlib.sha256(str(k).encode()).hexdigest()[:32] for k in range(number)]
        questions = [
            Question(make_proposal(proposal_id=i), (), {"A": "approve", "B": "shrink", "C": "veto"}) for i in ids
        ]
        return [(await engine.decide(question)).letter for question in questions]

    return asyncio.run(draw())


def test_rates_are_met(make_proposal: Callable[..., EntryProposal]) -> None:
    """2,000 draws at 0.3: a standard error of 0.0102, so four of them around it."""
    drawn = Counter(letters_drawn(RandomEngine(seed=1, veto_rate=0.3, shrink_rate=0.1), make_proposal, 2000))

    assert abs(drawn["C"] / 2000 - 0.3) < 0.041
    assert abs(drawn["B"] / 2000 - 0.1) < 0.027


def test_a_rerun_decides_alike_and_another_seed_does_not(make_proposal: Callable[..., EntryProposal]) -> None:
    first, again, other = (letters_drawn(RandomEngine(seed=s, veto_rate=0.5), make_proposal, 64) for s in (7, 7, 8))

    assert first == again
    assert first != other


@pytest.mark.parametrize("rates", [(-0.1, 0.0), (1.1, 0.0), (0.6, 0.6), (float("nan"), 0.0)])
def test_rates_that_are_no_shares_are_refused(rates: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="shares"):
        RandomEngine(seed=1, veto_rate=rates[0], shrink_rate=rates[1])


def test_certain_rates_leave_nothing_to_chance(make_proposal: Callable[..., EntryProposal]) -> None:
    assert set(letters_drawn(RandomEngine(seed=3, veto_rate=1.0), make_proposal, 50)) == {"C"}
    assert set(letters_drawn(RandomEngine(seed=3, veto_rate=0.0), make_proposal, 50)) == {"A"}
