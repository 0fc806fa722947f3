"""The rows of a feed on this machine, as those of a growing file; what is no answer is told, and asked for again."""

import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from orchestrator.clock import Deadline
from orchestrator.messaging.row_feed import FEED_CATALOGUE, MOST_ROWS, RowsAsked, RowsGiven
from orchestrator.messaging.sockets import FEED_MAX_FRAME, MAX_PATH, FeedClient
from orchestrator.messaging.wire import Envelope, Refused, WireError, clean_cause, decode, encode
from orchestrator.run.growing_file import Again, Grown
from trigate.errors import ConfigError

ANSWER_S = 2.0
"""Within which a feed answers; it is asked again then."""
LOOK_S = 0.05
FRESH_S = 0.5
"""Older answers do not say that there is no further row now."""
MOST_PORT = 65_535
AGAIN_S = 1.0
"""Between what was no answer and the next question."""
_ADDRESS = re.compile(r"tcp://127\.0\.0\.1:[1-9]\d{0,4}\Z|ipc:///.+\Z", re.ASCII)


def check_address(address: str) -> None:
    """Refuse an address at which another machine, or another user through a folder, could speak.

    Raises:
        ConfigError: it is neither a port of 127.0.0.1 nor a socket in a folder that only its owner can change.
    """
    port = address.removeprefix("tcp://127.0.0.1:")
    if not _ADDRESS.match(address) or (port.isdecimal() and int(port) > MOST_PORT):
        raise ConfigError(
            f"feed.source = {address!r}: tcp://127.0.0.1:PORT, ipc:///PATH or a csv file was expected: a feed "
            f"speaks without keys and stays on this machine; one elsewhere is reached through ssh -L"
        )
    if address.startswith("ipc://"):
        path = Path(address.removeprefix("ipc://"))
        if len(os.fsencode(path)) > MAX_PATH:
            raise ConfigError(f"feed.source: {path}: a socket's path has at most {MAX_PATH} bytes; take a shorter one")
        _check_folder(path.parent)


def _check_folder(folder: Path) -> None:
    try:
        found = folder.stat()
    except OSError as error:
        raise ConfigError(f"feed.source: {folder}: {error.strerror}; make it, for its owner alone") from error
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"feed.source: {folder}: another user's, who could speak as the feed; take one of yours")
    if found.st_mode & 0o022:
        raise ConfigError(f"feed.source: {folder}: others may write there, and speak as the feed; chmod 700 {folder}")


class FedRows:
    """Asks a feed for its rows by number, from the first on, and never waits for longer than a moment."""

    def __init__(self, address: str, told: Callable[[str], None], *, moment_s: float = LOOK_S) -> None:
        """Begin to connect.

        Args:
            address: as `check_address` takes it.
            told: hears once of each new trouble with the feed, and of its end.
            moment_s: the longest that one look waits for a connection, or for an answer.
        """
        self._address, self._told, self._moment_s = address, told, moment_s
        self._client = FeedClient(address)
        self._feed, self._columns, self._first, self._most = "", "", 1, MOST_ROWS
        self._catching_up, self._questions = True, 0
        self._took = False  # rows of this numbering, so that those missing before the next ones are lost
        self._fresh = Deadline(0.0)  # until when an answer says what there is now
        self._asked = ""  # id of the question that is out
        self._until = Deadline(0.0)  # for its answer, or before the next question
        self._connected_by = Deadline(ANSWER_S)
        self._read: deque[Grown] = deque()
        self._current = False  # the answer of this look says that there is no further row
        self._trouble = ""

    def read(self) -> Grown:
        """The rows since the last call, at most some hundreds of them; none where the feed has none to give."""
        self._current = False
        if self._client.cut_off():
            self._refuse(f"a frame over the limit of {FEED_MAX_FRAME} bytes, or what is no frame, ended the connection")
        if not self._read and (self._asked or self._ask()):
            self._look()
        return self._read.popleft() if self._read else Grown([], self._first, "", known=False, current=self._current)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()

    def _ask(self) -> bool:
        """Ask for the next rows if it is time to; whether a question is out."""
        if not self._until.expired:
            return False
        self._questions += 1
        asked = RowsAsked(first=self._first, most=self._most)
        frames = encode(Envelope("paper", str(self._questions), None, asked), FEED_CATALOGUE)
        if not self._client.send(frames, within_s=self._moment_s):
            if self._connected_by.expired:
                self._tell("nobody answers there; it is asked again until somebody does")
            return False
        self._asked, self._until, self._fresh = str(self._questions), Deadline(ANSWER_S), Deadline(FRESH_S)
        return True

    def _look(self) -> None:
        """Take in the answer, if it comes within a moment."""
        moment = Deadline(self._moment_s)
        while self._asked and self._client.wait(moment.remaining()):
            try:
                envelope = decode(self._client.receive(), FEED_CATALOGUE)
            except WireError as error:
                self._refuse(str(error))
                return
            if envelope.re in (None, self._asked):  # else of a question that was given up
                self._answered(envelope.message)
        if self._asked and self._until.expired:
            self._fail(f"no answer within {ANSWER_S:g} s", again_s=0.0)

    def _answered(self, message: BaseModel) -> None:
        if not isinstance(message, RowsGiven):
            cause = message.cause if isinstance(message, Refused) else type(message).__name__
            self._refuse(f"it refused the question: {cause}")
        elif fault := self._fault_of(message):
            self._refuse(fault)
        else:
            self._asked, self._until, self._connected_by = "", Deadline(0.0), Deadline(ANSWER_S)
            self._tell("")
            self._take(message, self._again(message))

    def _fault_of(self, given: RowsGiven) -> str:
        """What keeps an answer from being one to the question."""
        if len(given.rows) > self._most:
            return f"rows_given: {len(given.rows)} rows, and {self._most} were asked for"
        last = given.first + len(given.rows) - 1
        if given.rows and last > given.count:
            return f"rows_given: row {last} of {given.count}"
        if not given.rows and given.count >= self._first and not self._again(given):
            return f"rows_given: none of the rows {self._first} to {given.count}, which it has"
        same = given.feed == self._feed
        if same and given.columns != self._columns:
            return "rows_given: other columns than before; a feed that numbers other rows has another name"
        if same and self._first > given.first and not self._again(given):
            return f"rows_given: from row {given.first} on, and {self._first} was asked for"
        return ""

    def _again(self, given: RowsGiven) -> Again:
        """Why the rows have to be read from their start."""
        if self._feed and given.feed != self._feed:
            return "replaced"
        return "truncated" if given.count < self._first - 1 else ""

    def _take(self, given: RowsGiven, again: Again) -> None:
        if again:
            self._feed, self._columns, self._first, self._catching_up, self._took = "", "", 1, True, False
            self._read.append(Grown([], 1, again, known=True))
            return
        known = self._catching_up
        if not self._feed:
            self._feed, self._columns = given.feed, given.columns
            self._read.append(Grown([_line(given.columns)], 0, "", known, begins=True))
        if given.rows:
            lost = given.first - self._first if self._took else 0
            lines = [_line(row) for row in given.rows]
            self._read.append(Grown(lines, given.first, "", known, lost=lost))
            self._first, self._took = given.first + len(lines), True
        at_end = self._first > given.count
        self._current = at_end and not self._fresh.expired
        self._catching_up = known and not at_end

    def _refuse(self, cause: str) -> None:
        """Drop what came, ask again later, and for less where it was too long."""
        if "over the limit" in cause:
            self._most = max(1, self._most // 2)
        self._fail(f"refused: {cause}", again_s=AGAIN_S)

    def _fail(self, trouble: str, *, again_s: float) -> None:
        self._asked, self._until, self._connected_by = "", Deadline(again_s), Deadline(ANSWER_S)
        self._tell(f"{trouble}; it is asked again, from row {self._first} on")

    def _tell(self, trouble: str) -> None:
        """Say what is wrong where it is not known yet, and when nothing is wrong any more."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        self._told(f"feed {self._address}: {clean_cause(trouble) or 'gives its rows again'}")


def _line(text: str) -> bytes:
    """A row as a line of a file: one that holds a line end is no row, and says so to whoever reads it."""
    return text.replace("\r", "\\r").replace("\n", "\\n").encode(errors="backslashreplace")
