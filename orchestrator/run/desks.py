"""Workers that many accounts ask: questions are gathered, sent together, and each account gets its own answer.

A desk waits for nobody: it is turned again and again, and whoever has no answer yet has to be patient while the others
go on. What failed is asked again, as in a run alone (answers.py), until supervision gives the worker up: then
everybody who asks here gets that word, and those who ask elsewhere never hear of it.
"""

import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from llm_gate.contract import MOST_PROPOSALS, EntryProposals, GateFailed, Reviewed, Reviews
from orchestrator.messaging.catalogue import (
    FEED_DEADLINE_S,
    POLICY_DEADLINE_S,
    BarBlock,
    EndOfBars,
    NextBars,
)
from orchestrator.messaging.runner_end import NoReplyError, Pending
from orchestrator.messaging.wire import MAX_FRAME, Received, Reply, WireError
from orchestrator.run.answers import GATE_ATTEMPTS, GATE_MARGIN_S, by_the_server, unpacked
from orchestrator.run.model_patience import WatchedServer
from orchestrator.run.runner import ActionAsked, Answer, BarAsked, FeedBar, ReviewAsked
from orchestrator.trader.state import PolicyAnswered
from orchestrator.workers.crew import Crew
from orchestrator.workers.feed import WITH_SECONDS
from rl_core.contract import MOST_QUERIES, PolicyQueries, PolicyQuery, PolicyReplies
from trigate.errors import ProcessNotReadyError, TrigateError

BLOCKS_KEPT = 16
"""Accounts play one bar each in turn, so that they are never far apart."""


class Asker(Protocol):
    """Who asks, and goes on with the answer."""

    def take(self, answer: Answer | Exception) -> None:
        """The answer to its question; or why there is none."""

    def noted(self, event: str, **fields: str | float | int | None) -> None:
        """Something happened to a question of it: for its own record of the wall clock."""


class AskAgain(NamedTuple):
    """The answer that one question of several got cannot stand: it is asked again."""

    event: str
    cause: str


Q = TypeVar("Q", BarAsked, ActionAsked, ReviewAsked)
Q_contra = TypeVar("Q_contra", BarAsked, ActionAsked, ReviewAsked, contravariant=True)


class Talk(Protocol[Q_contra]):
    """How one kind of question travels: several in one message, with one answer each."""

    deadline_s: float
    """For the answer to a message."""

    def most(self, first: Q_contra) -> int:
        """How many questions one message takes, the ``first`` of which is this."""

    def ready(self) -> bool:
        """Whether whoever stands behind the worker can be asked now; ProcessNotReadyError where it never will."""

    def at_hand(self, question: Q_contra) -> tuple[Answer, ...]:
        """The answer, where it is known already; empty where the worker has to be asked."""

    def goes_with(self, first: Q_contra, other: Q_contra) -> bool:
        """Whether the two can travel in one message."""

    def message(self, questions: Sequence[Q_contra]) -> Reply:
        """What the worker is asked."""

    def answers(self, questions: Sequence[Q_contra], received: Received) -> Sequence[Answer | AskAgain] | None:
        """The answer to each question; None where what came is no answer to them."""


class Desk(Generic[Q]):
    """One worker, and who waits for it."""

    def __init__(self, worker: str, crew: Crew, talk: Talk[Q]) -> None:
        """``worker`` of ``crew`` is asked as ``talk`` has it."""
        self.worker, self.crew = worker, crew
        self._talk: Talk[Q] = talk
        self._waiting: deque[tuple[Asker, Q]] = deque()
        self._under_way: list[tuple[Asker, Q]] = []
        self._pending: Pending | None = None
        self.given_up: TrigateError | None = None
        """Why nobody gets an answer here any more."""

    def put(self, asker: Asker, question: Q) -> None:
        """Ask; `turn` gives the answer."""
        self._waiting.append((asker, question))

    def at_hand(self, question: Q) -> tuple[Answer, ...]:
        """The answer, where nobody has to be asked for it."""
        return self._talk.at_hand(question)

    @property
    def asked(self) -> bool:
        """Whether an answer is on its way."""
        return self._pending is not None

    def turn(self, wait_s: float = 0.0) -> list[tuple[Asker, Answer | TrigateError]]:
        """Take what was answered, after at most ``wait_s``, and send what waits; who got what.

        The next questions leave before the answers are used, so that the worker works meanwhile.
        """
        if self.given_up is None:
            try:
                answered = self._taken(wait_s)
                self._send()
            except TrigateError as error:
                self.given_up = error
            else:
                return answered
        left = [asker for asker, _ in (*self._under_way, *self._waiting)]
        self._under_way, self._pending = [], None
        self._waiting.clear()
        return [(asker, self.given_up) for asker in left]

    def _taken(self, wait_s: float) -> list[tuple[Asker, Answer | TrigateError]]:
        if self._pending is None:
            return []
        try:
            received = self.crew.answer_to(self._pending, wait_s=wait_s)
        except NoReplyError as error:
            self._missed(error.cause)
            return []
        if received is None:
            return []
        answers = self._talk.answers([question for _, question in self._under_way], received)
        if answers is None:
            self._missed("malformed")
            self.crew.refuse_answer(self.worker, f"{type(received.message).__name__} is no answer to its question")
            return []
        return self._given(answers)

    def _given(self, answers: Sequence[Answer | AskAgain]) -> list[tuple[Asker, Answer | TrigateError]]:
        asked, self._under_way, self._pending = self._under_way, [], None
        given: list[tuple[Asker, Answer | TrigateError]] = []
        for (asker, question), answer in zip(asked, answers, strict=True):
            if isinstance(answer, AskAgain):
                asker.noted(answer.event, cause=answer.cause)
                self._waiting.append((asker, question))
            else:
                given.append((asker, answer))
        return given

    def _missed(self, cause: str) -> None:
        """Every question that was under way is asked again, before all others."""
        for asker, _ in self._under_way:
            asker.noted(f"{self.worker}_missed", cause=cause)
        self._waiting.extendleft(reversed(self._under_way))
        self._under_way, self._pending = [], None

    def _send(self) -> None:
        if self._pending is not None or not self._waiting:
            return
        if not self.crew.can_answer(self.worker) or not self._talk.ready():
            return
        self._under_way = self._next_batch()
        message, arrays = self._talk.message([question for _, question in self._under_way])
        try:
            self._pending = self.crew.begin_asking(self.worker, message, arrays, deadline_s=self._talk.deadline_s)
        except NoReplyError as error:
            self._missed(error.cause)

    def _next_batch(self) -> list[tuple[Asker, Q]]:
        """The question that has waited longest, and as many of the others as travel with it."""
        first = self._waiting[0][1]
        most = self._talk.most(first)
        batch: list[tuple[Asker, Q]] = []
        left: deque[tuple[Asker, Q]] = deque()
        for asker, question in self._waiting:
            goes = len(batch) < most and self._talk.goes_with(first, question)
            (batch if goes else left).append((asker, question))
        self._waiting = left
        return batch


class FeedTalk:
    """Bars by their number in the file that was handed over; a block that one account asked for is there for all."""

    deadline_s = FEED_DEADLINE_S

    def __init__(self) -> None:
        """No block has come yet."""
        self._blocks: OrderedDict[int, list[FeedBar]] = OrderedDict()

    def most(self, first: BarAsked) -> int:
        """All that wait for the same block: it is sent once."""
        return sys.maxsize

    def ready(self) -> bool:
        """Always: nobody stands behind the feed."""
        return True

    def at_hand(self, question: BarAsked) -> tuple[Answer, ...]:
        """The bar, where its block has come."""
        number, place = divmod(question.seq, WITH_SECONDS)
        block = self._blocks.get(number)
        if block is None:
            return ()
        return (block[place] if place < len(block) else None,)

    def goes_with(self, first: BarAsked, other: BarAsked) -> bool:
        """Whether both bars are of one block."""
        return first.seq // WITH_SECONDS == other.seq // WITH_SECONDS

    def message(self, questions: Sequence[BarAsked]) -> Reply:
        """The block in which they all lie."""
        first = questions[0].seq // WITH_SECONDS * WITH_SECONDS
        return Reply(NextBars(seq=first, most=WITH_SECONDS))

    def answers(self, questions: Sequence[BarAsked], received: Received) -> Sequence[Answer] | None:
        """Each its bar, None behind the last one."""
        number = questions[0].seq // WITH_SECONDS
        message = received.message
        if not isinstance(message, BarBlock | EndOfBars) or message.seq != number * WITH_SECONDS:
            return None
        try:
            self._blocks[number] = [] if isinstance(message, EndOfBars) else unpacked(received)
        except WireError:
            return None
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return [self.at_hand(question)[0] for question in questions]


class PolicyTalk:
    """Observations of several accounts in one frame; each is decided on alone, so that its action has the same bits."""

    deadline_s = POLICY_DEADLINE_S

    def most(self, first: ActionAsked) -> int:
        """As many as fit into one frame."""
        return min(MOST_QUERIES, MAX_FRAME // first.observation.nbytes)

    def ready(self) -> bool:
        """Always: nobody stands behind the policy."""
        return True

    def at_hand(self, question: ActionAsked) -> tuple[Answer, ...]:
        """Never: every bar is another question."""
        return ()

    def goes_with(self, first: ActionAsked, other: ActionAsked) -> bool:
        """Always: one checkpoint observes one number of things."""
        return first.observation.shape == other.observation.shape

    def message(self, questions: Sequence[ActionAsked]) -> Reply:
        """All of them."""
        queries = tuple(PolicyQuery(bar_seq=asked.bar_seq, legal_actions=asked.legal) for asked in questions)
        return Reply(PolicyQueries(queries=queries), (np.stack([asked.observation for asked in questions]),))

    def answers(self, questions: Sequence[ActionAsked], received: Received) -> Sequence[Answer] | None:
        """Each its action."""
        message = received.message
        if not isinstance(message, PolicyReplies):
            return None
        if [reply.bar_seq for reply in message.replies] != [asked.bar_seq for asked in questions]:
            return None
        return [PolicyAnswered(reply.action, "policy") for reply in message.replies]


class GateTalk:
    """Proposals of several accounts, judged at the same time; a failure of the model server's is asked again."""

    def __init__(self, deadline_s: float) -> None:
        """``deadline_s`` is the gate's own for one proposal."""
        self.deadline_s = deadline_s + GATE_MARGIN_S
        self.server: WatchedServer | None = None
        """The model server behind the gate, watched; None where there is none of ours."""
        self._failed: dict[str, int] = {}  # proposals that are asked again, and how often the server failed them

    def ready(self) -> bool:
        """Whether the model server, if there is one, can be asked.

        Raises:
            ProcessNotReadyError: it was given up.
        """
        state = "healthy" if self.server is None else self.server.state
        if state == "failed":
            raise ProcessNotReadyError("the model server was given up; the same command continues the run")
        return state == "healthy"

    def most(self, first: ReviewAsked) -> int:
        """Few: a server judges them at the same time, each under its own deadline."""
        return MOST_PROPOSALS

    def at_hand(self, question: ReviewAsked) -> tuple[Answer, ...]:
        """Never: the gate itself remembers what it decided."""
        return ()

    def goes_with(self, first: ReviewAsked, other: ReviewAsked) -> bool:
        """Always."""
        return True

    def message(self, questions: Sequence[ReviewAsked]) -> Reply:
        """All of them."""
        return Reply(EntryProposals(proposals=tuple(asked.proposal for asked in questions)))

    def answers(self, questions: Sequence[ReviewAsked], received: Received) -> Sequence[Answer | AskAgain] | None:
        """Each its review; again where the server failed, as often as a run alone would ask."""
        message = received.message
        if not isinstance(message, Reviews) or len(message.reviews) != len(questions):
            return None
        return [self._stands(reviewed) for reviewed in message.reviews]

    def _stands(self, reviewed: Reviewed) -> Answer | AskAgain:
        proposal = reviewed.proposal_id
        failures = self._failed.pop(proposal, 0) + 1
        if self.server is None or not by_the_server(reviewed) or failures == GATE_ATTEMPTS:
            return reviewed
        assert isinstance(reviewed.outcome, GateFailed)
        self._failed[proposal] = failures
        self.server.suspect()
        return AskAgain("gate_asked_again", reviewed.outcome.cause)


AnyDesk = Desk[BarAsked] | Desk[ActionAsked] | Desk[ReviewAsked]
