"""What the learner asks of a batch of environments, and no more."""

from typing import Any, NamedTuple, Protocol

import jax


class Observed(Protocol):
    """What an environment shows of a batch of states."""

    @property
    def values(self) -> jax.Array:
        """[B, O] float32, raw."""

    @property
    def legal_actions(self) -> jax.Array:
        """[B, A] bool, at least one per row."""


class Glimpsed(Protocol):
    """What an observation of a batch of states can be rebuilt from, and its mask."""

    @property
    def memory(self) -> Any:
        """Leaves [B, ...]; small, as every bar of a rollout keeps them."""

    @property
    def legal_actions(self) -> jax.Array:
        """[B, A] bool, at least one per row."""


class Closed(Protocol):
    """The trade that one step closed, if it closed one; every field is [B]."""

    @property
    def closed(self) -> jax.Array:
        """Bool."""

    @property
    def pnl_cents(self) -> jax.Array:
        """After costs."""

    @property
    def risk_cents(self) -> jax.Array:
        """What the first stop would have lost."""

    @property
    def bars_held(self) -> jax.Array:
        """Bars from entry to exit."""


class Stepped(Protocol):
    """What one step of a batch of environments returns."""

    @property
    def state(self) -> Any:
        """The states after the step, not yet reset."""

    @property
    def reward(self) -> jax.Array:
        """[B] float32."""

    @property
    def terminated(self) -> jax.Array:
        """[B] bool: the episode ended by itself."""

    @property
    def truncated(self) -> jax.Array:
        """[B] bool: the episode was cut off."""

    @property
    def trade(self) -> Closed:
        """The trades closed by this step."""

    @property
    def shaping(self) -> jax.Array | None:
        """[B] float32 that the learner gets beside the reward and no report sees; None: nothing."""


class Environment(Protocol):
    """A batch of environments; hashable, so that it can be static under ``jit``."""

    @property
    def observation_size(self) -> int:
        """O."""

    @property
    def num_actions(self) -> int:
        """A."""

    def scheduled(self, params: Any, updates: jax.Array) -> Any:
        """The parameters as the update after ``updates`` has them."""

    def reset(self, market: Any, params: Any, key: jax.Array, num_envs: int) -> Any:
        """Fresh states [num_envs]."""

    def observe(self, market: Any, params: Any, state: Any) -> Observed:
        """What the policy sees."""

    def glimpse(self, market: Any, params: Any, state: Any) -> Glimpsed:
        """What `shown` makes the observation of."""

    def shown(self, market: Any, memory: Any) -> jax.Array:
        """The observations [N, O] of memories [N, ...]; `observe` gives the same values."""

    def step(self, market: Any, params: Any, state: Any, action: jax.Array) -> Stepped:
        """One bar; nothing is reset here."""

    def __hash__(self) -> int:
        """Equal environments hash alike."""


class EnvArrays(NamedTuple):
    """What an environment is played on: traced arrays, so that new contents never recompile."""

    market: Any
    params: Any
