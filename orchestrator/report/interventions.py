"""What was done to a run besides policy and gate: by a person, guards of its settings, feed, clock and broker."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.report.account_book import AccountBook
from orchestrator.report.filled_by import is_rejected, refused


class Interventions(NamedTuple):
    """Counted from the journal."""

    guards: Mapping[tuple[str, str], int]  # (guard, effect) -> sessions in which it acted; cut orders, each
    words: tuple[str, ...]  # how a person wanted the run to stand, in order
    feed: Mapping[str, int]  # what came from a feed besides the next bar, by its code
    closed_by_clock: int  # positions or orders that no bar came to close before the flat time
    carried: int  # positions that the broker had not closed when their session was over
    rejected: Mapping[str, int]  # orders that the broker did not take, by its reason
    moves_refused: int  # of stops, by the broker

    @property
    def guards_in_words(self) -> str:
        """For a terminal."""
        return "; ".join(
            f"{name}: {effect.replace('_', ' ')}, {count} time{'' if count == 1 else 's'}"
            for (name, effect), count in self.guards.items()
        )

    @property
    def words_in_words(self) -> str:
        """For a terminal."""
        return ", then ".join(self.words)

    @property
    def feed_in_words(self) -> str:
        """For a terminal."""
        return ", ".join(f"{code.replace('_', ' ')} {count}" for code, count in self.feed.items())

    @property
    def sentences(self) -> list[str]:
        """What a report must say of them."""
        said = []
        if self.guards:
            said.append(f"The run's own guards acted ({self.guards_in_words}): the result is not the policy's alone.")
        if self.words:
            said.append(f"A person stepped in ({self.words_in_words}): the result is not the policy's alone.")
        if self.feed:
            said.append(
                f"The feed gave more than the next bar ({self.feed_in_words}); docs/operating.md has the rules."
            )
        if self.closed_by_clock:
            times = "once" if self.closed_by_clock == 1 else f"{self.closed_by_clock} times"
            said.append(f"No bar came before the flat time, and the clock closed what was open: {times}.")
        if self.carried:
            times = "once" if self.carried == 1 else f"{self.carried} times"
            said.append(
                f"A session was over and the broker had not closed everything: {times}. What was left closed when it "
                f"could, and counts in the session that left it."
            )
        if told := refused(sum(self.rejected.values()), self.moves_refused):
            why = ", ".join(f"{reason or 'without a reason'} {count}" for reason, count in self.rejected.items())
            why = f" ({why})" if why else ""
            said.append(f"The broker refused {told}{why}: what was refused is not in the result.")
        return said


def interventions(book: AccountBook) -> Interventions:
    """Every word and every guard that the journal holds."""
    acted = Counter((event.payload["guard"], event.payload["effect"]) for event in book.of("guard"))
    rejected = [event for event in book.of("order") if is_rejected(event.type, event.payload)]
    return Interventions(
        guards=dict(sorted(acted.items())),
        words=tuple(event.payload["standing"] for event in book.of("operator")),
        feed=dict(sorted(Counter(event.payload["code"] for event in book.of("feed")).items())),
        closed_by_clock=len(book.of("flat_time")),
        carried=len(book.of("still_open")),
        rejected=dict(sorted(Counter(event.payload["reason"] for event in rejected).items())),
        moves_refused=len(book.of("stop_kept")),
    )
