"""The policy worker: a checkpoint's reference decision, one observation at a time; no JAX."""

from pathlib import Path

import numpy as np

from orchestrator.messaging.catalogue import CATALOGUE
from orchestrator.messaging.wire import Received, Reply
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.workers.processes import WorkerConfig, worker_main
from rl_core.checkpoints.manifest import checkpoint_digest
from rl_core.checkpoints.policy import Policy, load_trader
from rl_core.contract import PolicyQuery, PolicyReply
from trigate.versions import code_digest


class PolicyServer:
    """Answers one query after another; keeps nothing between them."""

    def __init__(self, policy: Policy) -> None:
        """Serve ``policy``."""
        self._policy = policy

    def decide(self, request: Received) -> Reply:
        """The action for the observation that travels beside the query."""
        query = request.message
        assert isinstance(query, PolicyQuery)
        (observation,) = request.arrays
        action = self._policy.act(observation, np.array(query.legal_actions, bool))
        probabilities = tuple(float(p) for p in action.probabilities)
        return Reply(PolicyReply(bar_seq=query.bar_seq, action=action.action, probabilities=probabilities))


def run(runner: RunnerConnection, config: WorkerConfig) -> None:
    """Serve decisions until Shutdown."""
    policy = load_trader(Path(config["checkpoint"]))
    runner.ready({"code": code_digest(), "checkpoint": checkpoint_digest(Path(config["checkpoint"]))})
    runner.serve({PolicyQuery: PolicyServer(policy).decide})


if __name__ == "__main__":
    worker_main(run, CATALOGUE)
