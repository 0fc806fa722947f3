"""A runner's end without a worker."""

from collections.abc import Iterator

import pytest

from orchestrator.messaging.runner_end import WorkerConnections
from tests.orchestrator.echo_worker import CATALOGUE
from tests.orchestrator.messaging.connected import BEAT_S


@pytest.fixture
def connections() -> Iterator[WorkerConnections]:
    """Listening."""
    with WorkerConnections("run1", CATALOGUE, heartbeat_s=BEAT_S) as opened:
        yield opened
