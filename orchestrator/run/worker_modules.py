"""Which programs a run's workers are, as its settings alone tell."""

from orchestrator.run.config import RunConfig

FEED_MODULE = "orchestrator.workers.feed"
POLICY_MODULE = "orchestrator.workers.policy"
GATE_MODULE = "orchestrator.workers.gate"
BROKER_MODULE = "orchestrator.workers.broker"


def worker_modules(config: RunConfig) -> tuple[str, ...]:
    """The program of every worker that a run of these settings starts."""
    wanted = {
        FEED_MODULE: not config.follows,
        POLICY_MODULE: True,
        GATE_MODULE: config.gate.engine != "off",
        BROKER_MODULE: config.broker is not None,
    }
    return tuple(module for module, needed in wanted.items() if needed)
