"""Nothing that fails changes what the runner is answered: it is asked again until there is an answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from pydantic import BaseModel

from llm_gate.contract import Approve, EntryProposal, FailureCause, GateFailed, Outcome, RegimeContext, Reviewed, Veto
from orchestrator.messaging.catalogue import BARS_AHEAD, Bar, BarBlock, EndOfBars, NextBars
from orchestrator.messaging.runner_end import Missed, NoReplyError
from orchestrator.messaging.wire import Array, Received, Reply
from orchestrator.run.answers import WorkerAnswers
from orchestrator.run.desks import FeedTalk
from orchestrator.run.model_patience import ModelPatience
from orchestrator.run.runner import BarAsked
from orchestrator.run.telemetry import Telemetry, read_telemetry
from orchestrator.trader.state import PolicyAnswered
from orchestrator.workers.crew import Crew
from rl_core.contract import BUY, PolicyReply
from tests.proposals import CONTEXT
from trigate.errors import ProcessNotReadyError

PROPOSAL = EntryProposal(
    proposal_id="a" * 32,
    side="buy",
    quantity=2,
    stop_atr_milli=1500,
    target_atr_milli=4500,
    context=RegimeContext.model_validate(CONTEXT),
)
LEGAL = (True, True, True)
BAR = Bar(seq=7, ts_event_ns=60, open=1, high=2, low=1, close=2, volume=3)


class ScriptedCrew:
    """Answers with what it was given, in order: a message, or the way in which the question is missed."""

    def __init__(self, *script: BaseModel | Reply | Missed | ProcessNotReadyError) -> None:
        self._script = list(script)
        self.asked: list[tuple[str, BaseModel]] = []
        self.refused: list[str] = []

    def ask(self, worker: str, message: BaseModel, arrays: tuple[Array, ...] = (), *, deadline_s: float) -> Received:
        """The next of the script."""
        self.asked.append((worker, message))
        answer = self._script.pop(0)
        if isinstance(answer, ProcessNotReadyError):
            raise answer
        if isinstance(answer, Reply):
            return Received(worker, "1", answer.message, answer.arrays)
        if not isinstance(answer, BaseModel):
            raise NoReplyError(worker, answer, "as scripted")
        return Received(worker, "1", answer)

    def refuse_answer(self, worker: str, cause: str) -> None:
        """Kept."""
        self.refused.append(worker)


class CountingPatience:
    """Waits for nothing, and counts what it was asked to wait for."""

    def __init__(self) -> None:
        self.waits = 0
        self.proofs = 0

    def until_healthy(self) -> None:
        """Counted."""
        self.waits += 1

    def until_proven(self) -> None:
        """Counted."""
        self.proofs += 1


@pytest.fixture
def telemetry(tmp_path: Path) -> Iterator[Telemetry]:
    """What the wall clock saw."""
    with Telemetry(tmp_path / "telemetry.jsonl") as opened:
        yield opened


def answers(crew: ScriptedCrew, telemetry: Telemetry, patience: CountingPatience | None = None) -> WorkerAnswers:
    """Over the scripted crew."""
    made = WorkerAnswers(cast(Crew, crew), telemetry, gate_deadline_s=1.0)
    made.model = cast(ModelPatience, patience)
    return made


def reviewed(outcome: Outcome) -> Reviewed:
    """The gate's reply."""
    return Reviewed(
        proposal_id=PROPOSAL.proposal_id,
        outcome=outcome,
        probabilities=None,
        latency_s=0.0,
        prompt_digest="0" * 64,
        engine="vllm",
        model="m",
        reason_source="none",
    )


def failed(cause: FailureCause) -> Reviewed:
    """A reply without a verdict."""
    return reviewed(GateFailed(cause=cause))


@pytest.mark.parametrize("missed", ["timeout", "unreachable", "failed", "refused"])
def test_a_policy_that_missed_a_question_is_asked_it_again(
    telemetry: Telemetry, tmp_path: Path, missed: Missed
) -> None:
    crew = ScriptedCrew(missed, missed, PolicyReply(bar_seq=7, action=BUY, probabilities=(0.1, 0.8, 0.1)))

    answer = answers(crew, telemetry).act(7, np.zeros(225, np.float32), LEGAL)

    assert answer == PolicyAnswered(BUY, "policy")
    assert len(crew.asked) == 3 and crew.asked[0] == crew.asked[2]
    assert [event["event"] for event in read_telemetry(tmp_path / "telemetry.jsonl")] == ["policy_missed"] * 2


@pytest.mark.parametrize("wrong", [PolicyReply(bar_seq=6, action=BUY, probabilities=(0.1, 0.8, 0.1)), EndOfBars(seq=7)])
def test_an_answer_to_something_else_counts_against_its_worker(telemetry: Telemetry, wrong: BaseModel) -> None:
    crew = ScriptedCrew(wrong, PolicyReply(bar_seq=7, action=BUY, probabilities=(0.1, 0.8, 0.1)))

    assert answers(crew, telemetry).act(7, np.zeros(225, np.float32), LEGAL).action == BUY
    assert crew.refused == ["policy"]


def block(first: int, count: int = 1) -> Reply:
    """Bars like BAR, numbered from ``first`` on."""
    long = np.array([[BAR.ts_event_ns], [BAR.volume], [BAR.contract]], np.int64).repeat(count, axis=1)
    prices = np.array([[BAR.open], [BAR.high], [BAR.low], [BAR.close]], np.int32).repeat(count, axis=1)
    return Reply(BarBlock(seq=first, count=count), (long, prices))


def test_a_feed_that_answers_with_other_bars_is_asked_again(telemetry: Telemetry) -> None:
    crew = ScriptedCrew(block(6), "timeout", block(7), EndOfBars(seq=8))

    fed = answers(crew, telemetry)

    given = fed.next_bar(7)
    assert given is not None and given.bar == BAR
    assert fed.next_bar(8) is None
    assert crew.refused == ["feed"]
    asked = [NextBars(seq=seq, most=BARS_AHEAD) for seq in (7, 7, 7, 8)]
    assert [message for _, message in crew.asked] == asked


def spoilt(place: int, array: Array) -> Reply:
    """A block of two bars whose ``place``-th array is another; behind the last: one more."""
    message, arrays = block(7, 2)
    return Reply(message, (*arrays[:place], array, *arrays[place + 1 :]))


SPOILT = {
    "no arrays": Reply(BarBlock(seq=7, count=2)),
    "one bar too few": block(7)._replace(message=BarBlock(seq=7, count=2)),
    "prices of another type": spoilt(1, np.ones((4, 2), "<i8")),
    "three prices": spoilt(1, np.ones((3, 2), "<i4")),
    "counts without rows": spoilt(2, np.ones(2, "<i4")),
    "a volume below 0": spoilt(0, np.full((3, 2), -1, "<i8")),
    "fewer seconds than are counted": Reply(
        BarBlock(seq=7, count=2), (*block(7, 2).arrays, np.array([2, 1], "<i4"), np.ones((2, 5), "<i4"))
    ),
    "a count of seconds below 0": Reply(
        BarBlock(seq=7, count=2), (*block(7, 2).arrays, np.array([3, -1], "<i4"), np.ones((2, 5), "<i4"))
    ),
}


@pytest.mark.parametrize("wrong", SPOILT.values(), ids=SPOILT.keys())
def test_a_block_that_is_none_counts_against_the_feed(telemetry: Telemetry, wrong: Reply) -> None:
    crew = ScriptedCrew(wrong, block(7, 2))

    given = answers(crew, telemetry).next_bar(7)

    assert given is not None and given.bar == BAR
    assert crew.refused == ["feed"]
    assert FeedTalk().answers([BarAsked(7)], Received("feed", "1", *wrong)) is None


def test_the_feed_is_asked_once_for_all_bars_of_a_block(telemetry: Telemetry) -> None:
    crew = ScriptedCrew(block(7, 3), block(10, 2), block(8, 1))

    fed = answers(crew, telemetry)

    given = [fed.next_bar(seq) for seq in (7, 8, 9, 10, 8)]
    assert [bar and bar.bar.seq for bar in given] == [7, 8, 9, 10, 8]
    assert len(crew.asked) == 3


def test_a_worker_that_is_given_up_stops_the_run(telemetry: Telemetry) -> None:
    crew = ScriptedCrew("timeout", ProcessNotReadyError("gate: given up"))

    with pytest.raises(ProcessNotReadyError, match="given up"):
        answers(crew, telemetry).review(PROPOSAL)


@pytest.mark.parametrize("cause", ["timeout", "unavailable", "http", "breaker_open"])
def test_a_verdict_that_failed_with_the_server_is_asked_for_again_after_a_proof(
    telemetry: Telemetry, cause: FailureCause
) -> None:
    crew, patience = ScriptedCrew(failed(cause), failed(cause), reviewed(Veto(reason="no"))), CountingPatience()

    verdict = answers(crew, telemetry, patience).review(PROPOSAL)

    assert verdict.outcome == Veto(reason="no")
    assert (patience.waits, patience.proofs) == (3, 2)


def test_the_third_failure_of_a_server_that_proves_itself_stands(telemetry: Telemetry) -> None:
    crew, patience = ScriptedCrew(*[failed("http")] * 3), CountingPatience()

    verdict = answers(crew, telemetry, patience).review(PROPOSAL)

    assert verdict.outcome == GateFailed(cause="http")
    assert (len(crew.asked), patience.proofs) == (3, 2)


@pytest.mark.parametrize("cause", ["malformed", "foreign"])
def test_an_answer_that_was_refused_is_the_models_answer(telemetry: Telemetry, cause: FailureCause) -> None:
    """The model said it, and would say it again: it is no fault of the server."""
    crew, patience = ScriptedCrew(failed(cause)), CountingPatience()

    assert answers(crew, telemetry, patience).review(PROPOSAL).outcome == GateFailed(cause=cause)
    assert patience.proofs == 0


def test_without_a_server_of_ours_the_gates_word_stands(telemetry: Telemetry) -> None:
    crew = ScriptedCrew(failed("timeout"), reviewed(Approve()))

    assert answers(crew, telemetry).review(PROPOSAL).outcome == GateFailed(cause="timeout")
