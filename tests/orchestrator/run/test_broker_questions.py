"""A run whose orders go through a broker adapter: the same trades, and the same bytes wherever it is killed."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal.journal import JournalMismatch, examine_journal
from orchestrator.journal.lines import Chain
from orchestrator.journal.recording import Recording
from orchestrator.messaging.broker import (
    Bracket,
    Execution,
    ExecutionGapError,
    MarketMinute,
    MarketMoves,
    OrderState,
)
from orchestrator.report.account_book import account_book, trades_of
from orchestrator.report.reconciliation import reconcile
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerDesk
from orchestrator.run.runner import FeedBar, Runner, StopAskedError
from orchestrator.trader.sending import UnexplainedError
from orchestrator.trader.state import Standing
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.market.told import ToldFill, enter_more
from rl_core.market.types import FLAT
from tests.orchestrator.played_runs import walk
from tests.orchestrator.sent_runs import (
    Killed,
    Meddled,
    SentAnswers,
    SentWorld,
    broker_killed_at_every_question,
    few_bars,
    killed_at_every_step,
    ours,
    play_sent,
    records,
    wild,
    written,
)

DAYS = ("2024-06-03", "2024-06-04", "2024-06-05")
PACKS = "configs/rules"
BOLD = {"risk_dollars": 900, "at_target": "trade_on"}
BRACKET = {"stop", "target"}
ACCOUNTS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "intraday floor": (BOLD, {*BRACKET, "liquidation"}),
    "static floor": ({"rules": f"{PACKS}/plain_static.toml", **BOLD}, BRACKET),
    "floor at the day's close": ({"rules": f"{PACKS}/apex_4_0.toml#50k-eod-pa", **BOLD}, BRACKET),
    "by seconds": ({"resolution": "seconds", **BOLD}, {*BRACKET, "liquidation"}),
    "adaptive": ({"resolution": "adaptive", **BOLD}, {*BRACKET, "liquidation"}),
    "thin market": ({"costs": {"volume_share": "0.02"}}, BRACKET),
    "slippage by volatility": ({"costs": {"slippage_atr_share": "0.1"}, **BOLD}, {*BRACKET, "liquidation"}),
}
"""Over the account of `played_runs` -> why its trades end, all of it met."""


@pytest.mark.parametrize("account", ACCOUNTS)
def test_trades_are_those_of_the_run_without_an_adapter(memory: Path, account: str) -> None:
    """Every record but the broker's own inputs: fills, trades, floors, marks, days and attempts, to the cent."""
    given, reasons = ACCOUNTS[account]
    world = SentWorld(wild(walk(DAYS)), **given)

    play_sent(world, memory / "computed", sends=False)
    play_sent(world, memory / "sent")

    expected = ours(memory / "computed")
    assert ours(memory / "sent") == expected
    assert {content["reason"] for kind, content in expected if kind == "trade"} == reasons
    assert sum(kind == "cancelled" for kind, _ in expected) > 100 or account != "thin market"


@pytest.mark.parametrize(("phase", "a_bar"), [(1, 0), (2, 0), (2, 1)])
def test_fills_in_parts_leave_books_that_agree_to_the_cent(memory: Path, phase: int, a_bar: int) -> None:
    """Three executions a fill, each a tick worse and a second later than the one before; of an exit one a bar."""
    world = SentWorld(wild(walk(DAYS[:1]), 2), phase=phase, parts=Parts(3, a_bar))

    play_sent(world, memory)

    book, found = account_book(records(memory)), records(memory)
    told = [each for record in found if record.type == "executions" for each in record.payload["executions"]]
    fills = [record.payload for record in found if record.type == "fill"]
    assert [check.fault for check in reconcile(book, world.trading.venue.terms.tick_value)] == [""] * 4
    assert sum(fill.get("parts", 1) for fill in fills) == len(told) >= 30
    whole = [fill for fill in fills if fill["reason"] == "entry"] if a_bar else fills
    assert {fill["parts"] for fill in whole} == {3}
    assert (len(fills) > 3 * len(trades_of(book))) == (a_bar > 0), "what is left open leaves in bars of its own"
    refused = {record.payload["reason"] for record in found if record.type == "order"} - {""}
    assert refused == ({"it is being closed"} if a_bar else set())
    spent = -sum(each["quantity"] * each["price"] for each in told) * world.trading.venue.terms.tick_value
    paid = sum(abs(each["quantity"]) for each in told) * world.trading.venue.terms.commission
    assert sum(trade.trade.pnl for trade in trades_of(book)) == spent - paid
    bars = book.bars.holding([trade.trade.exit_ns for trade in trades_of(book)])
    assert bars.tolist() == [event.bar for event in book.of("trade")]


class FillsOn(SimulatedBroker):
    """Lets the rest of an entry work on, and fills a contract of it at the last close before its cancel comes."""

    _last = 0

    def move(self, by: MarketMoves) -> None:
        """As it was told."""
        super().move(by)
        self._last = by.bar.close if isinstance(by, MarketMinute) else by.close

    def cancel(self, order_id: str) -> OrderState:
        """Once for each thin bar, unless a position was closed in it."""
        book, ordered = self._book, self._book.brackets[order_id]
        told, held = book.orders[order_id], book.held
        if told.status != "cancelled" or held.position.quantity != told.filled or abs(told.filled) > 1:
            return super().cancel(order_id)
        side, number = (1 if ordered.quantity > 0 else -1), held.executions + 1
        if not told.filled:  # an open position of none, from which it begins
            legs = {"stop": self._last - side * ordered.stop_ticks, "target": self._last + side * ordered.target_ticks}
            held = held._replace(position=FLAT._replace(entry=self._last, stop_ticks=ordered.stop_ticks, **legs))
        more = {"number": number, "leg": "entry", "quantity": side, "price": self._last, "ts_event_ns": 7}
        kept = (*book.kept, Execution.model_validate({"order_id": order_id, **more}))
        after = enter_more(held, ToldFill(number, "entry", side, self._last, 7), self._venue).state
        orders = {**book.orders, order_id: told.model_copy(update={"filled": told.filled + side})}
        self._book = book._replace(held=after, orders=orders, live=order_id, kept=kept)
        return super().cancel(order_id)


def test_an_entry_that_fills_on_until_its_rest_is_cancelled_is_one_position(memory: Path) -> None:
    """In a thin market, where a bar fills one contract: books agree to the cent, and every byte comes out again."""
    world = SentWorld(wild(walk(DAYS[:1]), 2), costs={"volume_share": "0.01"})
    broker = world.broker(memory, FillsOn)

    assert play_sent(world, memory, ask=BrokerDesk(broker, broker).ask).complete
    broker.close()

    found = records(memory)
    book = account_book(found)
    entered = Counter(
        each.payload["order"] for each in found if each.type == "fill" and each.payload["reason"] == "entry"
    )
    two = [trade.trade for trade in trades_of(book) if abs(trade.trade.quantity) == 2]
    assert [check.fault for check in reconcile(book, world.trading.venue.terms.tick_value)] == [""] * 4
    assert len(two) > 5 and {entered[trade.order_id] for trade in two} == {2}
    recording = Recording(memory / "run" / "journal.jsonl", examine_journal(memory / "run" / "journal.jsonl").verified)
    Runner(recording, NobodyAnswers(), world.views, world.setting(sends=True)).run()
    assert bytes(recording.derived) == (memory / "run" / "journal.jsonl").read_bytes()


def standing(last_bar: int) -> Standing:
    """Halted and flat for a while, at bars at which an order works or is open."""
    if last_bar % 100 in range(30, 45):
        return "halted"
    return "flat" if last_bar % 100 in range(70, 80) else "trading"


def test_sessions_that_break_off_and_a_persons_word_come_to_the_same(memory: Path) -> None:
    """What is open when a session ends without a bar leaves at the last price, by the broker's word too."""
    left = [bar for bar in walk(DAYS) if bar.seq % 450 <= 266]
    world = SentWorld([bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(left)])

    play_sent(world, memory / "computed", sends=False, operator=standing)
    play_sent(world, memory / "sent", operator=standing)

    expected = ours(memory / "computed")
    assert ours(memory / "sent") == expected
    assert {content["reason"] for kind, content in expected if kind == "trade"} >= {"flatten", "session_end"}
    assert "operator" in {content["code"] for kind, content in expected if kind == "cancelled"}


def test_the_broker_is_asked_while_something_is_open_or_works(tmp_path: Path) -> None:
    """Its word stands in the record before what follows from it: intent, answer, bar, executions, fill."""
    play_few(tmp_path)

    kinds = [record.type for record in records(tmp_path)]
    first = kinds.index("intent")
    assert kinds[first : first + 5] == ["intent", "order", "bar", "executions", "fill"]
    assert all(kinds[n - 1] in ("executions", "fill", "trade") for n, kind in enumerate(kinds) if kind == "fill")
    unsynced = [each for each in records(tmp_path) if each.type in ("intent", "order") and not each.synced]
    told = [each for each in records(tmp_path) if each.type == "executions"]
    assert unsynced == [] and all(each.synced == bool(each.payload["executions"]) for each in told)


WORLD = SentWorld(few_bars())


def word(last_bar: int) -> Standing:
    """Halted while an order works, and flat while a position is open; one is open when the bars end."""
    return "halted" if last_bar == 3 else "flat" if last_bar in (19, 20) else "trading"


play_few = partial(play_sent, WORLD, operator=word)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    play_few(folder)
    return folder


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(memory: Path, whole: Path) -> None:
    """Before and after every write of the journal and every question to the broker; both journals are compared."""
    kinds = killed_at_every_step(play_few, memory, written(whole))

    sent = {record.payload["code"] for record in records(whole) if record.type == "cancelled"}
    left = {record.payload["reason"] for record in records(whole) if record.type == "trade"}
    assert [record.type for record in records(whole)[-6:-3]] == ["bars_ended", "executions", "fill"]
    assert sent == {"operator"} and left >= {"stop", "flatten", "session_end"}, "cancel and flatten are among them"
    assert kinds >= {"OrderSent", "ExecutionsAsked", "Acknowledged", "HoldingsWanted", "intent", "order", "executions"}


@pytest.mark.parametrize("done", [False, True], ids=["before its work", "after its work"])
def test_a_broker_killed_at_any_question_changes_no_byte(memory: Path, whole: Path, done: bool) -> None:
    assert broker_killed_at_every_question(WORLD, play_few, memory, written(whole), done=done) > 25


def stopped_at(folder: Path, where: str, nth: int = 1) -> None:
    """A run in ``folder`` that ends at the ``nth`` such step."""
    seen: list[str] = []

    def step(at: str) -> None:
        seen.append(at)
        if seen.count(where) == nth:
            raise Killed

    with pytest.raises(Killed):
        play_few(folder, step=step)


def test_executions_that_were_not_taken_are_taken_in_at_the_next_start(tmp_path: Path, whole: Path) -> None:
    """The broker had filled the entry, and the run died before it was told."""
    stopped_at(tmp_path, "after ExecutionsAsked", 2)  # the first is the comparison of a start
    asked: list[str] = []

    play_few(tmp_path, step=asked.append)

    first = next(record for record in records(tmp_path) if record.type == "executions")
    assert [each["leg"] for each in first.payload["executions"]] == ["entry", "stop"]
    assert asked[:6:2] == ["before ExecutionsAsked", "before HoldingsWanted", "before Acknowledged"]
    assert written(tmp_path) == written(whole)


def test_nothing_is_asked_of_a_broker_for_a_recording_that_has_ended(tmp_path: Path, whole: Path) -> None:
    def ask(question: BrokerAsked) -> BrokerAnswer:
        raise AssertionError(question)

    folder = Path(shutil.copytree(whole, tmp_path / "ended"))

    assert play_few(folder, ask=ask).complete
    assert written(folder) == written(whole)


FOREIGN = Execution(number=4, order_id="by-hand", leg="entry", quantity=-1, price=70_000, ts_event_ns=0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"quantity": -7}, "it holds -7 contracts, and by record and executions it holds"),
        ({"executions": 0}, "it has told 0 executions and the record holds 3: it has lost its own record"),
        ({"executions": 9}, "it counts 9 executions and tells 0 after number 3"),
        ({"working": ("by-hand",)}, "order by-hand works there, and the record knows of no such order"),
        ({"told": (FOREIGN,), "executions": 4}, "execution number 4 is of order by-hand, which neither works nor is"),
    ],
    ids=["quantity", "lost", "kept back", "an order", "an execution"],
)
def test_a_difference_at_a_start_that_nothing_explains_stops_the_run_and_loses_nothing(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """A position is open by the record; once the two agree, the same command goes on."""
    stopped_at(tmp_path, "after mark", 3)
    before = written(tmp_path)

    with pytest.raises(UnexplainedError, match=said) as stopped:
        play_few(tmp_path, ask=Meddled(WORLD, tmp_path, **changed).ask)

    assert stopped.value.exit_code == 3 and "look at the account at the broker" in str(stopped.value)
    assert written(tmp_path) == before
    assert play_few(tmp_path).complete


def test_an_order_that_works_by_the_record_and_not_at_the_broker_stops_the_run(tmp_path: Path) -> None:
    stopped_at(tmp_path, "after order")

    with pytest.raises(UnexplainedError, match="works by the record, and not there"):
        play_few(tmp_path, ask=Meddled(WORLD, tmp_path, working=()).ask)


def test_an_account_that_is_not_flat_is_not_begun_with(tmp_path: Path) -> None:
    with pytest.raises(UnexplainedError, match="it holds 2 contracts, and by record and executions it holds 0"):
        play_few(tmp_path, ask=Meddled(WORLD, tmp_path, quantity=2).ask)


def test_a_missing_execution_stops_the_run(tmp_path: Path) -> None:
    """After it was asked for twice: the position is not known then."""

    class Gap(SimulatedBroker):
        """Tells every execution but the first of those that it keeps."""

        def executions(self, after: int) -> tuple[Execution, ...]:
            """With the defect."""
            found = super().executions(after)
            return tuple(each.model_copy(update={"number": each.number + 1}) for each in found)

    broker = WORLD.broker(tmp_path, Gap)
    with pytest.raises(ExecutionGapError, match="does not tell execution 1") as stopped:
        play_few(tmp_path, ask=BrokerDesk(broker, broker).ask)
    broker.close()
    assert stopped.value.exit_code == 3


class Rejecting(SimulatedBroker):
    """Takes every other order."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With a broker's own limits."""
        if int(bracket.order_id, 16) % 2 and bracket.order_id not in self._book.orders:
            return OrderState(order_id=bracket.order_id, status="rejected", reason="margin")
        return super().submit(bracket)


def test_an_order_that_the_broker_rejects_is_no_order_and_the_run_goes_on(tmp_path: Path) -> None:
    broker = WORLD.broker(tmp_path, Rejecting)
    assert play_few(tmp_path, ask=BrokerDesk(broker, broker).ask).complete
    broker.close()

    found = records(tmp_path)
    rejected = [
        each.payload["order"] for each in found if each.type == "order" and each.payload["status"] == "rejected"
    ]
    cancelled = [each.payload for each in found if each.type == "cancelled" and each.payload["code"] == "rejected"]
    filled = {each.payload["order"] for each in found if each.type == "fill"}
    assert rejected and [each["order"] for each in cancelled] == rejected
    assert filled and not filled & set(rejected)


class NobodyAnswers(SentAnswers):
    """Nobody is there: where the recording ends, so does the run."""

    def __init__(self) -> None:
        super().__init__(WORLD, self._stop)

    def next_bar(self, seq: int) -> FeedBar | None:
        """None comes."""
        raise StopAskedError

    def _stop(self, asked: BrokerAsked) -> BrokerAnswer:
        raise StopAskedError


def test_a_recording_is_derived_again_without_the_broker(tmp_path: Path, whole: Path) -> None:
    """Cut after any record, too: what is recorded is followed, and nobody is asked."""
    lines = written(whole)[0].splitlines(keepends=True)

    for count in range(1, len(lines) + 1):
        path = tmp_path / "journal.jsonl"
        path.write_bytes(b"".join(lines[:count]))
        recording = Recording(path, examine_journal(path).verified)
        Runner(recording, NobodyAnswers(), WORLD.views, WORLD.setting(sends=True)).run()
        assert bytes(recording.derived) == b"".join(lines[:count])


def test_a_forged_execution_is_found_out(tmp_path: Path, whole: Path) -> None:
    """Its price counts, so the fill that follows differs; one of another order is refused outright."""
    for changed, error in (({"price": 1}, JournalMismatch), ({"order_id": "forged"}, UnexplainedError)):
        chain, lines, forged = Chain(), [], False
        for record in records(whole):
            payload = dict(record.payload)
            if record.type == "executions" and payload["executions"] and not forged:
                payload["executions"], forged = [{**payload["executions"][0], **changed}], True
            lines.append(chain.line(record.type, payload, sync=record.synced))
            chain = chain.after(lines[-1], sync=record.synced)
        path = tmp_path / "journal.jsonl"
        path.write_bytes(b"".join(lines))
        recording = Recording(path, examine_journal(path).verified)

        with pytest.raises(error):
            Runner(recording, NobodyAnswers(), WORLD.views, WORLD.setting(sends=True)).run()
