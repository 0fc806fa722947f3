"""The policy worker: a checkpoint's reference decision, or a trader's own entries, each question by itself; no JAX."""

from pathlib import Path
from typing import Protocol

import numpy as np

from orchestrator.messaging.catalogue import CATALOGUE
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.kept_entries import KeptEntries, read_kept_entries
from orchestrator.workers.processes import WorkerConfig, worker_main
from rl_core.checkpoints.manifest import checkpoint_digest
from rl_core.checkpoints.policy import Policy, PolicyDecision, load_trader
from rl_core.contract import BUY, HOLD, SELL, PolicyQueries, PolicyQuery, PolicyReplies, PolicyReply
from trigate.versions import code_digest


class Decides(Protocol):
    """Whoever answers one query after another, and keeps nothing between them."""

    def decide(self, request: Received) -> Reply:
        """The action of one query."""

    def decide_each(self, request: Received) -> Reply:
        """What each of many queries is answered alone, in their order."""


class PolicyServer:
    """Answers as a trained policy."""

    def __init__(self, policy: Policy) -> None:
        """Serve ``policy``."""
        self._policy = policy

    def decide(self, request: Received) -> Reply:
        """The action for the observation that travels beside the query."""
        query = request.message
        assert isinstance(query, PolicyQuery)
        (observation,) = request.arrays
        action = self._policy.act(observation, np.array(query.legal_actions, bool))
        return Reply(_reply(query, action))

    def decide_each(self, request: Received) -> Reply:
        """The same bits as of each alone: never one product of many, which may round otherwise."""
        queries = _queries(request)
        (observations,) = request.arrays
        actions = self._policy.act_each(observations, np.array([query.legal_actions for query in queries], bool))
        return Reply(PolicyReplies(replies=tuple(map(_reply, queries, actions))))


def _reply(query: PolicyQuery, action: PolicyDecision) -> PolicyReply:
    return PolicyReply(bar_seq=query.bar_seq, action=action.action, probabilities=tuple(action.probabilities.tolist()))


def _queries(request: Received) -> tuple[PolicyQuery, ...]:
    assert isinstance(request.message, PolicyQueries)
    return request.message.queries


class EntriesServer:
    """Answers with the entry that a trader made at the bar, if there is one; what is observed changes nothing."""

    def __init__(self, kept: KeptEntries) -> None:
        """Serve the entries ``kept`` by a run."""
        self._actions = {entry.bar: BUY if entry.side > 0 else SELL for entry in kept.entries}

    def decide(self, request: Received) -> Reply:
        """The side of the bar's entry, for certain; HOLD without one."""
        query = request.message
        assert isinstance(query, PolicyQuery)
        return Reply(self._reply(query))

    def decide_each(self, request: Received) -> Reply:
        """The same, of many."""
        return Reply(PolicyReplies(replies=tuple(map(self._reply, _queries(request)))))

    def _reply(self, query: PolicyQuery) -> PolicyReply:
        action = self._actions.get(query.bar_seq, HOLD)
        probabilities = tuple(float(each == action) for each in range(len(query.legal_actions)))
        return PolicyReply(bar_seq=query.bar_seq, action=action, probabilities=probabilities)


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve decisions until Shutdown."""
    decides, loaded = _loaded(config)
    runner.ready({"code": code_digest(), **loaded})
    runner.serve({PolicyQuery: decides.decide, PolicyQueries: decides.decide_each})


def _loaded(config: WorkerConfig) -> tuple[Decides, dict[str, str]]:
    """Whoever decides, and the digest of what was loaded."""
    if "entries" in config:
        kept = read_kept_entries(Path(config["entries"]), config["entries_digest"])
        return EntriesServer(kept), {"entries": kept.digest}
    checkpoint = Path(config["checkpoint"])
    return PolicyServer(load_trader(checkpoint)), {"checkpoint": checkpoint_digest(checkpoint)}


if __name__ == "__main__":
    worker_main(run, CATALOGUE)
