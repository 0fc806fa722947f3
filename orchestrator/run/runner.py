"""The one loop: bars in, questions out, every event journalled before it is used.

A restart is the normal start: while the journal still holds recorded inputs they are taken from there instead of
being asked for, and everything that follows from them is derived again and compared (DECISIONS 3).
"""

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, GateFailed, Reviewed
from orchestrator.journal.journal import JournalMismatch, refuse_other_run
from orchestrator.journal.lines import Record
from orchestrator.messaging.catalogue import Bar, Seconds
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerQuestions
from orchestrator.trader import events
from orchestrator.trader.events import Recorded
from orchestrator.trader.machine import advance, opening_state
from orchestrator.trader.seen_at_close import CloseView, CloseViews
from orchestrator.trader.state import (
    AskGate,
    AskPolicy,
    BarClosed,
    BarsEnded,
    Event,
    FlatTimePassed,
    GateAnswered,
    OperatorAsked,
    PolicyAnswered,
    PolicySource,
    Question,
    Setting,
    Standing,
    Step,
    TraderState,
)
from rl_core.contract import HOLD
from rl_core.market.types import SECONDS
from rl_core.regimes.fitted import WILD_FROM
from rl_core.trading.hours import MINUTE_NS


class FeedBar(NamedTuple):
    """A bar as the feed gave it."""

    bar: Bar
    seconds_digest: str
    seconds: Seconds = ()


class FeedNote(NamedTuple):
    """Something else that came from the feed: recorded, and nothing that was acted on changes by it."""

    code: str  # how it differs from a new bar in its turn, as `orchestrator.run.followed_bars` tells it
    facts: Mapping[str, int | str]


class NothingYet(NamedTuple):
    """No bar has come, and more are to come: the runner looks after everything else and asks again."""


Fed = FeedBar | FeedNote | NothingYet | None
"""What the feed gave; None: there are no more bars."""


class BarAsked(NamedTuple):
    """Which bar has the number ``seq``?"""

    seq: int


class ActionAsked(NamedTuple):
    """What does the policy do at the close of a bar?"""

    bar_seq: int
    observation: npt.NDArray[np.float32]
    legal: tuple[bool, ...]


class ReviewAsked(NamedTuple):
    """What does the gate say of an entry?"""

    proposal: EntryProposal


Asked = BarAsked | ActionAsked | ReviewAsked | BrokerAsked
Answer = Fed | PolicyAnswered | Reviewed | BrokerAnswer
"""`Fed` of a bar, PolicyAnswered of an action, Reviewed of a review; a broker's are beside its questions."""


class StopAskedError(Exception):
    """The user wants the run to stop while an answer is waited for; the same command continues it."""


class Answerers(Protocol):
    """Who answers the runner's questions; every call may wait, and may raise StopAskedError while it does."""

    def next_bar(self, seq: int) -> Fed:
        """The bar numbered ``seq``, or what else there is before it; None at the end."""

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's action."""

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The gate's outcome, GateFailed if there is none."""


@runtime_checkable
class AsksBroker(Protocol):
    """Who also answers a run that sends its orders."""

    def ask_broker(self, asked: BrokerAsked) -> BrokerAnswer:
        """The broker's answer."""


class RunRecord(Protocol):
    """Where the runner writes every event: the run's journal, or a recording that is only compared."""

    path: Path

    def next_recorded(self) -> Record | None:
        """The record that the next append has to match, None where the recording ends."""

    def append(self, type: str, payload: Mapping[str, Any], *, sync: bool = False) -> Record | None:
        """Write one record, or check it against the recorded one, which raises JournalMismatch where they differ."""


class Finished(NamedTuple):
    """Where the loop ended."""

    state: TraderState
    bars: int
    complete: bool  # False: it was asked to stop


Playing = Generator[Asked, Answer, Finished]
"""A run that goes on with each answer that it is sent, up to its next question; StopAskedError thrown in ends it."""


def answered_by(answerers: Answerers, asked: Asked) -> Answer:
    """The answer to one question, waited for."""
    if isinstance(asked, BarAsked):
        return answerers.next_bar(asked.seq)
    if isinstance(asked, ActionAsked):
        return answerers.act(asked.bar_seq, asked.observation, asked.legal)
    if isinstance(asked, ReviewAsked):
        return answerers.review(asked.proposal)
    assert isinstance(answerers, AsksBroker), "who runs a run that sends its orders asks its broker"
    return answerers.ask_broker(asked)


class Runner:
    """One run over one journal."""

    def __init__(
        self,
        journal: RunRecord,
        answerers: Answerers | None,
        views: CloseViews,
        setting: Setting,
        operator: Callable[[], Standing | None] = lambda: None,
        passed: Callable[[int], bool] = lambda ts_ns: False,
    ) -> None:
        """Nothing is played yet.

        Args:
            journal: the record of the run, its recorded part first.
            answerers: who is asked where the record ends; None for a run that is only `playing`.
            views: has been shown the history already.
            setting: what the trader is told.
            operator: says how a person wants the run to stand now.
            passed: whether a time (ns UTC) is over by the market's clock; never where bars are its clock.
        """
        self._journal = journal
        self._answerers = answerers
        self._views = views
        self._setting = setting
        self._operator, self._passed = operator, passed
        self.told: Callable[[Recorded], None] | None = None
        """Gets every record that is new, once it is written; none that is replayed."""
        self._idle = False  # the feed had nothing when it was last asked
        self._broker = BrokerQuestions(journal.next_recorded, self._recorded, self._note)
        self.state = opening_state(setting)
        """After the last bar."""
        self._labels: Counter[str] = Counter()  # bars by regime
        self._wild: int | None = None  # bars in the wildest hidden state; None: not known

    @property
    def holds(self) -> bool:
        """Whether a position is open, or an order works, after the last bar."""
        held = self.state.broker
        return bool(held.position.quantity or held.order.quantity)

    def run(
        self, *, stop_asked: Callable[[], bool] = lambda: False, on_bar: Callable[[int], None] = lambda seq: None
    ) -> Finished:
        """Play every bar; ``stop_asked`` is looked at between two bars, ``on_bar`` is called after each."""
        assert self._answerers is not None, "who runs a run says who answers"
        playing = self.playing(stop_asked=stop_asked, on_bar=on_bar)
        try:
            asked = next(playing)
            while True:
                try:
                    answer = answered_by(self._answerers, asked)
                except StopAskedError as error:
                    asked = playing.throw(error)
                else:
                    asked = playing.send(answer)
        except StopIteration as ended:
            finished: Finished = ended.value
            return finished

    def playing(
        self, *, stop_asked: Callable[[], bool] = lambda: False, on_bar: Callable[[int], None] = lambda seq: None
    ) -> Playing:
        """The same, one question at a time: whoever drives it sends the answer, and several runs can be driven at once.

        What the record holds is taken from there, and is no question.
        """
        self._name_run()
        state, seq = self.state, 0
        try:
            while not stop_asked():
                state = yield from self._heed(state, seq - 1)
                feed_bar = yield from self._next_bar(seq)
                if feed_bar is None:
                    return (yield from self._end(state, seq))
                if not isinstance(feed_bar, FeedBar):
                    continue
                view = self._views.push(feed_bar.bar)
                self._count(view)
                self.state = state = yield from self._turn(state, BarClosed(feed_bar.bar, view, feed_bar.seconds))
                seq += 1
                on_bar(seq)
        except StopAskedError:
            pass  # as between two bars: what is recorded of this one is replayed, and the question asked again
        return Finished(state, seq, complete=False)

    def _end(self, state: TraderState, seq: int) -> Playing:
        state = yield from self._turn(state, BarsEnded())
        counts = {"bars": seq, "trades": state.trades, "attempt": state.attempt}
        self._note(Recorded("end", {**counts, "labels": dict(self._labels), "wild": self._wild}))
        return Finished(state, seq, complete=True)

    def _name_run(self) -> None:
        """Say in the first record whose record this is; journals of before begin with their first bar."""
        first = self._journal.next_recorded()
        if first is None or first.type == "run":
            refuse_other_run(self._journal.path, first, self._setting.run_id)
            self._note(events.run_named(self._setting.run_id))

    def _count(self, view: CloseView) -> None:
        self._labels[view.regime.label] += 1
        if view.wild_percent is not None:
            self._wild = (self._wild or 0) + (view.wild_percent >= WILD_FROM)

    def _heed(self, state: TraderState, last_bar: int) -> Generator[Asked, Answer, TraderState]:
        """Take what came since ``last_bar``, -1 before the first, by the record or from now on."""
        while (event := self._between_bars(state)) is not None:
            if isinstance(event, OperatorAsked):
                self._note(events.operator_asked(event.standing, last_bar))
            else:
                self._note(events.flat_time_passed(last_bar))
            self.state = state = yield from self._turn(state, event)
        return state

    def _between_bars(self, state: TraderState) -> OperatorAsked | FlatTimePassed | None:
        """A person wants the run to stand otherwise, or the flat time is over and no bar came."""
        recorded = self._journal.next_recorded()
        if recorded is None:
            wanted, late = self._operator(), self._flat_time_passed(state)
        else:
            wanted = recorded.payload["standing"] if recorded.type == "operator" else None
            late = recorded.type == "flat_time"
        if wanted is not None and wanted != state.standing:
            return OperatorAsked(wanted)
        return FlatTimePassed() if late else None

    def _flat_time_passed(self, state: TraderState) -> bool:
        """Whether something is open, its flat time is over, and the feed has nothing that could close it."""
        if not self._idle or state.last_bar is None or state.view is None or state.over:
            return False
        held = state.broker
        flat_ns = state.last_bar.ts_event_ns + (1 + state.view.minutes_to_flat) * MINUTE_NS
        return bool(held.position.quantity or held.order.quantity) and self._passed(flat_ns)

    def _turn(self, state: TraderState, event: Event) -> Generator[Asked, Answer, TraderState]:
        """Apply an event and everything that follows from it, up to the next bar."""
        step = self._apply(state, event)
        while step.question is not None:
            answered = yield from self._ask(step.question, step.state)
            step = self._apply(step.state, answered)
        return step.state

    def _apply(self, state: TraderState, event: Event) -> Step:
        step = advance(state, event, self._setting)
        last = events.last_durable(step.records, verdict=isinstance(event, GateAnswered))
        for place, record in enumerate(step.records):
            self._note(record, sync=place == last)
        return step

    def _note(self, record: Recorded, *, sync: bool | None = None) -> None:
        """Write the record, or compare it with the recorded one: the journal knows which of the two is due."""
        told = self.told if self._journal.next_recorded() is None else None
        self._journal.append(record.type, record.payload, sync=record.sync if sync is None else sync)
        if told is not None:
            told(record)

    def _recorded(self, *types: str) -> Record | None:
        """The recorded input that comes next, None where the recording ends."""
        recorded = self._journal.next_recorded()
        if recorded is not None and recorded.type not in types:
            raise JournalMismatch(f"record {recorded.number} is {recorded.type!r} where {' or '.join(types)} belongs")
        return recorded

    def _next_bar(self, seq: int) -> Generator[Asked, Answer, Fed]:
        recorded = self._recorded("bar", "bars_ended", "feed")
        fed = (yield from self._asked(BarAsked(seq), self.state)) if recorded is None else _fed(recorded)
        assert fed is None or isinstance(fed, FeedBar | FeedNote | NothingYet), "an answer to another question"
        self._idle = isinstance(fed, NothingYet)
        if isinstance(fed, FeedBar):
            self._note(self._bar_closed(fed))
        elif isinstance(fed, FeedNote):
            self._note(events.feed_noted(fed.code, fed.facts, seq - 1))
        elif fed is None:
            self._note(events.bars_ended(seq))
        return fed

    def _bar_closed(self, feed_bar: FeedBar) -> Recorded:
        """The bar, with its seconds where fills read them: a replay then needs no feed."""
        read = self._setting.venue.resolution == SECONDS
        return events.bar_closed(feed_bar.bar, feed_bar.seconds_digest, feed_bar.seconds if read else None)

    def _ask(self, question: Question, state: TraderState) -> Generator[Asked, Answer, Event]:
        if isinstance(question, AskPolicy):
            return (yield from self._ask_policy(question, state))
        if isinstance(question, AskGate):
            return (yield from self._ask_gate(question, state))
        answered: Event = yield from self._broker.ask(question, state)
        return answered

    def _asked(self, question: Asked, state: TraderState) -> Generator[Asked, Answer, Answer]:
        """The answer; before the first one the broker, where there is one, is compared with the record."""
        if self._setting.sends:
            yield from self._broker.compare(state)
        return (yield question)

    def _ask_policy(self, question: AskPolicy, state: TraderState) -> Generator[Asked, Answer, PolicyAnswered]:
        assert state.last_bar is not None
        seq = state.last_bar.seq
        recorded = self._recorded("acted")
        if recorded is None:
            asked = ActionAsked(seq, question.observation, question.legal_actions)
            answer = yield from self._asked(asked, state)
            assert isinstance(answer, PolicyAnswered), "an answer to another question"
        else:
            source: PolicySource = recorded.payload["source"]
            answer = PolicyAnswered(recorded.payload["action"], source)
        # Recorded answers too: the record holds what was used, and a forged one must not trade either.
        if not _legal(answer.action, question.legal_actions):
            answer = PolicyAnswered(HOLD, "illegal")
        self._note(events.acted(seq, answer.action, answer.source))
        return answer

    def _ask_gate(self, question: AskGate, state: TraderState) -> Generator[Asked, Answer, GateAnswered]:
        recorded = self._recorded("decided")
        if recorded is None:
            reviewed = yield from self._asked(ReviewAsked(question.proposal), state)
            assert isinstance(reviewed, Reviewed), "an answer to another question"
            # A verdict on another proposal must not decide this one, so it counts as a failure of the gate.
            if reviewed.proposal_id != question.proposal.proposal_id:
                reviewed = reviewed.model_copy(
                    update={"proposal_id": question.proposal.proposal_id, "outcome": GateFailed(cause="foreign")}
                )
        else:
            reviewed = events.reviewed_from(recorded.payload)
        self._note(events.decided(reviewed))
        return GateAnswered(reviewed)


def _fed(recorded: Record) -> Fed:
    """What came from the feed, as it was recorded."""
    fields = dict(recorded.payload)
    if recorded.type == "bars_ended":
        return None
    if recorded.type == "feed":
        del fields["bar"]
        return FeedNote(fields.pop("code"), fields)
    digest, _ = fields.pop("seconds"), fields.pop("frame", None)
    return FeedBar(Bar.model_validate(fields), digest, events.seconds_from(recorded.payload) or ())


def _legal(action: int, legal_actions: tuple[bool, ...]) -> bool:
    return 0 <= action < len(legal_actions) and legal_actions[action]
