"""The gate over scripted engines: each outcome, each failure with its cause, the deadline and the breaker."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llm_gate.contract import Approve, EntryProposal, GateFailed, Note, Resize, Reviewed, Veto
from llm_gate.engines.base import Engine
from llm_gate.engines.random import RandomEngine
from llm_gate.engines.rules import RulesEngine
from llm_gate.engines.scripted import Scripted, ScriptedEngine
from llm_gate.errors import (
    EngineError,
    ForeignVerdictError,
    HttpError,
    MalformedVerdictError,
    PromptError,
    UnavailableError,
)
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, Prompt, find_prompt, load_prompt, prompts_folder
from llm_gate.review.gate import Gate, GateConfig

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


def how(reviewed: Reviewed) -> str:
    """A cause, or the kind of a verdict."""
    outcome = reviewed.outcome
    return outcome.cause if isinstance(outcome, GateFailed) else outcome.kind


def causes(gate: Gate, proposal: EntryProposal, number: int) -> list[str]:
    """How ``number`` reviews in a row ended."""

    async def review_all() -> list[Reviewed]:
        return [await gate.review(proposal) for _ in range(number)]

    return [how(reviewed) for reviewed in asyncio.run(review_all())]


def at_once(gate: Gate, proposals: list[EntryProposal]) -> list[Reviewed]:
    """The replies to questions asked together."""

    async def review_all() -> list[Reviewed]:
        return list(await asyncio.gather(*(gate.review(proposal) for proposal in proposals)))

    return asyncio.run(review_all())


def many(make_proposal: MakeProposal, number: int, **context: object) -> list[EntryProposal]:
    """Proposals that differ in nothing but their ids."""
    return [make_proposal(proposal_id=f"{k:032x}", **context) for k in range(number)]


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
    engine = ScriptedEngine([*[HttpError("x")] * 3, "approve"])
    config = GateConfig(breaker_failures=3, breaker_cooldown_s=10.0)
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), config, clock=clock)

    assert causes(gate, make_proposal(), 5) == ["http"] * 3 + ["breaker_open"] * 2
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


def test_of_many_at_once_after_the_cooldown_one_is_the_probe(make_proposal: MakeProposal) -> None:
    clock = HandClock()
    engine = ScriptedEngine([HttpError("x"), Scripted("approve", delay_s=0.05)])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig(breaker_failures=1), clock=clock)
    first, *rest = many(make_proposal, 9)

    assert [how(r) for r in at_once(gate, [first])] == ["http"]
    clock.now_s += 30.0

    assert [how(r) for r in at_once(gate, rest)] == ["approve"] + ["breaker_open"] * 7
    assert len(engine.asked) == 2


def test_a_broken_connection_is_tried_once_more_under_the_same_id(make_proposal: MakeProposal) -> None:
    engine = ScriptedEngine([UnavailableError("reset"), "approve"])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig())

    assert causes(gate, make_proposal(), 1) == ["approve"]
    assert engine.asked == [make_proposal().proposal_id] * 2
    assert gate.counts["retried"] == 1


@pytest.mark.parametrize(("delay_s", "asked"), [(0.05, 2), (0.25, 1)])
def test_a_retry_needs_six_tenths_of_the_deadline(make_proposal: MakeProposal, delay_s: float, asked: int) -> None:
    engine = ScriptedEngine([Scripted(UnavailableError("reset"), delay_s=delay_s), "approve"])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig(deadline_s=0.5))

    at_once(gate, [make_proposal()])

    assert len(engine.asked) == asked


def test_no_other_fault_is_retried(make_proposal: MakeProposal) -> None:
    engine = ScriptedEngine([HttpError("x"), "approve"])

    assert how(reviewed_by(engine, make_proposal())) == "http"


def test_a_decision_asked_again_gets_its_reply_without_asking(make_proposal: MakeProposal) -> None:
    engine = ScriptedEngine(["veto", "approve"])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig())

    first, again = (at_once(gate, [make_proposal()])[0] for _ in range(2))

    assert first is again
    assert len(engine.asked) == 1


def test_a_decision_asked_twice_at_once_is_asked_once(make_proposal: MakeProposal) -> None:
    engine = ScriptedEngine([Scripted("veto", delay_s=0.02), "approve"])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig())

    first, again = at_once(gate, [make_proposal(), make_proposal()])

    assert first is again
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"side": "sell"},
        {"quantity": 5},
        {"stop_atr_milli": 1501},
        {"target_atr_milli": 4501},
        {"notes": (Note(source="desk", text="calm"),)},
        {"context": {"room_to_floor_risks_milli": 1999}},
        {"context": {"minutes_to_flat": 20}},
        {"context": {"wild_percent": 7}},
    ],
    ids=str,
)
def test_a_decision_id_with_other_content_is_refused(make_proposal: MakeProposal, changed: dict[str, Any]) -> None:
    """Whatever differs: the verdict that the id has was on something else."""
    plain = make_proposal()
    context = plain.context.model_copy(update=changed.get("context", {}))
    other = plain.model_copy(update={**changed, "context": context})
    assert other != plain
    engine = ScriptedEngine(["approve"])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig())

    replies = [at_once(gate, [p])[0] for p in (plain, other, plain)]

    assert [how(reply) for reply in replies] == ["approve", "conflict", "approve"]
    assert len(engine.asked) == 1


def test_a_decision_that_is_still_under_way_with_other_content_is_refused_too(make_proposal: MakeProposal) -> None:
    engine = ScriptedEngine([Scripted("approve", delay_s=0.05)])
    gate = Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig())
    plain = make_proposal()

    replies = at_once(gate, [plain, plain.model_copy(update={"quantity": 5})])

    assert [how(reply) for reply in replies] == ["approve", "conflict"]
    assert len(engine.asked) == 1


def test_a_failure_is_no_decision_and_is_asked_again(make_proposal: MakeProposal) -> None:
    gate = Gate(ScriptedEngine([HttpError("x"), "veto"]), find_prompt(DEFAULT_PROMPT), GateConfig())

    assert causes(gate, make_proposal(), 3) == ["http", "veto", "veto"]


def test_the_same_case_under_another_id_is_asked_again_unless_the_cache_is_on(make_proposal: MakeProposal) -> None:
    """And a hit says that it is one, names its own decision, and spent no tokens."""
    first, second = many(make_proposal, 2, minutes_to_flat=20)
    off, on = (Gate(RulesEngine(), find_prompt(DEFAULT_PROMPT), GateConfig(cache_entries=size)) for size in (0, 8))

    assert [r.cached for r in (*at_once(off, [first]), *at_once(off, [second]))] == [False, False]
    asked, hit = at_once(on, [first])[0], at_once(on, [second])[0]

    assert (asked.cached, hit.cached) == (False, True)
    assert (hit.proposal_id, hit.outcome) == (second.proposal_id, asked.outcome)
    assert hit.prompt_tokens is None
    assert on.counts["cached"] == 1


def test_another_case_or_an_engine_that_draws_by_id_never_hits(make_proposal: MakeProposal) -> None:
    config = GateConfig(cache_entries=8)
    rules = Gate(RulesEngine(), find_prompt(DEFAULT_PROMPT), config)
    coin = Gate(RandomEngine(seed=1, veto_rate=0.5), find_prompt(DEFAULT_PROMPT), config)
    others = [make_proposal(), make_proposal(proposal_id="f" * 32, losing_streak=1)]

    assert not any(at_once(rules, [proposal])[0].cached for proposal in others)
    assert {how(at_once(coin, [proposal])[0]) for proposal in many(make_proposal, 40)} == {"approve", "veto"}


def test_a_gate_that_says_the_same_to_everything_is_counted(make_proposal: MakeProposal) -> None:
    gate = Gate(ScriptedEngine(["veto"]), find_prompt(DEFAULT_PROMPT), GateConfig(alarm_window=10))

    for proposal in many(make_proposal, 25):
        at_once(gate, [proposal])

    assert gate.counts["gate_degenerate"] == 2
    assert gate.counts["veto"] == 25


@pytest.fixture
def letters_only(tmp_path: Path) -> Prompt:
    """The default prompt with one mode."""
    path = tmp_path / "letters.v1.md"
    text = (prompts_folder() / f"{DEFAULT_PROMPT}.md").read_text(encoding="utf-8")
    path.write_text(text.replace("\n[letters]", 'modes = ["choice"]\n\n[letters]', 1), encoding="utf-8")
    return load_prompt(path)


def test_a_mode_that_the_prompt_leaves_out_is_refused(letters_only: Prompt) -> None:
    Gate(RulesEngine(), letters_only, GateConfig(mode="choice"))

    with pytest.raises(PromptError, match=r"letters\.v1: mode 'json' is not one of its modes: choice"):
        Gate(RulesEngine(), letters_only, GateConfig(mode="json"))
