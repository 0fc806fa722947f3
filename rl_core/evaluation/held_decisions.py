"""Where a policy that manages does something with an open bracket: one batched product over the quiet closes ahead.

In bars in which the bracket meets nothing (`quiet_bars`) all that a policy is shown is known before: prices, the floor
as the best price so far has raised it, and the bars held. So all closes up to the next event are decided together, and
only one at which the policy does not hold has to be played. `Decider.decide_batch` decides as `act` does.
"""

import numpy as np
import numpy.typing as npt

from rl_core.checkpoints.policy import Decider
from rl_core.contract import HOLD
from rl_core.features.market_view import MarketView
from rl_core.features.observation import AccountRoom, Mark, management_features, position_features
from rl_core.market.account import equity, floor_after_open_equity, limits_today, rules_in_force
from rl_core.market.broker import XP, BrokerState
from rl_core.market.decisions import KnownAtClose, LegalActions, action_mask, legal_actions
from rl_core.market.types import Position
from rl_core.trading.setup import Trading

FIRST_LOOK, LONGEST_LOOK = 16, 256  # closes that are decided together, more of them the longer it holds

Integers = npt.NDArray[np.int64]


class HeldDecisions:
    """What one policy does with open brackets on one market, under one setting without frictions."""

    def __init__(self, policy: Decider, view: MarketView, trading: Trading) -> None:
        """See the closes of ``view`` as ``policy`` does."""
        assert trading.frictions is None, "what a fill slips would change from bar to bar"
        self._policy, self._view, self._trading = policy, view, trading
        bars = view.bars
        self._high, self._low, self._close = (np.asarray(x, np.int64) for x in (bars.high, bars.low, bars.close))

    def first_deed(self, held: BrokerState, first: int, stop: int) -> int:
        """The first of the quiet bars [first, stop) at whose close the policy does not hold; else ``stop``.

        Args:
            held: the open bracket at the close before ``first``.
            first: a bar.
            stop: the first bar that may not be quiet.
        """
        at, look = first, FIRST_LOOK
        while at < stop:
            end = min(stop, at + look)
            deeds = np.flatnonzero(self._actions(held, np.arange(first, end))[at - first :] != HOLD)
            if len(deeds):
                return at + int(deeds[0])
            at, look = end, min(LONGEST_LOOK, 2 * look)
        return stop

    def _actions(self, held: BrokerState, bars: Integers) -> npt.NDArray[np.int32]:
        """[N] at the closes of the quiet ``bars`` [N] that follow."""
        count, venue, view = len(bars), self._trading.venue, self._view
        account, limits = held.account, limits_today(XP, self._trading.limits, held.account)
        shown = Position(*(np.full(count, field) for field in held.position))
        position = shown._replace(bars_held=held.position.bars_held + 1 + np.arange(count))
        best = self._high[bars] if held.position.quantity > 0 else self._low[bars]
        rise = np.maximum.accumulate(np.sign(held.position.quantity) * best) * np.sign(held.position.quantity)
        rules = rules_in_force(XP, venue.rules, account)
        floor = floor_after_open_equity(np, account.floor, equity(account, position, rise, venue.terms), rules)
        close, ranges = self._close[bars], view.features.true_range_sum[bars].astype(np.int64)
        known = KnownAtClose(close, ranges, False, np.zeros(count, np.bool_), self._trading.yardstick)
        legal = legal_actions(np, position, account._replace(floor=floor), known, venue.terms, limits)
        room = AccountRoom(equity(account, position, close, venue.terms), floor, venue.rules.max_loss)
        mark = Mark(close, ranges, self._trading.yardstick.atr_bars)
        parts = [self._windows(bars), position_features(np, position, mark), _managed(position, room, legal)]
        mask = np.stack(np.broadcast_arrays(*action_mask(legal, 2)), axis=1)
        return self._policy.decide_batch(np.concatenate(parts, axis=1), mask)

    def _windows(self, bars: Integers) -> npt.NDArray[np.float32]:
        rows = bars[:, None] + np.arange(1 - self._view.yardstick.window, 1)
        return self._view.features.values[rows].reshape(len(bars), -1)


def _managed(position: Position, room: AccountRoom, legal: LegalActions) -> npt.NDArray[np.float32]:
    may_enter = np.broadcast_to(legal.enter, np.shape(position.quantity))
    shown: npt.NDArray[np.float32] = management_features(
        np, position, room._replace(max_loss=np.full(len(may_enter), room.max_loss)), may_enter
    )
    return shown
