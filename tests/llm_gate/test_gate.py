"""The gate over scripted engines: each outcome, each failure with its cause, the deadline and the breaker."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from llm_gate.contract import Approve, EntryProposal, GateFailed, Resize, Reviewed, Veto
from llm_gate.engines.base import Engine
from llm_gate.engines.rules import RulesEngine
from llm_gate.engines.scripted import Scripted, ScriptedEngine
from llm_gate.errors import EngineError, ForeignVerdictError, HttpError, MalformedVerdictError, UnavailableError
from llm_gate.gate import Gate, GateConfig
from llm_gate.prompts import DEFAULT_PROMPT, find_prompt

MakeProposal = Callable[..., EntryProposal]


class HandClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Seconds now."""
        return self.now_s


def reviewed_by(engine: Engine, proposal: EntryProposal, **config: object) -> Reviewed:
    """One review through a fresh gate."""
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig.model_validate(config))
    return asyncio.run(gate.review(proposal))


def causes(gate: Gate, proposal: EntryProposal, number: int) -> list[str]:
    """How ``number`` reviews in a row ended: a cause, or the kind of a verdict."""

    async def review_all() -> list[Reviewed]:
        return [await gate.review(proposal) for _ in range(number)]

    outcomes = [reviewed.outcome for reviewed in asyncio.run(review_all())]
    return [outcome.cause if isinstance(outcome, GateFailed) else outcome.kind for outcome in outcomes]


def test_each_label_becomes_its_outcome(make_proposal: MakeProposal) -> None:
    assert reviewed_by(ScriptedEngine(["approve"]), make_proposal()).outcome == Approve()
    assert reviewed_by(ScriptedEngine(["veto"]), make_proposal()).outcome == Veto(reason="scripted")
    shrunk = reviewed_by(ScriptedEngine(["shrink"]), make_proposal(), shrink_factor=Decimal("0.25")).outcome
    assert shrunk == Resize(size_factor=Decimal("0.25"), reason="scripted")


def test_a_reply_says_where_it_came_from(make_proposal: MakeProposal) -> None:
    proposal = make_proposal(minutes_to_flat=20)

    reviewed = reviewed_by(RulesEngine(), proposal)

    assert reviewed.proposal_id == proposal.proposal_id
    assert (reviewed.engine, reviewed.model) == ("rules", "three-line-rule.v1")
    assert reviewed.prompt_digest == find_prompt(DEFAULT_PROMPT).digest
    assert reviewed.reason_source == "rule"
    assert reviewed.probabilities is None


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (UnavailableError("x"), "unavailable"),
        (HttpError("x"), "http"),
        (MalformedVerdictError("x"), "malformed"),
        (ForeignVerdictError("x"), "foreign"),
    ],
)
def test_a_fault_is_a_failure_and_never_a_veto(make_proposal: MakeProposal, fault: EngineError, cause: str) -> None:
    reviewed = reviewed_by(ScriptedEngine([fault]), make_proposal())

    assert reviewed.outcome == GateFailed.model_validate({"cause": cause})
    assert reviewed.reason_source == "none"


def test_an_answer_to_another_proposal_is_refused(make_proposal: MakeProposal) -> None:
    engine = ScriptedEngine([Scripted("approve", proposal_id="f" * 32)])

    assert reviewed_by(engine, make_proposal()).outcome == GateFailed(cause="foreign")


def test_a_late_answer_is_a_timeout_at_the_deadline(make_proposal: MakeProposal) -> None:
    reviewed = reviewed_by(ScriptedEngine([Scripted("approve", delay_s=5.0)]), make_proposal(), deadline_s=0.05)

    assert reviewed.outcome == GateFailed(cause="timeout")
    assert 0.05 <= reviewed.latency_s < 1.0


def test_the_breaker_stops_asking_and_a_probe_closes_it(make_proposal: MakeProposal) -> None:
    clock = HandClock()
    engine = ScriptedEngine([*[UnavailableError("x")] * 3, "approve"])
    config = GateConfig(breaker_failures=3, breaker_cooldown_s=10.0)
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), config, clock=clock)

    assert causes(gate, make_proposal(), 5) == ["unavailable"] * 3 + ["breaker_open"] * 2
    assert len(engine.asked) == 3

    clock.now_s += 10.0
    assert causes(gate, make_proposal(), 2) == ["approve", "approve"]


def test_a_cancelled_review_stays_cancelled(make_proposal: MakeProposal) -> None:
    """Shutting down must not turn into a verdict."""

    async def cancelled() -> bool:
        gate = Gate(ScriptedEngine([Scripted("approve", delay_s=5.0)]), find_prompt(DEFAULT_PROMPT), GateConfig())
        task = asyncio.ensure_future(gate.review(make_proposal()))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancelled())
