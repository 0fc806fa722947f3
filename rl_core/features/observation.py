"""The policy's observation: a window of features and what it needs to know of its position."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.features.features import ATR_BARS, CLIP, FEATURE_NAMES, WINDOW
from rl_core.market.types import BarCount, Bool, Cents, Position, Ticks

WINDOW_SIZE = WINDOW * len(FEATURE_NAMES)
POSITION_NAMES = ("side", "open_profit_atr", "to_stop_atr", "to_target_atr", "hours_held")
MANAGEMENT_NAMES = ("may_enter", "trailing", "room_to_floor")
POSITION_SIZE, MANAGEMENT_SIZE = len(POSITION_NAMES), len(MANAGEMENT_NAMES)
OBSERVATION_SIZES = {1: WINDOW_SIZE + POSITION_SIZE, 2: WINDOW_SIZE + POSITION_SIZE + MANAGEMENT_SIZE}  # usually
ACTION_COUNTS = {1: 3, 2: 6}
HELD_SCALE = 60.0


class Mark(NamedTuple):
    """The close at which a position is looked at."""

    close: Ticks
    true_range_sum: Ticks
    atr_bars: BarCount = ATR_BARS  # whose true ranges are summed


def observation_size(phase: int, window: int, features: int = len(FEATURE_NAMES)) -> int:
    """Floats that a policy of ``phase`` sees through a window of so many bars, each of so many features."""
    return OBSERVATION_SIZES[phase] - WINDOW_SIZE + window * features


def position_features(xp: Any, position: Position, mark: Mark) -> Any:
    """Side, open profit, distance to stop and to target (in ATR), bars held / 60: [..., 5] float32, zeros when flat.

    Args:
        xp: `jax.numpy` or `numpy`.
        position: ints or int32 arrays.
        mark: the last close.
    """
    real = xp.float32
    side = xp.sign(xp.asarray(position.quantity)).astype(real)
    atr = xp.maximum(real(1), xp.asarray(mark.true_range_sum).astype(real) / real(mark.atr_bars))
    close = xp.asarray(mark.close)
    columns = (
        side,
        side * (close - position.entry).astype(real) / atr,
        side * (close - position.stop).astype(real) / atr,
        side * (position.target - close).astype(real) / atr,
        xp.asarray(position.bars_held).astype(real) / real(HELD_SCALE),
    )
    return xp.clip(xp.stack(columns, axis=-1), -CLIP, CLIP) * xp.abs(side)[..., None]


class AccountRoom(NamedTuple):
    """Where the account stands at a close."""

    equity: Cents
    floor: Cents
    max_loss: Cents


def management_features(xp: Any, position: Position, standing: AccountRoom, may_enter: Bool) -> Any:
    """May enter, trailing is on, room to the drawdown floor as a share of the limit: [..., 3] float32."""
    real = xp.float32
    room = xp.asarray(standing.equity - standing.floor).astype(real)
    columns = (
        xp.asarray(may_enter).astype(real),
        xp.asarray(position.trailing).astype(real),
        room / xp.asarray(standing.max_loss).astype(real),
    )
    return xp.clip(xp.stack(columns, axis=-1), -CLIP, CLIP)


def one_observation(
    window: npt.NDArray[np.float32], position: Position, mark: Mark, room: AccountRoom | None, may_enter: Bool
) -> npt.NDArray[np.float32]:
    """What the policy sees of one account at a close [O]: phase 2's with its ``room``, phase 1's without.

    Args:
        window: [220] the last rows of features, 20 unless set otherwise, oldest first.
        position: plain integers.
        mark: the close.
        room: None in phase 1, whose policy is not told of the account.
        may_enter: whether an entry is legal.
    """
    parts = [window, position_features(np, position, mark)]
    if room is not None:
        parts.append(management_features(np, position, room, may_enter))
    return np.concatenate(parts)
