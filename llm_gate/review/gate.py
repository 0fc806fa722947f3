"""The gate renders a proposal, asks an engine and checks the answer, all under one deadline.

Doubt never becomes an entry: whatever goes wrong becomes `GateFailed` with its cause, and the caller's fail mode
decides what that means.
"""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field

from llm_gate.contract import (
    Approve,
    EntryProposal,
    FailureCause,
    GateFailed,
    Label,
    Mode,
    ReasonSource,
    Resize,
    Reviewed,
    Sha256,
    Veto,
)
from llm_gate.engines.base import Answer, Engine, Question
from llm_gate.errors import (
    EngineError,
    ForeignVerdictError,
    GateError,
    HttpError,
    MalformedVerdictError,
    UnavailableError,
)
from llm_gate.prompts.facts import smallest_proposal
from llm_gate.prompts.length import longest_chat
from llm_gate.prompts.prompt_files import Prompt
from llm_gate.review.breaker import Admission, Breaker
from llm_gate.review.calibrated_verdict import read_calibration
from llm_gate.review.remembered import CaseKey, LeastRecentlyUsed, PastDecision, PendingDecision, case_digest
from llm_gate.review.sameness_alarm import WINDOW, Sameness
from llm_gate.review.size_line import AskedAs, read_size
from llm_gate.review.verdicts import probabilities_by_label, verdict_of

log = structlog.get_logger(__name__)

RETRY_SHARE = 0.6
"""Share of the deadline that must be left for a second attempt."""

_CAUSES: dict[type[Exception], FailureCause] = {
    TimeoutError: "timeout",
    UnavailableError: "unavailable",
    HttpError: "http",
    ForeignVerdictError: "foreign",
    MalformedVerdictError: "malformed",
}


class GateConfig(BaseModel):
    """How long the gate waits, what its letters mean in size and what it remembers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Field("choice", description="one letter with its probabilities, or an object with a reason")
    deadline_s: float = Field(10.0, gt=0, le=300, description="total, from the proposal to the verdict")
    shrink_factor: Decimal = Field(Decimal("0.5"), gt=0, lt=1, decimal_places=3, description="what shrink means")
    breaker_failures: int = Field(5, ge=1, description="failures in a row that open the breaker")
    breaker_cooldown_s: float = Field(30.0, gt=0, description="how long it stays open before a probe")
    alarm_window: int = Field(WINDOW, ge=2, description="verdicts of one kind in a row that raise gate_degenerate")
    remembered: int = Field(1024, ge=0, description="decisions whose verdict is given again without asking")
    cache_entries: int = Field(0, ge=0, description="cases whose answer is given again to other decisions; 0 is off")
    calibration: Path | None = Field(None, description="saved by llm-gate calibrate; none: the model's own letter")
    size: Path | None = Field(
        None,
        exclude_if=lambda value: value is None,  # so that a run without it keeps its name
        description="saved by orchestrator size-gate; none: the size does not hang on the account",
    )


class _Result(NamedTuple):
    """The outcome of one review, before it is addressed to a proposal."""

    outcome: Approve | Veto | Resize | GateFailed
    probabilities: dict[Label, float] | None = None
    reason_source: ReasonSource = "none"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached: bool = False
    calibrated: float | None = None
    sized: Sha256 | None = None


class Gate:
    """Reviews proposals with one engine and one prompt, any number at a time.

    The same decision asked again gets the reply it got before; a failure is no decision and is asked again.
    """

    def __init__(
        self, engine: Engine, prompt: Prompt, config: GateConfig, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` gives seconds that never go back.

        Raises:
            PromptError: the prompt is not written for the configured mode.
            RequestError: the calibration or the size line cannot be used, or is of another prompt, model or mode.
        """
        prompt.refuse_mode(config.mode)
        self.calibration = None if config.calibration is None else read_calibration(config.calibration)
        """What makes verdicts of probabilities; None: the letter itself counts."""
        if self.calibration is not None:
            self.calibration.refuse_other(prompt.digest, engine.model, config.mode)
        self.size = None if config.size is None else read_size(config.size)
        """What halves near the account's floor; None: the size does not hang on the account."""
        if self.size is not None:
            calibration = "" if self.calibration is None else self.calibration.digest
            asked = AskedAs(
                engine=engine.name,
                model=engine.model,
                prompt_digest=prompt.digest,
                mode=config.mode,
                calibration=calibration,
            )
            self.size.refuse_other(asked, config.shrink_factor)
        self._engine = engine
        self._prompt = prompt
        self._config = config
        self._clock = clock
        self._breaker = Breaker(config.breaker_failures, config.breaker_cooldown_s)
        self._sameness = Sameness()
        self._decided: LeastRecentlyUsed[str, PastDecision] = LeastRecentlyUsed(config.remembered)
        self._under_way: dict[str, PendingDecision] = {}
        self._cases: LeastRecentlyUsed[CaseKey, _Result] = LeastRecentlyUsed(config.cache_entries)
        self.counts: Counter[str] = Counter()
        """Replies by kind or cause; also ``retried``, ``repeated``, ``cached`` and ``gate_degenerate``."""
        self.last_fault = ""
        """What the newest question without an answer failed of, as a person reads it."""

    async def rehearse(self) -> None:
        """Judge the shortest and the longest case that this prompt can show, without a deadline and without counting.

        A server may answer a probe and yet refuse the prompt itself: its chat template may know no system turn, or its
        context may be too short.

        Raises:
            EngineError: there was no answer, or one that a review would refuse.
        """
        smallest = smallest_proposal().model_copy(update={"proposal_id": secrets.token_hex(16)})
        question = self._question(smallest)
        await self._judge(question)
        await self._judge(question._replace(prompt=longest_chat(self._prompt, len)))

    async def review(self, proposal: EntryProposal) -> Reviewed:
        """The verdict on ``proposal``, or GateFailed with its cause; never later than the deadline."""
        started_s = self._clock()
        # A runner that was restarted asks the same decision again: it must get the verdict that may already have acted.
        earlier = self._decided.get(proposal.proposal_id) or self._under_way.get(proposal.proposal_id)
        if earlier is None:
            return await self._review_unknown(proposal, started_s)
        if earlier.proposal != proposal:
            log.warning("decision_id_used_twice", proposal_id=proposal.proposal_id)
            return self._reply(proposal, _failed("conflict"), started_s)
        self.counts["repeated"] += 1
        # Shielded, as whoever asks second may be cancelled while the first still waits for the same reply.
        return earlier.reviewed if isinstance(earlier, PastDecision) else await asyncio.shield(earlier.reply)

    async def _review_unknown(self, proposal: EntryProposal, started_s: float) -> Reviewed:
        """The reply to a decision that nobody asked for yet; whoever asks meanwhile gets the same."""
        reply: asyncio.Future[Reviewed] = asyncio.get_running_loop().create_future()
        self._under_way[proposal.proposal_id] = PendingDecision(proposal, reply)
        result = _failed("unavailable")  # what others get if this one is cancelled
        try:
            result = await self._cached_or_asked(proposal)
        finally:
            del self._under_way[proposal.proposal_id]
            reviewed = self._reply(proposal, result, started_s)
            reply.set_result(reviewed)
        if not isinstance(result.outcome, GateFailed):
            self._decided.put(proposal.proposal_id, PastDecision(proposal, reviewed))
        return reviewed

    def _reply(self, proposal: EntryProposal, result: _Result, started_s: float) -> Reviewed:
        self._count(result)
        return Reviewed(
            proposal_id=proposal.proposal_id,
            latency_s=max(0.0, self._clock() - started_s),
            prompt_digest=self._prompt.digest,
            engine=self._engine.name,
            model=self._engine.model,
            mode=self._config.mode,
            calibration=None if result.calibrated is None or self.calibration is None else self.calibration.digest,
            **result._asdict(),
        )

    def _count(self, result: _Result) -> None:
        outcome = result.outcome
        self.counts[outcome.cause if isinstance(outcome, GateFailed) else outcome.kind] += 1
        self.counts["cached"] += result.cached
        self._sameness = self._sameness.after(outcome)
        if self._sameness.alarming(outcome, self._config.alarm_window):
            self.counts["gate_degenerate"] += 1
            log.warning("gate_degenerate", kind=outcome.kind, verdicts=self._sameness.verdicts)

    async def _cached_or_asked(self, proposal: EntryProposal) -> _Result:
        key = self._case_key(proposal)
        if key is not None and (result := self._cases.get(key)) is not None:
            return result._replace(prompt_tokens=None, completion_tokens=None, cached=True)
        admission = self._breaker.admission(self._clock())
        if admission == "refused":
            return _failed("breaker_open")
        result = await self._ask_within_deadline(proposal, admission)
        if key is not None and not isinstance(result.outcome, GateFailed):
            self._cases.put(key, result)
        return result

    async def _ask_within_deadline(self, proposal: EntryProposal, admission: Admission) -> _Result:
        self._breaker = self._breaker.after_admission(admission)
        try:
            async with asyncio.timeout(self._config.deadline_s):
                result = await self._judge(self._question(proposal))
        except (EngineError, TimeoutError) as error:
            self._breaker = self._breaker.after_failure(self._clock(), admission)
            cause = _CAUSES.get(type(error), "unavailable")
            self.last_fault = str(error) or f"no answer within {self._config.deadline_s:g} s"
            log.warning("gate_failed", proposal_id=proposal.proposal_id, cause=cause, error=self.last_fault)
            return _failed(cause)
        except (asyncio.CancelledError, GateError):
            # Neither says anything about the server: a cancelled probe leaves the breaker as it was.
            self._breaker = self._breaker.after_nothing(admission)
            raise
        self._breaker = self._breaker.after_success()
        return result

    def _question(self, proposal: EntryProposal) -> Question:
        return Question(proposal, self._prompt.render(proposal), self._prompt.front.letters, self._config.mode)

    async def _judge(self, question: Question) -> _Result:
        answer = await self._answered(question)
        verdict = verdict_of(answer, question, shrink_factor=self._config.shrink_factor)
        probabilities = (
            None if answer.probabilities is None else probabilities_by_label(answer.probabilities, question.letters)
        )
        source, calibrated = answer.reason_source, None
        if self.calibration is not None:
            verdict, calibrated = self.calibration.rule(_approval(probabilities))
            source = "code"
        sized = None
        if self.size is not None:
            verdict, halved = self.size.sized(verdict, question.proposal)
            source, sized = ("code", self.size.digest) if halved else (source, None)
        source = "none" if isinstance(verdict, Approve) else source
        tokens = answer.prompt_tokens, answer.completion_tokens
        return _Result(verdict, probabilities, source, *tokens, calibrated=calibrated, sized=sized)

    async def _answered(self, question: Question) -> Answer:
        """The engine's answer; a broken connection is tried once more if most of the deadline is left."""
        started_s = self._clock()
        try:
            return await self._engine.decide(question)
        except UnavailableError as error:
            if self._clock() - started_s > (1 - RETRY_SHARE) * self._config.deadline_s:
                raise
            log.info("gate_retried", proposal_id=question.proposal.proposal_id, error=str(error))
        self.counts["retried"] += 1
        return await self._engine.decide(question)

    def _case_key(self, proposal: EntryProposal) -> CaseKey | None:
        if self._config.cache_entries == 0 or not self._engine.by_case:
            return None
        config, engine = self._config, self._engine
        factor = str(config.shrink_factor)
        return CaseKey(self._prompt.digest, engine.name, engine.model, config.mode, factor, case_digest(proposal))


def _approval(probabilities: dict[Label, float] | None) -> float:
    if probabilities is None:
        raise MalformedVerdictError("the answer has no probabilities, which the calibration needs")
    return probabilities["approve"]


def _failed(cause: FailureCause) -> _Result:
    return _Result(GateFailed(cause=cause))
