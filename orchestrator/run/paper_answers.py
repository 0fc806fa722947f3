"""Who answers a run in paper mode: the market goes on while somebody is waited for, so what is missed is recorded.

A bar comes when it comes, a policy that does not answer in time holds, and a gate that does not is its fail mode.
Neither is asked twice, and nothing is asked about a bar that has been over for too long. A worker that failed is
started again beside it. One that is given up ends the run only once it is flat: a position is never left to a market
that goes on. A broker is waited for and asked again, as what it has done is not known before it says so; without it
nothing can be closed, so one that is given up ends the run at once. In sim all of that is otherwise, as simulated time
stands still (answers.py).
"""

import time
from collections import deque

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from llm_gate.contract import EntryProposal, FailureCause, GateFailed, Reviewed
from llm_gate.review.sameness_alarm import Sameness
from orchestrator.clock import MarketClock
from orchestrator.messaging.catalogue import GATE, POLICY
from orchestrator.messaging.runner_end import NoReplyError
from orchestrator.messaging.wire import Array, Received
from orchestrator.run.answers import BROKER_DEADLINE_S, note_review
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerDesk
from orchestrator.run.config import RunConfig
from orchestrator.run.followed_bars import FollowedBars
from orchestrator.run.runner import Fed, FeedBar, FeedNote, NothingYet
from orchestrator.run.stopping import Stopping
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.state import PolicyAnswered
from orchestrator.workers.crew import Crew
from orchestrator.workers.remote_broker import RemoteBroker
from rl_core.contract import HOLD, PolicyQuery, PolicyReply
from rl_core.trading.hours import MINUTE_NS
from trigate.errors import ProcessNotReadyError

LOOK_S = 0.02
"""Between two looks at a feed that had nothing."""
GATE_MARGIN_S = 0.5
NO_DIGEST = "0" * 64


class PaperAnswers:
    """Asks the crew within deadlines, and takes bars as they come."""

    def __init__(
        self,
        crew: Crew,
        bars: FollowedBars,
        clock: MarketClock,
        telemetry: Telemetry,
        config: RunConfig,
        stopping: Stopping,
    ) -> None:
        """``stopping`` is asked while a bar is waited for, and told of a worker that is given up."""
        self._crew, self._bars, self._clock, self._telemetry = crew, bars, clock, telemetry
        self._paper, self._review, self._stopping = config.paper, config.gate.review, stopping
        self._queue: deque[FeedBar | FeedNote] = deque()
        self._closed_ns = 0 if bars.last is None else bars.last.ts_event_ns + MINUTE_NS  # end of the bar in question
        self._sameness, self._silence_told = Sameness(), False
        self._taken_s: float | None = None  # when the bar in question was handed to the run
        remote = RemoteBroker(self, deadline_s=BROKER_DEADLINE_S)
        self._desk = BrokerDesk(remote, remote)

    def next_bar(self, seq: int) -> Fed:
        """What has come, in its order; NothingYet after a moment without anything."""
        self._tell_time_taken(seq - 1)
        if not self._queue:
            self._queue.extend(self._bars.read())
        if self._queue:
            return self._given(self._queue.popleft(), seq)
        if self._bars.ended:
            return None
        self._tell_of_silence()
        try:
            self._crew.tend()
        except ProcessNotReadyError as error:
            self._give_up(error)
        self._stopping.check()
        time.sleep(LOOK_S)
        return NothingYet()

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's action; to hold where it says none in time."""
        if self._too_late():
            return PolicyAnswered(HOLD, "late")
        query = PolicyQuery(bar_seq=bar_seq, legal_actions=legal)
        try:
            message = self._asked(POLICY, query, (observation,), deadline_s=self._paper.policy_deadline_s).message
        except NoReplyError as error:
            return PolicyAnswered(HOLD, error.cause)
        if isinstance(message, PolicyReply) and message.bar_seq == bar_seq:
            return PolicyAnswered(message.action, "policy")
        self._refuse(POLICY, message)
        return PolicyAnswered(HOLD, "malformed")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The gate's outcome; GateFailed where it says none in time."""
        reviewed = self._reviewed(proposal)
        self._sameness = note_review(self._telemetry, reviewed, self._sameness, self._review.alarm_window)
        return reviewed

    def ask_broker(self, asked: BrokerAsked) -> BrokerAnswer:
        """The broker's answer, waited for: nothing is entered meanwhile, and stop and target work at the broker.

        Raises:
            ExecutionGapError: it does not tell every execution.
            ProcessNotReadyError: it cannot be brought back, so that nobody knows what is open.
        """
        return self._desk.ask(asked)

    def request(self, worker: str, message: BaseModel, *, deadline_s: float) -> Received:
        """What the worker answers, whatever it is; one that fails is started again and asked again."""
        while True:
            try:
                return self._crew.ask(worker, message, deadline_s=deadline_s)
            except NoReplyError as error:
                self._telemetry.note(f"{worker}_missed", cause=error.cause)

    def _given(self, fed: FeedBar | FeedNote, seq: int) -> FeedBar | FeedNote:
        if isinstance(fed, FeedBar):
            assert fed.bar.seq == seq, "the feed counts as the run does"
            self._closed_ns, self._silence_told = fed.bar.ts_event_ns + MINUTE_NS, False
            self._taken_s = time.perf_counter()
        else:
            self._telemetry.note("feed", code=fed.code, **fed.facts)
        return fed

    def _too_late(self) -> bool:
        return self._clock.seconds_since(self._closed_ns) > self._paper.late_after_s

    def _reviewed(self, proposal: EntryProposal) -> Reviewed:
        if self._too_late():
            return _without_verdict(proposal, "timeout")
        try:
            message = self._asked(GATE, proposal, deadline_s=self._review.deadline_s + GATE_MARGIN_S).message
        except NoReplyError as error:
            return _without_verdict(proposal, "timeout" if error.cause == "timeout" else "unavailable")
        if isinstance(message, Reviewed):
            return message
        self._refuse(GATE, message)
        return _without_verdict(proposal, "malformed")

    def _asked(
        self, worker: str, question: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float
    ) -> Received:
        try:
            return self._crew.ask_within(worker, question, arrays, deadline_s=deadline_s)
        except NoReplyError as error:
            self._telemetry.note(f"{worker}_missed", cause=error.cause)
            raise
        except ProcessNotReadyError as error:
            self._give_up(error)
            raise NoReplyError(worker, "failed", str(error)) from error

    def _refuse(self, worker: str, message: BaseModel) -> None:
        self._telemetry.note(f"{worker}_missed", cause="malformed")
        try:
            self._crew.refuse_answer(worker, f"{type(message).__name__} is no answer to its question")
        except ProcessNotReadyError as error:
            self._give_up(error)

    def _give_up(self, error: ProcessNotReadyError) -> None:
        self._telemetry.note("given_up", cause=str(error))
        self._stopping.give_up(error)

    def _tell_time_taken(self, seq: int) -> None:
        """Note how long the bar before took, from its arrival until all that follows from it was on the disk."""
        if self._taken_s is not None:
            self._telemetry.note("bar_done", seq=seq, seconds=round(time.perf_counter() - self._taken_s, 6))
            self._taken_s = None

    def _tell_of_silence(self) -> None:
        """Say once that an open market has had no bar for too long."""
        silent_s = self._clock.seconds_since(self._closed_ns)
        if not self._silence_told and silent_s > self._paper.silent_after_s and self._bars.market_open():
            self._telemetry.note("feed_silent", seconds=round(silent_s))
            self._silence_told = True


def _without_verdict(proposal: EntryProposal, cause: FailureCause) -> Reviewed:
    return Reviewed(
        proposal_id=proposal.proposal_id,
        outcome=GateFailed(cause=cause),
        probabilities=None,
        latency_s=0.0,
        prompt_digest=NO_DIGEST,
        engine="none",
        model="",
        reason_source="none",
    )
