"""What the gate was told and what it answered, in words for a person."""

import re
from collections.abc import Mapping
from typing import Any

LETTER_CHOSEN = re.compile(r"the model chose [A-Z] with (\d\.\d+)")
CHOICES = {"approve": "approval", "resize": "shrinking", "veto": "a veto"}
ODDS = ("approve", "shrink", "veto")


def in_words(context: Mapping[str, Any]) -> str:
    """The market and the account as the gate was told, each figure with its name."""
    trends = ", ".join(f"{context[f'trend_{minutes}_atr_milli'] / 1000:+.1f} in {minutes}" for minutes in (15, 60, 240))
    room, lost = context["room_to_floor_risks_milli"] / 1000, context["losing_streak"]
    return "; ".join(
        [
            f"{context['regime']}, {context['session_part']}",
            f"trend in ATR: {trends} min",
            f"volatility above {context['volatility_percentile']} % of past days",
            *_place_in_words(context),
            f"{context['minutes_to_flat']} min to flat",
            f"room of {room:.1f} risks",
            f"{lost} {'loss' if lost == 1 else 'losses'} in a row",
        ]
    )


def _place_in_words(context: Mapping[str, Any]) -> list[str]:
    """Volume, place in the session and hidden state, each where it was told."""
    words = []
    if context.get("volume_percentile") is not None:
        words.append(f"volume above {context['volume_percentile']} %")
    distances = [context.get(f"{name}_atr_milli") for name in ("to_session_high", "to_session_low", "vwap")]
    if None not in distances:
        high, low, mean = (distance / 1000 for distance in distances if distance is not None)
        words.append(f"{high:.1f} ATR under the high, {low:.1f} over the low, {mean:+.1f} from the mean price")
    if context.get("wild_percent") is not None:
        words.append(f"wild state {context['wild_percent']} %")
    return words


def odds_percent(odds_milli: Mapping[str, int] | None) -> list[float] | None:
    """The probabilities of approve, shrink and veto in percent; None where there were none."""
    return None if odds_milli is None else [odds_milli.get(label, 0) / 10 for label in ODDS]


def reason_in_words(outcome: Mapping[str, Any]) -> str:
    """Why the gate decided as it did; a letter alone says nothing to a reader."""
    reason = str(outcome.get("reason", outcome.get("cause", "")))
    if found := LETTER_CHOSEN.fullmatch(reason):
        return f"the model gave {CHOICES.get(outcome['kind'], outcome['kind'])} a probability of {found[1]}"
    return reason


def not_taken(code: str) -> str:
    """Why there was no order, where it was not the gate."""
    return "" if code in ("", "vetoed", "gate_failed") else code.replace("_", " ")
