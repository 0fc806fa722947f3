"""The gate: render, ask, check, all under one deadline. Doubt never becomes an entry: it becomes GateFailed."""

import asyncio
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
from llm_gate.prompts.prompt_files import Prompt
from llm_gate.review.breaker import Admission, Breaker
from llm_gate.review.calibrated_verdict import read_calibration
from llm_gate.review.remembered import CaseKey, Decided, Newest, UnderWay, case_digest
from llm_gate.review.sameness_alarm import WINDOW, Sameness
from llm_gate.review.verdicts import check, labelled

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


class _Judged(NamedTuple):
    outcome: Approve | Veto | Resize | GateFailed
    probabilities: dict[Label, float] | None = None
    reason_source: ReasonSource = "none"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached: bool = False
    calibrated: float | None = None


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
            RequestError: the calibration cannot be used, or is of another prompt, model or mode.
        """
        prompt.refuse_mode(config.mode)
        self.calibration = None if config.calibration is None else read_calibration(config.calibration)
        """What makes verdicts of probabilities; None: the letter itself counts."""
        if self.calibration is not None:
            self.calibration.refuse_other(prompt.digest, engine.model, config.mode)
        self._engine = engine
        self._prompt = prompt
        self._config = config
        self._clock = clock
        self._breaker = Breaker(config.breaker_failures, config.breaker_cooldown_s)
        self._sameness = Sameness()
        self._decided: Newest[str, Decided] = Newest(config.remembered)
        self._under_way: dict[str, UnderWay] = {}
        self._cases: Newest[CaseKey, _Judged] = Newest(config.cache_entries)
        self.counts: Counter[str] = Counter()
        """Replies by kind or cause; also ``retried``, ``repeated``, ``cached`` and ``gate_degenerate``."""

    async def review(self, proposal: EntryProposal) -> Reviewed:
        """The verdict on ``proposal``, or GateFailed with its cause; never later than the deadline."""
        started_s = self._clock()
        known = self._decided.get(proposal.proposal_id) or self._under_way.get(proposal.proposal_id)
        if known is None:
            return await self._first(proposal, started_s)
        if known.proposal != proposal:
            log.warning("decision_id_used_twice", proposal_id=proposal.proposal_id)
            return self._replied(proposal, _failed("conflict"), started_s)
        self.counts["repeated"] += 1
        return known.reviewed if isinstance(known, Decided) else await asyncio.shield(known.reply)

    async def _first(self, proposal: EntryProposal, started_s: float) -> Reviewed:
        """The reply to a decision that nobody asked for yet; whoever asks meanwhile gets the same."""
        reply: asyncio.Future[Reviewed] = asyncio.get_running_loop().create_future()
        self._under_way[proposal.proposal_id] = UnderWay(proposal, reply)
        judged = _failed("unavailable")  # what others get if this one is cancelled
        try:
            judged = await self._guarded(proposal)
        finally:
            del self._under_way[proposal.proposal_id]
            reviewed = self._replied(proposal, judged, started_s)
            reply.set_result(reviewed)
        if not isinstance(judged.outcome, GateFailed):
            self._decided.put(proposal.proposal_id, Decided(proposal, reviewed))
        return reviewed

    def _replied(self, proposal: EntryProposal, judged: _Judged, started_s: float) -> Reviewed:
        self._count(judged)
        return Reviewed(
            proposal_id=proposal.proposal_id,
            latency_s=max(0.0, self._clock() - started_s),
            prompt_digest=self._prompt.digest,
            engine=self._engine.name,
            model=self._engine.model,
            mode=self._config.mode,
            calibration=None if judged.calibrated is None or self.calibration is None else self.calibration.digest,
            **judged._asdict(),
        )

    def _count(self, judged: _Judged) -> None:
        outcome = judged.outcome
        self.counts[outcome.cause if isinstance(outcome, GateFailed) else outcome.kind] += 1
        self.counts["cached"] += judged.cached
        self._sameness = self._sameness.after(outcome)
        if self._sameness.alarming(outcome, self._config.alarm_window):
            self.counts["gate_degenerate"] += 1
            log.warning("gate_degenerate", kind=outcome.kind, verdicts=self._sameness.verdicts)

    async def _guarded(self, proposal: EntryProposal) -> _Judged:
        key = self._case_key(proposal)
        if key is not None and (judged := self._cases.get(key)) is not None:
            return judged._replace(prompt_tokens=None, completion_tokens=None, cached=True)
        admission = self._breaker.admission(self._clock())
        if admission == "refused":
            return _failed("breaker_open")
        judged = await self._asked(proposal, admission)
        if key is not None and not isinstance(judged.outcome, GateFailed):
            self._cases.put(key, judged)
        return judged

    async def _asked(self, proposal: EntryProposal, admission: Admission) -> _Judged:
        self._breaker = self._breaker.after_admission(admission)
        try:
            async with asyncio.timeout(self._config.deadline_s):
                judged = await self._judge(proposal)
        except (EngineError, TimeoutError) as error:
            self._breaker = self._breaker.after_failure(self._clock(), admission)
            cause = _CAUSES.get(type(error), "unavailable")
            log.warning("gate_failed", proposal_id=proposal.proposal_id, cause=cause, error=str(error))
            return _failed(cause)
        except (asyncio.CancelledError, GateError):
            self._breaker = self._breaker.after_nothing(admission)
            raise
        self._breaker = self._breaker.after_success()
        return judged

    async def _judge(self, proposal: EntryProposal) -> _Judged:
        letters = self._prompt.front.letters
        question = Question(proposal, self._prompt.render(proposal), letters, self._config.mode)
        answer = await self._answered(question)
        verdict = check(answer, question, shrink_factor=self._config.shrink_factor)
        probabilities = None if answer.probabilities is None else labelled(answer.probabilities, letters)
        source, calibrated = answer.reason_source, None
        if self.calibration is not None:
            verdict, calibrated = self.calibration.rule(_approval(probabilities))
            source = "code"
        source = "none" if isinstance(verdict, Approve) else source
        tokens = answer.prompt_tokens, answer.completion_tokens
        return _Judged(verdict, probabilities, source, *tokens, calibrated=calibrated)

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


def _failed(cause: FailureCause) -> _Judged:
    return _Judged(GateFailed(cause=cause))
