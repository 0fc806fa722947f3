"""Where a trained policy enters next while it is flat: one batched product over the closes ahead instead of one each.

Without a position nothing but the market changes between two closes of a session, so what the policy would be shown at
each of them is known at once. `Decider.decide_batch` decides as `act` does, near ties included.
"""

import numpy as np
import numpy.typing as npt

from rl_core.checkpoints.policy import Decider
from rl_core.contract import HOLD
from rl_core.features.market_view import MarketView
from rl_core.features.observation import POSITION_SIZE, AccountRoom, management_features
from rl_core.market.types import FLAT

FIRST_LOOK, LONGEST_LOOK = 32, 512  # closes that are decided together, more of them the longer nothing is entered

Floats = npt.NDArray[np.float32]


class FlatDecisions:
    """The entries of one policy on one market, decided as they are asked for, and remembered."""

    def __init__(self, policy: Decider, view: MarketView) -> None:
        """See the closes of ``view`` as ``policy`` does."""
        self._policy, self._window = policy, view.yardstick.window
        self._values = view.features.values
        self._candidates = np.flatnonzero(view.hours.entry_open & view.features.warm)
        self._sees_room = policy.num_actions != 3
        self._known: dict[tuple[int, int, int, int], int] = {}

    def next_entry(self, first: int, stop: int, room: AccountRoom) -> int:
        """The first bar in [first, stop) at which a flat account with ``room`` enters if it may; else ``stop``."""
        seen = (room.equity - room.floor, room.max_loss) if self._sees_room else (0, 0)
        key = (first, stop, *seen)
        if key not in self._known:
            self._known[key] = self._searched(first, stop, room)
        return self._known[key]

    def _searched(self, first: int, stop: int, room: AccountRoom) -> int:
        at, end = (int(np.searchsorted(self._candidates, bar)) for bar in (first, stop))
        look = FIRST_LOOK
        while at < end:
            bars = self._candidates[at : min(end, at + look)]
            legal = np.zeros((len(bars), self._policy.num_actions), np.bool_)
            legal[:, :3] = True
            enters = self._policy.decide_batch(self._observed(bars, room), legal) != HOLD
            if enters.any():
                return int(bars[int(enters.argmax())])
            at, look = at + len(bars), min(LONGEST_LOOK, 2 * look)
        return stop

    def _observed(self, bars: npt.NDArray[np.int64], room: AccountRoom) -> Floats:
        """[N, O] what a flat account is shown at these closes, as `one_observation` puts it together."""
        rows = bars[:, None] + np.arange(1 - self._window, 1)
        nothing_held = np.zeros((len(bars), POSITION_SIZE), np.float32)
        parts = [self._values[rows].reshape(len(bars), -1), nothing_held]
        if self._sees_room:
            management = management_features(np, FLAT, room, True)
            parts.append(np.broadcast_to(management, (len(bars), len(management))))
        return np.concatenate(parts, axis=1)
