"""What comes from a feed while the market trades: bars in their turn, and everything else by one rule each.

| what comes | rule | `feed` record |
|---|---|---|
| the next bar | it is played | none |
| one that is over for `paper.late_after_s` or longer | played; nobody is asked at its close | `late`, at the first |
| one with minutes missing before it | played by the timing contract | `gap` |
| a bar that is known, with the same values | ignored | `doubled` |
| a bar that is known, with other values | recorded; what was acted on stays as it was | `corrected` |
| an earlier bar that is not known | recorded, never played | `out_of_order` |
| a bar that is not over yet | recorded, never played | `early` |
| a bar outside every session | recorded, never played | `closed_market` |
| a row that is no bar, or half or twice the last price | recorded, never played | `malformed` |
| a header by which no row can be read | recorded once, its rows are left alone | `malformed` |
| a file or feed that was cut, or another in its place | read anew, known rows left out | `truncated`, `replaced` |
| rows that a feed no longer has when it is asked for them | played on after them | `lost` |

Rows may also be seconds or ticks, of which minutes are made first (`made_minutes.py`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from orchestrator.clock import Deadline, MarketClock
from orchestrator.journal.lines import Record
from orchestrator.messaging.catalogue import Bar
from orchestrator.run.growing_file import Grown, RowSource
from orchestrator.run.known_bars import KnownBars
from orchestrator.run.made_minutes import Made, MadeMinutes
from orchestrator.run.runner import FeedBar, FeedNote
from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.bars.layouts import Stamp
from rl_core.bars.rows import LASTS_S, BadRow, BarRow, RowKind, RowReader
from rl_core.exchange.calendar import Calendar
from rl_core.trading.hours import MINUTE_NS

EARLY_S = 5.0
"""A clock may be so far behind the feed's; a bar whose end is further ahead is still being made."""
MOST_TIMES = 2.0
"""A close this many times the one before it, or its inverse, is no market's within a minute."""
LONGEST_FAULT = 240
_OF_BARS = ("closed_market", "partial")
"""Notes of a minute, never of a row that it is made of."""
MOMENT_S = 0.2
_AHEAD_NS = 400 * 86_400 * 1_000_000_000


class Source(NamedTuple):
    """The rows that are followed, and how they are to be read."""

    rows: RowSource
    name: str
    """Of the file or feed, for errors."""
    timezone: str | None
    stamp: Stamp | None
    kind: RowKind = "minutes"
    settle_s: float = 1.0
    """A minute that is made is made so long after its end where no later row has come."""


class FollowedBars:
    """The bars that a source of rows gives, each in its turn, from the first that a run does not know yet."""

    def __init__(
        self,
        source: Source,
        history: Bars,
        recorded: Iterable[Record],
        clock: MarketClock,
        *,
        late_after_s: float,
        sessions: int | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            source: of the rows.
            history: what was shown before the run began.
            recorded: the journal of the run so far.
            clock: the market's.
            late_after_s: a bar taken so long after its end is late.
            sessions: so many are traded; None: no end.
        """
        self._source, self._history, self._clock = source, history, clock
        self._reader: RowReader | None = None
        self._making = None if source.kind == "minutes" else MadeMinutes(ticks=source.kind == "ticks")
        self._price = int(history.close[-1])  # of the last row that counted
        self._late_after_s, self._most_sessions = late_after_s, sessions
        self._calendar = self._covering(int(history.ts_event_ns[0]))
        self._known = KnownBars(history)
        self._told_rows: set[tuple[int, int]] = set()  # number and time of rows that a record tells of; no bar: 0
        self._told_bars: set[tuple[int, int]] = set()  # the same of bars, of which a row may have number and time, too
        self._rolls: int | None = None  # by how much the rows count more rolls than what is known; None: not known yet
        self._late, self._catching_up = False, True
        self._sessions: list[int] = []
        self._closes_ns = 0  # of the last session that was traded
        self.ended = False
        """Whether the last session to be traded is over."""
        self.played = 0
        """Bars that were handed out, those of the record included."""
        self.last = self._known.last_of_history
        """The last bar of all that are known."""
        self._remember(recorded)

    def read(self) -> list[FeedBar | FeedNote]:
        """What has come since the last call; nothing where no row has, or none but known ones within a moment."""
        moment = Deadline(MOMENT_S)
        while True:
            grown = self._source.rows.read()
            found = self._found(grown)
            if found or not grown.lines or moment.expired:
                return found

    def _found(self, grown: Grown) -> list[FeedBar | FeedNote]:
        """What the rows that were added are."""
        found: list[FeedBar | FeedNote] = [FeedNote(grown.again, {})] if grown.again else []
        if grown.lost:
            found.append(FeedNote("lost", {"rows": grown.lost, "row": grown.first}))
        if grown.again:
            self._rolls = None
        if self._making is not None and (grown.again or grown.lost):
            self._making.begin_anew()
        if not self.ended:
            found += self._taken(grown)
        if not self.ended and self._making is not None:
            found += self._made_besides(self._making, grown)
        # Only a look that found nothing ends a session by the clock: what is still to be read comes first.
        if not grown.lines and self._most_sessions is not None and len(self._sessions) >= self._most_sessions:
            self.ended = self.ended or self._clock.seconds_since(self._closes_ns) > self._late_after_s
        return found

    def market_open(self) -> bool:
        """Whether the market trades now, by the clock."""
        return self._place(self._clock.now_ns() - MINUTE_NS)[0] >= 0

    def _remember(self, recorded: Iterable[Record]) -> None:
        for record in recorded:
            if record.type == "bar":
                self._turn_of(_row(record.payload))
            elif record.type == "feed":
                self._remember_note(record.payload)

    def _remember_note(self, told: Mapping[str, Any]) -> None:
        if "close" in told:
            self._known.add(_row(told))
            return
        place = (told.get("row", 0), told.get("ts_event_ns", 0))
        self._told_bars.add(place)
        if told["code"] not in _OF_BARS:
            self._told_rows.add(place)

    def _taken(self, grown: Grown) -> list[FeedBar | FeedNote]:
        lines, first = grown.lines, grown.first
        found: list[FeedBar | FeedNote] = []
        if grown.begins:
            lines, first = self._begun(lines, first)
            found += self._header_refused(grown)
        if self._reader is None:
            return found
        numbered = [(first + index, line) for index, line in enumerate(lines) if line.strip()]
        for number, row in zip(*_split(self._reader, numbered), strict=True):
            if self.ended:
                break
            if self._making is None:
                found += self._happened(number, row, grown.known)
            else:
                found += self._counted(self._making, number, row, grown.known)
        return found

    def _header_refused(self, grown: Grown) -> list[FeedBar | FeedNote]:
        """One record of rows of which none can be read; they are left alone until others come in their place."""
        assert self._reader is not None, "it has begun"
        fault = self._reader.header_fault()
        if not fault:
            return []
        self._reader = None
        place = (grown.first, 0)
        if grown.known and place in self._told_rows:
            return []
        self._told_rows.add(place)
        return [_malformed(fault, {"row": grown.first})]

    def _counted(self, making: MadeMinutes, number: int, row: BarRow | BadRow, known: bool) -> list[FeedBar | FeedNote]:
        """What a second or a tick means: perhaps the minute before it is over."""
        place = _place_of(number, row)
        if known and place in self._told_rows:
            return []
        note = self._fault_of(row, LASTS_S[self._source.kind], self._price)
        if note is not None:
            self._told_rows.add(place)
            return [FeedNote(note.code, {**note.facts, "row": number})]
        assert isinstance(row, BarRow)
        until_ns, self._price = making.open_until_ns, row.close
        over = making.close() if until_ns is not None and row.ts_event_ns >= until_ns else []
        found = [each for made in over for each in self._made_at_once(making, made)]
        opens = not making.begun and self._opens_in(row.ts_event_ns // MINUTE_NS * MINUTE_NS)
        taken = making.take(number, row, known=known, opens=opens)
        if taken != "new" and not known:
            found.append(FeedNote(taken, {"row": number, "ts_event_ns": row.ts_event_ns}))
        return found

    def _made_besides(self, making: MadeMinutes, grown: Grown) -> list[FeedBar | FeedNote]:
        """Minutes that got rows after they were made, and the one that is over by the clock once all rows are here.

        Of rows that were there before the first look the last word of a minute counts: how they came then, one by one
        or at once, is not known, and what is made of some of them is no correction.
        """
        until_ns, over = making.open_until_ns, list[Made]()
        if grown.again or grown.lines or grown.current:
            self._catching_up = bool(grown.again) or (bool(grown.lines) and grown.known)
        if not grown.lines and grown.current and until_ns is not None:
            over = making.close() if self._clock.seconds_since(until_ns) > self._source.settle_s else []
        changed = making.changed(only_old=self._catching_up)
        return [each for made in [*changed, *over] for each in self._made(made)]

    def _made_at_once(self, making: MadeMinutes, made: Made) -> list[FeedBar | FeedNote]:
        """What a minute is once a row of a later one has come; one that is known waits for all rows that are there."""
        if made.known and made.row.ts_event_ns <= self.last.ts_event_ns:
            making.make_again(made)
            return []
        return self._made(made)

    def _made(self, made: Made) -> list[FeedBar | FeedNote]:
        """What a minute that was made is; one that may have begun before its first row is no bar."""
        ts_ns = made.row.ts_event_ns
        if made.whole or ts_ns <= self.last.ts_event_ns:
            return self._happened(made.number, made.row, made.known) if made.whole else []
        place = (made.number, ts_ns)
        if place in self._told_bars:
            return []
        self._told_bars.add(place)
        return [FeedNote("partial", {"row": made.number, "ts_event_ns": ts_ns})]

    def _begun(self, lines: list[bytes], first: int) -> tuple[list[bytes], int]:
        """Understand the rows by their first line; those below it, and the number of the first of them."""
        first_line, name = lines[0].removeprefix(b"\xef\xbb\xbf"), Path(self._source.name)
        timezone, stamp = self._source.timezone, self._source.stamp
        self._reader = RowReader(
            name, first_line, self._history.instrument, timezone=timezone, stamp=stamp, kind=self._source.kind
        )
        return (lines[1:], first + 1) if self._reader.has_header else ([first_line, *lines[1:]], first)

    def _happened(self, number: int, row: BarRow | BadRow, known: bool) -> list[FeedBar | FeedNote]:
        """What a row means; ``known``: it was there before the first look."""
        place = _place_of(number, row)
        if known and place in self._told_bars:
            return []
        row = row if isinstance(row, BadRow) else self._counted_as_known(row)
        note = self._fault_of(row, LASTS_S["minutes"], self.last.close)
        if isinstance(row, BarRow) and note is None and row.ts_event_ns > self.last.ts_event_ns:
            closed = self._place(row.ts_event_ns)[0] < 0
            note = FeedNote("closed_market", {"ts_event_ns": row.ts_event_ns}) if closed else None
        if note is not None:
            self._told_bars.add(place)
            return [FeedNote(note.code, {**note.facts, "row": number})]
        assert isinstance(row, BarRow)
        if row.ts_event_ns > self.last.ts_event_ns:
            return self._in_its_turn(row)
        values = self._known.of(row.ts_event_ns)
        if row in values:
            return [] if known else [FeedNote("doubled", {"row": number, "ts_event_ns": row.ts_event_ns})]
        if known and row.ts_event_ns < int(self._history.ts_event_ns[0]):
            return []
        code = "corrected" if values else "out_of_order"
        self._known.add(row)
        return [FeedNote(code, {"row": number, **row._asdict()})]

    def _counted_as_known(self, row: BarRow) -> BarRow:
        """The row with its rolls counted as those of the history, which is a part of its file and begins at 0.

        A source that counts none is of one contract: that of the bar that is known, or else of the last.
        """
        assert self._reader is not None
        known = next(iter(self._known.of(row.ts_event_ns)), None)
        anchor = known or self.last
        if not self._reader.counts_rolls:
            return row._replace(contract=anchor.contract)
        if self._rolls is None and (known is not None or row.ts_event_ns > self.last.ts_event_ns):
            self._rolls = row.contract - anchor.contract
        return row._replace(contract=row.contract - (self._rolls or 0))

    def _fault_of(self, row: BarRow | BadRow, lasts_s: int, price: int) -> FeedNote | None:
        """Why a row that lasts so long, after one at ``price``, is none, or none that may count."""
        if isinstance(row, BadRow):
            return _malformed(row.fault, {})
        if row.ts_event_ns <= self.last.ts_event_ns:
            return None
        facts: Mapping[str, int | str] = {"ts_event_ns": row.ts_event_ns}
        if self._clock.seconds_since(row.ts_event_ns + lasts_s * NS_PER_SECOND) < -EARLY_S:
            return FeedNote("early", facts)
        if not 1 / MOST_TIMES < row.close / max(1, price) < MOST_TIMES:
            fault = f"scale: a close of {row.close} ticks after {price}"
            return FeedNote("malformed", {**facts, "fault": fault})
        return None

    def _in_its_turn(self, row: BarRow) -> list[FeedBar | FeedNote]:
        found: list[FeedBar | FeedNote] = []
        session, minutes = self._place(row.ts_event_ns)[0], (row.ts_event_ns - self.last.ts_event_ns) // MINUTE_NS - 1
        if session not in self._sessions and len(self._sessions) == self._most_sessions:
            self.ended = True
            return []
        trades_on = self._place(self.last.ts_event_ns + MINUTE_NS)[0] == session
        if minutes and trades_on:
            found.append(FeedNote("gap", {"minutes": minutes, "ts_event_ns": row.ts_event_ns}))
        late = self._clock.seconds_since(row.ts_event_ns + MINUTE_NS) > self._late_after_s
        if late and not self._late:
            found.append(FeedNote("late", {"ts_event_ns": row.ts_event_ns}))
        self._late = late
        bar = Bar(seq=self.played, **row._asdict())
        self._turn_of(row)
        return [*found, FeedBar(bar, "")]

    def _turn_of(self, row: BarRow) -> None:
        """Count a bar that is played."""
        session, closes_ns = self._place(row.ts_event_ns)
        if session not in self._sessions:
            self._sessions.append(session)
        self._closes_ns, self.last = closes_ns, row
        self._known.add(row)
        self.played += 1

    def _opens_in(self, minute_ns: int) -> bool:
        """Whether a session begins with this minute."""
        session = self._place(minute_ns)[0]
        return session >= 0 and self._place(minute_ns - MINUTE_NS)[0] != session

    def _place(self, ts_ns: int) -> tuple[int, int]:
        """The session of a bar that starts then, below 0 outside every one, and when it closes."""
        if not self._calendar.open_ns[0] <= ts_ns < self._calendar.close_ns[-1]:
            self._calendar = self._covering(ts_ns)
        located = self._calendar.locate(np.array([ts_ns], np.int64))
        return int(located.session[0]), int(located.close_ns[0])

    def _covering(self, ts_ns: int) -> Calendar:
        return Calendar.covering(ts_ns, ts_ns + _AHEAD_NS, self._history.instrument.calendar)


def _malformed(fault: str, facts: Mapping[str, int | str]) -> FeedNote:
    return FeedNote("malformed", {**facts, "fault": fault.encode("ascii", "backslashreplace").decode()[:LONGEST_FAULT]})


def _place_of(number: int, row: BarRow | BadRow) -> tuple[int, int]:
    """By what a row is known again: its time too, as the number alone is another row's once a feed counts anew."""
    return number, row.ts_event_ns if isinstance(row, BarRow) else 0


def _split(reader: RowReader, numbered: list[tuple[int, bytes]]) -> tuple[list[int], list[BarRow | BadRow]]:
    """The numbers of the lines, and what each is; lines that follow each other are read together."""
    numbers, rows, start = [number for number, _ in numbered], list[BarRow | BadRow](), 0
    for stop in range(1, len(numbered) + 1):
        if stop == len(numbered) or numbers[stop] != numbers[stop - 1] + 1:
            rows += reader.read([line for _, line in numbered[start:stop]], numbers[start])
            start = stop
    return numbers, rows


def _row(payload: Mapping[str, int]) -> BarRow:
    return BarRow(*(payload[name] for name in BarRow._fields))
