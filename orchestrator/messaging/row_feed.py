"""The wire of a feed of bars: who wants rows asks for them by number, so that a gap or a restart loses none.

A feed numbers its rows from 1 and keeps them. A run asks for those from a number on and gets what there is, perhaps
none; it asks again after a moment, after a lost answer, a lost connection or its own restart. Rows are lines of a csv
file, in any form that a bars file may have, so that the reader of files reads them and every one of its faults is told.

Alternative: PUB and SUB, where a subscriber that is late, slow or killed has lost what was sent meanwhile.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from orchestrator.messaging.sockets import FeedServer
from orchestrator.messaging.wire import (
    Catalogue,
    Envelope,
    Message,
    Refused,
    WireError,
    clean_cause,
    decode,
    encode,
)

MOST_ROWS = 500
"""That are asked for at once: they fit into one frame at some 120 bytes each."""
_ANSWER_BYTES = 48 * 1024
"""Of rows in one answer of ours; what JSON adds must fit into the frame too."""


class RowsAsked(Message):
    """The rows from number ``first`` on, from 1; at most ``most`` of them."""

    kind: Literal["rows_asked"] = "rows_asked"
    first: int = Field(gt=0)
    most: int = Field(gt=0, le=MOST_ROWS)


class RowsGiven(Message):
    """The rows that a feed has of those that were asked for; none where they are still to come."""

    kind: Literal["rows_given"] = "rows_given"
    feed: str = Field(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\z",
        description="names this numbering of the rows; one that begins anew has another name",
    )
    columns: str = Field(max_length=2000, description="the first line of a csv file with these rows")
    count: int = Field(ge=0, description="number of the last row there is; 0: none yet")
    first: int = Field(gt=0, description="number of the first of the rows: as asked, or of the oldest that was kept")
    rows: tuple[str, ...] = Field(max_length=MOST_ROWS)


FEED_CATALOGUE: Catalogue = {"rows_asked": RowsAsked, "rows_given": RowsGiven, "refused": Refused}


class RowFeed:
    """Rows as they come, for whoever asks on this machine."""

    def __init__(self, name: str, columns: str, *, port: int) -> None:
        """Listen on 127.0.0.1.

        Args:
            name: of this numbering, as `RowsGiven.feed`.
            columns: the header line.
            port: 0 takes a free one.

        Raises:
            ResourceError: the port is taken.
        """
        self._name, self._columns, self._rows = name, columns, list[str]()
        self._socket = FeedServer(port)
        self.address = self._socket.address

    def append(self, row: str) -> None:
        """A row has come; it keeps its number."""
        self._rows.append(row)

    def serve(self, seconds: float) -> bool:
        """Answer what is asked within ``seconds``, at least once; whether anything was."""
        asked = False
        while self._socket.wait(0 if asked else seconds):
            route, frames = self._socket.receive()
            self._socket.send(route, self._answer(frames))
            asked = True
        return asked

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _answer(self, frames: list[bytes]) -> list[bytes]:
        try:
            envelope = decode(frames, FEED_CATALOGUE)
            if not isinstance(envelope.message, RowsAsked):
                raise WireError(f"{type(envelope.message).__name__} is no question")
        except WireError as error:
            cause = Refused(cause=clean_cause(str(error)))
            return encode(Envelope("feed", "refusal", error.message_id, cause), FEED_CATALOGUE)
        given = _fitting(self._rows, envelope.message)
        answer = RowsGiven(
            feed=self._name,
            columns=self._columns,
            count=len(self._rows),
            first=envelope.message.first,
            rows=given,
        )
        try:
            return encode(Envelope(envelope.run, "answer", envelope.id, answer), FEED_CATALOGUE)
        except WireError as error:
            cause = Refused(cause=clean_cause(f"row {answer.first}: {error}"))
            return encode(Envelope(envelope.run, "refusal", envelope.id, cause), FEED_CATALOGUE)


def _fitting(rows: Sequence[str], asked: RowsAsked) -> tuple[str, ...]:
    """Of the rows that were asked for as many as fit into one answer; the first one in any case."""
    given, room = list[str](), _ANSWER_BYTES
    for row in rows[asked.first - 1 : asked.first - 1 + asked.most]:
        room -= len(row.encode()) + 3  # quotes and a comma
        if room < 0 and given:
            break
        given.append(row)
    return tuple(given)
