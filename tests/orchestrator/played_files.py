"""A run over a real bars file and checkpoint, played in this process: real plan, folder, journal and views."""

from collections.abc import Callable, Container
from contextlib import closing, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Approve, EntryProposal, Resize, Reviewed, Veto
from orchestrator.journal.journal import Journal
from orchestrator.messaging.catalogue import Bar
from orchestrator.messaging.wire import Received
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked, BrokerDesk
from orchestrator.run.config import RunConfig
from orchestrator.run.control import Control
from orchestrator.run.folder import RunFolder, open_run
from orchestrator.run.plan import RunPlan, plan_run
from orchestrator.run.runner import FeedBar, Finished, Runner
from orchestrator.trader.state import PolicyAnswered, Standing
from orchestrator.workers.filled_in_parts import Parts
from orchestrator.workers.kept_entries import KeptEntries
from orchestrator.workers.policy import EntriesServer
from orchestrator.workers.remote_broker import BROKER
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.bars.bars import Bars
from rl_core.checkpoints.policy import Decider
from rl_core.contract import (
    BUY,
    DISABLE_TRAIL,
    ENABLE_TRAIL,
    HOLD,
    MOVE_STOP_TO_BREAKEVEN,
    SELL,
    PolicyQuery,
    PolicyReply,
)

MANAGES = (MOVE_STOP_TO_BREAKEVEN, ENABLE_TRAIL, DISABLE_TRAIL)


class FileWorld(NamedTuple):
    """What a run reads."""

    bars: Path
    checkpoint: Path


class Script:
    """Bars from the file; an entry at every seventh question where it is legal; every kind of verdict in turn."""

    def __init__(
        self,
        bars: Bars,
        silent: Container[int] = (),
        policy: Decider | None = None,
        entries: KeptEntries | None = None,
    ) -> None:
        """``silent``: the bars at whose close the policy does not answer in time; others may answer instead of us."""
        self._bars, self._silent, self._policy = bars, silent, policy
        self._entries = None if entries is None else EntriesServer(entries)
        self.asked = 0
        self.broker: BrokerDesk | None = None

    def ask_broker(self, asked: BrokerAsked) -> BrokerAnswer:
        """The broker's answer, of a run that has one."""
        assert self.broker is not None
        return self.broker.ask(asked)

    def next_bar(self, seq: int) -> FeedBar | None:
        """The bar numbered ``seq``."""
        if seq >= len(self._bars):
            return None
        columns = ("ts_event_ns", "open", "high", "low", "close", "volume", "contract")
        row = {name: int(getattr(self._bars, name)[seq]) for name in columns}
        return FeedBar(Bar.model_validate({"seq": seq, **row}), "")

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """Long and short in turn; a policy of phase 2 manages what is open, too."""
        self.asked += 1
        if bar_seq in self._silent:
            return PolicyAnswered(HOLD, "timeout")
        if self._entries is not None:
            query = PolicyQuery(bar_seq=bar_seq, legal_actions=legal)
            message = self._entries.decide(Received("runner", "1", query, (observation,))).message
            assert isinstance(message, PolicyReply)
            return PolicyAnswered(message.action, "policy")
        if self._policy is not None:
            return PolicyAnswered(self._policy.act(observation, np.array(legal, np.bool_)).action, "policy")
        manages = [action for action in MANAGES if action < len(legal) and legal[action]]
        if manages and bar_seq % 3 == 0:
            return PolicyAnswered(manages[0], "policy")
        wanted = (BUY if bar_seq % 14 else SELL) if bar_seq % 7 == 0 else HOLD
        return PolicyAnswered(wanted if legal[wanted] else HOLD, "policy")

    def review(self, proposal: EntryProposal) -> Reviewed:
        """By the time of the day, so that a continued run and one of another name are judged alike."""
        self.asked += 1
        kinds = (Approve(), Veto(reason="no"), Resize.model_validate_json('{"size_factor": "0.5", "reason": "small"}'))
        return Reviewed(
            proposal_id=proposal.proposal_id,
            outcome=kinds[proposal.context.minutes_to_flat // 7 % 3],
            probabilities=None,
            latency_s=0.0,
            prompt_digest="0" * 64,
            engine="rules",
            model="",
            reason_source="model",
        )


def play_file(
    world: FileWorld,
    runs: Path,
    *,
    stop_after: int | None = None,
    asked: Callable[[int], Standing] | None = None,
    silent: Container[int] = (),
    policy: Decider | None = None,
    **settings: object,
) -> RunFolder:
    """Play every bar of ``world`` into a folder under ``runs``, or go on with the one that is there.

    ``asked`` says how a person wants the run to stand after the bar of that number, -1 before the first; without it
    the control file does. ``policy`` chooses in the place of the script; so do a trader's own ``entries``.
    """
    given = {"bars": world.bars, "checkpoint": world.checkpoint, "part": "all", "gate": {"engine": "rules"}}
    plan = plan_run(RunConfig.model_validate({**given, "runs": runs, **settings}))
    folder = open_run(plan.config, plan.manifest(), kept=plan.kept)
    played: list[int] = []
    with Journal.open(folder.journal, folder.manifest().known_head) as journal:
        folder.mark_started()
        traded = plan.bars.slice(plan.span.first, plan.span.stop)
        control = Control(folder.path)
        kept = None if plan.entries is None else plan.entries.kept

        def operator() -> Standing:
            last = runner.state.last_bar
            return control.wanted() if asked is None else asked(-1 if last is None else last.seq)

        broker = None if plan.config.broker is None else broker_of(plan, folder)
        script = Script(traded, silent, policy, kept)
        script.broker = None if broker is None else BrokerDesk(broker, broker)
        runner = Runner(journal, script, plan.views(), plan.setting, operator)
        with nullcontext() if broker is None else closing(broker):
            done: Finished = runner.run(
                stop_asked=lambda: stop_after is not None and len(played) >= stop_after, on_bar=played.append
            )
        journal.sync()
        folder.mark("ended" if done.complete else "stopped", journal_head=journal.head)
    return folder


def broker_of(plan: RunPlan, folder: RunFolder) -> SimulatedBroker:
    """The simulated broker of a run, as its worker opens it."""
    path = folder.path / BROKER / folder.journal.name
    parts = Parts(plan.config.broker_parts, plan.config.broker_parts_a_bar)
    return SimulatedBroker.open(plan.trading.venue, plan.trading.limits.max_quantity, path, parts)
