"""A start is given up when nothing moves any more, not when it merely takes long."""

import socket
import time
from pathlib import Path

import pytest

from llm_gate.engines.vllm import VllmEngine
from llm_gate.errors import ServerNotReadyError
from llm_gate.serving.canaries import Proof
from llm_gate.serving.readiness import LONGEST_START, Progress, Readiness, wait_until_proven


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


def test_a_log_that_grows_is_progress(tmp_path: Path) -> None:
    log, clock = tmp_path / "log", Clock()
    progress = Progress(log, clock=clock)

    clock.now_s += 50
    assert progress.idle_s() == 50
    log.write_text("loading")
    assert progress.idle_s() == 0
    clock.now_s += 7
    assert progress.idle_s() == 7
    progress.note()
    assert progress.idle_s() == 0


def test_without_a_log_only_answers_are_progress() -> None:
    clock = Clock()
    progress = Progress(None, clock=clock)

    clock.now_s += 9

    assert progress.idle_s() == 9


def test_a_start_may_take_longer_than_its_deadline_while_it_gets_further(tmp_path: Path, unused_port: int) -> None:
    """Nobody answers; the log grows for 1.5 s, three times the deadline, and then no more."""
    log = tmp_path / "log"
    log.write_text("")
    engine = VllmEngine(f"http://127.0.0.1:{unused_port}", "")
    started_s = time.monotonic()

    def work() -> None:
        if time.monotonic() - started_s < 1.5:
            with log.open("a") as file:
                file.write("one step more\n")

    with pytest.raises(ServerNotReadyError, match=r"no sign of progress for 0\.5 s; last: http://127"):
        wait_until_proven(engine, Readiness(Proof(), 0.5, 5.0), Progress(log), work)

    assert 1.5 < time.monotonic() - started_s < LONGEST_START * 0.5 + 2.0


def test_a_start_that_never_ends_is_given_up_although_its_log_grows(tmp_path: Path, unused_port: int) -> None:
    log = tmp_path / "log"
    log.write_text("")
    engine = VllmEngine(f"http://127.0.0.1:{unused_port}", "")

    def work() -> None:
        with log.open("a") as file:
            file.write("again\n")

    with pytest.raises(ServerNotReadyError, match=r"not ready within 2\.5 s"):
        wait_until_proven(engine, Readiness(Proof(), 0.5, 5.0), Progress(log), work)


def test_an_answer_that_does_not_come_is_given_up() -> None:
    """Whatever listens there takes the request and never answers it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        engine = VllmEngine(f"http://127.0.0.1:{silent.getsockname()[1]}", "")

        with pytest.raises(ServerNotReadyError, match=r"an answer of the warm-up took more than 0\.3 s"):
            wait_until_proven(engine, Readiness(Proof(), 20.0, 0.3), Progress(None))
