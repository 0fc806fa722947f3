"""Many accounts at shared desks: each has the journal that it has alone, whatever becomes of the others."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from pydantic import BaseModel

from llm_gate.contract import Approve, EntryProposal, GateFailed, Outcome, RegimeContext, Reviewed, Reviews
from llm_gate.engines.rules import RulesEngine
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, load_prompt
from llm_gate.review.gate import Gate, GateConfig
from orchestrator.journal.journal import read_journal
from orchestrator.messaging.catalogue import CATALOGUE, Bar
from orchestrator.messaging.runner_end import Missed, NoReplyError, Pending
from orchestrator.messaging.wire import Array, Envelope, Received, Reply, decode, encode
from orchestrator.run.account_run import AccountRun, AskedOf, OwnBars
from orchestrator.run.accounts import go_round
from orchestrator.run.config import RunConfig
from orchestrator.run.desks import AnyDesk, Desk, FeedTalk, GateTalk, PolicyTalk
from orchestrator.run.folder import RunFolder
from orchestrator.run.plan import RunPlan, plan_run
from orchestrator.run.runner import ActionAsked, Answer, FeedBar, ReviewAsked
from orchestrator.run.simulate import RunHooks
from orchestrator.trader.state import PolicyAnswered
from orchestrator.workers.crew import Crew
from orchestrator.workers.feed import Feed
from orchestrator.workers.gate import GateServer
from orchestrator.workers.policy import PolicyServer
from rl_core.checkpoints.policy import load_trader
from rl_core.contract import PolicyQueries, PolicyReplies, PolicyReply
from tests.orchestrator.played_files import FileWorld
from tests.proposals import CONTEXT
from trigate.errors import ProcessNotReadyError

Worker = Callable[[Received], Reply]


class CrewHere:
    """A worker in this process; every message travels as bytes, and some questions are missed on the way."""

    def __init__(self, worker: Worker, *, every: int = 0, missed: Missed = "timeout", given_up_at: int = 0) -> None:
        """Miss every so many questions; the one of number ``given_up_at`` ends the worker for good."""
        self._worker, self._every, self._missed, self._given_up_at = worker, every, missed, given_up_at
        self._answer: Received | None = None
        self.asked = 0
        self.blamed: list[str] = []
        self.most = 0
        """Questions in one message, at most."""

    def can_answer(self, worker: str) -> bool:
        """It is never being started again."""
        return True

    def refuse_answer(self, worker: str, cause: str) -> None:
        """Kept."""
        self.blamed.append(cause)

    def begin_asking(
        self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float
    ) -> Pending:
        """Answer at once, and keep it."""
        self.asked += 1
        assert self.asked < 20_000, "a question that is asked for ever"
        if self.asked == self._given_up_at:
            raise ProcessNotReadyError("policy: killed by SIGKILL; 5 restarts in 10 minutes did not help")
        sent = decode(encode(Envelope("r", "q-1", None, message, arrays), CATALOGUE), CATALOGUE)
        self.most = max(self.most, len(message.queries) if isinstance(message, PolicyQueries) else 1)
        reply = self._worker(Received("runner", "q-1", sent.message, sent.arrays))
        back = decode(encode(Envelope("r", "w-1", "q-1", *reply), CATALOGUE), CATALOGUE)
        self._answer = Received(worker, "w-1", back.message, back.arrays)
        return cast(Pending, worker)

    def answer_to(self, pending: Pending, *, wait_s: float) -> Received | None:
        """The answer, unless it is to be missed."""
        if self._every and self.asked % self._every == 0:
            self.asked += 1
            raise NoReplyError("worker", self._missed, "as scripted")
        return self._answer


class Listener:
    """Somebody at a desk, who keeps what is said."""

    def __init__(self) -> None:
        self.answers: list[Answer | Exception] = []
        self.events: list[str] = []

    def take(self, answer: Answer | Exception) -> None:
        """Kept."""
        self.answers.append(answer)

    def noted(self, event: str, **fields: str | float | int | None) -> None:
        """Kept."""
        self.events.append(event)


PROPOSAL = EntryProposal(
    proposal_id="a" * 32,
    side="buy",
    quantity=2,
    stop_atr_milli=1500,
    target_atr_milli=4500,
    context=RegimeContext.model_validate(CONTEXT),
)


def reviewed_as(outcome: Outcome) -> Reviewed:
    """The gate's reply to `PROPOSAL`."""
    names = {"prompt_digest": "0" * 64, "engine": "vllm", "model": "m", "reason_source": "none", "latency_s": 0.0}
    return Reviewed.model_validate({"proposal_id": "a" * 32, "outcome": outcome, "probabilities": None, **names})


class Shared(NamedTuple):
    """Desks over workers in this process."""

    desks: tuple[AnyDesk, ...]
    crews: dict[str, CrewHere]


@contextmanager
def desks_over(world: FileWorld, plan: RunPlan, **policy: Any) -> Iterator[Shared]:
    """A feed of the whole file, the policy of the world, asked as ``policy`` says, and the gate of three rules."""
    with asyncio.Runner() as loop:
        gate = GateServer(Gate(RulesEngine(), load_prompt(Path(DEFAULT_PROMPT)), GateConfig()), loop)
        policy_server = PolicyServer(load_trader(world.checkpoint))
        crews = {
            "feed": CrewHere(Feed(plan.bars, None).next_bars, every=7),
            "policy": CrewHere(policy_server.decide_each, **policy),
            "gate": CrewHere(gate.review_several, every=3, missed="failed"),
        }
        feed, policy_crew, gate_crew = (cast(Crew, crew) for crew in crews.values())
        desks = (
            Desk("feed", feed, FeedTalk()),
            Desk("policy", policy_crew, PolicyTalk()),
            Desk("gate", gate_crew, GateTalk(1.0)),
        )
        yield Shared(desks, crews)


def planned(world: FileWorld, runs: Path, name: str, **settings: object) -> RunPlan:
    """The plan of one account, which begins at the file's second session."""
    given = {"bars": world.bars, "checkpoint": world.checkpoint, "part": "all", "gate": {"engine": "rules"}}
    return plan_run(RunConfig.model_validate({**given, "runs": runs, "name": name, **settings}))


def seated(plan: RunPlan, shared: Shared, **hooks: Any) -> AccountRun:
    """The account at the desks, with its first question asked."""
    run = AccountRun(plan.config.name, plan, RunHooks(**hooks))
    feed, policy, gate = shared.desks
    bars = OwnBars(plan.span.first, plan.span.stop - plan.span.first, int(plan.bars.contract[plan.span.first]))
    asked_of = AskedOf(cast(Any, feed), bars, cast(Any, policy), None if not plan.setting.gated else cast(Any, gate))
    run.begin(plan.views(), asked_of)
    return run


ANSWERS = 4  # that a policy gives before it gives none

ACCOUNTS: dict[str, dict[str, object]] = {
    "two-sessions": {"sessions": 2},
    "other-rules": {"sessions": 1, "trading": {"rules": "plain_static", "risk_dollars": 300}},
    "ungated": {"sessions": 1, "gate": {"engine": "off"}},
}


@pytest.fixture(scope="module")
def alone(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digest of the journal of each account that has the desks for itself, where nothing is ever missed."""
    found = {}
    for name, settings in ACCOUNTS.items():
        plan = planned(file_world, tmp_path_factory.mktemp(name), name, **settings)
        with desks_over(file_world, plan) as shared:
            run = seated(plan, shared)
            go_round([run], shared.desks)
        found[name] = digest_of(run.folder)
    return found


def digest_of(folder: RunFolder) -> str:
    """Of the bytes of a journal: two that differ differ in thousands of lines, which nobody wants to see."""
    return hashlib.sha256(folder.journal.read_bytes()).hexdigest()


def types(folder: RunFolder) -> set[str]:
    """What kinds of records a journal has."""
    return {record.type for record in read_journal(folder.journal)}


def test_accounts_that_share_workers_have_the_journals_that_they_have_alone(
    file_world: FileWorld, alone: dict[str, str], tmp_path: Path
) -> None:
    """Whatever was missed on the way was asked again, and several asked in one message; no two journals are equal."""
    plans = [planned(file_world, tmp_path, name, **settings) for name, settings in ACCOUNTS.items()]
    with desks_over(file_world, plans[0], every=5, missed="timeout") as shared:
        runs = [seated(plan, shared) for plan in plans]
        go_round(runs, shared.desks)

    assert {run.name: digest_of(run.folder) for run in runs} == alone
    assert len(set(alone.values())) == len(ACCOUNTS)
    assert all(run.became is not None and run.became.state == "ended" for run in runs)
    assert {"trade", "decided"} <= types(runs[0].folder) and "decided" not in types(runs[2].folder)
    assert shared.crews["policy"].most >= 3, "several observations in one message"
    events = (runs[0].folder.path / "telemetry.jsonl").read_text()
    assert "policy_missed" in events and "feed_missed" in events and "reviewed" in events


def test_a_worker_that_is_given_up_ends_those_who_ask_it_and_nobody_else(
    file_world: FileWorld, alone: dict[str, str], tmp_path: Path
) -> None:
    """Another policy's account plays to its end; the same command takes the other up where it failed."""
    lost, other = (planned(file_world, tmp_path, name, **ACCOUNTS[name]) for name in ("other-rules", "ungated"))
    with desks_over(file_world, lost, given_up_at=ANSWERS) as failing, desks_over(file_world, other) as whole:
        runs = [seated(lost, failing), seated(other, whole)]
        go_round(runs, [*failing.desks, *whole.desks])

    assert [run.became and run.became.state for run in runs] == ["failed", "ended"]
    assert runs[0].became is not None and runs[0].became.exit_code == 5
    assert "5 restarts in 10 minutes did not help" in runs[0].became.word
    assert (runs[0].folder.manifest().status, runs[1].folder.manifest().status) == ("failed", "ended")
    assert digest_of(runs[1].folder) == alone["ungated"]

    with desks_over(file_world, lost) as shared:
        again = seated(lost, shared)
        go_round([again], shared.desks)
    assert again.folder.path == runs[0].folder.path
    assert digest_of(again.folder) == alone["other-rules"]


def test_accounts_that_are_asked_to_stop_wait_for_nobody_and_go_on_later(
    file_world: FileWorld, alone: dict[str, str], tmp_path: Path
) -> None:
    """The policy never answers again: a stop does not wait for it."""
    plan = planned(file_world, tmp_path, "ungated", **ACCOUNTS["ungated"])
    asked: list[bool] = []
    with desks_over(file_world, plan) as shared:
        policy = shared.crews["policy"]
        policy.can_answer = lambda worker: policy.asked < ANSWERS  # type: ignore[method-assign]
        run = seated(plan, shared, stop_asked=lambda: bool(asked))
        go_round([run], shared.desks, stop_asked=lambda: bool(asked), tend=lambda: _after(policy, asked))
    assert run.became is not None and run.became.state == "stopped"
    left = run.folder.journal.read_bytes()

    with desks_over(file_world, plan) as shared:
        again = seated(plan, shared)
        go_round([again], shared.desks)
    assert (again.folder.path, digest_of(again.folder)) == (run.folder.path, alone["ungated"])
    assert left and again.folder.journal.read_bytes().startswith(left)


def _after(policy: CrewHere, asked: list[bool]) -> None:
    if policy.asked >= ANSWERS:
        asked.append(True)


def test_our_own_mistake_in_one_account_is_that_account_s_alone(
    file_world: FileWorld, alone: dict[str, str], tmp_path: Path
) -> None:
    plans = [planned(file_world, tmp_path, name, **ACCOUNTS[name]) for name in ("other-rules", "ungated")]
    with desks_over(file_world, plans[0]) as shared:
        runs = [seated(plan, shared) for plan in plans]
        runs[0].take(ZeroDivisionError("planted"))
        go_round(runs, shared.desks)

    assert runs[0].became == ("failed", "ZeroDivisionError: planted", 1)
    assert digest_of(runs[1].folder) == alone["ungated"]


def fills_of(folder: RunFolder) -> list[dict[str, Any]]:
    """Fills, trades and marks, without the run's own names."""
    kinds = [record for record in read_journal(folder.journal) if record.type in ("fill", "trade", "mark")]
    return [{key: value for key, value in each.payload.items() if key not in ("order", "order_id")} for each in kinds]


def test_accounts_with_a_broker_each_trade_as_they_do_without(file_world: FileWorld, tmp_path: Path) -> None:
    """Stopped on the way and gone on with, too; one whose broker lost its own journal fails alone, by name."""
    names = ("other-rules", "ungated")
    sent = [planned(file_world, tmp_path / "a", name, broker="simulated", **ACCOUNTS[name]) for name in names]
    computed = [planned(file_world, tmp_path / "b", name, **ACCOUNTS[name]) for name in names]
    with desks_over(file_world, sent[0]) as shared:
        asked: list[bool] = []
        policy = shared.crews["policy"]
        runs = [seated(plan, shared, stop_asked=lambda: bool(asked)) for plan in sent]
        go_round(runs, shared.desks, stop_asked=lambda: bool(asked), tend=lambda: _when(policy.asked > 8, asked))
    assert {run.became and run.became.state for run in runs} == {"stopped"}
    assert all("executions" in types(run.folder) for run in runs)

    lost = runs[1].folder.path / "broker" / "journal.jsonl"
    kept = lost.rename(tmp_path / "kept.jsonl")
    with desks_over(file_world, sent[0]) as shared:
        again = [seated(plan, shared) for plan in sent]
        go_round(again, shared.desks)
    with desks_over(file_world, sent[0]) as shared:
        plain = [seated(plan, shared) for plan in computed]
        go_round(plain, shared.desks)

    assert [run.became and run.became.state for run in again] == ["ended", "failed"]
    assert again[1].became is not None and "it has lost its own record" in again[1].became.word
    kept.replace(lost)
    with desks_over(file_world, sent[0]) as shared:
        (last,) = [seated(sent[1], shared)]
        go_round([last], shared.desks)
    assert [fills_of(run.folder) for run in (again[0], last)] == [fills_of(run.folder) for run in plain]
    assert all(len(fills_of(run.folder)) > 20 for run in plain)


def _when(due: bool, asked: list[bool]) -> None:
    if due:
        asked.append(True)


class FailingServer:
    """A model server that, once it was suspected, is proven anew the third time that anybody looks."""

    def __init__(self) -> None:
        self.suspected, self._probing = 0, 0

    @property
    def state(self) -> str:
        """Probing at two looks after each suspicion."""
        state, self._probing = ("probing" if self._probing else "healthy"), max(0, self._probing - 1)
        return state

    def suspect(self) -> None:
        """Counted."""
        self.suspected += 1
        self._probing = 2

    def asked(self) -> None:
        """The gate asks it."""
        assert not self._probing, "nobody asks a server before it has proven itself"


@pytest.mark.parametrize(("failures", "outcome"), [(1, "approve"), (2, "approve"), (9, "gate_failed")])
def test_a_proposal_that_the_model_server_failed_is_asked_again_as_often_as_alone(failures: int, outcome: str) -> None:
    """Two failures are asked again, the third stands."""
    answers = [reviewed_as(GateFailed(cause="timeout")) for _ in range(failures)] + [reviewed_as(Approve())]
    talk, server, asker = GateTalk(1.0), FailingServer(), Listener()

    def judge(request: Received) -> Reply:
        server.asked()
        return Reply(Reviews(reviews=(answers.pop(0),)))

    crew = CrewHere(judge)
    talk.server = server
    desk = Desk("gate", cast(Crew, crew), talk)

    desk.put(asker, ReviewAsked(PROPOSAL))
    for _ in range(20):
        for who, answer in desk.turn():
            who.take(answer)

    (found,) = asker.answers
    assert isinstance(found, Reviewed) and found.outcome.kind == outcome
    assert asker.events == ["gate_asked_again"] * min(failures, 2) and server.suspected == min(failures, 2)


def holding(bar: int) -> PolicyReply:
    """The policy holds at the close of a bar."""
    return PolicyReply(bar_seq=bar, action=0, probabilities=(1.0, 0.0, 0.0))


def test_a_desk_takes_an_answer_to_something_else_for_none(tmp_path: Path) -> None:
    """The worker is blamed, and the question asked again."""
    replies = [holding(8), holding(7)]
    crew = CrewHere(lambda request: Reply(PolicyReplies(replies=(replies.pop(0),))))
    desk, asker = Desk("policy", cast(Crew, crew), PolicyTalk()), Listener()

    desk.put(asker, ActionAsked(7, np.zeros(225, np.float32), (True, True, True)))
    for _ in range(5):
        for who, answer in desk.turn():
            who.take(answer)

    assert asker.answers == [PolicyAnswered(0, "policy")] and crew.blamed == [
        "PolicyReplies is no answer to its question"
    ]


def test_bars_of_a_shared_feed_are_numbered_as_the_account_s_own() -> None:
    """Its first bar is the feed's 100th, and one of the two contract rolls lies before it."""
    bar = Bar(seq=103, ts_event_ns=60, open=1, high=2, low=1, close=2, volume=3, contract=2)

    own = OwnBars(first=100, length=50, rolls=1).own(FeedBar(bar, "d"))

    assert (own.bar.seq, own.bar.contract, own.seconds_digest, own.bar.close) == (3, 1, "d", 2)
