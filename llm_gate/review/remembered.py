"""What a gate remembers: the verdict of each decision, and, where asked to, the answer to each case."""

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from llm_gate.contract import EntryProposal, Reviewed

KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class LeastRecentlyUsed(Generic[KeyT, ValueT]):
    """At most ``most`` entries; the one unused longest goes first."""

    def __init__(self, most: int) -> None:
        """Empty; with ``most`` 0 nothing is kept."""
        self._most = most
        self._entries: OrderedDict[KeyT, ValueT] = OrderedDict()

    def get(self, key: KeyT) -> ValueT | None:
        """The entry, which is now the newest, or None."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: KeyT, value: ValueT) -> None:
        """Keep ``value`` as the newest entry; the oldest goes where there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        while len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


class PastDecision(NamedTuple):
    """What was asked under a decision's id, and the reply."""

    proposal: EntryProposal
    reviewed: Reviewed


class PendingDecision(NamedTuple):
    """A decision that somebody waits for."""

    proposal: EntryProposal
    reply: "asyncio.Future[Reviewed]"


class CaseKey(NamedTuple):
    """All that an answer depends on, so that two equal keys have one answer."""

    prompt_digest: str
    engine: str
    model: str
    """Name, digest of the folder (weights, tokenizer, chat template), and digest of sampling and schema."""
    mode: str
    shrink_factor: str
    case_digest: str


def case_digest(proposal: EntryProposal) -> str:
    """SHA-256 of everything in ``proposal`` but its id."""
    case = proposal.model_dump(mode="json", exclude={"proposal_id"})
    return hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()
