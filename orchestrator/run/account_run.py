"""One account among many: its run in its own folder, played question by question, as a run alone would be."""

from contextlib import ExitStack
from typing import Literal, NamedTuple

import structlog

from llm_gate.contract import Reviewed
from llm_gate.review.sameness_alarm import Sameness
from orchestrator.journal.journal import Journal
from orchestrator.run.answers import note_review
from orchestrator.run.broker_questions import BrokerAsked, BrokerDesk
from orchestrator.run.control import Control
from orchestrator.run.desks import Desk
from orchestrator.run.folder import JOURNAL, RunFolder, open_run
from orchestrator.run.plan import RunPlan
from orchestrator.run.runner import (
    ActionAsked,
    Answer,
    Asked,
    BarAsked,
    FeedBar,
    Playing,
    ReviewAsked,
    Runner,
    StopAskedError,
)
from orchestrator.run.simulate import RunHooks, mark_failed, mark_finished
from orchestrator.run.stopping import Stopping
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.seen_at_close import CloseViews
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.remote_broker import BROKER
from orchestrator.workers.simulated_broker import SimulatedBroker
from trigate.errors import ExitCode, TrigateError

log = structlog.get_logger(__name__)


class Became(NamedTuple):
    """What became of an account."""

    state: Literal["ended", "stopped", "failed"]
    word: str = ""
    exit_code: int = 0


class OwnBars(NamedTuple):
    """Where an account's bars lie among those that a feed hands out for several."""

    first: int
    """Number that the feed has for the account's first bar."""
    length: int
    rolls: int
    """Contract rolls between the feed's first bar and the account's."""

    def own(self, fed: FeedBar) -> FeedBar:
        """A bar of the feed as a feed of this account alone would number it."""
        if not self.first:
            return fed
        changed = {"seq": fed.bar.seq - self.first, "contract": fed.bar.contract - self.rolls}
        return fed._replace(bar=fed.bar.model_copy(update=changed))


class AskedOf(NamedTuple):
    """Whom an account asks."""

    feed: Desk[BarAsked]
    bars: OwnBars
    policy: Desk[ActionAsked]
    gate: Desk[ReviewAsked] | None
    """None where its gate is off."""
    broker: BrokerDesk | None = None
    """Its own, in this process; None where the run computes the fills."""


class AccountRun:
    """The run of one account; whatever fails in it ends it alone, with a word."""

    def __init__(self, name: str, plan: RunPlan, hooks: RunHooks) -> None:
        """Open its folder, or that of the same run that is not done.

        Raises:
            TrigateError: the folder or its journal cannot be used.
        """
        self.name, self.plan, self._hooks = name, plan, hooks
        self.folder: RunFolder = open_run(plan.config, plan.manifest(), kept=plan.kept)
        self.bars = 0
        """Done, replayed ones included."""
        self.became: Became | None = None
        """None while it plays."""
        self._asked_of: AskedOf | None = None
        self._playing: Playing | None = None
        self._sameness = Sameness()
        with ExitStack() as undo:
            self._journal = undo.enter_context(Journal.open(self.folder.journal, self.folder.manifest().known_head))
            self.folder.mark_started()
            self._telemetry = undo.enter_context(Telemetry(self.folder.telemetry))
            self._held = undo.pop_all()
        control = Control(self.folder.path)
        self._control, self._stopping = control, Stopping(hooks.stop_asked, control, plan.config.on_shutdown)

    @property
    def asks(self) -> bool:
        """Whether it needs workers: of a run that has ended only the report is missing."""
        return self._journal.last_type != "end"

    def begin(self, views: CloseViews, asked_of: AskedOf | None) -> None:
        """Replay what is recorded, and ask the first question after it."""
        if self._journal.replaying:
            length = self._journal.verified.chain.length
            self._hooks.say(f"continuing {self.folder.path}: {length} records are replayed first")
        runner = Runner(self._journal, None, views, self.plan.setting, self._control.wanted)
        self._asked_of = None if asked_of is None else asked_of._replace(broker=self._own_broker())
        self._playing = runner.playing(stop_asked=lambda: self._stopping.due(holds=runner.holds), on_bar=self._bar_done)
        self._go_on(None)

    def _own_broker(self) -> BrokerDesk | None:
        """The account's simulated broker as its journal says it stands, where it sends its orders.

        It needs no process of its own: its journal is on disk before it answers, so it may end with this one anywhere.
        """
        if self.plan.config.broker is None:
            return None
        trading, path = self.plan.trading, self.folder.path / BROKER / JOURNAL
        parts = Parts(self.plan.config.broker_parts, self.plan.config.broker_parts_a_bar)
        broker = SimulatedBroker.open(trading.venue, trading.limits.max_quantity, path, parts)
        self._held.callback(broker.close)
        return BrokerDesk(broker, broker)

    def take(self, answer: Answer | Exception) -> None:
        """Go on with the answer up to the next question, or end with the fault; nothing once it has ended."""
        if self.became is not None:
            return
        if isinstance(answer, FeedBar):
            assert self._asked_of is not None
            answer = self._asked_of.bars.own(answer)
        if isinstance(answer, Reviewed):
            window = self.plan.config.gate.review.alarm_window
            self._sameness = note_review(self._telemetry, answer, self._sameness, window)
        self._go_on(answer)

    def stop_waiting(self) -> None:
        """Once it was asked to stop: do not wait for an answer any longer."""
        try:
            self._stopping.check()
        except StopAskedError as error:
            self.take(error)

    def noted(self, event: str, **fields: str | float | int | None) -> None:
        """Write an event of a worker into the account's own telemetry."""
        if self.became is None:
            self._telemetry.note(event, **fields)

    def abandon(self, error: BaseException) -> None:
        """Let go of everything, because the whole of all accounts ends with ``error``."""
        if self.became is None:
            self._fail(error)

    def _go_on(self, answer: Answer | Exception) -> None:
        try:
            self._advance(answer)
        except StopIteration as ended:
            self._finish(ended)
        except Exception as error:  # a mistake of ours in one account stops that account, and no other
            if not isinstance(error, TrigateError):
                log.exception("account_failed", account=self.name)
            self._fail(error)

    def _advance(self, answer: Answer | Exception) -> None:
        """Send the answer, and every further one that is at hand; then leave the question at its desk."""
        assert self._playing is not None, "it was begun"
        asked = self._playing.throw(answer) if isinstance(answer, Exception) else self._playing.send(answer)
        while known := self._at_hand_or_left(asked):
            asked = self._playing.send(known[0])

    def _at_hand_or_left(self, asked: Asked) -> tuple[Answer, ...]:
        """The answer where nobody has to be asked; else nothing, and the question is left with who answers it."""
        assert self._asked_of is not None, "a recording that has ended asks for nothing"
        feed, bars, policy, gate, broker = self._asked_of
        if isinstance(asked, BarAsked):
            return self._bar(asked, feed, bars)
        if isinstance(asked, ActionAsked):
            policy.put(self, asked)
        elif isinstance(asked, BrokerAsked):
            assert broker is not None, "who sends its orders has a broker"
            return (broker.ask(asked),)
        else:
            assert gate is not None, "without a gate nothing is proposed to it"
            gate.put(self, asked)
        return ()

    def _bar(self, asked: BarAsked, feed: Desk[BarAsked], bars: OwnBars) -> tuple[Answer, ...]:
        if asked.seq >= bars.length:
            return (None,)
        there = BarAsked(bars.first + asked.seq)
        known = feed.at_hand(there)
        if not known:
            feed.put(self, there)
        return tuple(bars.own(each) if isinstance(each, FeedBar) else each for each in known)

    def _bar_done(self, bars: int) -> None:
        self.bars = bars
        self._hooks.on_bar(bars)

    def _finish(self, ended: StopIteration) -> None:
        finished = ended.value
        try:
            mark_finished(self.folder, self._journal, finished)
            self._held.close()
        except TrigateError as error:
            self._fail(error)
            return
        self.became = Became("ended" if finished.complete else "stopped")

    def _fail(self, error: BaseException) -> None:
        code = error.exit_code if isinstance(error, TrigateError) else ExitCode.INTERNAL
        word = str(error) if isinstance(error, TrigateError) else f"{type(error).__name__}: {error}"
        self.became = Became("failed", word, int(code))
        try:
            mark_failed(self.folder, error)
            self._held.close()
        except TrigateError as further:
            log.error("account_not_closed", account=self.name, cause=str(further))
