"""Hub and link over real sockets: only whom we let in is heard, and no wait is longer than its deadline."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import zmq
from echo_worker import CATALOGUE, Answer, Ask, echo

from orchestrator.messaging.runner_end import Hub, NoReplyError
from orchestrator.messaging.sockets import ClientSocket, LinkBoot, UnreachableError
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
from orchestrator.messaging.worker_end import WorkerLink
from trigate.errors import ProcessNotReadyError, ResourceError

BEAT_S = 0.05


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub("run1", CATALOGUE, heartbeat_s=BEAT_S) as hub:
        yield hub


def serve(boot: LinkBoot) -> None:
    with WorkerLink(boot, CATALOGUE) as link:
        link.ready({"model": "m1"})
        link.serve({Ask: echo})


@contextmanager
def serving(hub: Hub, name: str = "echo") -> Iterator[threading.Thread]:
    """A worker in a thread, which Shutdown ends."""
    thread = threading.Thread(target=serve, args=(hub.add_worker(name),))
    thread.start()
    try:
        hub.wait_ready([name], deadline_s=5)
        yield thread
    finally:
        if thread.is_alive():
            hub.send(name, Shutdown())
        thread.join(5)
        assert not thread.is_alive()


@contextmanager
def connected(hub: Hub, boot: LinkBoot, name: str = "raw") -> Iterator[ClientSocket]:
    """A connected socket under the test's own control, after its Ready."""
    client = ClientSocket(boot)
    try:
        client.send(frames(Ready()), within_s=5)
        hub.wait_ready([name], deadline_s=5)
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


def test_an_answer_carries_the_question_and_its_arrays_back(hub: Hub) -> None:
    arrays = (np.arange(228, dtype="<f4"), np.zeros((0, 5), "<i4"))

    with serving(hub):
        answer = hub.request("echo", Ask(number=7), arrays, deadline_s=2)

    assert (answer.sender, answer.message) == ("echo", Answer(number=7))
    assert [a.tolist() for a in answer.arrays] == [a.tolist() for a in arrays]


def test_ready_says_what_is_served(hub: Hub) -> None:
    with serving(hub):
        assert hub.wait_ready(["echo"], deadline_s=1) == {"echo": Ready(serves={"model": "m1"})}
        assert [report.message for report in hub.poll()] == [Ready(serves={"model": "m1"})]
        assert hub.poll() == []


def test_shutdown_ends_the_loop(hub: Hub) -> None:
    with serving(hub) as thread:
        hub.send("echo", Shutdown())
        thread.join(2)

        assert not thread.is_alive()


def test_a_late_answer_is_dropped_and_the_next_question_gets_its_own(hub: Hub) -> None:
    with serving(hub):
        with pytest.raises(NoReplyError) as missed:
            hub.request("echo", Ask(number=1, pause_ms=200), deadline_s=0.1)
        answer = hub.request("echo", Ask(number=2), deadline_s=2)

    assert (missed.value.cause, missed.value.exit_code) == ("timeout", 5)
    assert answer.message == Answer(number=2)
    assert hub.dropped == {"late": 1}


def test_answers_to_other_questions_and_second_answers_are_dropped(hub: Hub) -> None:
    """Sent: one without a question, one to a made-up question, the right one, the right one again."""
    with connected(hub, hub.add_worker("raw")) as client:

        def answer_badly() -> None:
            assert client.wait(5)
            header = client.receive()[0].decode()
            question = header.split('"id": "')[1].split('"')[0]
            for number, re in ((1, None), (2, "old-9"), (3, question), (4, question)):
                client.send(frames(Answer(number=number), re=re), within_s=1)

        thread = threading.Thread(target=answer_badly)
        thread.start()
        answer = hub.request("raw", Ask(number=0), deadline_s=2)
        thread.join()
        time.sleep(0.05)
        hub.poll()

    assert answer.message == Answer(number=3)
    assert hub.dropped["late"] == 2


def test_the_deadline_holds_against_silence(hub: Hub) -> None:
    with connected(hub, hub.add_worker("raw")):
        start_s = time.monotonic()
        with pytest.raises(NoReplyError, match="timeout"):
            hub.request("raw", Ask(number=0), deadline_s=0.3)

        assert 0.3 <= time.monotonic() - start_s < 0.8


def test_the_deadline_holds_against_a_flood(hub: Hub) -> None:
    stop = threading.Event()
    with connected(hub, hub.add_worker("raw")) as client:

        def flood() -> None:
            while not stop.is_set():
                with suppress(UnreachableError):
                    client.send(frames(Heartbeat()), within_s=0.01)

        thread = threading.Thread(target=flood)
        thread.start()
        start_s = time.monotonic()
        with pytest.raises(NoReplyError, match="timeout"):
            hub.request("raw", Ask(number=0), deadline_s=0.3)
        took_s = time.monotonic() - start_s
        stop.set()
        thread.join()

    assert 0.3 <= took_s < 0.8


def test_who_is_not_connected_is_unreachable_at_once(hub: Hub) -> None:
    hub.add_worker("echo")

    start_s = time.monotonic()
    with pytest.raises(NoReplyError) as missed:
        hub.request("echo", Ask(number=1), deadline_s=5)

    assert missed.value.cause == "unreachable"
    assert time.monotonic() - start_s < 2


def test_a_stranger_is_refused_though_it_knows_the_hubs_key(hub: Hub) -> None:
    boot = hub.add_worker("echo")
    public, secret = (key.decode() for key in zmq.curve_keypair())
    with WorkerLink(boot.model_copy(update={"public_key": public, "secret_key": secret}), CATALOGUE) as stranger:
        assert eventually(lambda: hub.strangers > 0)
        with pytest.raises(UnreachableError):
            stranger._send(Ready(), within_s=0.2)

    assert hub.poll(0.1) == []


def test_a_client_without_encryption_is_refused(hub: Hub) -> None:
    hub.add_worker("echo")
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.linger = 0
        client.connect(hub.endpoint)
        client.send_multipart(frames(Ready()))

        assert hub.poll(0.3) == []
        assert not hub.dropped
        client.close(0)


def test_without_an_authenticator_nobody_gets_in(hub: Hub) -> None:
    """ZeroMQ alone would let every key in once the thread that checks them is gone."""
    hub._socket._authenticator.stop()

    with WorkerLink(hub.add_worker("echo"), CATALOGUE) as link, pytest.raises(UnreachableError):
        link._send(Ready(), within_s=0.5)

    assert hub.poll(0.1) == []


def test_an_earlier_start_of_a_worker_no_longer_counts(hub: Hub) -> None:
    """The old connection still stands, but what it says is dropped; a new connection with the old key is refused."""
    old = hub.add_worker("raw")
    with connected(hub, old) as client:
        hub.add_worker("raw")
        hub.poll()
        client.send(frames(WorkerFailed(cause="of long ago")), within_s=1)

        assert hub.poll(0.3) == []
        assert hub.dropped["stale"] == 1
    with WorkerLink(old, CATALOGUE):
        assert eventually(lambda: hub.strangers > 0)


def test_a_worker_cannot_speak_as_another(hub: Hub) -> None:
    """The key of ``raw`` with the name of ``policy``."""
    policy, raw = hub.add_worker("policy"), hub.add_worker("raw")
    client = ClientSocket(raw.model_copy(update={"identity": policy.identity}))
    with closing(client):
        client.send(frames(Ready()), within_s=5)

        assert hub.poll(0.3) == []
        assert hub.dropped["stale"] == 1


def test_messages_of_another_run_are_dropped(hub: Hub) -> None:
    with connected(hub, hub.add_worker("raw")) as client:
        hub.poll()
        client.send(frames(WorkerFailed(cause="elsewhere"), run="run2"), within_s=1)

        assert hub.poll(0.3) == []
        assert hub.dropped["foreign"] == 1


def test_a_frame_over_the_limit_costs_its_sender_the_connection_and_nobody_else_anything(hub: Hub) -> None:
    with serving(hub), connected(hub, hub.add_worker("raw")) as client:
        client.send([bytes(MAX_FRAME + 1)], within_s=1)
        answer = hub.request("echo", Ask(number=5), deadline_s=2)
        hub.poll()
        reports: list[Received] = []
        for _ in range(100):  # what is sent before the cut has been noticed is lost
            if reports:
                break
            client.send(frames(WorkerFailed(cause="back again")), within_s=5)
            reports = hub.poll(0.3)

        assert answer.message == Answer(number=5)
        assert reports[0].message == WorkerFailed(cause="back again")
        assert not hub.dropped


def test_an_unreadable_message_is_its_senders_failure(hub: Hub) -> None:
    with connected(hub, hub.add_worker("raw")) as client:
        hub.poll()
        client.send([b"{}"], within_s=1)
        with pytest.raises(NoReplyError, match="failed: malformed message"):
            hub.request("raw", Ask(number=1), deadline_s=2)

        (report,) = hub.poll()
        assert isinstance(report.message, WorkerFailed)
        assert hub.dropped == {"malformed": 1}


def test_junk_connections_do_not_keep_a_worker_out(hub: Hub) -> None:
    junk = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    for index, connection in enumerate(junk):
        connection.connect(hub.endpoint.removeprefix("ipc://"))
        if index % 2:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)

    with serving(hub):
        answer = hub.request("echo", Ask(number=5), deadline_s=2)

    for connection in junk:
        connection.close()
    assert answer.message == Answer(number=5)


def test_a_question_without_a_handler_is_refused_by_name(hub: Hub) -> None:
    with serving(hub), pytest.raises(NoReplyError, match="refused: Answer is not answered here"):
        hub.request("echo", Answer(number=1), deadline_s=2)


class AskMore(Message):
    """An ask with a field that the worker does not know."""

    kind: Literal["ask"] = "ask"
    number: int
    more: int = 1


def test_a_question_that_cannot_be_read_is_refused_with_the_reason() -> None:
    with (
        Hub("run1", catalogue_of([AskMore, Answer]), heartbeat_s=BEAT_S) as hub,
        serving(hub),
        pytest.raises(NoReplyError, match="refused: ask: more: Extra"),
    ):
        hub.request("echo", AskMore(number=1), deadline_s=2)


def test_a_beating_heart_is_not_silent(hub: Hub) -> None:
    with serving(hub):
        time.sleep(1.0)

        assert eventually(lambda: hub.silent_s("echo") < 0.5)


def test_silence_counts_from_the_last_sign_of_life(hub: Hub) -> None:
    with connected(hub, hub.add_worker("raw")):
        time.sleep(0.3)

        assert 0.25 <= hub.silent_s("raw") < 2


def test_silence_is_excused_until_the_deadline_of_a_request_and_no_longer(hub: Hub) -> None:
    """The first question excuses 0.2 s; the second, after no sign of life, excuses nothing more."""
    with connected(hub, hub.add_worker("raw")):
        for _ in range(2):
            with pytest.raises(NoReplyError, match="timeout"):
                hub.request("raw", Ask(number=1), deadline_s=0.2)

        assert hub.silent_s("raw") > 0.15


def test_who_is_not_ready_in_time_is_named(hub: Hub) -> None:
    hub.add_worker("gate")
    with serving(hub), pytest.raises(ProcessNotReadyError, match=r"^gate not ready within 0\.2 s"):
        hub.wait_ready(["echo", "gate"], deadline_s=0.2)


def test_a_failure_at_start_is_told_at_once(hub: Hub) -> None:
    link = WorkerLink(hub.add_worker("gate"), CATALOGUE)
    link.fail("no model \ud800 there")

    with pytest.raises(ProcessNotReadyError, match="gate failed at start: no model"):
        hub.wait_ready(["gate"], deadline_s=5)


def test_waiting_for_ready_ends_when_the_check_says_so(hub: Hub) -> None:
    hub.add_worker("gate")

    def check() -> None:
        raise ProcessNotReadyError("gate ended with status 3")

    with pytest.raises(ProcessNotReadyError, match="status 3"):
        hub.wait_ready(["gate"], deadline_s=5, check=check)


def test_the_socket_lies_in_a_private_folder_that_goes_with_the_hub() -> None:
    hub = Hub("run1", CATALOGUE)
    mode = hub.folder.stat().st_mode & 0o777
    hub.close()
    hub.close()

    assert mode == 0o700
    assert not hub.folder.exists()


def test_a_path_too_long_for_a_socket_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with pytest.raises(ResourceError, match="107 bytes: set TMPDIR"):
        Hub("run1", CATALOGUE)

    assert list(deep.iterdir()) == []


def test_the_secret_key_is_not_in_the_text_of_its_bootstrap(hub: Hub) -> None:
    boot = hub.add_worker("echo")

    assert boot.secret_key not in f"{boot!r} {boot}"
