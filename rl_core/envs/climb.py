"""The rungs of a minute, climbed by a batch of brackets at once: as exact as walking every second.

See `rl_core.bars.rungs` for what a rung is. The quantities that rungs carry only grow along the minute, so bisection
finds the first rung that can end a bracket; `rl_core.market` then says what that second does.
"""

from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from rl_core.market.account import equity, floor_after_open_equity
from rl_core.market.fills import BarExit, OpenedBar, Venue, bracket_exit, close_bar, open_bar, resting_level
from rl_core.market.types import (
    INTRADAY,
    NO_EXIT,
    SECONDS,
    Account,
    BarOutcome,
    BarPrices,
    Namespace,
    Order,
    Position,
)

XP = cast(Namespace, jnp)
BISECTIONS = 6  # 2^6 > 60 rungs
NEVER = 1 << 29
SHARE_AT_ONCE, LEAST_AT_ONCE = 8, 32  # of a batch: more than end in one minute


class Rungs(NamedTuple):
    """`rl_core.bars.rungs.Ladder` on the device."""

    offsets: jax.Array  # [T + 1] int32
    rungs: jax.Array  # [N, 5] int16


class _Rung(NamedTuple):
    """One rung of every bracket [B], in ticks from the minute's open as a long sees them."""

    highest: jax.Array
    lowest: jax.Array
    fall: jax.Array
    open: jax.Array


class _Reach(NamedTuple):
    """What a rung must show before it can end the bracket [B]; ticks from the minute's open as a long sees them."""

    highest: jax.Array
    lowest: jax.Array
    fall: jax.Array


class _Bracket(NamedTuple):
    """What a climb must know of every bracket [B]."""

    opened: OpenedBar
    venue: Venue
    first: jax.Array  # rung
    end: jax.Array


class _Climb(NamedTuple):
    """Brackets [B] on their way up."""

    rung: jax.Array  # index of the first rung not looked at
    leaving: BarExit
    climbing: jax.Array  # bool


def play_minute(
    ladder: Rungs, minute: jax.Array, held: tuple[Position, Account], order: Order, bar: BarPrices, venue: Venue
) -> BarOutcome:
    """The outcomes of bars ``minute`` [B] at the resolution of ``venue``; without seconds, those of `play_bar`.

    Args:
        ladder: the rungs of every bar.
        minute: [B] int32, the index of each account's bar.
        held: what each account held at the last close, int32 [B] a field.
        order: what each decided there, [B] a field.
        bar: ticks of those bars, [B] a field.
        venue: scalars, or [B] where accounts trade several markets.
    """
    opened = open_bar(XP, *held, order, bar, venue.terms)
    whole = bracket_exit(XP, opened.position, opened.account, bar, venue)
    bracket = _Bracket(opened, venue, ladder.offsets[minute], ladder.offsets[minute + 1])
    return close_bar(XP, opened, _climbed(ladder, bracket, whole), venue)


def _climbed(ladder: Rungs, bracket: _Bracket, whole: BarExit) -> BarExit:
    """How the minute ends the brackets [B].

    A bracket that outlives the pessimistic reading of the whole minute outlives every order of its seconds.

    The few others climb, some at a time, so that a batch pays for those that need it.
    """
    climbing = (bracket.venue.resolution == SECONDS) & (bracket.end > bracket.first) & (whole.reason != NO_EXIT)
    survived = _survived(bracket)
    start = BarExit(*(jnp.where(climbing, a, b) for a, b in zip(survived, whole, strict=True)))
    at_once = min(climbing.shape[0], max(LEAST_AT_ONCE, climbing.shape[0] // SHARE_AT_ONCE))

    def further(climb: _Climb) -> _Climb:
        lanes = jnp.nonzero(climb.climbing, size=at_once, fill_value=climbing.shape[0])[0]
        here = jax.tree.map(lambda leaf: leaf[lanes] if jnp.ndim(leaf) else leaf, (bracket, climb))
        there = _higher(ladder, *here)
        moved = jax.tree.map(lambda leaf, new: leaf.at[lanes].set(new, mode="drop"), climb, there)
        return cast(_Climb, moved)

    first = _Climb(bracket.first, start, climbing)
    return jax.lax.while_loop(lambda climb: jnp.any(climb.climbing), further, first).leaving


def _higher(ladder: Rungs, bracket: _Bracket, climb: _Climb) -> _Climb:
    """Each bracket at the next rung that can end it."""
    (position, account, _, bar), venue, first, end = bracket
    side = jnp.sign(position.quantity)
    rung = _first_within(ladder, climb.rung, end, side, _reach(bracket))
    can_end = rung < end
    before = _rung(ladder, jnp.maximum(rung - 1, first), side)
    best_equity = equity(account, position, bar.open + side * before.highest, venue.terms)
    floor = jnp.where(rung > first, floor_after_open_equity(XP, account.floor, best_equity, venue.rules), account.floor)
    second = _second(_rung(ladder, rung, side), side, bar.open)
    leaving = bracket_exit(XP, position, account._replace(floor=floor), second, venue)
    ends = can_end & (leaving.reason != NO_EXIT)
    kept = BarExit(*(jnp.where(ends, a, b) for a, b in zip(leaving, climb.leaving, strict=True)))
    return _Climb(rung + 1, kept, can_end & ~ends)


def _survived(bracket: _Bracket) -> BarExit:
    """The minute that ends no bracket: the floor has seen its best price."""
    (position, account, _, bar), venue = bracket.opened, bracket.venue
    best = jnp.where(position.quantity >= 0, bar.high, bar.low)
    floor = floor_after_open_equity(XP, account.floor, equity(account, position, best, venue.terms), venue.rules)
    nothing = jnp.zeros_like(position.quantity)
    return BarExit(nothing, nothing, floor, jnp.zeros_like(nothing, bool))


def _reach(bracket: _Bracket) -> _Reach:
    (position, account, _, bar), venue = bracket.opened, bracket.venue
    side = jnp.sign(position.quantity)
    value = jnp.maximum(1, jnp.abs(position.quantity) * venue.terms.tick_value)
    lowest = resting_level(XP, position, account, bar, venue)
    follows = (venue.rules.ratchet == INTRADAY) & (venue.rules.kills_open != 0)
    return _Reach(
        highest=side * (position.target - bar.open) + 1,
        lowest=lowest - side * bar.open,
        fall=jnp.where(follows, -(-venue.rules.max_loss // value), NEVER),
    )


def _first_within(ladder: Rungs, first: jax.Array, end: jax.Array, side: jax.Array, reach: _Reach) -> jax.Array:
    """The first rung in [first, end) that can end the bracket, ``end`` if none can."""
    low, high = first, end
    for _ in range(BISECTIONS):
        middle = (low + high) // 2
        rung = _rung(ladder, middle, side)
        within = (rung.highest >= reach.highest) | (rung.lowest <= reach.lowest) | (rung.fall >= reach.fall)
        searching = low < high
        high = jnp.where(searching & within, middle, high)
        low = jnp.where(searching & ~within, middle + 1, low)
    return high


def _rung(ladder: Rungs, index: jax.Array, side: jax.Array) -> _Rung:
    highest, lowest, fall, rise, opened = jnp.moveaxis(ladder.rungs[index].astype(jnp.int32), -1, 0)
    long = side >= 0
    return _Rung(
        highest=jnp.where(long, highest, -lowest),
        lowest=jnp.where(long, lowest, -highest),
        fall=jnp.where(long, fall, rise),
        open=side * opened,
    )


def _second(rung: _Rung, side: jax.Array, opened: jax.Array) -> BarPrices:
    """The second of a rung in real ticks; where it made no new extreme the earlier one, which was survived, stands."""
    best, worst = rung.highest, rung.highest - rung.fall
    high, low = jnp.where(side >= 0, best, -worst), jnp.where(side >= 0, worst, -best)
    first = opened + side * rung.open
    return BarPrices(first, opened + high, opened + low, first)
