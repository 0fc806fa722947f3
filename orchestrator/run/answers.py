"""The workers as the runner sees them: bars, actions, verdicts and fills, each asked for until there is one.

In sim time stands still while somebody is waited for. A worker or a model server that fails must therefore change
nothing: it is started again and asked again, and only when supervision has given it up does the run stop.
DECISIONS 19 says why.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from llm_gate.contract import EntryProposal, FailureCause, GateFailed, Reviewed, first_fault
from llm_gate.review.sameness_alarm import WINDOW, Sameness
from orchestrator.messaging.catalogue import (
    BARS_AHEAD,
    FEED,
    FEED_DEADLINE_S,
    GATE,
    POLICY,
    POLICY_DEADLINE_S,
    Bar,
    BarBlock,
    EndOfBars,
    NextBars,
    Second,
)
from orchestrator.messaging.runner_end import NoReplyError
from orchestrator.messaging.wire import Array, Received, WireError
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerDesk
from orchestrator.run.model_patience import ModelPatience
from orchestrator.run.runner import FeedBar
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.state import PolicyAnswered
from orchestrator.workers.crew import Crew
from orchestrator.workers.remote_broker import RemoteBroker
from rl_core.contract import PolicyQuery, PolicyReply

BROKER_DEADLINE_S = 5.0
GATE_MARGIN_S = 2.0
GATE_ATTEMPTS = 3
"""Verdicts asked for of a server that proves itself in between; the last failure stands."""
SERVER_CAUSES: frozenset[FailureCause] = frozenset(("timeout", "unavailable", "http", "breaker_open"))
"""Failures behind which the model server may stand; what it said and was refused for is its answer."""


class WorkerAnswers:
    """Asks the crew."""

    def __init__(self, crew: Crew, telemetry: Telemetry, *, gate_deadline_s: float, alarm_window: int = WINDOW) -> None:
        """``gate_deadline_s`` is the gate's own total deadline for one proposal, ``alarm_window`` as for the gate."""
        self._crew, self._telemetry = crew, telemetry
        self._gate_deadline_s = gate_deadline_s
        self._sameness, self._alarm_window = Sameness(), alarm_window
        self._ahead: deque[FeedBar] = deque()
        remote = RemoteBroker(self, deadline_s=BROKER_DEADLINE_S)
        self._desk = BrokerDesk(remote, remote)
        self.model: ModelPatience | None = None
        """Waits for the model server behind the gate; None where there is none of ours."""

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar numbered ``seq``, None at the end; the feed is asked for many at once.

        Raises:
            ProcessNotReadyError: the feed cannot be brought back.
        """
        if not self._ahead or self._ahead[0].bar.seq != seq:
            self._ahead = deque(self._block_from(seq))
        return self._ahead.popleft() if self._ahead else None

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's action.

        Raises:
            ProcessNotReadyError: the policy cannot be brought back.
        """

        def usable(message: BaseModel) -> bool:
            return isinstance(message, PolicyReply) and message.bar_seq == bar_seq

        query = PolicyQuery(bar_seq=bar_seq, legal_actions=legal)
        received = self._asked(POLICY, query, (observation,), deadline_s=POLICY_DEADLINE_S, usable=usable)
        assert isinstance(received.message, PolicyReply)
        return PolicyAnswered(received.message.action, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The gate's outcome; GateFailed where the model answered and its answer cannot be used.

        Raises:
            ProcessNotReadyError: the gate, or the model server behind it, cannot be brought back.
        """
        for attempt in range(1, GATE_ATTEMPTS + 1):
            if self.model is not None:
                self.model.until_healthy()
            reviewed = self._reviewed(proposal)
            if self.model is None or not by_the_server(reviewed) or attempt == GATE_ATTEMPTS:
                break
            assert isinstance(reviewed.outcome, GateFailed)
            self._telemetry.note("gate_asked_again", proposal=proposal.proposal_id, cause=reviewed.outcome.cause)
            self.model.until_proven()
        self._sameness = note_review(self._telemetry, reviewed, self._sameness, self._alarm_window)
        return reviewed

    def ask_broker(self, asked: BrokerAsked) -> BrokerAnswer:
        """The broker's answer.

        Raises:
            ExecutionGapError: it does not tell every execution.
            ProcessNotReadyError: it cannot be brought back.
        """
        return self._desk.ask(asked)

    def request(self, worker: str, message: BaseModel, *, deadline_s: float) -> Received:
        """What the worker answers, whatever it is; one that fails is started again and asked again."""
        return self._asked(worker, message, deadline_s=deadline_s, usable=lambda answer: True)

    def _reviewed(self, proposal: EntryProposal) -> Reviewed:
        def usable(message: BaseModel) -> bool:
            return isinstance(message, Reviewed)

        received = self._asked(GATE, proposal, deadline_s=self._gate_deadline_s + GATE_MARGIN_S, usable=usable)
        assert isinstance(received.message, Reviewed)
        return received.message

    def _block_from(self, seq: int) -> list[FeedBar]:
        question = NextBars(seq=seq, most=BARS_AHEAD)
        while True:
            received = self._asked(FEED, question, deadline_s=FEED_DEADLINE_S, usable=_is_block(seq))
            try:
                return [] if isinstance(received.message, EndOfBars) else unpacked(received)
            except WireError as error:
                self._telemetry.note(f"{FEED}_missed", cause="malformed")
                self._crew.refuse_answer(FEED, str(error))

    def _asked(
        self,
        worker: str,
        question: BaseModel,
        arrays: tuple[Array, ...] = (),
        *,
        deadline_s: float,
        usable: Callable[[BaseModel], bool],
    ) -> Received:
        """The first usable answer; supervision bounds how often a worker fails before the run stops."""
        while True:
            try:
                received = self._crew.ask(worker, question, arrays, deadline_s=deadline_s)
            except NoReplyError as error:
                self._telemetry.note(f"{worker}_missed", cause=error.cause)
                continue
            if usable(received.message):
                return received
            self._telemetry.note(f"{worker}_missed", cause="malformed")
            self._crew.refuse_answer(worker, f"{type(received.message).__name__} is no answer to its question")


def note_review(telemetry: Telemetry, reviewed: Reviewed, sameness: Sameness, alarm_window: int) -> Sameness:
    """Note how a proposal was answered, and an alarm where the gate says the same to everything; what is counted on."""
    outcome, proposal = reviewed.outcome, reviewed.proposal_id
    how = outcome.cause if isinstance(outcome, GateFailed) else outcome.kind
    cost = {"latency_s": reviewed.latency_s, "prompt_tokens": reviewed.prompt_tokens, "cached": reviewed.cached}
    telemetry.note("reviewed", proposal=proposal, how=how, mode=reviewed.mode, **cost)
    sameness = sameness.after(outcome)
    if sameness.alarming(outcome, alarm_window):
        telemetry.note("gate_degenerate", proposal=proposal, how=how, verdicts=sameness.verdicts)
    return sameness


def unpacked(received: Received) -> list[FeedBar]:
    """The bars of a block, each with its seconds and their digest.

    Raises:
        WireError: its arrays are not what a block has.
    """
    assert isinstance(received.message, BarBlock)
    _check_block(received.message, received.arrays)
    long, prices, *rest = received.arrays
    names = ("ts_event_ns", "volume", "contract", "open", "high", "low", "close")
    columns = zip(*long.tolist(), *prices.tolist(), strict=True)
    numbered = enumerate(columns, received.message.seq)
    try:
        bars = [Bar.model_validate(dict(zip(names, row, strict=True)) | {"seq": seq}) for seq, row in numbered]
    except ValidationError as error:
        raise WireError(f"bar_block: a bar's {first_fault(error)}") from None
    if not rest:
        return [FeedBar(bar, "") for bar in bars]
    counts, rows = rest
    frames = np.split(rows, np.cumsum(counts)[:-1])
    return [
        FeedBar(bar, hashlib.sha256(frame.tobytes()).hexdigest(), tuple(Second(*row) for row in frame.tolist()))
        for bar, frame in zip(bars, frames, strict=True)
    ]


def _check_block(block: BarBlock, arrays: Sequence[Array]) -> None:
    """Raise WireError unless the arrays are a block's: their number, their types, and shapes that fit one another."""
    found, count = [(array.dtype.str, array.shape) for array in arrays], block.count
    rows = arrays[3].shape[:1] if len(arrays) == 4 else ()
    minutes = [("<i8", (3, count)), ("<i4", (4, count))]
    seconds = [("<i4", (count,)), ("<i4", (*rows, 5))]
    if found != minutes and found != [*minutes, *seconds]:
        raise WireError(f"bar_block: {count} bars do not come as {found}")
    if rows and (arrays[2].min() < 0 or int(arrays[2].sum()) != rows[0]):
        raise WireError(f"bar_block: {rows[0]} rows of seconds are not what its minutes add up to")


def _is_block(seq: int) -> Callable[[BaseModel], bool]:
    return lambda message: isinstance(message, BarBlock | EndOfBars) and message.seq == seq


def by_the_server(reviewed: Reviewed) -> bool:
    """Whether a review failed for the model server's sake, which may answer when it is asked again."""
    return isinstance(reviewed.outcome, GateFailed) and reviewed.outcome.cause in SERVER_CAUSES
