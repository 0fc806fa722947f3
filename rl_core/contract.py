"""What the policy is asked and what it answers; pydantic only, so that importing it never loads JAX."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HOLD, BUY, SELL, MOVE_STOP_TO_BREAKEVEN, ENABLE_TRAIL, DISABLE_TRAIL = range(6)
ACTION_NAMES = ("hold", "buy", "sell", "breakeven", "trail_on", "trail_off")

MOST_QUERIES = 32
"""In one message."""


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


class PolicyQueries(_Message):
    """Which action for each of these? Their observations [N, O] float32 travel as one raw frame beside them."""

    kind: Literal["policy_queries"] = "policy_queries"
    queries: tuple[PolicyQuery, ...] = Field(min_length=1, max_length=MOST_QUERIES)


class PolicyReplies(_Message):
    """What each query is answered alone, in their order."""

    kind: Literal["policy_replies"] = "policy_replies"
    replies: tuple[PolicyReply, ...] = Field(min_length=1, max_length=MOST_QUERIES)
