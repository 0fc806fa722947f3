"""A market that a test drives: rows in a file or from a feed, a clock set by hand, workers that answer at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from llm_gate.contract import EntryProposal
from orchestrator.clock import MarketClock, Pace
from orchestrator.journal.journal import Journal, read_journal
from orchestrator.messaging.broker import BrokerAdapter
from orchestrator.messaging.catalogue import GATE
from orchestrator.messaging.row_feed import RowFeed
from orchestrator.messaging.runner_end import Missed, NoReplyError
from orchestrator.messaging.wire import Received
from orchestrator.run.config import RunConfig
from orchestrator.run.control import Control
from orchestrator.run.fed_rows import FedRows
from orchestrator.run.folder import RunFolder, open_run
from orchestrator.run.followed_bars import FollowedBars, Source
from orchestrator.run.growing_file import GrowingFile
from orchestrator.run.jobs import broker_job
from orchestrator.run.paper_answers import PaperAnswers
from orchestrator.run.paper_plan import plan_paper
from orchestrator.run.plan import RunPlan
from orchestrator.run.replay import replay_run
from orchestrator.run.runner import Fed, Finished, NothingYet, Runner
from orchestrator.run.stopping import Stopping
from orchestrator.run.telemetry import Telemetry
from orchestrator.trader.events import Recorded
from orchestrator.workers.adapters import InstalledAdapter, open_adapter
from orchestrator.workers.broker import BrokerServer, opening_of
from orchestrator.workers.crew import Crew
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.remote_broker import BROKER
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.rows import RowKind
from rl_core.bars.write import write_bars
from rl_core.contract import PolicyQuery, PolicyReply
from rl_core.trading.hours import MINUTE_NS
from tests.orchestrator.played_files import FileWorld, Script
from trigate.errors import ProcessNotReadyError

MORNING = 2760 + 930  # 09:30 in New York, in the third session
HISTORY = 1450
"""Enough to be warm at the next bar."""
CERTAIN = (1.0, 0.0, 0.0)
"""What a policy says besides, which nobody reads."""


class Market:
    """The bars of a world from number ``first`` on, as they come into ``path``; what stands before is history."""

    def __init__(self, world: FileWorld, folder: Path, first: int, history: int = HISTORY) -> None:
        """Write the ``history``, so many bars before the first."""
        self.bars: Bars = read_bars(world.bars)
        self.path = folder / "NQ_live.csv"
        write_bars(self.bars, self.path)
        self.rows = self.path.read_bytes().splitlines(keepends=True)
        self.path.write_bytes(b"".join([self.rows[0], *self.rows[first - history + 1 : first + 1]]))
        self.next = first
        self._now_s = 0.0
        began_ns = int(self.bars.ts_event_ns[first])
        self.clock = MarketClock(Pace(began_ns, 1, 1.0), monotonic=lambda: self._now_s, wall_ns=lambda: 1)
        self._began_ns = began_ns

    def row(self, number: int) -> bytes:
        """The line of a bar of the world, with its line end."""
        return self.rows[number + 1]

    def say(self, content: bytes) -> None:
        """Append ``content`` as it is."""
        with self.path.open("ab") as file:
            file.write(content)

    @property
    def settings(self) -> dict[str, object]:
        """Those of a run that trades here."""
        return {"bars": self.path}

    def source(self) -> Source:
        """Where that run finds its rows."""
        return Source(GrowingFile(self.path), self.path.name, None, None)

    def until(self, number: int, late_s: float = 0.5) -> None:
        """Set the clock to the end of a bar of the world, and some more."""
        self.set_ns(int(self.bars.ts_event_ns[number]) + MINUTE_NS, late_s)

    def set_ns(self, ts_ns: int, late_s: float = 0.0) -> None:
        """Set the clock, which does not run by itself."""
        self._now_s = (ts_ns - self._began_ns) / 1e9 + late_s

    def trade(self, bars: int, late_s: float = 0.5) -> Iterator[None]:
        """So many bars come, each ``late_s`` after its end."""
        for _ in range(bars):
            self.until(self.next, late_s)
            self.say(self.row(self.next))
            self.next += 1
            yield


class FedMarket(Market):
    """The same market from a feed on this machine: the file holds the history alone."""

    columns = ""
    """Of its rows; none: those of the file."""
    kind: RowKind = "minutes"

    def __init__(self, world: FileWorld, folder: Path, first: int, history: int = HISTORY) -> None:
        """Answer from now on, beside the run, until the context is left."""
        super().__init__(world, folder, first, history)
        self.told: list[str] = []
        self._begin("first", 0)

    def _begin(self, name: str, port: int) -> None:
        columns = self.columns or self.rows[0].decode().strip()
        self.feed, self._over = RowFeed(name, columns, port=port), threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def begin_anew(self, name: str) -> None:
        """End the feed, and begin one without rows in its place."""
        port = int(self.feed.address.rpartition(":")[2])
        self.end()
        self._begin(name, port)

    def end(self) -> None:
        """Nobody answers any more."""
        self._over.set()
        self._thread.join()
        self.feed.close()

    def say(self, content: bytes) -> None:
        """Give the lines of ``content`` as rows."""
        for row in content.decode().splitlines():
            self.feed.append(row)

    @property
    def settings(self) -> dict[str, object]:
        """Those of a run that trades here."""
        return {"bars": self.path, "feed": {"source": self.feed.address, "rows": self.kind}}

    def source(self) -> Source:
        """One that waits until it is answered, however busy the machine is."""
        rows = FedRows(self.feed.address, self.told.append, moment_s=10.0)
        return Source(rows, "feed", None, None, self.kind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def _serve(self) -> None:
        while not self._over.is_set():
            self.feed.serve(0.02)


class TickMarket(FedMarket):
    """The same market as trades: four of each minute, at its open, high, low and close."""

    columns = "datetime,price,size"
    kind = "ticks"

    def row(self, number: int) -> bytes:
        """The trades of a bar of the world."""
        opened, high, low, close = (
            int(getattr(self.bars, name)[number]) * 0.25 for name in ("open", "high", "low", "close")
        )
        volume, start = int(self.bars.volume[number]), np.datetime64(int(self.bars.ts_event_ns[number]), "ns")
        trades = zip((0, 21_003, 40_500, 59_999), (opened, high, low, close), (volume - 3, 1, 1, 1), strict=True)
        return "".join(f"{start + np.timedelta64(ms, 'ms')}Z,{price},{size}\n" for ms, price, size in trades).encode()


class ReadyCrew:
    """Workers that answer at once as `Script` does, unless a test has something to say about it."""

    def __init__(self, bars: Bars, broker: BrokerAdapter | None = None) -> None:
        """Answer about ``bars``; a ``broker`` is asked as its worker would be."""
        self._script = Script(bars)
        self._broker = None if broker is None else BrokerServer(broker).handlers
        self.broker_misses = 0
        self.asked = 0
        self.silent: Missed | None = None
        self.deaf_gate = False
        self.given_up = False

    def tend(self) -> None:
        """Nobody fails, unless supervision has given one up: it says so once, as `Crew` does."""
        if self.given_up:
            self.given_up, self.silent = False, "unreachable"
            raise ProcessNotReadyError("policy: a test says so; 5 restarts did not help")

    def ask(self, worker: str, message: BaseModel, *, deadline_s: float) -> Received:
        """The broker's answer; lost so many times, though the broker did what it was asked, and then given up."""
        assert self._broker is not None and worker == BROKER
        answered = self._broker[type(message)](Received("runner", "1", message, ()))
        if self.broker_misses:
            self.broker_misses -= 1
            raise NoReplyError(worker, "timeout", "a test says so")
        if self.given_up:
            raise ProcessNotReadyError("broker: a test says so; 5 restarts did not help")
        return Received(worker, "1", answered.message, ())

    def ask_within(
        self, worker: str, message: BaseModel, arrays: tuple[npt.NDArray[np.float32], ...] = (), *, deadline_s: float
    ) -> Received:
        """The answer of the script, or none."""
        self.asked += 1
        self.tend()
        if self.silent is not None or (self.deaf_gate and worker == GATE):
            raise NoReplyError(worker, self.silent or "timeout", "a test says so")
        if isinstance(message, PolicyQuery):
            action = self._script.act(message.bar_seq, arrays[0], message.legal_actions).action
            return Received(worker, "1", PolicyReply(bar_seq=message.bar_seq, action=action, probabilities=CERTAIN), ())
        assert isinstance(message, EntryProposal)
        return Received(worker, "1", self._script.review(message), ())


Happenings = Callable[[Market, ReadyCrew, RunFolder], Iterator[None]]
"""What happens in the market: each part once the run has taken in everything before it."""


def play_paper(
    world: FileWorld,
    market: Market,
    runs: Path,
    happens: Happenings,
    told: Callable[[Recorded], None] | None = None,
    broker_kind: type[SimulatedBroker] = SimulatedBroker,
    **settings: object,
) -> tuple[RunFolder, Finished]:
    """Run in paper mode over what ``happens``, or go on with the run that is there; stops where it ends."""
    given = {"mode": "paper", **market.settings, "checkpoint": world.checkpoint, "gate": {"engine": "rules"}}
    plan = plan_paper(RunConfig.model_validate({**given, "runs": runs, **settings}))
    folder = open_run(plan.config, plan.manifest(), kept=plan.kept)
    with Journal.open(folder.journal, folder.manifest().known_head) as journal:
        folder.mark_started()
        source = market.source()
        late_s = plan.config.paper.late_after_s
        sessions = plan.config.sessions
        bars = FollowedBars(source, plan.bars, journal.records, market.clock, late_after_s=late_s, sessions=sessions)
        broker = None if plan.config.broker is None else broker_of(plan, folder, broker_kind)
        crew = ReadyCrew(market.bars, broker)
        with Telemetry(folder.telemetry) as telemetry, nullcontext() if broker is None else closing(broker):
            control = Control(folder.path)
            stopping = Stopping(lambda: False, control, "hold")
            answers = _Answers(cast(Crew, crew), bars, market.clock, telemetry, plan.config, stopping)
            script = happens(market, crew, folder)
            runner = Runner(
                journal,
                answers,
                plan.views(),
                plan.setting,
                control.wanted,
                lambda ts_ns: market.clock.seconds_since(ts_ns) > late_s,
            )
            runner.told = told
            done = runner.run(
                stop_asked=lambda: stopping.due(holds=runner.holds) or (answers.idle and next(script, _OVER) is _OVER)
            )
        source.rows.close()
        journal.sync()
        folder.mark("ended" if done.complete else "stopped", journal_head=journal.head)
    return folder, done


def broker_of(plan: RunPlan, folder: RunFolder, kind: type[SimulatedBroker]) -> SimulatedBroker | InstalledAdapter:
    """The broker of a run, as its worker opens it: the simulated one, or in live mode an installed adapter."""
    if plan.config.mode == "live":
        assert plan.config.broker is not None
        return open_adapter(plan.config.broker, opening_of(broker_job(plan, folder).config))
    path = folder.path / BROKER / folder.journal.name
    parts = Parts(plan.config.broker_parts, plan.config.broker_parts_a_bar)
    return kind.open(plan.trading.venue, plan.trading.limits.max_quantity, path, parts)


_OVER = object()


def records(folder: RunFolder, *kinds: str) -> list[dict[str, Any]]:
    """The payloads of these types, in order; each with its type."""
    return [{"t": r.type, **r.payload} for r in read_journal(folder.journal) if r.type in kinds]


def codes(folder: RunFolder) -> list[str]:
    """What was noted of the feed, in order."""
    return [note["code"] for note in records(folder, "feed")]


def replays(folder: RunFolder) -> bool:
    """Whether every byte comes out again, from the run's folder alone."""
    found = replay_run(folder)
    return found.difference == "" and found.derived == folder.journal.read_bytes()


def morning(world: FileWorld, folder: Path) -> Market:
    """A market that opens with what is known at 09:30."""
    return Market(world, folder, MORNING)


def after(bars: int, then: Callable[[Market], object], more: int = 1) -> Happenings:
    """So many bars come, then something happens, then more bars come."""

    def happens(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(bars)
        then(market)
        yield
        yield from market.trade(more)

    return happens


def corrected(market: Market) -> bytes:
    """A row for a bar that was played, with another volume."""
    return market.row(MORNING + 3).rpartition(b",")[0] + b",1\n"


def until_corrected(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
    """Twenty bars, a corrected one and a row that is none."""
    yield from market.trade(20)
    market.say(corrected(market) + b"no row\n")
    yield


def corrected_again(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
    """Twenty bars more, and the same correction."""
    yield from market.trade(20)
    market.say(corrected(market))
    yield


def both_corrections(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
    """The one after the other."""
    yield from until_corrected(market, crew, folder)
    yield from corrected_again(market, crew, folder)


class _Answers(PaperAnswers):
    """Answers that say when they had nothing, which is when a test lets something happen."""

    idle = False

    def next_bar(self, seq: int) -> Fed:
        """As ever."""
        fed = super().next_bar(seq)
        self.idle = isinstance(fed, NothingYet)
        return fed
