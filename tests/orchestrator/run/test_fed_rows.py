"""Rows from a feed on this machine: none is lost or doubled, and what is no answer is told and asked for again."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.messaging.row_feed import MOST_ROWS, RowFeed
from orchestrator.messaging.sockets import FEED_MAX_FRAME, FeedClient, FeedServer
from orchestrator.messaging.wire import MAX_FRAME
from orchestrator.run.fed_rows import FedRows, check_address
from orchestrator.run.growing_file import Grown
from trigate.errors import ConfigError, ResourceError

COLUMNS = "datetime,open,high,low,close,volume"


class Conversation:
    """A reader of rows, and whoever answers it here, in this thread."""

    def __init__(self, address: str) -> None:
        self.told: list[str] = []
        self.rows = FedRows(address, self.told.append, moment_s=0.002)
        self.got: list[tuple[int, bytes]] = []
        self.lost = 0

    def look(self) -> Grown:
        """One look of the reader, whose rows are kept by their numbers."""
        grown = self.rows.read()
        self.got += list(enumerate(grown.lines, grown.first))
        self.lost += grown.lost
        return grown

    def until(self, serve: Callable[[float], object], there: Callable[[Grown], bool]) -> Grown:
        """Look and let be answered until a look finds what is wanted."""
        for _ in range(2000):
            if there(grown := self.look()):
                return grown
            serve(0.005)
        raise AssertionError(f"never came: {self.told}")


@pytest.fixture
def feed() -> Iterator[RowFeed]:
    """A feed that has no rows yet."""
    served = RowFeed("a", COLUMNS, port=0)
    yield served
    served.close()


@pytest.fixture
def stranger() -> Iterator[FeedServer]:
    """A socket that answers whatever a test says."""
    served = FeedServer(0)
    yield served
    served.close()


def reading(address: str) -> Iterator[Conversation]:
    conversation = Conversation(address)
    yield conversation
    conversation.rows.close()


@pytest.fixture
def talk(feed: RowFeed) -> Iterator[Conversation]:
    """A reader of `feed`."""
    yield from reading(feed.address)


@pytest.fixture
def odd_talk(stranger: FeedServer) -> Iterator[Conversation]:
    """A reader of `stranger`."""
    yield from reading(stranger.address)


def rows(first: int, stop: int) -> list[str]:
    return [f"row {number}" for number in range(first, stop)]


def test_a_late_reader_gets_every_row_once_and_the_columns_before_them(feed: RowFeed, talk: Conversation) -> None:
    """More than are asked for at once; what was there at first may be known already, what comes later is not."""
    there = 2 * MOST_ROWS + 3
    for row in rows(1, there + 1):
        feed.append(row)
    talk.until(feed.serve, lambda grown: talk.got[-1:] == [(there, f"row {there}".encode())])
    feed.append("one more")
    later = talk.until(feed.serve, lambda grown: bool(grown.lines))

    assert [number for number, _ in talk.got] == list(range(there + 2))
    assert talk.got[0] == (0, COLUMNS.encode()) and talk.got[5][1] == b"row 5"
    assert (later.lines, later.known, later.again) == ([b"one more"], False, "")
    assert talk.told == []


def test_long_rows_travel_in_as_many_answers_as_they_need(feed: RowFeed, talk: Conversation) -> None:
    for number in range(200):
        feed.append(f"{number}," + "x" * 900)
    talk.until(feed.serve, lambda grown: talk.got[-1:] != [] and talk.got[-1][0] == 200)

    assert [line.partition(b",")[0] for _, line in talk.got[1:]] == [str(number).encode() for number in range(200)]


def test_a_row_with_a_line_end_is_one_row_that_says_so(feed: RowFeed, talk: Conversation) -> None:
    feed.append("2024-01-03T14:30:00Z,1\n2024")
    talk.until(feed.serve, lambda grown: len(talk.got) == 2)

    assert talk.got[1] == (1, b"2024-01-03T14:30:00Z,1\\n2024")


def question(stranger: FeedServer) -> tuple[bytes, dict[str, Any]] | None:
    """The way back to whoever asks, and what; None where nobody does."""
    if not stranger.wait(0.02):
        return None
    route, (frame,) = stranger.receive()
    return route, json.loads(frame)


def to(asked: dict[str, Any], body: dict[str, Any], **header: object) -> dict[str, Any]:
    """An answer with ``body``, as somebody else's program makes it."""
    return {**asked, "id": "answer", "re": asked["id"], "kind": "rows_given", "body": body, **header}


def answers(stranger: FeedServer, body: dict[str, Any], **header: object) -> Callable[[float], None]:
    """Answers the next question with ``body``."""

    def answer(_: float) -> None:
        if asked := question(stranger):
            stranger.send(asked[0], [json.dumps(to(asked[1], body, **header)).encode()])

    return answer


def given(first: int, content: list[str], count: int | None = None, feed: str = "a") -> dict[str, Any]:
    """The body of an answer."""
    count = first + len(content) - 1 if count is None else count
    return {"feed": feed, "columns": COLUMNS, "count": count, "first": first, "rows": content}


def begun(stranger: FeedServer, talk: Conversation) -> None:
    """Three rows come."""
    talk.until(answers(stranger, given(1, rows(1, 4))), lambda grown: len(talk.got) == 4)


@pytest.mark.parametrize(
    ("body", "again"),
    [
        (given(1, [], count=2), "truncated"),
        (given(4, ["new"], feed="b"), "replaced"),
        (given(1, [], 0, "b"), "replaced"),
    ],
)
def test_rows_that_are_numbered_anew_are_read_from_the_first(
    stranger: FeedServer, odd_talk: Conversation, body: dict[str, Any], again: str
) -> None:
    begun(stranger, odd_talk)
    told = odd_talk.until(answers(stranger, body), lambda grown: bool(grown.again))
    odd_talk.until(answers(stranger, given(1, ["one"], feed="b")), lambda grown: bool(grown.lines))

    assert told.again == again
    assert odd_talk.got[4:] == [(0, COLUMNS.encode()), (1, b"one")][: len(odd_talk.got) - 4]


def test_rows_that_the_feed_has_no_more_are_counted(stranger: FeedServer, odd_talk: Conversation) -> None:
    """Not those before the first that was ever read: they came before the reader."""
    odd_talk.until(answers(stranger, given(50, ["row 50"])), lambda grown: len(odd_talk.got) == 2)
    assert odd_talk.lost == 0
    odd_talk.until(answers(stranger, given(54, ["row 54"])), lambda grown: len(odd_talk.got) == 3)

    assert odd_talk.lost == 3 and odd_talk.got[1:] == [(50, b"row 50"), (54, b"row 54")]


def test_rows_that_go_while_they_are_read_for_the_first_time_are_counted(
    stranger: FeedServer, odd_talk: Conversation
) -> None:
    """A feed that keeps its last rows alone."""
    odd_talk.until(answers(stranger, given(50, rows(50, 60), count=200)), lambda grown: len(odd_talk.got) == 11)
    odd_talk.until(answers(stranger, given(100, rows(100, 110), count=200)), lambda grown: len(odd_talk.got) == 21)

    assert odd_talk.lost == 40


def test_a_row_too_long_for_an_answer_is_told_and_not_waited_for_in_silence(feed: RowFeed, talk: Conversation) -> None:
    feed.append("short")
    feed.append("x" * (MAX_FRAME + 1))
    talk.until(feed.serve, lambda grown: talk.told != [])

    assert talk.got[-1] == (1, b"short")
    assert "row 2: a frame of" in talk.told[0] and "is over the limit" in talk.told[0]


def test_an_answer_that_took_long_does_not_say_that_there_is_no_more(
    stranger: FeedServer, odd_talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came meanwhile is not in it, and a minute would be made without."""
    monkeypatch.setattr("orchestrator.run.fed_rows.FRESH_S", 0.0)
    begun(stranger, odd_talk)
    for _ in range(3):
        answers(stranger, given(4, [], count=3))(0.0)
        assert not odd_talk.look().current

    monkeypatch.undo()
    odd_talk.until(answers(stranger, given(4, [], count=3)), lambda grown: grown.current)


RUBBISH: dict[str, tuple[Callable[[dict[str, Any]], list[bytes]], str]] = {
    "no JSON": (lambda good: [b"hello"], "header is not strict JSON"),
    "no frame of ours": (lambda good: [b"", json.dumps(good).encode()], "header is not strict JSON"),
    "too many frames": (lambda good: [b"x"] * 20, "20 frames, not 1 to 9"),
    "another version": (lambda good: [json.dumps({**good, "v": 2}).encode()], "schema version 2, here it is 1"),
    "oversize": (lambda good: [b" " * (MAX_FRAME + 1)], f"a frame of {MAX_FRAME + 1} bytes is over the limit"),
    "another kind": (lambda good: [json.dumps({**good, "kind": "bar"}).encode()], "kind 'bar' is not in the catalogue"),
    "a key too many": (lambda good: [changed(good, price=1)], "rows_given: price: Extra inputs"),
    "a row that is no text": (lambda good: [changed(good, rows=[1])], "rows_given: rows.0: Input should be"),
    "an earlier row": (lambda good: [changed(good, first=2)], "from row 2 on, and 4 was asked for"),
    "more rows than there are": (lambda good: [changed(good, count=3)], "rows_given: row 4 of 3"),
    "none of its rows": (lambda good: [changed(good, rows=[], count=9)], "none of the rows 4 to 9, which it has"),
    "other columns": (lambda good: [changed(good, columns="time")], "other columns than before"),
    "a question": (lambda good: [refused(good)], "it refused the question: what?"),
}


def changed(good: dict[str, Any], **body: object) -> bytes:
    return json.dumps({**good, "body": {**good["body"], **body}}).encode()


def refused(good: dict[str, Any]) -> bytes:
    return json.dumps({**good, "kind": "refused", "body": {"cause": "what?"}}).encode()


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_what_is_no_answer_is_named_and_costs_no_row(
    stranger: FeedServer, odd_talk: Conversation, monkeypatch: pytest.MonkeyPatch, rubbish: str
) -> None:
    monkeypatch.setattr("orchestrator.run.fed_rows.AGAIN_S", 0.0)
    made, named = RUBBISH[rubbish]
    begun(stranger, odd_talk)

    sent = list[int]()

    def rubbish_once(_: float) -> None:
        if not sent and (asked := question(stranger)):
            stranger.send(asked[0], made(to(asked[1], given(4, ["row 4"]))))
            sent.append(1)

    odd_talk.until(rubbish_once, lambda grown: bool(odd_talk.told))
    odd_talk.until(answers(stranger, given(4, ["row 4"])), lambda grown: bool(grown.lines))

    assert odd_talk.told[0].startswith(f"feed {stranger.address}: refused: ") and named in odd_talk.told[0]
    assert odd_talk.told[0].endswith("it is asked again, from row 4 on")
    assert odd_talk.told[1:] == [f"feed {stranger.address}: gives its rows again"]
    assert [number for number, _ in odd_talk.got] == [0, 1, 2, 3, 4]


def test_after_an_answer_that_was_too_long_fewer_rows_are_asked_for(
    stranger: FeedServer, odd_talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.run.fed_rows.AGAIN_S", 0.0)
    most: list[int] = []

    def greedy(_: float) -> None:
        """Rows of 400 bytes, as many as were asked for."""
        if asked := question(stranger):
            most.append(asked[1]["body"]["most"])
            answer = to(asked[1], given(1, ["x" * 400] * most[-1]))
            stranger.send(asked[0], [json.dumps(answer).encode()])

    odd_talk.until(greedy, lambda grown: bool(odd_talk.got))

    assert most[:3] == [500, 250, 125] and len(odd_talk.told) >= 1


def test_an_answer_that_ends_the_connection_is_named_and_fewer_rows_are_asked_for(
    stranger: FeedServer, odd_talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZeroMQ drops a frame over the socket's limit and never connects again by itself: all after it was silence."""
    monkeypatch.setattr("orchestrator.run.fed_rows.AGAIN_S", 0.0)
    begun(stranger, odd_talk)
    most: list[int] = []

    def too_long_for_many(_: float) -> None:
        if asked := question(stranger):
            most.append(asked[1]["body"]["most"])
            good = json.dumps(to(asked[1], given(4, ["row 4"]))).encode()
            stranger.send(asked[0], [good if most[-1] < 200 else b" " * (FEED_MAX_FRAME + 1)])

    odd_talk.until(too_long_for_many, lambda grown: bool(grown.lines))

    assert most == [500, 250, 125]
    named = f"refused: a frame over the limit of {FEED_MAX_FRAME} bytes, or what is no frame, ended the connection"
    assert odd_talk.told == [
        f"feed {stranger.address}: {named}; it is asked again, from row 4 on",
        f"feed {stranger.address}: gives its rows again",
    ]
    assert [number for number, _ in odd_talk.got] == [0, 1, 2, 3, 4]


def test_an_answer_to_an_earlier_question_is_dropped(stranger: FeedServer, odd_talk: Conversation) -> None:
    begun(stranger, odd_talk)

    def late_then_right(_: float) -> None:
        if asked := question(stranger):
            for body, re in ((given(4, ["late"]), "1"), (given(4, ["right"]), asked[1]["id"])):
                stranger.send(asked[0], [json.dumps(to(asked[1], body, re=re)).encode()])

    odd_talk.until(late_then_right, lambda grown: bool(grown.lines))

    assert odd_talk.got[4:] == [(4, b"right")] and odd_talk.told == []


def test_a_feed_that_is_gone_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes back at its port with a name of its own, and all its rows are read."""
    monkeypatch.setattr("orchestrator.run.fed_rows.ANSWER_S", 0.05)
    feed = RowFeed("a", COLUMNS, port=0)
    talk = Conversation(feed.address)
    feed.append("one")
    talk.until(feed.serve, lambda grown: len(talk.got) == 2)
    feed.close()
    talk.until(lambda _: None, lambda grown: bool(talk.told))

    again = RowFeed("b", COLUMNS, port=int(feed.address.rpartition(":")[2]))
    for row in ("one", "two"):
        again.append(row)
    talk.until(again.serve, lambda grown: talk.got[-1] == (2, b"two"))
    again.close()
    talk.rows.close()

    assert any("no answer within" in line or "nobody answers there" in line for line in talk.told)
    assert talk.told[-1].endswith("gives its rows again")


def test_a_question_in_another_version_is_refused_by_name(feed: RowFeed) -> None:
    client = FeedClient(feed.address)
    asked = {"v": 7, "run": "paper", "id": "q1", "re": None, "kind": "rows_asked", "body": {}, "arrays": []}
    assert client.send([json.dumps(asked).encode()], within_s=5.0)
    assert feed.serve(5.0) and client.wait(5.0)
    answer = json.loads(client.receive()[0])
    client.close()

    assert (answer["kind"], answer["re"]) == ("refused", "q1")
    assert answer["body"]["cause"] == "schema version 7, here it is 1"


def test_a_port_that_is_taken_is_named(feed: RowFeed) -> None:
    with pytest.raises(ResourceError, match=f"{feed.address}: Address already in use.*name another --port"):
        RowFeed("b", COLUMNS, port=int(feed.address.rpartition(":")[2]))


@pytest.mark.parametrize(
    "address",
    [
        "tcp://0.0.0.0:5557",
        "tcp://10.0.0.1:5557",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:5557 ",
        "udp://x",
        "5557",
        "tcp://127.0.0.1:65536",
    ],
)
def test_a_feed_of_another_machine_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"tcp://127\.0\.0\.1:PORT, ipc:///PATH or a csv file was expected"):
        check_address(address)


def test_a_socket_that_no_path_can_name_or_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="a socket's path has at most 107 bytes; take a shorter one"):
        check_address(f"ipc://{tmp_path}/{'x' * 107}")
    monkeypatch.setattr("os.geteuid", lambda: 12_345)
    owner, found = tmp_path.stat().st_uid, tmp_path / "of_another"
    found.mkdir()
    if owner == 0:
        os.chown(found, 1, 1)
    with pytest.raises(ConfigError, match="another user's, who could speak as the feed"):
        check_address(f"ipc://{found}/feed")


def test_a_socket_in_a_folder_that_others_may_change_is_refused(tmp_path: Path) -> None:
    check_address("tcp://127.0.0.1:5557")
    check_address(f"ipc://{tmp_path}/feed")
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write there, and speak as the feed; chmod 700"):
        check_address(f"ipc://{tmp_path}/feed")
    with pytest.raises(ConfigError, match="No such file or directory"):
        check_address(f"ipc://{tmp_path}/gone/feed")
