"""What the policy is asked and what it answers; pydantic only, so that importing it never loads JAX."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HOLD, BUY, SELL, MOVE_STOP_TO_BREAKEVEN, ENABLE_TRAIL, DISABLE_TRAIL = range(6)
ACTION_NAMES = ("hold", "buy", "sell", "breakeven", "trail_on", "trail_off")


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PolicyQuery(_Message):
    """Which action for this bar? The observation [O] float32 travels as a raw frame beside it."""

    kind: Literal["policy_query"] = "policy_query"
    bar_seq: int = Field(ge=0)
    legal_actions: tuple[bool, ...] = Field(min_length=3, max_length=6)


class PolicyReply(_Message):
    """The chosen action and the probability of every action, for the record."""

    kind: Literal["policy_reply"] = "policy_reply"
    bar_seq: int = Field(ge=0)
    action: int = Field(ge=0, le=5)
    probabilities: tuple[float, ...]
