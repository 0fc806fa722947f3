"""Runs whose orders are sent to a simulated broker in this process, and the same runs whose fills are computed."""

import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Approve, EntryProposal, Outcome, Resize, Reviewed, Veto
from orchestrator.journal.journal import Journal, read_journal
from orchestrator.journal.lines import Record
from orchestrator.messaging.broker import Execution, Holdings, OrderState
from orchestrator.messaging.catalogue import Bar
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerDesk, ExecutionsAsked, OrderSent
from orchestrator.run.runner import Fed, FeedBar, Finished, Runner, RunRecord
from orchestrator.trader.state import MoveStop, PolicyAnswered, Setting, Standing
from orchestrator.workers.filled_in_parts import WHOLE, Parts
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.contract import BUY, DISABLE_TRAIL, ENABLE_TRAIL, HOLD, MOVE_STOP_TO_BREAKEVEN, SELL
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.played_runs import TRADING, ScriptedViews, seconds_of, walk

PRICES = ("open", "high", "low", "close")
THEIRS = ("stop_move", "order", "executions")
"""Of a broker alone: what it is asked besides entries, and the inputs that it gives."""
MANAGES = (MOVE_STOP_TO_BREAKEVEN, ENABLE_TRAIL, DISABLE_TRAIL)
VERDICTS: tuple[Outcome, ...] = (
    Approve(),
    Approve(),
    Veto(reason="no"),
    Resize(size_factor=Decimal("0.5"), reason="late"),
)
Step = Callable[[str], None]
"""Called before and after whatever leaves a mark outside the process; it may raise."""


def few_bars() -> list[Bar]:
    """Sixteen minutes from 15:15 on, then the next morning's first thirteen: what was open leaves at the last price."""
    bars = wild(walk(("2024-06-03", "2024-06-04")), 2)
    chosen = [*bars[345:361], *bars[450:463]]
    return [bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(chosen)]


def wild(bars: list[Bar], times: int = 4) -> list[Bar]:
    """The bars with moves so much larger, so that stops, targets and limits are met."""
    first = bars[0].open
    moved = [{name: first + times * (getattr(bar, name) - first) for name in PRICES} for bar in bars]
    return [bar.model_copy(update=prices) for bar, prices in zip(bars, moved, strict=True)]


class SentWorld:
    """Bars and an account; an entry is wanted on every third bar."""

    def __init__(self, bars: list[Bar], phase: int = 1, parts: Parts = WHOLE, **account: Any) -> None:
        """``account`` is over that of `played_runs`; a policy of ``phase`` 2 also manages; fills come in ``parts``."""
        self.bars, self.phase, self.parts = bars, phase, parts
        config = TradingConfig.model_validate({**TRADING.model_dump(), **account})
        self.trading = compile_trading(config, instrument("NQ"))
        self.views = ScriptedViews(bars, config)
        self.seconds = account.get("resolution") == "seconds"

    def setting(self, *, sends: bool) -> Setting:
        """As a run has it."""
        return Setting(
            run_id="0" * 32,
            phase=self.phase,
            venue=self.trading.venue,
            limits=self.trading.limits,
            gated=True,
            shadow=False,
            fail_factor=Decimal("0"),
            max_entries_per_session=1000,
            frictions=self.trading.frictions,
            sends=sends,
        )

    def broker(self, folder: Path, kind: type[SimulatedBroker] = SimulatedBroker) -> SimulatedBroker:
        """The account's broker as its journal says it stands; a new one where there is none."""
        path = folder / "broker" / "journal.jsonl"
        return kind.open(self.trading.venue, self.trading.limits.max_quantity, path, self.parts)


class SentAnswers:
    """Bars from the world, verdicts by the proposal's name, and a broker that is asked."""

    def __init__(self, world: SentWorld, ask_broker: Callable[[BrokerAsked], BrokerAnswer]) -> None:
        self._world, self.ask_broker = world, ask_broker

    def next_bar(self, seq: int) -> Fed:
        """The bar numbered ``seq``."""
        if seq >= len(self._world.bars):
            return None
        bar = self._world.bars[seq]
        return FeedBar(bar, "5" * 64, seconds_of(bar)) if self._world.seconds else FeedBar(bar, "")

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """Long and short in turn; what is open is managed on two bars of three, as far as it can be."""
        manages = [action for action in MANAGES if action < len(legal) and legal[action]]
        if manages and bar_seq % 3 < 2:
            return PolicyAnswered(manages[-(bar_seq % 3)], "policy")
        if not legal[BUY]:
            return PolicyAnswered(HOLD, "policy")
        return PolicyAnswered((BUY if bar_seq % 2 else SELL) if bar_seq % 3 == 0 else HOLD, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """By the proposal's name, so that a continued run is judged alike."""
        return Reviewed(
            proposal_id=proposal.proposal_id,
            outcome=VERDICTS[int(proposal.proposal_id, 16) % len(VERDICTS)],
            probabilities=None,
            latency_s=0.0,
            prompt_digest="0" * 64,
            engine="rules",
            model="",
            reason_source="model",
        )


class Stepping:
    """A journal that says when it writes."""

    def __init__(self, journal: Journal, step: Step) -> None:
        self._journal, self._step, self.path = journal, step, journal.path

    def next_recorded(self) -> Record | None:
        """As the journal."""
        return self._journal.next_recorded()

    def append(self, type: str, payload: Mapping[str, Any], *, sync: bool = False) -> Record | None:
        """As the journal."""
        new = not self._journal.replaying
        if new:
            self._step(f"before {type}")
        record = self._journal.append(type, payload, sync=sync)
        if new:
            self._step(f"after {type}")
        return record


def play_sent(
    world: SentWorld,
    folder: Path,
    *,
    sends: bool = True,
    ask: Callable[[BrokerAsked], BrokerAnswer] | None = None,
    step: Step = lambda where: None,
    operator: Callable[[int], Standing | None] = lambda last_bar: None,
) -> Finished:
    """Play the world into ``folder``, new or continued; ``ask`` stands for a broker of its own in ``folder``."""
    path = folder / "run" / "journal.jsonl"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Journal.open(path) as journal:
        broker = world.broker(folder) if sends and ask is None else None
        try:
            asked = ask or (BrokerDesk(broker, broker).ask if broker else _nobody)

            def asks(question: BrokerAsked) -> BrokerAnswer:
                step(f"before {type(question).__name__}")
                answer = asked(question)
                step(f"after {type(question).__name__}")
                return answer

            record: RunRecord = Stepping(journal, step)
            setting = world.setting(sends=sends)
            runner = Runner(record, SentAnswers(world, asks), world.views, setting, lambda: operator(_last(runner)))
            return runner.run()
        finally:
            if broker is not None:
                broker.close()


def records(folder: Path) -> list[Record]:
    """Those of the run in ``folder``."""
    return list(read_journal(folder / "run" / "journal.jsonl"))


def ours(folder: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Type and content of every record that a run without a broker has, too."""
    return [(record.type, record.payload) for record in records(folder) if record.type not in THEIRS]


def written(folder: Path) -> tuple[bytes, bytes]:
    """Both journals of a run that sends: its own, and its broker's."""
    return tuple((folder / name / "journal.jsonl").read_bytes() for name in ("run", "broker"))  # type: ignore[return-value]


def _last(runner: Runner) -> int:
    bar = runner.state.last_bar
    return -1 if bar is None else bar.seq


def _nobody(asked: BrokerAsked) -> BrokerAnswer:
    raise AssertionError(f"{asked} of a run that computes its fills")


class Killed(BaseException):
    """The process has ended here."""


class KilledAt:
    """Ends the process at the ``number``-th step of its first life; counts the steps of one that it does not reach."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.steps: list[str] = []

    def __call__(self, where: str) -> None:
        """One more step."""
        self.steps.append(where)
        if len(self.steps) == self._number:
            raise Killed(where)


class Mortal:
    """A broker that dies at one question, before it has done what it was asked, or once it has and cannot answer."""

    def __init__(self, world: SentWorld, folder: Path, number: int, *, done: bool) -> None:
        """The ``number``-th question is its last; ``done``: it is killed between its work and its answer."""
        self._world, self._folder, self._number, self._done = world, folder, number, done
        self.asked = 0
        self.now = world.broker(folder)

    def ask(self, question: BrokerAsked) -> BrokerAnswer:
        """Its answer; where it died, that of the one which was started in its place and asked again."""
        self.asked += 1
        if self.asked == self._number:
            if self._done:
                BrokerDesk(self.now, self.now).ask(question)
            self.now.close()
            self.now = self._world.broker(self._folder)
        return BrokerDesk(self.now, self.now).ask(question)


def killed_at_every_step(play: Callable[..., Finished], folder: Path, whole: tuple[bytes, bytes]) -> set[str]:
    """Kill a run before and after everything that leaves a mark outside its process; the kinds of such marks.

    Raises:
        AssertionError: one that went on ended with other journals than the ``whole`` one.
    """
    counted = KilledAt(-1)
    play(folder / "counted", step=counted)
    for number, where in enumerate(counted.steps, 1):
        place = folder / str(number)
        try:
            play(place, step=KilledAt(number))
        except Killed:
            assert play(place).complete
        else:
            raise AssertionError(f"it was not killed at {where}")
        assert written(place) == whole, where
        shutil.rmtree(place)
    return {step.partition(" ")[2] for step in counted.steps}


def broker_killed_at_every_question(
    world: SentWorld, play: Callable[..., Finished], folder: Path, whole: tuple[bytes, bytes], *, done: bool
) -> int:
    """Kill the broker at each question, before or, if ``done``, after its work; how many there were.

    Raises:
        AssertionError: a run ended with other journals than the ``whole`` one.
    """
    counted = Mortal(world, folder / "counted", -1, done=done)
    play(folder / "counted", ask=counted.ask)
    for number in range(1, counted.asked + 1):
        place = folder / str(number)
        broker = Mortal(world, place, number, done=done)
        play(place, ask=broker.ask)
        broker.now.close()
        assert written(place) == whole, f"question {number}"
        shutil.rmtree(place)
    return counted.asked


class Meddled:
    """A broker that tells something otherwise than it is, for one run of ``world`` in ``folder``.

    ``told`` stands for its executions; anything else changes its holdings, and ``stop`` its answer to a move as well.
    """

    def __init__(self, world: SentWorld, folder: Path, **changed: Any) -> None:
        self._world, self._folder = world, folder
        self._told: tuple[Execution, ...] | None = changed.pop("told", None)
        self._changed = changed

    def ask(self, question: BrokerAsked) -> BrokerAnswer:
        """With what was changed."""
        broker = self._world.broker(self._folder)
        try:
            answer = BrokerDesk(broker, broker).ask(question)
        finally:
            broker.close()
        moved = isinstance(question, OrderSent) and isinstance(question.sent, MoveStop) and "stop" in self._changed
        if isinstance(answer, Holdings) or (isinstance(answer, OrderState) and moved):
            return answer.model_copy(update=self._changed)
        if isinstance(question, ExecutionsAsked) and self._told is not None:
            return self._told
        return answer
