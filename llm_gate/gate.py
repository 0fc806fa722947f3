"""The gate: render, ask, check, all under one deadline. Doubt never becomes an entry: it becomes GateFailed."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

import structlog
from pydantic import BaseModel, ConfigDict, Field

from llm_gate.breaker import Breaker
from llm_gate.contract import (
    Approve,
    EntryProposal,
    FailureCause,
    GateFailed,
    Label,
    ReasonSource,
    Resize,
    Reviewed,
    Veto,
)
from llm_gate.engines.base import Engine, Question
from llm_gate.errors import (
    EngineError,
    ForeignVerdictError,
    HttpError,
    MalformedVerdictError,
    UnavailableError,
)
from llm_gate.prompts import Prompt
from llm_gate.verdicts import check, labelled

log = structlog.get_logger(__name__)

_CAUSES: dict[type[Exception], FailureCause] = {
    TimeoutError: "timeout",
    UnavailableError: "unavailable",
    HttpError: "http",
    ForeignVerdictError: "foreign",
    MalformedVerdictError: "malformed",
}


class GateConfig(BaseModel):
    """How long the gate waits and what its letters mean in size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deadline_s: float = Field(10.0, gt=0, le=300, description="total, from the proposal to the verdict")
    shrink_factor: Decimal = Field(Decimal("0.5"), gt=0, lt=1, decimal_places=3, description="what shrink means")
    breaker_failures: int = Field(5, ge=1, description="failures in a row that open the breaker")
    breaker_cooldown_s: float = Field(30.0, gt=0, description="how long it stays open before a probe")


class _Judged(NamedTuple):
    outcome: Approve | Veto | Resize | GateFailed
    probabilities: dict[Label, float] | None
    reason_source: ReasonSource


class Gate:
    """Reviews proposals with one engine and one prompt; remembers nothing but its breaker."""

    def __init__(
        self, engine: Engine, prompt: Prompt, config: GateConfig, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` gives seconds that never go back."""
        self._engine = engine
        self._prompt = prompt
        self._config = config
        self._clock = clock
        self._breaker = Breaker(config.breaker_failures, config.breaker_cooldown_s)

    async def review(self, proposal: EntryProposal) -> Reviewed:
        """The verdict on ``proposal``, or GateFailed with its cause; never later than the deadline."""
        started_s = self._clock()
        judged = await self._guarded(proposal)
        return Reviewed(
            proposal_id=proposal.proposal_id,
            outcome=judged.outcome,
            probabilities=judged.probabilities,
            latency_s=max(0.0, self._clock() - started_s),
            prompt_digest=self._prompt.digest,
            engine=self._engine.name,
            model=self._engine.model,
            reason_source=judged.reason_source,
        )

    async def _guarded(self, proposal: EntryProposal) -> _Judged:
        if not self._breaker.allows(self._clock()):
            return _failed("breaker_open")
        try:
            async with asyncio.timeout(self._config.deadline_s):
                judged = await self._judge(proposal)
        except (EngineError, TimeoutError) as error:
            self._breaker = self._breaker.after_failure(self._clock())
            cause = _CAUSES.get(type(error), "unavailable")
            log.warning("gate_failed", proposal_id=proposal.proposal_id, cause=cause, error=str(error))
            return _failed(cause)
        self._breaker = self._breaker.after_success()
        return judged

    async def _judge(self, proposal: EntryProposal) -> _Judged:
        letters = self._prompt.front.letters
        question = Question(proposal, self._prompt.render(proposal), letters)
        answer = await self._engine.decide(question)
        verdict = check(answer, question, shrink_factor=self._config.shrink_factor)
        probabilities = None if answer.probabilities is None else labelled(answer.probabilities, letters)
        return _Judged(verdict, probabilities, "none" if isinstance(verdict, Approve) else answer.reason_source)


def _failed(cause: FailureCause) -> _Judged:
    return _Judged(GateFailed(cause=cause), None, "none")
