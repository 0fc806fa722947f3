"""A proposal in plain words, computed here so that a model has nothing to calculate.

Blind by construction: a proposal holds no date, symbol or price level. Where the trade's side matters, the words are
seen from it: ``with`` and ``AGAINST``, the session's extreme ahead and the one behind. What stands out is in capitals,
what is not known is ``unknown``. A phrase that a prompt in use shows is never changed: the next is a new field.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

from llm_gate.contract import LARGEST, EntryProposal

UNKNOWN = "unknown"
FLAT_TREND_ATR_MILLI = 500
"""Moves smaller than half an ATR are called flat."""
LONG_STREAK = 6
"""Six losses in a row happen to one trade in eight where three in ten win, as with a target three stops away."""

_Bands = tuple[tuple[int, str], ...]
"""Upper limit, included, and the word up to there."""

_VOLUME: _Bands = ((10, "DRIED UP"), (25, "thin"), (75, "usual"), (95, "heavy"), (LARGEST, "VERY HEAVY"))
_EXTREME: _Bands = ((500, "AT IT"), (2000, "near"), (LARGEST, "away"))
_VWAP: _Bands = ((1000, "AT IT"), (10_000, ""), (LARGEST, "STRETCHED"))
_WILD: _Bands = ((20, "quiet"), (50, "unsettled"), (80, "likely WILD"), (100, "WILD"))
_CLOCK: _Bands = (
    (15, "MINUTES LEFT"),
    (45, "UNDER AN HOUR"),
    (90, "about an hour"),
    (180, "two to three hours"),
    (LARGEST, "most of the day"),
)


class Facts(NamedTuple):
    """One short phrase for each fact; every prompt takes its fields from these."""

    order: str
    bracket: str
    trend_15: str
    trend_60: str
    trend_240: str
    volatility: str
    regime: str
    session_part: str
    time_left: str
    room: str
    streak: str
    size: str
    volume: str
    extreme_ahead: str
    extreme_behind: str
    path: str
    vwap: str
    hidden: str
    clock: str
    losses: str


def facts_of(proposal: EntryProposal) -> Facts:
    """What there is to say about ``proposal``."""
    context, side = proposal.context, proposal.side
    ahead, behind = context.to_session_high_atr_milli, context.to_session_low_atr_milli
    if side == "sell":
        ahead, behind = behind, ahead
    return Facts(
        order=f"{side.upper()} {proposal.quantity}",
        bracket=f"stop {_milli(proposal.stop_atr_milli)} ATR, target {_milli(proposal.target_atr_milli)} ATR",
        trend_15=_stance(side, context.trend_15_atr_milli),
        trend_60=_stance(side, context.trend_60_atr_milli),
        trend_240=_stance(side, context.trend_240_atr_milli),
        volatility=_volatility(context.volatility_percentile),
        regime=context.regime.replace("/", ", ").replace("_", " "),
        session_part=context.session_part,
        time_left=_time_left(context.minutes_to_flat),
        room=_room(context.room_to_floor_risks_milli),
        streak=_streak(context.losing_streak),
        size=_size(proposal.quantity),
        volume=_known(context.volume_percentile, lambda value: f"{_word(_VOLUME, value)} (percentile {value})"),
        extreme_ahead=_known(ahead, _extreme),
        extreme_behind=_known(behind, _extreme),
        path=_known(ahead, lambda value: _path(value, proposal.target_atr_milli)),
        vwap=_known(context.vwap_atr_milli, lambda value: _vwap(side, value)),
        hidden=_known(context.wild_percent, lambda value: f"{_word(_WILD, value)} ({value} percent)"),
        clock=_word(_CLOCK, context.minutes_to_flat),
        losses=_losses(context.losing_streak),
    )


def longest_facts(length: Callable[[str], int] = len) -> Facts:
    """For each fact the phrase that is longest by ``length``: no proposal can be shown with more."""
    shown = [facts_of(proposal) for proposal in _extreme_proposals()]
    return Facts(*(max(phrases, key=length) for phrases in zip(*shown, strict=True)))


def smallest_proposal() -> EntryProposal:
    """A proposal whose figures have one digit each and whose optional ones are not known: about the least to show."""
    context = {
        "trend_15_atr_milli": 0,
        "trend_60_atr_milli": 0,
        "trend_240_atr_milli": 0,
        "volatility_percentile": 1,
        "regime": "up/calm",
        "session_part": "late",
        "minutes_to_flat": 1,
        "room_to_floor_risks_milli": 9000,
        "losing_streak": 0,
    }
    return _proposal("buy", 2, 1000, context)


def _stance(side: str, trend_atr_milli: int) -> str:
    if abs(trend_atr_milli) < FLAT_TREND_ATR_MILLI:
        return "flat"
    return "with" if (trend_atr_milli > 0) == (side == "buy") else "AGAINST"


def _volatility(percentile: int) -> str:
    words = ((25, "low"), (75, "normal"), (90, "high"))
    word = next((word for limit, word in words if percentile <= limit), "VERY HIGH")
    return f"{word} (percentile {percentile})"


def _time_left(minutes: int) -> str:
    word = "LITTLE" if minutes <= 45 else "enough"
    return f"{word} ({minutes} minutes)"


def _room(risks_milli: int) -> str:
    words = ((2000, "NEAR THE FLOOR"), (4000, "narrow"))
    word = next((word for limit, word in words if risks_milli < limit), "ample")
    return f"{word} ({_milli(risks_milli)} times the risk)"


def _streak(losses: int) -> str:
    return "none" if losses == 0 else str(losses)


def _size(quantity: int) -> str:
    return "1 contract, which cannot be halved" if quantity == 1 else f"{quantity} contracts"


def _extreme(distance_atr_milli: int) -> str:
    return f"{_word(_EXTREME, distance_atr_milli)} ({_milli(distance_atr_milli)} ATR)"


def _path(ahead_atr_milli: int, target_atr_milli: int) -> str:
    if ahead_atr_milli <= _EXTREME[0][0]:
        return "at the session's extreme"
    return "clear to the target" if ahead_atr_milli >= target_atr_milli else "the session's extreme is in the way"


def _vwap(side: str, offset_atr_milli: int) -> str:
    """Where the price stands from VWAP, seen from the trade: buying above it goes with those who pay up."""
    word, distance = _word(_VWAP, abs(offset_atr_milli)), f"({_milli(abs(offset_atr_milli))} ATR)"
    beyond = (offset_atr_milli > 0) == (side == "buy")
    if word == "STRETCHED":
        return f"STRETCHED, the trade {'chases' if beyond else 'goes back to it'} {distance}"
    return f"{word or ('on the trade side' if beyond else 'on the other side')} {distance}"


def _losses(losses: int) -> str:
    if losses < 2:
        return _streak(losses)
    return f"{losses} in a row" + (", LONG" if losses >= LONG_STREAK else "")


def _known(value: int | None, phrase: Callable[[int], str]) -> str:
    return UNKNOWN if value is None else phrase(value)


def _word(bands: _Bands, value: int) -> str:
    return next(word for limit, word in bands if value <= limit)


def _milli(value: int) -> str:
    """``value`` thousandths with one decimal, rounded toward minus infinity so that a limit is never overstated."""
    tenths = value // 100
    sign = "-" if tenths < 0 else ""
    return f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10}"


def _extreme_proposals() -> Iterator[EntryProposal]:
    """Proposals that between them hold the longest phrase of every fact: each band's end, each label, both sides."""
    ends: dict[str, list[Any]] = {
        "trend_15_atr_milli": [LARGEST, -LARGEST, 0],
        "trend_60_atr_milli": [LARGEST, -LARGEST, 0],
        "trend_240_atr_milli": [LARGEST, -LARGEST, 0],
        "volatility_percentile": [25, 75, 90, 100],
        "regime": ["down/calm", "down/normal", "down/wild", "flat/normal"],
        "session_part": ["opening", "midday", "afternoon", "late"],
        "minutes_to_flat": [15, 45, 90, 180, LARGEST],
        "room_to_floor_risks_milli": [-LARGEST, 1999, 3999, LARGEST],
        "losing_streak": [1, LONG_STREAK - 1, LARGEST],
        "volume_percentile": [10, 25, 75, 95, 100],
        "to_session_high_atr_milli": [500, 2000, LARGEST],
        "to_session_low_atr_milli": [500, 2000, LARGEST],
        "vwap_atr_milli": [1000, -10_000, 10_000, LARGEST, -LARGEST],
        "wild_percent": [20, 50, 80, 100],
    }
    turns = max(len(values) for values in ends.values())
    for turn, side, quantity in product(range(turns), ("buy", "sell"), (1, LARGEST)):
        context = {name: values[turn % len(values)] for name, values in ends.items()}
        yield _proposal(side, quantity, LARGEST, context)


def _proposal(side: str, quantity: int, distance_atr_milli: int, context: dict[str, Any]) -> EntryProposal:
    return EntryProposal.model_validate(
        {
            "proposal_id": "0" * 32,
            "side": side,
            "quantity": quantity,
            "stop_atr_milli": distance_atr_milli,
            "target_atr_milli": distance_atr_milli,
            "context": context,
        }
    )
