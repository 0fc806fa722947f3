"""A policy that moves stops, through a broker: the trades of the run without one, wherever who is killed."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.journal import examine_journal
from orchestrator.journal.recording import Recording
from orchestrator.messaging.broker import OrderState
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerDesk
from orchestrator.run.runner import Runner, StopAskedError
from orchestrator.trader.sending import UnexplainedError
from orchestrator.trader.state import Standing
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.simulated_broker import SimulatedBroker
from tests.orchestrator.played_runs import walk
from tests.orchestrator.sent_runs import (
    Killed,
    Meddled,
    SentAnswers,
    SentWorld,
    broker_killed_at_every_question,
    killed_at_every_step,
    ours,
    play_sent,
    records,
    wild,
    written,
)

DAYS = ("2024-06-03", "2024-06-04")
BOLD = {"risk_dollars": 900, "at_target": "trade_on"}
ACCOUNTS: dict[str, dict[str, Any]] = {
    "intraday floor": BOLD,
    "by seconds": {"resolution": "seconds", **BOLD},
    "thin market": {"costs": {"volume_share": "0.02"}},
}
"""Over the account of `played_runs`."""


@pytest.mark.parametrize("account", ACCOUNTS)
def test_trades_are_those_of_the_run_without_a_broker(memory: Path, account: str) -> None:
    """Every record but the broker's own: each stop stands where it does without one, and closes what it closes."""
    world = SentWorld(wild(walk(DAYS), 2), phase=2, **ACCOUNTS[account])

    play_sent(world, memory / "computed", sends=False)
    play_sent(world, memory / "sent")

    expected = ours(memory / "computed")
    assert ours(memory / "sent") == expected
    managed = {content["action"] for kind, content in expected if kind == "managed"}
    assert managed == {"breakeven", "trail_on", "trail_off"}
    moved = [record.payload for record in records(memory / "sent") if record.type == "stop_move"]
    assert max(each["revision"] for each in moved) > 2, "a trail moves one stop many times"


FEW = wild(walk(DAYS[:1]), 2)[298:314]
WORLD = SentWorld([bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(FEW)], phase=2)


def word(last_bar: int) -> Standing:
    """Flat while a position is managed."""
    return "flat" if last_bar == 11 else "trading"


play_few = partial(play_sent, WORLD, operator=word)
PARTS = SentWorld(WORLD.bars, phase=2, parts=Parts(4, 2), costs={"volume_share": "0.2"})
play_parts = partial(play_sent, PARTS, operator=word)
"""Of a broker that fills in four parts, so that their mean lies a tick off, and leaves the half of an exit open for the
next bar, in a market so thin that a bar leaves a rest of an entry: what kills are tried on."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    play_few(folder)
    return folder


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a run whose broker fills in parts."""
    folder = tmp_path_factory.mktemp("in_parts")
    play_parts(folder)
    return folder


def test_a_move_is_on_disk_before_it_is_asked_and_its_answer_before_what_follows(whole: Path) -> None:
    """A trail moves the stop before the close is marked and decided, a policy after it has acted."""
    kinds = [record.type for record in records(whole)]
    moves = [n for n, kind in enumerate(kinds) if kind == "stop_move"]

    before = {kinds[n - 1] for n in moves}
    assert {"managed"} < before <= {"managed", "bar", "executions", "fill"}
    assert all(kinds[n + 1] == "order" for n in moves)
    assert {kinds[n + 2] for n in moves} == {"bar", "mark"}
    assert all(each.synced for each in records(whole) if each.type in ("stop_move", "order"))


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(memory: Path, in_parts: Path) -> None:
    """Before and after every write of the journal and every question; both journals are compared."""
    kinds = killed_at_every_step(play_parts, memory, written(in_parts))

    assert kinds >= {"OrderSent", "stop_move", "order", "cancelled", "managed", "mark", "executions"}
    found = [record.payload["reason"] for record in records(in_parts) if record.type == "fill"]
    assert found.count("stop") > 1 and found.count("flatten") > 1, "exits that go on later are among them"
    types = [record.type for record in records(in_parts)]
    assert types[types.index("cancelled") - 1] == "order", "a rest is cancelled once the broker says so"
    assert types.count("trade") == 2 and types.count("flatten") == 1
    assert "stop_move" not in types[types.index("flatten") :], "a trail moved the stop of what was being closed"


@pytest.mark.parametrize("done", [False, True], ids=["before its work", "after its work"])
def test_a_broker_killed_at_any_question_changes_no_byte(memory: Path, in_parts: Path, done: bool) -> None:
    assert broker_killed_at_every_question(PARTS, play_parts, memory, written(in_parts), done=done) > 25


class NobodyAnswers(SentAnswers):
    """Nobody is there: where the recording ends, so does the run."""

    def __init__(self) -> None:
        super().__init__(WORLD, self._stop)

    def next_bar(self, seq: int) -> None:
        """None comes."""
        raise StopAskedError

    def _stop(self, asked: BrokerAsked) -> BrokerAnswer:
        raise StopAskedError


def derived_again(folder: Path, world: SentWorld = WORLD) -> bytes:
    """The journal as its inputs alone make it; no broker is asked."""
    path = folder / "run" / "journal.jsonl"
    recording = Recording(path, examine_journal(path).verified)
    Runner(recording, NobodyAnswers(), world.views, world.setting(sends=True)).run()
    return bytes(recording.derived)


def test_a_recording_is_derived_again_without_the_broker(whole: Path, in_parts: Path) -> None:
    assert derived_again(whole) == written(whole)[0]
    assert derived_again(in_parts, PARTS) == written(in_parts)[0]


class Races(SimulatedBroker):
    """The stop fills while its ``nth`` move travels, at the stop's own price."""

    nth = 1
    asked = 0

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """Too late, once."""
        if order_id == self._book.live and self._book.held.position.quantity:
            type(self).asked += 1
            if type(self).asked == self.nth:
                self._fill_the_stop()
        return super().move_stop(order_id, revision, stop)

    def _fill_the_stop(self) -> None:
        """As the simulated market does with an end of the session, at the price of the stop, and told as a stop."""
        held = self._book.held.position
        over = {"after": self._book.last_bar, "close": held.stop, "ts_event_ns": 7, "slippage_ticks": 1}
        known = self._book.held.account
        account = {name: getattr(known, name) for name in ("cash", "floor", "day_floor", "locked")}
        self._take("over", {**over, "account": account})
        last = self._book.kept[-1].model_copy(update={"leg": "stop"})
        self._book = self._book._replace(kept=(*self._book.kept[:-1], last), last_over=-1)


def raced(folder: Path, nth: int) -> list[tuple[str, Any]]:
    """Types and contents of a run whose ``nth`` move comes too late, from that move on."""
    kind = type("RacesAt", (Races,), {"nth": nth, "asked": 0})
    broker = WORLD.broker(folder, kind)
    assert play_few(folder, ask=BrokerDesk(broker, broker).ask).complete
    broker.close()
    found = [(record.type, record.payload) for record in records(folder)]
    moves = [n for n, (type_, _) in enumerate(found) if type_ == "stop_move"]
    return found[moves[nth - 1] - 1 :]


def test_a_stop_that_fills_while_the_policys_move_travels_closes_the_position(tmp_path: Path, whole: Path) -> None:
    """The broker's execution counts, at its price, and is taken at once; nothing is open for the next bar."""
    kinds = [record.type for record in records(whole)]
    moves = [n for n, kind in enumerate(kinds) if kind == "stop_move"]
    nth = next(n for n, at in enumerate(moves, 1) if kinds[at - 1] == "managed")

    found = raced(tmp_path, nth)

    assert [kind for kind, _ in found[:7]] == ["managed", "stop_move", "order", "executions", "fill", "trade", "mark"]
    told, fill, trade, mark = (content for _, content in found[3:7])
    assert found[2][1]["status"] == "filled" and "stop" not in found[2][1]
    assert (fill["price"], fill["reason"]) == (told["executions"][0]["price"], "stop")
    assert trade["reason"] == "stop" and (mark["quantity"], mark["stop"]) == (0, 0)
    assert found[7][0] == "bar"
    assert derived_again(tmp_path) == written(tmp_path)[0]


def test_a_stop_that_fills_while_the_trails_move_travels_leaves_the_close_to_go_on(tmp_path: Path, whole: Path) -> None:
    """The close is marked flat, once, and decided as a flat one is."""
    kinds = [record.type for record in records(whole)]
    moves = [n for n, kind in enumerate(kinds) if kind == "stop_move"]
    nth = next(n for n, at in enumerate(moves, 1) if kinds[at - 1] != "managed")

    found = raced(tmp_path, nth)

    assert [kind for kind, _ in found[1:7]] == ["stop_move", "order", "executions", "fill", "trade", "mark"]
    assert found[6][1]["quantity"] == 0
    assert found[7][0] in ("acted", "bar") and derived_again(tmp_path) == written(tmp_path)[0]


class Refuses(SimulatedBroker):
    """Moves no stop."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With a broker's own limits."""
        return self.state(order_id).model_copy(update={"reason": "too near the market"})


def test_a_move_that_the_broker_refuses_leaves_the_stop_where_it_was(tmp_path: Path) -> None:
    broker = WORLD.broker(tmp_path, Refuses)
    assert play_few(tmp_path, ask=BrokerDesk(broker, broker).ask).complete
    broker.close()

    found = records(tmp_path)
    kept = [record.payload for record in found if record.type == "stop_kept"]
    moves = [record for record in found if record.type == "stop_move"]
    answers = {record.payload["stop"] for record in found if record.type == "order" and record.payload["reason"]}
    assert len(kept) == len(moves) > 3 and {each["stop"] for each in kept} == answers
    entered = {
        each.payload["order"]: each.payload
        for each in found
        if each.type == "fill" and each.payload["reason"] == "entry"
    }
    first = {
        entered[each.payload["order"]]["price"]
        - (1 if each.payload["quantity"] > 0 else -1) * each.payload["stop_ticks"]
        for each in found
        if each.type == "intent" and each.payload["order"] in entered
    }
    assert {each.payload["stop"] for each in found if each.type == "mark" and each.payload["quantity"]} <= first
    assert derived_again(tmp_path) == written(tmp_path)[0]


def test_a_stop_elsewhere_than_it_was_asked_for_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UnexplainedError, match="stands at 5 there, and by the record it stood at"):
        play_few(tmp_path, ask=Meddled(WORLD, tmp_path, stop=5).ask)


@pytest.mark.parametrize(("stop", "said"), [(5, "has its stop at 5 there"), (None, "has no stop there")])
def test_a_start_finds_a_stop_that_is_gone_or_elsewhere(
    tmp_path: Path, whole: Path, stop: int | None, said: str
) -> None:
    """A position is open by the record; once the two agree, the same command goes on."""

    def step(where: str) -> None:
        if where == "after stop_move":
            raise Killed

    with pytest.raises(Killed):
        play_few(tmp_path, step=step)
    before = written(tmp_path)

    with pytest.raises(UnexplainedError, match=said):
        play_few(tmp_path, ask=Meddled(WORLD, tmp_path, stop=stop).ask)

    assert written(tmp_path) == before
    assert play_few(tmp_path).complete and written(tmp_path) == written(whole)
    shutil.rmtree(tmp_path)
