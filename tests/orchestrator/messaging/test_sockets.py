"""Both ends of a connection over real sockets: only who was let in is heard, and every wait keeps its deadline."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zmq
from echo_worker import CATALOGUE, Answer, Ask, echo

from orchestrator.messaging.runner_end import NoReplyError, WorkerConnections
from orchestrator.messaging.sockets import ClientSocket, Credentials, UnreachableError
from orchestrator.messaging.wire import (
    MAX_FRAME,
    Envelope,
    Heartbeat,
    Message,
    Ready,
    Received,
    Shutdown,
    WorkerFailed,
    catalogue_of,
    encode,
)
from orchestrator.messaging.worker_end import RunnerConnection
from trigate.errors import ProcessNotReadyError, ResourceError

BEAT_S = 0.05


@pytest.fixture
def connections() -> Iterator[WorkerConnections]:
    with WorkerConnections("run1", CATALOGUE, heartbeat_s=BEAT_S) as connections:
        yield connections


def serve(credentials: Credentials) -> None:
    with RunnerConnection(credentials, CATALOGUE) as runner:
        runner.ready({"model": "m1"})
        runner.serve({Ask: echo})


@contextmanager
def serving(connections: WorkerConnections, name: str = "echo") -> Iterator[threading.Thread]:
    """A worker in a thread, which Shutdown ends."""
    thread = threading.Thread(target=serve, args=(connections.add_worker(name),))
    thread.start()
    try:
        connections.wait_ready([name], deadline_s=5)
        yield thread
    finally:
        if thread.is_alive():
            connections.send(name, Shutdown())
        thread.join(5)
        assert not thread.is_alive()


@contextmanager
def connected(connections: WorkerConnections, credentials: Credentials, name: str = "raw") -> Iterator[ClientSocket]:
    """A connected socket under the test's own control, after its Ready."""
    client = ClientSocket(credentials)
    try:
        client.send(frames(Ready()), within_s=5)
        connections.wait_ready([name], deadline_s=5)
        yield client
    finally:
        client.close()


def frames(message: Message, *, run: str = "run1", re: str | None = None) -> list[bytes]:
    return encode(Envelope(run, "t-1", re, message), CATALOGUE)


def eventually(condition: Callable[[], bool], within_s: float = 3.0) -> bool:
    until = time.monotonic() + within_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


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


def test_a_stranger_is_refused_though_it_knows_the_hubs_key(connections: WorkerConnections) -> None:
    credentials = connections.add_worker("echo")
    public, secret = (key.decode() for key in zmq.curve_keypair())
    with RunnerConnection(
        credentials.model_copy(update={"public_key": public, "secret_key": secret}), CATALOGUE
    ) as stranger:
        assert eventually(lambda: connections.strangers > 0)
        with pytest.raises(UnreachableError):
            stranger._send(Ready(), within_s=0.2)

    assert connections.poll(0.1) == []


def test_a_client_without_encryption_is_refused(connections: WorkerConnections) -> None:
    connections.add_worker("echo")
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(connections.endpoint)
        with suppress(zmq.Again):  # it may have been turned away already
            client.send_multipart(frames(Ready()), zmq.NOBLOCK)

        assert connections.poll(0.3) == []
        assert not connections.dropped
        client.close(0)


def test_without_an_authenticator_nobody_gets_in(connections: WorkerConnections) -> None:
    """ZeroMQ alone would let every key in once the thread that checks them is gone."""
    connections._socket._authenticator.stop()

    with RunnerConnection(connections.add_worker("echo"), CATALOGUE) as runner, pytest.raises(UnreachableError):
        runner._send(Ready(), within_s=0.5)

    assert connections.poll(0.1) == []


def test_an_earlier_start_of_a_worker_no_longer_counts(connections: WorkerConnections) -> None:
    """The old connection still stands, but what it says is dropped; a new connection with the old key is refused."""
    old = connections.add_worker("raw")
    with connected(connections, old) as client:
        connections.add_worker("raw")
        connections.poll()
        client.send(frames(WorkerFailed(cause="of long ago")), within_s=1)

        assert connections.poll(0.3) == []
        assert connections.dropped["stale"] == 1
    with RunnerConnection(old, CATALOGUE):
        assert eventually(lambda: connections.strangers > 0)


def test_a_worker_cannot_take_anothers_name(connections: WorkerConnections) -> None:
    """The key of ``raw`` under the name of ``echo``, before ``echo`` connects: it stays ``raw``, and hinders nobody."""
    raw = connections.add_worker("raw")
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger, client.identity = 0, b"echo"
        client.curve_serverkey = raw.runner_key.encode()
        client.curve_publickey, client.curve_secretkey = raw.public_key.encode(), raw.secret_key.encode()
        client.connect(raw.endpoint)
        client.send_multipart(frames(Ready(serves={"model": "forged"})))
        (claim,) = connections.poll(5)

        with serving(connections):
            answer = connections.request("echo", Ask(number=3), deadline_s=2)

    assert claim.sender == "raw"
    assert (answer.sender, answer.message) == ("echo", Answer(number=3))


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


def test_folders_of_makers_that_were_killed_are_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Left: one whose lock is free, as its maker is gone. Kept: a living one's, a young one, and what is not ours."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    living = WorkerConnections("run1", CATALOGUE)
    left, young, other = (tmp_path / name for name in ("trigate-left", "trigate-young", "trigate-other"))
    for folder in (left, young, other):
        folder.mkdir()
    for folder in (left, young):
        (folder / "lock").touch()
    for folder in (left, other, living.folder):
        os.utime(folder, (0, 0))

    WorkerConnections("run2", CATALOGUE).close()

    assert [folder.exists() for folder in (left, young, other, living.folder)] == [False, True, True, True]
    living.close()
    assert not living.folder.exists()


def test_the_socket_lies_in_a_private_folder_that_goes_with_the_hub() -> None:
    connections = WorkerConnections("run1", CATALOGUE)
    mode = connections.folder.stat().st_mode & 0o777
    connections.close()
    connections.close()

    assert mode == 0o700
    assert not connections.folder.exists()


def test_a_path_too_long_for_a_socket_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with pytest.raises(ResourceError, match="107 bytes: set TMPDIR"):
        WorkerConnections("run1", CATALOGUE)

    assert list(deep.iterdir()) == []


def test_the_secret_key_is_not_in_the_text_of_its_bootstrap(connections: WorkerConnections) -> None:
    credentials = connections.add_worker("echo")

    assert credentials.secret_key not in f"{credentials!r} {credentials}"
