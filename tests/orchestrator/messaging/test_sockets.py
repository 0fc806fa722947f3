"""Both ends of a connection over real sockets: only who was let in is heard, and every wait keeps its deadline."""

import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zmq

from orchestrator.messaging.runner_end import NoReplyError, WorkerConnections
from orchestrator.messaging.sockets import ClientSocket, Credentials, FeedClient, UnreachableError
from orchestrator.messaging.wire import (
    MAX_FRAME,
    Heartbeat,
    Message,
    Ready,
    Received,
    Shutdown,
    WorkerFailed,
    catalogue_of,
)
from orchestrator.messaging.worker_end import RunnerConnection
from tests.orchestrator.echo_worker import CATALOGUE, Answer, Ask
from tests.orchestrator.messaging.connected import BEAT_S, connected, eventually, frames, serve, serving
from trigate.errors import ProcessNotReadyError, ResourceError


def test_an_answer_carries_the_question_and_its_arrays_back(connections: WorkerConnections) -> None:
    arrays = (np.arange(228, dtype="<f4"), np.zeros((0, 5), "<i4"))

    with serving(connections):
        answer = connections.request("echo", Ask(number=7), arrays, deadline_s=2)

    assert (answer.sender, answer.message) == ("echo", Answer(number=7))
    assert [a.tolist() for a in answer.arrays] == [a.tolist() for a in arrays]


def test_ready_says_what_is_served(connections: WorkerConnections) -> None:
    with serving(connections):
        assert connections.wait_ready(["echo"], deadline_s=1) == {"echo": Ready(serves={"model": "m1"})}
        assert [report.message for report in connections.poll()] == [Ready(serves={"model": "m1"})]
        assert connections.poll() == []


def test_shutdown_ends_the_loop(connections: WorkerConnections) -> None:
    with serving(connections) as thread:
        connections.send("echo", Shutdown())
        thread.join(2)

        assert not thread.is_alive()


def test_a_late_answer_is_dropped_and_the_next_question_gets_its_own(connections: WorkerConnections) -> None:
    with serving(connections):
        with pytest.raises(NoReplyError) as missed:
            connections.request("echo", Ask(number=1, pause_ms=200), deadline_s=0.1)
        answer = connections.request("echo", Ask(number=2), deadline_s=2)

    assert (missed.value.cause, missed.value.exit_code) == ("timeout", 5)
    assert answer.message == Answer(number=2)
    assert connections.dropped == {"late": 1}


def test_answers_to_other_questions_and_second_answers_are_dropped(connections: WorkerConnections) -> None:
    """Sent: one without a question, one to a made-up question, the right one, the right one again."""
    with connected(connections, connections.add_worker("raw")) as client:

        def answer_badly() -> None:
            assert client.wait(5)
            header = client.receive()[0].decode()
            question = header.split('"id": "')[1].split('"')[0]
            for number, re in ((1, None), (2, "old-9"), (3, question), (4, question)):
                client.send(frames(Answer(number=number), re=re), within_s=1)

        thread = threading.Thread(target=answer_badly)
        thread.start()
        answer = connections.request("raw", Ask(number=0), deadline_s=2)
        thread.join()
        time.sleep(0.05)
        connections.poll()

    assert answer.message == Answer(number=3)
    assert connections.dropped["late"] == 2


def test_the_deadline_holds_against_silence(connections: WorkerConnections) -> None:
    with connected(connections, connections.add_worker("raw")):
        start_s = time.monotonic()
        with pytest.raises(NoReplyError, match="timeout"):
            connections.request("raw", Ask(number=0), deadline_s=0.3)

        assert 0.3 <= time.monotonic() - start_s < 0.8


def test_the_deadline_holds_against_a_flood(connections: WorkerConnections) -> None:
    stop = threading.Event()
    with connected(connections, connections.add_worker("raw")) as client:

        def flood() -> None:
            while not stop.is_set():
                with suppress(UnreachableError):
                    client.send(frames(Heartbeat()), within_s=0.01)

        thread = threading.Thread(target=flood)
        thread.start()
        start_s = time.monotonic()
        with pytest.raises(NoReplyError, match="timeout"):
            connections.request("raw", Ask(number=0), deadline_s=0.3)
        took_s = time.monotonic() - start_s
        stop.set()
        thread.join()

    assert 0.3 <= took_s < 0.8


def test_who_is_not_connected_is_unreachable_at_once(connections: WorkerConnections) -> None:
    connections.add_worker("echo")

    start_s = time.monotonic()
    with pytest.raises(NoReplyError) as missed:
        connections.request("echo", Ask(number=1), deadline_s=5)

    assert missed.value.cause == "unreachable"
    assert time.monotonic() - start_s < 2


def test_a_worker_that_comes_back_by_another_connection_is_asked_there(connections: WorkerConnections) -> None:
    credentials = connections.add_worker("echo")
    with connected(connections, credentials, "echo"):
        connections.poll()
    serving_again = threading.Thread(target=serve, args=(credentials,))
    serving_again.start()
    (ready,) = [report for report in connections.poll(5) if report.message == Ready(serves={"model": "m1"})]

    answer = connections.request("echo", Ask(number=4), deadline_s=2)

    connections.send("echo", Shutdown())
    serving_again.join(5)
    assert (ready.sender, answer.message) == ("echo", Answer(number=4))


def test_messages_of_another_run_are_dropped(connections: WorkerConnections) -> None:
    with connected(connections, connections.add_worker("raw")) as client:
        connections.poll()
        client.send(frames(WorkerFailed(cause="elsewhere"), run="run2"), within_s=1)

        assert connections.poll(0.3) == []
        assert connections.dropped["foreign"] == 1


def test_a_frame_over_the_limit_costs_its_sender_the_connection_and_nobody_else_anything(
    connections: WorkerConnections,
) -> None:
    with serving(connections), connected(connections, connections.add_worker("raw")) as client:
        client.send([bytes(MAX_FRAME + 1)], within_s=1)
        answer = connections.request("echo", Ask(number=5), deadline_s=2)
        connections.poll()
        reports: list[Received] = []
        for _ in range(100):  # what is sent before the cut has been noticed is lost
            if reports:
                break
            client.send(frames(WorkerFailed(cause="back again")), within_s=5)
            reports = connections.poll(0.3)

        assert answer.message == Answer(number=5)
        assert reports[0].message == WorkerFailed(cause="back again")
        assert not connections.dropped


def test_an_unreadable_message_is_its_senders_failure(connections: WorkerConnections) -> None:
    with connected(connections, connections.add_worker("raw")) as client:
        connections.poll()
        client.send([b"{}"], within_s=1)
        with pytest.raises(NoReplyError, match="failed: malformed message"):
            connections.request("raw", Ask(number=1), deadline_s=2)

        (report,) = connections.poll()
        assert isinstance(report.message, WorkerFailed)
        assert connections.dropped == {"malformed": 1}


def test_junk_connections_do_not_keep_a_worker_out(connections: WorkerConnections) -> None:
    junk = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for index, connection in enumerate(junk):
        connection.connect(connections.endpoint.removeprefix("ipc://"))
        if index % 2:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)

    with serving(connections):
        answer = connections.request("echo", Ask(number=5), deadline_s=2)

    for connection in junk:
        connection.close()
    assert answer.message == Answer(number=5)


def test_a_question_without_a_handler_is_refused_by_name(connections: WorkerConnections) -> None:
    with serving(connections), pytest.raises(NoReplyError, match="refused: Answer is not answered here"):
        connections.request("echo", Answer(number=1), deadline_s=2)


class AskMore(Message):
    """An ask with a field that the worker does not know."""

    kind: Literal["ask"] = "ask"
    number: int
    more: int = 1


def test_a_question_that_cannot_be_read_is_refused_with_the_reason() -> None:
    with (
        WorkerConnections("run1", catalogue_of([AskMore, Answer]), heartbeat_s=BEAT_S) as connections,
        serving(connections),
        pytest.raises(NoReplyError, match="refused: ask: more: Extra"),
    ):
        connections.request("echo", AskMore(number=1), deadline_s=2)


def test_a_beating_heart_is_not_silent(connections: WorkerConnections) -> None:
    with serving(connections):
        time.sleep(1.0)

        assert eventually(lambda: connections.silent_s("echo") < 0.5)


def test_silence_counts_from_the_last_sign_of_life(connections: WorkerConnections) -> None:
    with connected(connections, connections.add_worker("raw")):
        time.sleep(0.3)

        assert 0.25 <= connections.silent_s("raw") < 2


def test_silence_is_excused_until_the_deadline_of_a_request_and_no_longer(connections: WorkerConnections) -> None:
    """The first question excuses 0.2 s; the second, after no sign of life, excuses nothing more."""
    with connected(connections, connections.add_worker("raw")):
        for _ in range(2):
            with pytest.raises(NoReplyError, match="timeout"):
                connections.request("raw", Ask(number=1), deadline_s=0.2)

        assert connections.silent_s("raw") > 0.15


def test_who_is_not_ready_in_time_is_named(connections: WorkerConnections) -> None:
    connections.add_worker("gate")
    with serving(connections), pytest.raises(ProcessNotReadyError, match=r"^gate not ready within 0\.2 s"):
        connections.wait_ready(["echo", "gate"], deadline_s=0.2)


def test_a_failure_at_start_is_told_at_once(connections: WorkerConnections) -> None:
    runner = RunnerConnection(connections.add_worker("gate"), CATALOGUE)
    runner.fail("no model \ud800 there")

    with pytest.raises(ProcessNotReadyError, match="gate failed at start: no model"):
        connections.wait_ready(["gate"], deadline_s=5)


def test_waiting_for_ready_ends_when_the_check_says_so(connections: WorkerConnections) -> None:
    connections.add_worker("gate")

    def check() -> None:
        raise ProcessNotReadyError("gate ended with status 3")

    with pytest.raises(ProcessNotReadyError, match="status 3"):
        connections.wait_ready(["gate"], deadline_s=5, check=check)


def test_a_path_too_long_for_a_socket_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with pytest.raises(ResourceError, match="107 bytes; set TMPDIR"):
        WorkerConnections("run1", CATALOGUE)

    assert list(deep.iterdir()) == []


def test_a_connection_that_is_lost_between_look_and_send_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look says that a message can be sent, and then the other side is gone."""
    monkeypatch.setattr(zmq.Socket, "poll", lambda *_: zmq.POLLOUT)
    keys = [zmq.curve_keypair() for _ in "ab"]
    (runner, _), (public, secret) = [[key.decode() for key in pair] for pair in keys]
    feed = FeedClient("tcp://127.0.0.1:9")
    worker = ClientSocket(
        Credentials(
            endpoint="tcp://127.0.0.1:9",
            run="r",
            runner_key=runner,
            public_key=public,
            secret_key=secret,
            heartbeat_s=1.0,
        )
    )

    try:
        assert feed.send([b"rows"], within_s=0.1) is False
        with pytest.raises(UnreachableError, match="connection to the runner is gone"):
            worker.send([b"answer"], within_s=0.1)
    finally:
        feed.close()
        worker.close()
