"""The workers as the runner sees them: bars, actions and verdicts, each with its deadline and its way to fail."""

import hashlib

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, FailureCause, GateFailed, Reviewed
from llm_gate.review.sameness_alarm import WINDOW, Sameness
from orchestrator.messaging.catalogue import (
    FEED,
    FEED_DEADLINE_S,
    GATE,
    POLICY,
    POLICY_DEADLINE_S,
    Bar,
    NextBar,
    NextHistory,
    Second,
)
from orchestrator.messaging.runner_end import NoReplyError
from orchestrator.messaging.wire import Received
from orchestrator.run.runner import FeedBar
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.state import PolicyAnswered
from orchestrator.workers.crew import Crew
from rl_core.contract import HOLD, PolicyQuery, PolicyReply
from trigate.errors import ProcessNotReadyError

GATE_MARGIN_S = 2.0
FEED_ATTEMPTS = 3
NO_PROMPT = "0" * 64


class WorkerAnswers:
    """Asks the crew."""

    def __init__(self, crew: Crew, telemetry: Telemetry, *, gate_deadline_s: float, alarm_window: int = WINDOW) -> None:
        """``gate_deadline_s`` is the gate's own total deadline for one proposal, ``alarm_window`` as for the gate."""
        self._crew, self._telemetry = crew, telemetry
        self._gate_deadline_s = gate_deadline_s
        self._sameness, self._alarm_window = Sameness(), alarm_window

    def history(self) -> list[Bar]:
        """The bars before the first traded one.

        Raises:
            NotReadyError: the feed does not answer.
        """
        bars: list[Bar] = []
        while True:
            long, prices = self._feed(NextHistory(offset=len(bars))).arrays
            if long.shape[1] == 0:
                return bars
            for (ts, volume, contract), (first, high, low, close) in zip(
                long.T.tolist(), prices.T.tolist(), strict=True
            ):
                prices_of = {"open": first, "high": high, "low": low, "close": close}
                bars.append(Bar(seq=0, ts_event_ns=ts, volume=volume, contract=contract, **prices_of))

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar numbered ``seq``, None at the end.

        Raises:
            NotReadyError: the feed does not answer, even when started again.
        """
        received = self._feed(NextBar(seq=seq))
        if not isinstance(received.message, Bar):
            return None
        if not received.arrays:
            return FeedBar(received.message, "")
        frame = received.arrays[0]
        seconds = tuple(Second(*row) for row in frame.tolist())
        return FeedBar(received.message, hashlib.sha256(frame.tobytes()).hexdigest(), seconds)

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's action; HOLD, with its cause, where there is none."""
        query = PolicyQuery(bar_seq=bar_seq, legal_actions=legal)
        try:
            received = self._crew.ask(POLICY, query, (observation,), deadline_s=POLICY_DEADLINE_S)
        except NoReplyError as error:
            self._telemetry.note("policy_missed", bar=bar_seq, cause=error.cause)
            return PolicyAnswered(HOLD, error.cause)
        reply = received.message
        if not isinstance(reply, PolicyReply) or reply.bar_seq != bar_seq:
            return PolicyAnswered(HOLD, "malformed")
        return PolicyAnswered(reply.action, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The gate's outcome; GateFailed, with its cause, where there is none."""
        try:
            received = self._crew.ask(GATE, proposal, deadline_s=self._gate_deadline_s + GATE_MARGIN_S)
        except NoReplyError as error:
            self._telemetry.note("gate_missed", proposal=proposal.proposal_id, cause=error.cause)
            return _no_verdict(proposal, "timeout" if error.cause == "timeout" else "unavailable")
        reviewed = received.message
        if not isinstance(reviewed, Reviewed):
            return _no_verdict(proposal, "malformed")
        self._note(reviewed)
        return reviewed

    def _note(self, reviewed: Reviewed) -> None:
        outcome, proposal = reviewed.outcome, reviewed.proposal_id
        how = outcome.cause if isinstance(outcome, GateFailed) else outcome.kind
        cost = {"latency_s": reviewed.latency_s, "prompt_tokens": reviewed.prompt_tokens, "cached": reviewed.cached}
        self._telemetry.note("reviewed", proposal=proposal, how=how, mode=reviewed.mode, **cost)
        self._sameness = self._sameness.after(outcome)
        if self._sameness.alarming(outcome, self._alarm_window):
            self._telemetry.note("gate_degenerate", proposal=proposal, how=how, verdicts=self._sameness.verdicts)

    def _feed(self, question: NextBar | NextHistory) -> Received:
        for _ in range(FEED_ATTEMPTS):
            try:
                return self._crew.ask(FEED, question, deadline_s=FEED_DEADLINE_S)
            except NoReplyError as error:
                self._telemetry.note("feed_missed", cause=error.cause)
        raise ProcessNotReadyError(f"feed: no bars after {FEED_ATTEMPTS} attempts; the run can be continued")


def _no_verdict(proposal: EntryProposal, cause: FailureCause) -> Reviewed:
    return Reviewed(
        proposal_id=proposal.proposal_id,
        outcome=GateFailed(cause=cause),
        probabilities=None,
        latency_s=0.0,
        prompt_digest=NO_PROMPT,
        engine="none",
        model="none",
        reason_source="none",
    )
