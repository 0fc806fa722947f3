"""What is played: whoever enters, on the bars of a span, under an account's setting; no JAX."""

from typing import NamedTuple

from rl_core.bars.rungs import Ladder
from rl_core.bars.seconds import SecondsByMinute
from rl_core.evaluation.entrants import Enters
from rl_core.evaluation.span import Span
from rl_core.features.market_view import MarketView
from rl_core.trading.setup import Trading


class EvaluationInputs(NamedTuple):
    """What is played: whoever enters, on the bars of a span, under an account's setting."""

    who: Enters
    view: MarketView
    trading: Trading
    span: Span
    ladder: Ladder | None = None  # the seconds as a fresh account meets them
    seconds: SecondsByMinute | None = None  # the same seconds, as a carried account meets them
