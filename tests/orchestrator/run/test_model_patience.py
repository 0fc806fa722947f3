"""A run waits for its model server, says so with the seconds, and stops when the server is given up."""

import re
from collections.abc import Iterator

import pytest

from orchestrator.run.model_patience import ModelPatience
from orchestrator.run.runner import StopAskedError
from trigate.errors import ProcessNotReadyError


class Server:
    """Says of itself what the list says, and then that it is healthy."""

    def __init__(self, *states: str) -> None:
        self._states: Iterator[str] = iter(states)
        self.suspicions = 0

    @property
    def state(self) -> str:
        """The next."""
        return next(self._states, "healthy")

    def suspect(self) -> None:
        """Counted."""
        self.suspicions += 1


def test_a_server_that_is_healthy_costs_no_wait_and_no_line() -> None:
    lines: list[str] = []

    ModelPatience(Server(), say=lines.append).until_healthy()

    assert lines == []


def test_each_wait_has_a_line_that_counts_and_one_at_its_end() -> None:
    """0.4 s of waiting, told at 0, 0.2 and 0.4 s at the most."""
    lines: list[str] = []
    server = Server("probing", "restarting", "restarting", "probing")

    ModelPatience(server, say=lines.append, tell_every_s=0.2).until_healthy()

    assert lines[0] == "the run waits for the model server (probing): 0 s"
    assert 2 <= len(lines) - 1 <= 3
    assert re.fullmatch(r"the model server answers again after \d+ s", lines[-1])


def test_a_server_that_was_given_up_stops_the_run_with_5() -> None:
    server = Server("probing", "failed")

    with pytest.raises(ProcessNotReadyError, match="given up; the same command continues the run") as refused:
        ModelPatience(server, say=lambda line: None).until_healthy()

    assert refused.value.exit_code == 5


def test_a_proof_is_asked_for_and_waited_for() -> None:
    server, lines = Server("probing"), list[str]()

    ModelPatience(server, say=lines.append).until_proven()

    assert server.suspicions == 1
    assert len(lines) == 2


def test_the_user_can_stop_a_wait() -> None:
    def check() -> None:
        raise StopAskedError

    with pytest.raises(StopAskedError):
        ModelPatience(Server("restarting"), say=lambda line: None, check=check).until_healthy()
