"""Who may connect and as whom: keys alone decide, and the socket's folder is its maker's."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from orchestrator.messaging.runner_end import WorkerConnections
from orchestrator.messaging.sockets import UnreachableError
from orchestrator.messaging.wire import (
    Ready,
    WorkerFailed,
)
from orchestrator.messaging.worker_end import RunnerConnection
from tests.orchestrator.echo_worker import CATALOGUE, Answer, Ask
from tests.orchestrator.messaging.connected import connected, eventually, frames, serving


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


def test_a_worker_goes_on_knocking_for_longer_than_a_busy_machine_keeps_it_waiting(
    connections: WorkerConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks at its key sleeps for 5.3 s first, so that no handshake comes to its end before."""
    credentials, allowed = connections.add_worker("echo"), connections._socket._allowed
    looks = allowed.callback
    monkeypatch.setattr(allowed, "callback", lambda *key: time.sleep(pauses.pop() if pauses else 0.0) or looks(*key))
    pauses = [5.3]

    with RunnerConnection(credentials, CATALOGUE) as runner:
        runner.ready({"model": "m1"})

        assert set(connections.wait_ready(["echo"], deadline_s=5)) == {"echo"}


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


def test_the_secret_key_is_not_in_the_text_of_its_bootstrap(connections: WorkerConnections) -> None:
    credentials = connections.add_worker("echo")

    assert credentials.secret_key not in f"{credentials!r} {credentials}"
