"""Who enters: one small protocol, so that a trained policy and a list of entries are played and judged alike."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rl_core.checkpoints.policy import Decider
from rl_core.contract import BUY, HOLD, SELL
from rl_core.features.market_view import MarketView
from rl_core.market.own_bracket import OwnBracket
from trigate.errors import ConfigError

CHANNEL_BARS, CHANNEL_ATR = 20, 2

Floats = npt.NDArray[np.float32]
Sides = npt.NDArray[np.int8]


class Moment(NamedTuple):
    """What whoever enters is told at one close."""

    bar: int
    legal_actions: tuple[bool, ...]
    observe: Callable[[], Floats]  # makes the observation [O], for whoever looks at it


class Enters(Protocol):
    """Whoever decides: a trained policy, or entries that were known before."""

    @property
    def phase(self) -> int:
        """1: it enters; 2: it manages the position as well."""

    def entries(self) -> npt.NDArray[np.bool_] | None:
        """[T] closes at which it may enter; None: it is not known before."""

    def bracket_at(self, bar: int) -> OwnBracket | None:
        """The stop and target of an entry at this close; None: the usual ones."""

    def choose(self, moment: Moment) -> int:
        """The action, a legal one; asked only where there is a choice."""


@dataclass(frozen=True)
class Trained:
    """A policy that decides by its most probable legal action."""

    policy: Decider

    @property
    def phase(self) -> int:
        """1: it enters; 2: it manages the position as well."""
        return 1 if self.policy.num_actions == 3 else 2

    def entries(self) -> None:
        """A policy is asked wherever there is a choice."""

    def bracket_at(self, bar: int) -> None:
        """Learned with the usual bracket, and with no other."""

    def choose(self, moment: Moment) -> int:
        """As `Policy.act` decides."""
        return self.policy.act(moment.observe(), np.array(moment.legal_actions, np.bool_)).action


@dataclass(frozen=True)
class Signals:
    """Entries that were known before: a trader's own, or those of a written rule.

    Attributes:
        name: for people.
        side: [T] 1 where a long is entered, -1 where a short, 0 where nothing.
        brackets: by bar, of the entries that bring their own.
    """

    name: str
    side: Sides
    brackets: Mapping[int, OwnBracket] = field(default_factory=dict)

    @property
    def phase(self) -> int:
        """1: the bracket is left alone."""
        return 1

    @property
    def bars(self) -> npt.NDArray[np.int64]:
        """Bars with an entry [N], in order of time."""
        return np.flatnonzero(self.side)

    def entries(self) -> npt.NDArray[np.bool_]:
        """[T] closes at which it may enter."""
        return np.asarray(self.side != 0)

    def digest(self, ts_event_ns: npt.NDArray[np.int64]) -> str:
        """Of the entries with their times: the same in a longer file of bars; ``ts_event_ns`` [T] is of the bars."""
        rows = [(int(ts_event_ns[bar]), int(self.side[bar]), self.brackets.get(int(bar))) for bar in self.bars]
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def bracket_at(self, bar: int) -> OwnBracket | None:
        """As it was given with the entry, if it was."""
        return self.brackets.get(bar)

    def choose(self, moment: Moment) -> int:
        """The side of this bar's entry."""
        side = self.side[moment.bar]
        return BUY if side > 0 else SELL if side < 0 else HOLD


@dataclass(frozen=True)
class Recorded:
    """Whoever did this once before: entries as they were ordered, and what was done with the position then.

    Where it was never asked, as no position was open then or its account had ended, it holds.

    Attributes:
        phase: 1: it entered; 2: it managed the position as well.
        actions: what was chosen, by bar; of entries, those that became an order.
        brackets: of the entries, by bar.
        bars: how many there are.
    """

    phase: int
    actions: Mapping[int, int]
    brackets: Mapping[int, OwnBracket]
    bars: int

    def entries(self) -> npt.NDArray[np.bool_]:
        """[T] closes at which it may enter."""
        may = np.zeros(self.bars, np.bool_)
        may[list(self.brackets)] = True
        return may

    def bracket_at(self, bar: int) -> OwnBracket | None:
        """As it was ordered."""
        return self.brackets.get(bar)

    def choose(self, moment: Moment) -> int:
        """As it was chosen; HOLD where that is not legal now."""
        action = self.actions.get(moment.bar, HOLD)
        return action if moment.legal_actions[action] else HOLD


def always_flat(view: MarketView) -> Signals:
    """Whoever trades nothing: 0 R, and no cost."""
    return Signals("flat", np.zeros(len(view.bars), np.int8))


def always_long(view: MarketView) -> Signals:
    """Long whenever there is no position: as near to holding a session as a bracket allows."""
    return Signals("long", np.ones(len(view.bars), np.int8))


def channel_breakout(view: MarketView) -> Signals:
    """With the move, where a close lies more than 2 ATR from the mean of the last 20 closes, its own included.

    Keltner's channel in its usual modern form; a known rule to measure a policy by, with nothing fitted to the bars.
    """
    close = view.bars.close.astype(np.int64)
    total = np.cumsum(close)
    sums = np.zeros_like(total)
    sums[CHANNEL_BARS - 1 :] = total[CHANNEL_BARS - 1 :] - np.append(0, total[:-CHANNEL_BARS])
    # In whole numbers: 20 closes against their sum, and the ATR as the sum of its true ranges.
    beyond = view.yardstick.atr_bars * (CHANNEL_BARS * close - sums)
    limit = CHANNEL_ATR * CHANNEL_BARS * view.features.true_range_sum.astype(np.int64)
    side = np.where(np.abs(beyond) > limit, np.sign(beyond), 0)
    side[: CHANNEL_BARS - 1] = 0
    return Signals("breakout", side.astype(np.int8))


KNOWN_RULES: dict[str, Callable[[MarketView], Signals]] = {
    "flat": always_flat,
    "long": always_long,
    "breakout": channel_breakout,
}


def known_rule(name: str, view: MarketView) -> Signals:
    """The written rule of this name on the bars of ``view``.

    Raises:
        ConfigError: there is none.
    """
    if name not in KNOWN_RULES:
        raise ConfigError(f"{name}: no file, and no rule; the rules are {', '.join(KNOWN_RULES)}")
    return KNOWN_RULES[name](view)
