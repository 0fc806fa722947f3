"""Which account suits what the run traded: its own entries and stop moves, drawn anew under every rule pack."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from orchestrator.report.account_book import AccountBook, BookedProposal
from orchestrator.report.figures import FROM_POLICY
from rl_core.bars.bars import Bars
from rl_core.contract import BUY, HOLD, SELL
from rl_core.evaluation.account_value import with_values
from rl_core.evaluation.carried import FRESH, play_carried
from rl_core.evaluation.entrants import Recorded
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.pack_odds import (
    ALL,
    BLOCK,
    NamedPack,
    PackOdds,
    chosen_packs,
    odds_of,
    once_a_flat_time,
    suiting_line,
)
from rl_core.evaluation.span import Span
from rl_core.evaluation.tapes import Tape, tape_of, unhindered
from rl_core.exchange.calendar import locate
from rl_core.features.market_view import view_of
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import NO_ORDER, BarPrices, Bracket
from rl_core.rules.prices import read_prices
from rl_core.trading.setup import Trading

DRAWS = 1_000
"""Attempts of each pack: their error is under 1.6 %, and what a year of sessions leaves open is many times as much."""


class AccountFit(NamedTuple):
    """What becomes of attempts with the run's trades."""

    odds: list[PackOdds]  # of every pack, the likeliest to pass first
    own: PackOdds  # of the run's own pack
    sentence: str  # which account suits, if any
    cut_short: int  # sessions whose account stopped trading before their end: what followed is not known
    without_target: int  # packs that are left out, as they have nothing to pass


def account_fit(
    trading: Trading, book: AccountBook, proposals: Sequence[BookedProposal], *, draws: int = DRAWS
) -> AccountFit | None:
    """The odds of every pack with a target, from what the run traded; None where there is too little to draw from.

    That is a run that has not ended, or took entries in fewer sessions than are drawn together.

    The run's orders, as its gate left them, are played again under an account that stops nothing, with its own stop
    moves; so a trade that the run's account ended goes on to its bracket. What comes of it is drawn and played as
    `rl-core evaluate --rules` does it, of which this gives the same numbers where no gate and no account interfered.
    """
    taken = [proposal for proposal in proposals if proposal.taken != NO_ORDER]
    if not book.ended or _sessions_with(taken, book, trading) < BLOCK:
        return None
    bars, who = _bars_of(trading, book), _recorded(book, taken)
    seconds = None if book.seconds is None else _Frames(book.seconds)

    def tape_under(under: Trading) -> Tape:
        view = view_of(bars, under.pack, under.hours, under.yardstick, blind=True)
        inputs = EvaluationInputs(who, view, under, Span(0, len(bars)))
        path = play_carried(who, view, unhindered(under), inputs.span, seconds=seconds, accounts=FRESH)
        return tape_of(inputs, path.trades)

    every = chosen_packs(ALL)
    packs = [named for named in every if named.pack.target is not None]
    own = next((named for named in every if named.pack == trading.pack), None)
    own = own or NamedPack(f"{trading.pack.name} (yours)", trading.pack)
    packs += [] if own in packs else [own]
    tapes = once_a_flat_time(tape_under)
    odds = with_values(odds_of(trading, packs, tapes, draws=draws), read_prices(), trading, tapes, draws=draws)
    return AccountFit(
        odds=odds,
        own=next(each for each in odds if each.name == own.name),
        sentence=suiting_line(odds),
        cut_short=_cut_short(book),
        without_target=len(every) - len([named for named in every if named.pack.target is not None]),
    )


class _Frames:
    """The seconds of each bar, as the journal keeps them."""

    def __init__(self, frames: Sequence[Sequence[BarPrices]]) -> None:
        self._frames = frames

    def of(self, minute: int) -> Sequence[BarPrices]:
        """The seconds of minute bar ``minute`` in order."""
        return self._frames[minute]


def _bars_of(trading: Trading, book: AccountBook) -> Bars:
    """The bars of the journal; those that the policy saw before them are not in it."""
    rows = book.bars
    prices = {name: getattr(rows, name).astype(np.int32) for name in ("open", "high", "low", "close", "contract")}
    return Bars(trading.contract, 60, rows.ts_event_ns, volume=rows.volume, **prices)


def _recorded(book: AccountBook, taken: Sequence[BookedProposal]) -> Recorded:
    """What the run ordered, and what its policy did with a position."""
    chosen = {event.bar: event.payload for event in book.of("acted")}
    managed = {
        bar: int(payload["action"])
        for bar, payload in chosen.items()
        if payload["source"] == FROM_POLICY and payload["action"] not in (HOLD, BUY, SELL)
    }
    entered = {proposal.bar: BUY if proposal.taken.quantity > 0 else SELL for proposal in taken}
    brackets = {p.bar: p.own or OwnBracket(Bracket(p.taken.stop_ticks, p.taken.target_ticks)) for p in taken}
    return Recorded(2 if managed else 1, {**managed, **entered}, brackets, len(book.bars.ts_event_ns))


def _sessions_with(taken: Sequence[BookedProposal], book: AccountBook, trading: Trading) -> int:
    """Sessions in which an entry was taken."""
    if not taken:
        return 0
    decided = book.bars.ts_event_ns[[proposal.bar for proposal in taken]]
    return len(np.unique(locate(decided, trading.contract.calendar).session))


def _cut_short(book: AccountBook) -> int:
    """Sessions in which the account passed, failed or paused before the end of the entry hours."""
    stops = [event.bar for event in book.of("day_paused", "stood_down")]
    stops += [event.bar for event in book.of("account_ended") if event.payload["status"] in ("passed", "failed")]
    return len(set(stops))
