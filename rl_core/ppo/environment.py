"""The interface of an environment, as far as the learner uses it: B environments that step together."""

from typing import Any, NamedTuple, Protocol

import jax


class ObservedBatch(Protocol):
    """The observations of a batch of states, and which actions each state allows."""

    @property
    def values(self) -> jax.Array:
        """[B, O] float32, raw."""

    @property
    def legal_actions(self) -> jax.Array:
        """[B, A] bool, at least one per row."""


class CompactObservations(Protocol):
    """What the observations of a batch of states can be rebuilt from, and which actions each state allows.

    A rollout keeps this instead of observations: some tens of bytes a state where an observation takes 900.
    """

    @property
    def memory(self) -> Any:
        """Leaves [B, ...]; small, as every bar of a rollout keeps them."""

    @property
    def legal_actions(self) -> jax.Array:
        """[B, A] bool, at least one per row."""


class ClosedTrades(Protocol):
    """The trade that one step closed in each environment, if it closed one; every field is [B]."""

    @property
    def closed(self) -> jax.Array:
        """[B] bool."""

    @property
    def pnl_cents(self) -> jax.Array:
        """[B] int32, after costs."""

    @property
    def risk_cents(self) -> jax.Array:
        """[B] int32, what the trade would have lost at its first stop."""

    @property
    def bars_held(self) -> jax.Array:
        """[B] int32, bars from entry to exit."""


class StepOutcome(Protocol):
    """What one step of a batch of environments returns."""

    @property
    def state(self) -> Any:
        """The states after the step, not yet reset."""

    @property
    def reward(self) -> jax.Array:
        """[B] float32."""

    @property
    def terminated(self) -> jax.Array:
        """[B] bool: the episode ended, as when an account fails, and nothing follows."""

    @property
    def truncated(self) -> jax.Array:
        """[B] bool: the episode was cut off, as by the end of the session, and would have gone on."""

    @property
    def trade(self) -> ClosedTrades:
        """The trades closed by this step."""

    @property
    def shaping(self) -> jax.Array | None:
        """[B] float32 added to the reward for the learner alone, never in a report; None where it is off."""


class KnownActions(Protocol):
    """What the first K of A actions lead to in states without a position, where playing changes nothing of it."""

    @property
    def memory(self) -> Any:
        """Leaves [N, ...], of the state."""

    @property
    def legal_actions(self) -> jax.Array:
        """[N, K] bool; no other action is legal there."""

    @property
    def credit(self) -> jax.Array:
        """[N, K] float32: what the action is praised for, an estimate of its outcome with less noise."""

    @property
    def outcome(self) -> jax.Array:
        """[N, K] float32: the sum of rewards until the account may decide again."""

    @property
    def bars(self) -> jax.Array:
        """[N, K] int32, at least 1 where the action is legal: until it may decide again."""


class Environment(Protocol):
    """A batch of B environments; hashable, so that it can be static under ``jit``."""

    @property
    def observation_size(self) -> int:
        """O."""

    @property
    def window_shape(self) -> tuple[int, int]:
        """Bars, oldest first, and inputs of each, with which an observation begins; (0, 0) where it has no window."""

    @property
    def num_actions(self) -> int:
        """A."""

    def scheduled(self, params: Any, updates: jax.Array) -> Any:
        """``params`` as they are after ``updates`` updates: a curriculum changes them on the way."""

    def reset(self, market: Any, params: Any, key: jax.Array, num_envs: int) -> Any:
        """Fresh states [num_envs]."""

    def observe(self, market: Any, params: Any, state: Any) -> ObservedBatch:
        """The observations [B, O] and legal actions [B, A] of ``state``."""

    def glimpse(self, market: Any, params: Any, state: Any) -> CompactObservations:
        """What `shown` rebuilds the observations of ``state`` from, and the legal actions [B, A]."""

    def shown(self, market: Any, memory: Any) -> jax.Array:
        """The observations [N, O] of memories [N, ...]; `observe` gives the same values."""

    def known_actions(self, market: Any, memory: Any) -> KnownActions | None:
        """What the first K actions at the moments of memories [N, ...] lead to; None where only playing tells.

        Where K is A, a state with a position allows one action alone: the policy acts on the known state in its place.
        """

    def window_weights(self, market: Any) -> jax.Array | None:
        """How much each bar of the window [bars] tells of known actions, the largest 1; None where none are known."""

    def step(self, market: Any, params: Any, state: Any, action: jax.Array) -> StepOutcome:
        """Play one bar with ``action`` [B]; ended episodes are not reset here."""

    def __hash__(self) -> int:
        """Equal environments hash alike."""


class EnvArrays(NamedTuple):
    """The market and the parameters that an environment plays on.

    They are traced arrays, not static: other bars or costs of the same shapes run the same compiled program.
    """

    market: Any
    params: Any
