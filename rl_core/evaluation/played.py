"""What an evaluation played: whose bars, which contract at what costs, which days, and under which account's rules."""

from datetime import date
from typing import Any, NamedTuple

from rl_core.evaluation.span import Span
from rl_core.features.market_view import MarketView
from rl_core.statistics.counts import counted
from rl_core.trading.setup import Trading

EPOCH_DAY = date(1970, 1, 1).toordinal()


class Played(NamedTuple):
    """Whatever every figure of an evaluation rests on."""

    market: str  # of the bars
    contract: str  # that was traded on them
    tick_dollars: float
    commission_dollars: float  # a side and contract
    slippage_ticks: int  # at least, of market and stop orders
    first_session: str
    last_session: str
    rules: str

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return self._asdict()

    @property
    def in_words(self) -> str:
        """In a line."""
        return (
            f"{self.market} bars as {self.contract} (${self.tick_dollars:.2f} a tick, ${self.commission_dollars:.2f} a "
            f"side, at least {counted(self.slippage_ticks, 'tick')} of slippage), {self.first_session} to "
            f"{self.last_session}; {self.rules}"
        )


def played_on(view: MarketView, trading: Trading, span: Span) -> Played:
    """What is played in ``span`` of the bars of ``view``."""
    terms, session = trading.venue.terms, view.located.session
    first, last = (date.fromordinal(EPOCH_DAY + int(session[bar])) for bar in (span.first, span.stop - 1))
    return Played(
        market=view.bars.instrument.symbol,
        contract=trading.contract.symbol,
        tick_dollars=int(terms.tick_value) / 100,
        commission_dollars=int(terms.commission) / 100,
        slippage_ticks=int(terms.slippage_ticks),
        first_session=first.isoformat(),
        last_session=last.isoformat(),
        rules=trading.pack.name,
    )
