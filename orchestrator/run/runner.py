"""The one loop: bars in, questions out, every event journalled before it is used.

A restart is the normal start: while the journal still holds recorded inputs they are taken from there instead of
being asked for, and everything that follows from them is derived again and compared.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, GateFailed, Reviewed
from orchestrator.journal.journal import Journal, JournalMismatch
from orchestrator.journal.lines import Record
from orchestrator.messaging.catalogue import Bar, Seconds
from orchestrator.trader import events as ledger
from orchestrator.trader.events import Recorded
from orchestrator.trader.machine import (
    Advance,
    AskGate,
    AskPolicy,
    BarSeen,
    BarsEnded,
    Event,
    GateAnswered,
    PolicyAnswered,
    PolicySource,
    Setting,
    TraderState,
    advance,
    opening_state,
)
from orchestrator.trader.seen_at_close import Sight, SightStream
from rl_core.contract import HOLD
from rl_core.market.types import SECONDS
from rl_core.regimes.fitted import WILD_FROM


class SeenBar(NamedTuple):
    """A bar as the feed gave it."""

    bar: Bar
    seconds_digest: str
    seconds: Seconds = ()


class Answerers(Protocol):
    """Who answers the runner's questions; every call keeps its own deadline."""

    def next_bar(self, seq: int) -> SeenBar | None:
        """The bar numbered ``seq``, None at the end."""

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's action, HOLD with its cause if there is none."""

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The gate's outcome, GateFailed if there is none."""


class Finished(NamedTuple):
    """Where the loop ended."""

    state: TraderState
    bars: int
    complete: bool  # False: it was asked to stop


class Runner:
    """One run over one journal."""

    def __init__(self, journal: Journal, answerers: Answerers, sight: SightStream, setting: Setting) -> None:
        """``sight`` has already seen the history before the first bar."""
        self._journal = journal
        self._answerers = answerers
        self._sight = sight
        self._setting = setting
        self._labels: Counter[str] = Counter()  # bars by regime
        self._wild: int | None = None  # bars in the wildest hidden state; None: not known

    def run(
        self, *, stop_asked: Callable[[], bool] = lambda: False, on_bar: Callable[[int], None] = lambda seq: None
    ) -> Finished:
        """Play every bar; ``stop_asked`` is looked at between two bars, ``on_bar`` is called after each."""
        state, seq = opening_state(self._setting), 0
        while not stop_asked():
            seen = self._next_bar(seq)
            if seen is None:
                state = self._turn(state, BarsEnded())
                counts = {"bars": seq, "trades": state.trades, "attempt": state.attempt}
                self._note(Recorded("end", {**counts, "labels": dict(self._labels), "wild": self._wild}))
                return Finished(state, seq, complete=True)
            sight = self._sight.see(seen.bar)
            self._count(sight)
            state = self._turn(state, BarSeen(seen.bar, sight, seen.seconds))
            seq += 1
            on_bar(seq)
        return Finished(state, seq, complete=False)

    def _count(self, sight: Sight) -> None:
        self._labels[sight.regime.label] += 1
        if sight.wild_percent is not None:
            self._wild = (self._wild or 0) + (sight.wild_percent >= WILD_FROM)

    def _turn(self, state: TraderState, event: Event) -> TraderState:
        """Apply an event and everything that follows from it, up to the next bar."""
        step = self._apply(state, event)
        while step.question is not None:
            step = self._apply(step.state, self._ask(step.question, step.state))
        return step.state

    def _apply(self, state: TraderState, event: Event) -> Advance:
        step = advance(state, event, self._setting)
        for record in step.records:
            self._note(record)
        return step

    def _note(self, record: Recorded) -> None:
        self._journal.append(record.type, record.payload, sync=record.sync)

    def _recorded(self, *types: str) -> Record | None:
        """The recorded input that comes next, None where the recording ends."""
        recorded = self._journal.next_recorded()
        if recorded is not None and recorded.type not in types:
            raise JournalMismatch(f"record {recorded.number} is {recorded.type!r} where {' or '.join(types)} belongs")
        return recorded

    def _next_bar(self, seq: int) -> SeenBar | None:
        recorded = self._recorded("bar", "bars_ended")
        if recorded is None:
            seen = self._answerers.next_bar(seq)
        elif recorded.type == "bars_ended":
            seen = None
        else:
            fields = dict(recorded.payload)
            digest, _ = fields.pop("seconds"), fields.pop("frame", None)
            seen = SeenBar(Bar.model_validate(fields), digest, ledger.seconds_from(recorded.payload) or ())
        self._note(ledger.bars_ended(seq) if seen is None else self._bar_closed(seen))
        return seen

    def _bar_closed(self, seen: SeenBar) -> Recorded:
        """The bar, with its seconds where fills read them: a replay then needs no feed."""
        read = self._setting.venue.resolution == SECONDS
        return ledger.bar_closed(seen.bar, seen.seconds_digest, seen.seconds if read else None)

    def _ask(self, question: AskPolicy | AskGate, state: TraderState) -> Event:
        if isinstance(question, AskPolicy):
            return self._ask_policy(question, state)
        return self._ask_gate(question)

    def _ask_policy(self, question: AskPolicy, state: TraderState) -> PolicyAnswered:
        assert state.last_bar is not None
        seq = state.last_bar.seq
        recorded = self._recorded("acted")
        if recorded is None:
            answer = self._answerers.act(seq, question.observation, question.legal_actions)
        else:
            source: PolicySource = recorded.payload["source"]
            answer = PolicyAnswered(recorded.payload["action"], source)
        if not _legal(answer.action, question.legal_actions):
            answer = PolicyAnswered(HOLD, "illegal")
        self._note(ledger.acted(seq, answer.action, answer.source))
        return answer

    def _ask_gate(self, question: AskGate) -> GateAnswered:
        recorded = self._recorded("decided")
        if recorded is None:
            reviewed = self._answerers.review(question.proposal)
            if reviewed.proposal_id != question.proposal.proposal_id:
                reviewed = reviewed.model_copy(
                    update={"proposal_id": question.proposal.proposal_id, "outcome": GateFailed(cause="foreign")}
                )
        else:
            reviewed = ledger.reviewed_from(recorded.payload)
        self._note(ledger.decided(reviewed))
        return GateAnswered(reviewed)


def _legal(action: int, legal_actions: tuple[bool, ...]) -> bool:
    return 0 <= action < len(legal_actions) and legal_actions[action]
