"""Who asks, who answers, by when, and what happens if nobody does: read this file first.

| message | from, to | answer | deadline | if missed |
|---|---|---|---|---|
| `NextBars` | runner, feed | `BarBlock` or `EndOfBars` | 5 s | restart the feed, ask again |
| `PolicyQuery` | runner, policy | `PolicyReply` | 5 s | restart the worker, ask again |
| `PolicyQueries` | runner of many accounts, policy | `PolicyReplies` | 5 s | restart the worker, ask again |
| `EntryProposal` | runner, gate | `Reviewed` | configuration | restart the worker, ask again |
| `EntryProposals` | runner of many accounts, gate | `Reviews` | configuration | restart the worker, ask again |
| an order, its executions (`broker.py`) | runner, broker | its state, they | 5 s | restart the worker, ask again |
| `Ready`, `Heartbeat`, `WorkerFailed` | worker, runner | none | by the clock | back off, restart; then stop the run |
| `Shutdown` | runner, worker | exit status 0 | 2 s for all | kill |
| `RowsAsked` (`row_feed.py`) | runner on paper, a feed | `RowsGiven` | 2 s | say so, ask again from the same row |

Simulated time stands still while somebody is waited for, so nothing that fails changes a result: it is asked again
until supervision gives its worker up, which stops the run; the same command continues it. A verdict that failed on
the model server's side is asked for again too, once the server has proven itself.

The package that answers a question owns its schema; this is the catalogue.
"""

from typing import Literal, NamedTuple

from pydantic import Field

from llm_gate.contract import EntryProposal, EntryProposals, Reviewed, Reviews
from orchestrator.messaging.wire import Message, catalogue_of
from rl_core.contract import PolicyQueries, PolicyQuery, PolicyReplies, PolicyReply
from rl_core.market.types import BarPrices

FEED, POLICY, GATE = "feed", "policy", "gate"
FEED_DEADLINE_S = 5.0
POLICY_DEADLINE_S = 5.0
BARS_AHEAD = 64
"""Bars that are asked for at once: a bar is known to the runner ahead, and to the trader at its turn alone."""


class NextBars(Message):
    """The bars from number ``seq`` on, from 0; at most ``most`` of them."""

    kind: Literal["next_bars"] = "next_bars"
    seq: int = Field(ge=0)
    most: int = Field(gt=0, le=BARS_AHEAD)


class BarBlock(Message):
    """Bars from number ``seq`` on: times, volumes, contracts [3, count] int64, prices [4, count] int32 ticks.

    With second bars: how many each minute has [count] int32, and their rows [k, 5] int32, as `Second`.
    """

    kind: Literal["bar_block"] = "bar_block"
    seq: int = Field(ge=0)
    count: int = Field(gt=0, le=BARS_AHEAD)


class Bar(Message):
    """One closed minute, as the runner takes it out of a block."""

    kind: Literal["bar"] = "bar"
    seq: int = Field(ge=0)
    ts_event_ns: int = Field(description="start of the bar, UTC")
    open: int = Field(description="ticks")
    high: int
    low: int
    close: int
    volume: int = Field(ge=0)
    contract: int = Field(0, ge=0, description="contract rolls between the file's first bar and this one")


class EndOfBars(Message):
    """There is no bar numbered ``seq``."""

    kind: Literal["end_of_bars"] = "end_of_bars"
    seq: int = Field(ge=0)


class Second(NamedTuple):
    """One row of a bar's frame: ticks of a second that traded."""

    second: int  # of the minute, 0 to 59
    open: int
    high: int
    low: int
    close: int

    @property
    def prices(self) -> BarPrices:
        """What the market sees of it."""
        return BarPrices(*self[1:])


Seconds = tuple[Second, ...]


CATALOGUE = catalogue_of(
    (
        NextBars,
        BarBlock,
        EndOfBars,
        PolicyQuery,
        PolicyReply,
        PolicyQueries,
        PolicyReplies,
        EntryProposal,
        Reviewed,
        EntryProposals,
        Reviews,
    )
)
