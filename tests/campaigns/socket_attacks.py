"""Attacks on the socket of a run that plays: whoever connects and whatever is sent, the run ends with the same bytes.

    python -m tests.campaigns.socket_attacks [--only NAME ...] [--seconds 1.5]

Each attack of `ATTACKS` meets a run of its own, whose bars are slowed down so that it lasts. Strangers and clients
without encryption never get in; the others speak with the secret key of the run's own policy worker, which nobody
else has: at most they cost that worker a restart, with another key, or stop a run whose worker says that it is another
one, which the same command continues. The run must end with every byte of a run that was left alone, leave nothing
alive, and tell in its telemetry what it turned away. Prints one JSON object an attack; exit
code 1 if one changed something, or did not arrive.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import zmq

from orchestrator.messaging.catalogue import CATALOGUE
from orchestrator.messaging.sockets import Credentials
from orchestrator.messaging.wire import MAX_FRAME, Envelope, Heartbeat, Message, Ready, WorkerFailed, encode
from orchestrator.run.telemetry import read_telemetry
from rl_core.contract import PolicyReply
from tests.campaigns.forked_runs import left_alive
from tests.campaigns.frames import Frames, changed, run_messages
from tests.campaigns.run_kills import RunCase, load
from tests.campaigns.small_runs import WORLDS, SmallRun

SPARES = 12
BAR_S = 0.03
UNDER_WAY = 30  # records
ATTACKED = "policy"
SEED = 3
REFUSED_WORKER = "has loaded another"
"""How a run stops, to be continued by the same command, where its own worker says that it is another one."""


class Ground(NamedTuple):
    """Where an attack takes place."""

    credentials: Credentials
    """Of the run's policy worker, as it was started first."""
    until_s: float
    """By the monotonic clock."""
    draw: random.Random

    def on(self) -> bool:
        """Whether the attack goes on."""
        return time.monotonic() < self.until_s


class Attack(NamedTuple):
    """Something that is done to a socket."""

    play: Callable[[Ground], int]
    """Does it, and returns how often."""
    refused: str
    """What the run must have counted of it: `strangers`, or why a message was dropped; "": nothing is counted."""


def client(ground: Ground, keys: tuple[bytes, bytes] | None) -> "zmq.Socket[bytes]":
    """A socket that connects with ``keys``, public and secret; without encryption if there are none."""
    made: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    made.linger, made.sndtimeo = 0, 100
    if keys is not None:
        made.curve_serverkey = ground.credentials.runner_key.encode()
        made.curve_publickey, made.curve_secretkey = keys
    made.connect(ground.credentials.endpoint)
    return made


def own_keys(ground: Ground) -> tuple[bytes, bytes]:
    """The policy worker's."""
    return ground.credentials.public_key.encode(), ground.credentials.secret_key.encode()


def frames_of(ground: Ground, message: Message | PolicyReply, *, run: str = "", re: str | None = None) -> Frames:
    """A message as the policy worker sends it."""
    return encode(Envelope(run or ground.credentials.run, "w-9", re, message), CATALOGUE)


def sent(ground: Ground, keys: tuple[bytes, bytes] | None, made: Callable[[], Frames], pause_s: float) -> int:
    """Send what is ``made`` over one connection again and again, as long as the attack goes on."""
    count, made_client = 0, client(ground, keys)
    while ground.on():
        with suppress(zmq.ZMQError):  # it was turned away, or its queue is full
            made_client.send_multipart(made(), zmq.NOBLOCK)
            count += 1
        time.sleep(pause_s)
    made_client.close(0)
    return count


def strangers(ground: Ground) -> int:
    """Keys of their own, though they know the run's public one."""
    count = 0
    while ground.on():
        stranger = client(ground, zmq.curve_keypair())
        with suppress(zmq.ZMQError):
            stranger.send_multipart(frames_of(ground, Ready()), zmq.NOBLOCK)
        time.sleep(0.02)
        stranger.close(0)
        count += 1
    return count


def without_encryption(ground: Ground) -> int:
    """A NULL client."""
    return sent(ground, None, lambda: frames_of(ground, WorkerFailed(cause="forged")), 0.01)


def junk_connections(ground: Ground) -> int:
    """Half-open connections, half of which send HTTP."""
    opened = []
    for number in range(100):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(0.5)
        with suppress(OSError):  # it may be closed on us
            connection.connect(ground.credentials.endpoint.removeprefix("ipc://"))
            if number % 2:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 3)
        opened.append(connection)
    while ground.on():
        time.sleep(0.05)
    for connection in opened:
        connection.close()
    return len(opened)


def bad_frames(ground: Ground) -> int:
    """Messages of every kind, changed until few of them can be read."""
    good = [encode(Envelope(ground.credentials.run, "w-9", None, *each), CATALOGUE) for each in run_messages()]

    def made() -> Frames:
        frames = changed(ground.draw.choice(good), ground.draw)
        return [frame[:MAX_FRAME] for frame in frames] or [b""]

    return sent(ground, own_keys(ground), made, 0.005)


def flood(ground: Ground) -> int:
    """Heartbeats as fast as they go."""
    return sent(ground, own_keys(ground), lambda: frames_of(ground, Heartbeat()), 0.0)


def replays(ground: Ground) -> int:
    """Replies to questions of before, and to none."""

    def made() -> Frames:
        reply = PolicyReply(bar_seq=ground.draw.randrange(200), action=1, probabilities=(0.0, 1.0, 0.0))
        return frames_of(ground, reply, re=f"{ground.draw.randrange(1 << 32):08x}-{ground.draw.randrange(9)}")

    return sent(ground, own_keys(ground), made, 0.002)


def oversize(ground: Ground) -> int:
    """A frame over the limit costs the connection; many small ones are no message."""
    large, many = [bytes(MAX_FRAME + 1)], [b"{}"] * 200
    return sent(ground, own_keys(ground), lambda: large if ground.draw.random() < 0.5 else many, 0.02)


def old_version(ground: Ground) -> int:
    """Whole messages of another version of the schema."""
    return sent(
        ground,
        own_keys(ground),
        lambda: [frames_of(ground, Ready())[0].replace(b'"v": 1', b'"v": 0')],
        0.01,
    )


def other_run(ground: Ground) -> int:
    """Whole messages of another run."""
    return sent(ground, own_keys(ground), lambda: frames_of(ground, WorkerFailed(cause="forged"), run="other"), 0.01)


def forged_failures(ground: Ground) -> int:
    """The worker is said to have failed, though it has not."""
    return sent(ground, own_keys(ground), lambda: frames_of(ground, WorkerFailed(cause="forged")), 0.01)


ATTACKS = {
    "strangers": Attack(strangers, "strangers"),
    "without_encryption": Attack(without_encryption, ""),
    "junk_connections": Attack(junk_connections, ""),
    "bad_frames": Attack(bad_frames, "malformed"),
    "flood": Attack(flood, ""),
    "replays": Attack(replays, "late"),
    "oversize": Attack(oversize, ""),
    "old_version": Attack(old_version, "malformed"),
    "other_run": Attack(other_run, "foreign"),
    "forged_failures": Attack(forged_failures, "stale"),
}


def attacked(case: RunCase, name: str, seconds: float, slot: Path) -> dict[str, Any]:
    """One run under one attack, and what came of it."""
    attack, journal = ATTACKS[name], case.run.fresh(slot).journal
    begun = case.run.begin(slot, spares=SPARES, report=False, bar_s=BAR_S, tap=slot / "tap")
    begun.let_go()
    while journal.read_bytes().count(b"\n") < UNDER_WAY and not begun.ended():
        time.sleep(0.005)
    before = journal.read_bytes().count(b"\n")
    credentials = _tapped(slot / "tap")
    count = attack.play(Ground(credentials, time.monotonic() + seconds, random.Random(f"{SEED} {name}")))
    during = not begun.ended()
    code = begun.wait()
    events = read_telemetry(case.run.at(slot).telemetry)
    refused = next((event for event in events if event["event"] == "refused"), {})
    counted = {key: value for key, value in refused.items() if key not in ("ts_ns", "event")}
    stopped = "" if code == 0 else (slot / "log").read_text().splitlines()[-1]
    found = {"attack": name, "sent": count, "records_before": before, "refused": counted, "alive": left_alive()}
    if stopped:
        same = REFUSED_WORKER in stopped and bool(case.continued(slot, report=False)["same"])
    else:
        same = case.is_whole(case.run.kept(slot), report=False)
    reached = bool(counted.get(attack.refused)) if attack.refused else during
    arrived = before >= UNDER_WAY and reached
    restarts = sum(event.get("text", "").count("starting it again") for event in events)  # type: ignore[attr-defined]
    told = {} if same and arrived else {"said": (slot / "log").read_text()[-1500:]}
    return found | {"restarts": restarts, "stopped": stopped, "arrived": arrived, "same": same} | told


def _tapped(tap: Path) -> Credentials:
    """The credentials that the policy worker was first given."""
    for line in tap.read_text().splitlines():
        told = json.loads(line)
        if told["name"] == ATTACKED:
            return Credentials.model_validate(told["credentials"])
    raise AssertionError("the run started no policy worker")


def main() -> int:
    """Play every attack; 1 if one changed something, or did not arrive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=1.5, help="that an attack lasts")
    given = parser.parse_args()
    load()
    broken = False
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        case = RunCase(SmallRun(WORLDS[0], Path(folder) / "inputs"), Path(folder) / "unbroken")
        for name in given.only:
            found = attacked(case, name, given.seconds, Path(folder) / "slot")
            broken = broken or not (found["same"] and found["arrived"]) or found["alive"] > 0
            print(json.dumps(found), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
