"""The second task, "name the regime": direction and volatility read from plain numbers by the model itself.

Its letters are scored against the causal label that code has computed and that is not shown.
"""

import hashlib
from typing import Literal, NamedTuple

from llm_gate.contract import RegimeContext
from llm_gate.engines.base import Turn

Aspect = Literal["direction", "volatility"]
ASPECTS: tuple[Aspect, ...] = ("direction", "volatility")
NAME = "name_regime.v1"

MEANINGS: dict[Aspect, dict[str, str]] = {
    "direction": {"A": "down", "B": "flat", "C": "up"},
    "volatility": {"A": "calm", "B": "normal", "C": "wild"},
}

_SYSTEM: dict[Aspect, str] = {
    "direction": (
        "You name the direction of a market over the last hour. Answer with one letter.\n"
        "A = down: the 60-minute move is -2.5 ATR or less.\nB = flat: it is between -2.5 and +2.5 ATR.\n"
        "C = up: it is +2.5 ATR or more."
    ),
    "volatility": (
        "You name the volatility of a market. Answer with one letter.\n"
        "A = calm: the percentile is 32 or less.\nB = normal: it is between 33 and 66.\nC = wild: it is 67 or more."
    ),
}
_EXAMPLES: tuple[tuple[str, dict[Aspect, str]], ...] = (
    (
        "move 15 min -1.2, 60 min -4.1, 240 min -6.0 ATR; volatility percentile 81",
        {"direction": "A", "volatility": "C"},
    ),
    (
        "move 15 min +0.4, 60 min +0.9, 240 min -1.5 ATR; volatility percentile 12",
        {"direction": "B", "volatility": "A"},
    ),
    (
        "move 15 min +1.9, 60 min +5.2, 240 min +3.3 ATR; volatility percentile 50",
        {"direction": "C", "volatility": "B"},
    ),
)


class RegimeQuestion(NamedTuple):
    """One chat, and the answer that is right: `down`, `flat`, `calm` ..."""

    chat: tuple[Turn, ...]
    right_answer: str


def regime_question(aspect: Aspect, context: RegimeContext) -> RegimeQuestion | None:
    """The question about one half of the label; None where the label has no such half."""
    right_answer = _halves(context.regime).get(aspect)
    if right_answer is None or right_answer not in MEANINGS[aspect].values():
        return None
    turns = [Turn("system", _SYSTEM[aspect])]
    for numbers, answers in _EXAMPLES:
        turns += [Turn("user", numbers), Turn("assistant", answers[aspect])]
    return RegimeQuestion((*turns, Turn("user", _numbers(context))), right_answer)


def digest_of_regime_question(aspect: Aspect) -> str:
    """SHA-256 in hex of everything that is asked besides the numbers."""
    return hashlib.sha256(repr((aspect, _SYSTEM[aspect], _EXAMPLES, MEANINGS[aspect])).encode()).hexdigest()


def _halves(regime: str) -> dict[str, str]:
    direction, _, volatility = regime.partition("/")
    return {"direction": direction, "volatility": volatility}


def _numbers(context: RegimeContext) -> str:
    moves = ", ".join(
        f"{minutes} min {value / 1000:+.1f}"
        for minutes, value in (
            (15, context.trend_15_atr_milli),
            (60, context.trend_60_atr_milli),
            (240, context.trend_240_atr_milli),
        )
    )
    return f"move {moves} ATR; volatility percentile {context.volatility_percentile}"
