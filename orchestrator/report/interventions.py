"""What was done to a run besides policy and gate: the words of a person, and the guards of its own settings."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.report.account_book import AccountBook


class Interventions(NamedTuple):
    """Counted from the journal."""

    guards: Mapping[tuple[str, str], int]  # (guard, effect) -> sessions in which it acted; cut orders, each
    words: tuple[str, ...]  # how a person wanted the run to stand, in order

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
    def sentences(self) -> list[str]:
        """What a report must say of them."""
        said = []
        if self.guards:
            said.append(f"The run's own guards acted ({self.guards_in_words}): the result is not the policy's alone.")
        if self.words:
            said.append(f"A person stepped in ({self.words_in_words}): the result is not the policy's alone.")
        return said


def interventions(book: AccountBook) -> Interventions:
    """Every word and every guard that the journal holds."""
    acted = Counter((event.payload["guard"], event.payload["effect"]) for event in book.of("guard"))
    return Interventions(dict(sorted(acted.items())), tuple(event.payload["standing"] for event in book.of("operator")))
