"""The loop: a run cut anywhere and continued has the same bytes, and a changed input is refused."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest
from played_runs import TRADING, ScriptedAnswers, ScriptedViews, Verdicts, walk

from llm_gate.contract import Approve, EntryProposal, GateFailed, Outcome, Resize, Reviewed, Veto
from orchestrator.journal.journal import ForeignJournalError, Journal, JournalMismatch, read_journal
from orchestrator.journal.lines import Record
from orchestrator.messaging.catalogue import Bar
from orchestrator.run.deferred_answers import DeferredAnswers
from orchestrator.run.runner import FeedBar, Finished, Runner, StopAskedError
from orchestrator.trader.state import PolicyAnswered, Setting
from rl_core.contract import BUY, HOLD, SELL
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import compile_trading

Actions = Mapping[int, int]
Given = TypeVar("Given")

COMPILED = compile_trading(TRADING, instrument("NQ"))
SETTING = Setting(
    run_id="0" * 32,
    phase=1,
    venue=COMPILED.venue,
    limits=COMPILED.limits,
    gated=True,
    shadow=False,
    fail_factor=Decimal("0"),
    max_entries_per_session=1000,
)
SCRIPT: tuple[Outcome, ...] = (
    Approve(),
    Veto(reason="against the trend"),
    Resize(size_factor=Decimal("0.5"), reason="late"),
    GateFailed(cause="timeout"),
    Resize(size_factor=Decimal("0.001"), reason="tiny"),
)


def verdicts(number: int) -> Outcome:
    """Every kind in turn."""
    return SCRIPT[number % len(SCRIPT)]


def few_bars() -> list[Bar]:
    """Forty minutes from 15:15 on, then silence until 16:55, then the next morning's first quarter of an hour."""
    bars = walk(("2024-06-03", "2024-06-04"))
    chosen = [*bars[345:385], *bars[445:450], *bars[450:465]]
    return [bar.model_copy(update={"seq": seq}) for seq, bar in enumerate(chosen)]


BARS = few_bars()
VIEWS = ScriptedViews(BARS)
ACTIONS = {bar.seq: BUY if bar.seq % 2 else SELL for bar in BARS[::3]}


class Answers(ScriptedAnswers):
    """The verdict follows the proposal, not the count, so that a continued run is judged alike; counts questions."""

    def __init__(self, bars: list[Bar] = BARS, actions: Actions = ACTIONS, judge: Verdicts = verdicts) -> None:
        super().__init__(bars, actions, judge)
        self.asked: list[str] = []

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar."""
        self.asked.append("bar")
        return super().next_bar(seq)

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The action."""
        self.asked.append("act")
        return super().act(bar_seq, observation, legal)

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The verdict."""
        self.asked.append("review")
        self._reviewed = int(proposal.proposal_id, 16)
        return super().review(proposal)


def run(path: Path, answers: ScriptedAnswers | None = None, setting: Setting = SETTING) -> Finished:
    """A run over the journal at ``path``, new or continued."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with Journal.open(path) as journal:
        return Runner(journal, answers or Answers(), VIEWS, setting).run()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a run that nothing stopped."""
    path = tmp_path_factory.mktemp("runs") / "whole" / "journal.jsonl"
    run(path)
    return path.read_bytes()


def records(tmp_path: Path, content: bytes) -> list[Record]:
    """The records of a journal's bytes."""
    path = tmp_path / "shown.jsonl"
    path.write_bytes(content)
    return list(read_journal(path))


def written(folder: Path, content: bytes) -> Path:
    """A run's folder whose journal holds ``content``."""
    folder.mkdir(mode=0o700)
    path = folder / "journal.jsonl"
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def test_a_run_meets_every_kind_of_record(tmp_path: Path, whole: bytes) -> None:
    """Otherwise the cuts below would prove little."""
    found = records(tmp_path, whole)
    kinds = {record.type for record in found}
    codes = {record.payload["code"] for record in found if record.type == "proposal_closed"}

    assert kinds >= {"bar", "acted", "proposed", "decided", "intent", "fill", "trade", "mark", "session_closed"}
    assert [record.type for record in found[-5:]] == ["bars_ended", "fill", "trade", "session_closed", "end"]
    assert codes == {"vetoed", "gate_failed", "resize_to_zero"}


def test_every_event_is_recorded_before_what_follows_from_it(tmp_path: Path, whole: bytes) -> None:
    """The first decision, in the order of the record: bar, action, proposal, verdict; then the order or its end."""
    kinds = [record.type for record in records(tmp_path, whole)]

    assert kinds[:6] == ["run", "bar", "account_opened", "acted", "proposed", "decided"]
    assert all(kinds[i + 1] in ("intent", "proposal_closed") for i, kind in enumerate(kinds) if kind == "decided")
    assert all(kinds[i - 1] in ("bar", "bars_ended") for i, kind in enumerate(kinds) if kind == "fill")


def test_what_an_order_rests_on_is_on_disk_before_it_leaves(tmp_path: Path, whole: bytes) -> None:
    """Intent, fill and end outlive a loss of power, and a verdict as soon as its order or its end is recorded.

    A bar or an action would only be asked for again.
    """
    found = records(tmp_path, whole)
    after_verdicts = [found[place + 1] for place, record in enumerate(found) if record.type == "decided"]

    assert {record.type for record in found if record.synced} == {"intent", "proposal_closed", "fill", "end"}
    assert not {record.type for record in found if not record.synced} & {"intent", "fill", "end"}
    assert all(record.synced for record in after_verdicts)
    assert {record.type for record in after_verdicts} == {"intent", "proposal_closed"}


def test_cut_after_any_record_and_continued_the_bytes_are_the_same(tmp_path: Path, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)

    for count in range(len(lines) + 1):
        path = written(tmp_path / f"cut-{count}", b"".join(lines[:count]))
        assert run(path).complete
        assert path.read_bytes() == whole, f"cut after record {count}"
    assert len(lines) > 100


def test_a_torn_last_record_is_made_again(tmp_path: Path, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    path = written(tmp_path / "torn", b"".join(lines[:40]) + lines[40][:17])

    run(path)

    assert path.read_bytes() == whole


def test_what_is_recorded_is_not_asked_again(tmp_path: Path, whole: bytes) -> None:
    answers = Answers([], {}, lambda number: Veto(reason="never asked"))
    path = written(tmp_path / "replay", whole)

    done = run(path, answers)

    assert answers.asked == []
    assert (done.complete, done.bars, path.read_bytes()) == (True, len(BARS), whole)


def test_a_changed_setting_is_no_replay(tmp_path: Path, whole: bytes) -> None:
    limits = SETTING.limits._replace(risk_budget=40_000)
    for number, setting in enumerate((SETTING._replace(limits=limits), SETTING._replace(shadow=True))):
        path = written(tmp_path / str(number), whole)
        with pytest.raises(JournalMismatch, match="was recorded"):
            run(path, setting=setting)
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("type", "change"),
    [
        ("bar", {"open": 1}),
        ("acted", {"action": 9}),
        ("acted", {"action": HOLD}),
        ("decided", {"outcome": {"kind": "veto", "reason": "forged"}}),
    ],
)
def test_a_changed_input_is_no_replay(tmp_path: Path, whole: bytes, type: str, change: dict[str, object]) -> None:
    """The journal is forged with whole checksums: one input differs, what followed from it does not."""
    found = records(tmp_path, whole)
    intent = next(record.number for record in found if record.type == "intent")
    around = found[intent:] if type == "bar" else found[intent - 5 : intent]
    forged = next(record for record in around if record.type == type)
    path = tmp_path / "forged" / "journal.jsonl"
    path.parent.mkdir(mode=0o700)
    with Journal.open(path) as journal:
        for record in found:
            payload = {**record.payload, **change} if record is forged else record.payload
            journal.append(record.type, payload, sync=record.synced)

    with pytest.raises(JournalMismatch):
        run(path)


def test_asked_to_stop_it_ends_between_two_bars_and_goes_on_later(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "stopped" / "journal.jsonl"
    path.parent.mkdir(mode=0o700)
    played: list[int] = []
    with Journal.open(path) as journal:
        runner = Runner(journal, Answers(), VIEWS, SETTING)
        done = runner.run(stop_asked=lambda: len(played) == 20, on_bar=played.append)
    before = path.read_bytes()

    run(path)

    assert (done.complete, done.bars, played[-1]) == (False, 20, 20)
    assert whole.startswith(before) and path.read_bytes() == whole


class Stopping(Answers):
    """The user asks to stop while the n-th question, of whatever kind, is waited for."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar."""
        return self._unless_asked(super().next_bar(seq))

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The action."""
        return self._unless_asked(super().act(bar_seq, observation, legal))

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The verdict."""
        return self._unless_asked(super().review(proposal))

    def _unless_asked(self, answer: Given) -> Given:
        if len(self.asked) == self._at:
            raise StopAskedError
        return answer


@pytest.mark.parametrize(("at", "kind"), [(1, "bar"), (2, "act"), (3, "review"), (40, "review")])
def test_asked_to_stop_while_an_answer_is_waited_for_it_goes_on_later(
    tmp_path: Path, whole: bytes, at: int, kind: str
) -> None:
    path, stopping = tmp_path / "stopped" / "journal.jsonl", Stopping(at)

    stopped = run(path, stopping)
    before = path.read_bytes()
    done = run(path)

    assert (stopped.complete, stopping.asked[-1], stopping.asked.count("bar") - 1) == (False, kind, stopped.bars)
    assert whole.startswith(before) and before != whole
    assert (done.complete, path.read_bytes()) == (True, whole)


def test_who_answers_is_made_ready_once_and_only_where_the_record_ends(tmp_path: Path, whole: bytes) -> None:
    """A whole recording needs nobody: no worker and no model server is started for it."""
    made: list[Answers] = []

    def made_ready() -> Answers:
        made.append(Answers())
        return made[-1]

    lines = whole.splitlines(keepends=True)
    counts = []
    for number, content in enumerate((whole, b"".join(lines[:40]), b"")):
        path = written(tmp_path / str(number), content)
        with Journal.open(path) as journal:
            Runner(journal, DeferredAnswers(made_ready), VIEWS, SETTING).run()
        counts.append(len(made))
        assert path.read_bytes() == whole

    assert counts == [0, 1, 2]


def test_a_journal_that_names_no_run_is_continued_as_it_began(tmp_path: Path, whole: bytes) -> None:
    """Journals of before begin with their first bar; cut anywhere, they come to the bytes that they had then."""
    path = tmp_path / "before" / "journal.jsonl"
    path.parent.mkdir(mode=0o700)
    with Journal.open(path) as journal:
        for record in records(tmp_path, whole)[1:]:
            journal.append(record.type, record.payload, sync=record.synced)
    before = path.read_bytes()
    lines = before.splitlines(keepends=True)

    for count in (1, 2, 40, len(lines)):
        cut = written(tmp_path / f"before-{count}", b"".join(lines[:count]))
        assert run(cut).complete
        assert cut.read_bytes() == before


def test_the_journal_of_another_run_is_refused_by_its_first_record(tmp_path: Path, whole: bytes) -> None:
    path = written(tmp_path / "other", whole)

    with pytest.raises(ForeignJournalError, match=f"record of run {'0' * 32}, and this folder is of run {'1' * 32}"):
        run(path, setting=SETTING._replace(run_id="1" * 32))

    assert path.read_bytes() == whole


@pytest.mark.parametrize("action", [5, 3, -1])
def test_an_illegal_action_becomes_hold_and_is_told(tmp_path: Path, action: int) -> None:
    path = tmp_path / "run" / "journal.jsonl"

    run(path, Answers(actions=dict.fromkeys(range(len(BARS)), action)))

    acted = [record.payload for record in read_journal(path) if record.type == "acted"]
    assert acted and all((p["action"], p["source"]) == (HOLD, "illegal") for p in acted)
    assert not any(record.type == "proposed" for record in read_journal(path))


def test_a_verdict_on_another_proposal_is_foreign(tmp_path: Path) -> None:
    class Crossed(Answers):
        """Answers to an id that nobody asked about."""

        def review(self, proposal: EntryProposal) -> Reviewed:
            """Always yes."""
            return super().review(proposal).model_copy(update={"proposal_id": "f" * 32, "outcome": Approve()})

    path = tmp_path / "run" / "journal.jsonl"

    run(path, Crossed())

    decided = [record.payload for record in read_journal(path) if record.type == "decided"]
    assert {p["outcome"]["cause"] for p in decided} == {"foreign"} and "f" * 32 not in {p["proposal"] for p in decided}
    assert not any(record.type == "intent" for record in read_journal(path))


def test_an_entry_while_a_position_is_open_becomes_hold(tmp_path: Path) -> None:
    """Phase 2 is asked while it holds, and may then manage, not enter."""
    path = tmp_path / "run" / "journal.jsonl"

    run(path, Answers(actions=dict.fromkeys(range(len(BARS)), BUY)), SETTING._replace(phase=2, gated=False))

    acted = [(r.payload["action"], r.payload["source"]) for r in read_journal(path) if r.type == "acted"]
    assert set(acted) == {(BUY, "policy"), (HOLD, "illegal")}
