"""One account as a `gymnasium.Env`, for learners that were not written for this project; needs the extra ``gym``."""

from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rl_core.envs.env import Env, EnvParams, EnvState, Observation, StepResult
from rl_core.envs.market_arrays import MarketArrays
from rl_core.features.features import CLIP
from rl_core.market.types import EXIT_NAMES
from rl_core.market.yardstick import USUAL, Yardstick

Floats = npt.NDArray[np.float32]


class TradingEnv(gymnasium.Env[Floats, np.int64]):  # type: ignore[misc]  # an extra: mypy does not follow it
    """Episodes of one account; the same market, rules, rewards and masks as `Env`.

    An illegal action is played as HOLD and flagged in ``info``; `action_masks` says which are legal, under the name
    that `sb3_contrib.MaskablePPO` looks for.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it so

    def __init__(
        self, market: MarketArrays, params: EnvParams, *, phase: int = 2, yardstick: Yardstick = USUAL
    ) -> None:
        """One account in ``market`` under ``params``; phase 1 enters, phase 2 also manages."""
        self._env, self._market, self._params = Env(phase, yardstick), market, params
        self.observation_space = gymnasium.spaces.Box(-CLIP, CLIP, (self._env.observation_size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(self._env.num_actions)
        self._state: EnvState | None = None
        self._legal = np.ones(self._env.num_actions, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """A new account at a random minute in hours; the same ``seed`` gives the same episode."""
        super().reset(seed=seed, options=options)
        key = jax.random.key(int(self.np_random.integers(2**31)))
        self._state, observation = _opened(self._market, self._params, key, env=self._env)
        return self._shown(observation), {"legal_actions": self.action_masks()}

    def step(self, action: np.int64) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """One bar; ``info`` holds the trade that it closed, if any."""
        assert self._state is not None, "reset the environment first"
        assert self.action_space.contains(np.int64(action)), f"no such action: {action}"
        illegal = not self._legal[int(action)]
        taken = jnp.array([0 if illegal else int(action)], jnp.int32)
        result, observation = _stepped(self._market, self._params, self._state, taken, env=self._env)
        self._state = result.state
        values = self._shown(observation)
        info = {"legal_actions": self.action_masks(), "illegal": illegal, **_trade(result)}
        return (
            values,
            float(result.reward[0]),
            bool(result.terminated[0]),
            bool(result.truncated[0]),
            info,
        )

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """[A] which actions are legal now."""
        return self._legal.copy()

    def _shown(self, observation: Observation) -> Floats:
        self._legal = np.asarray(observation.legal_actions[0])
        return np.array(observation.values[0], np.float32)


@partial(jax.jit, static_argnames="env")
def _opened(market: MarketArrays, params: EnvParams, key: jax.Array, *, env: Env) -> tuple[EnvState, Observation]:
    state = env.reset(market, params, key, 1)
    return state, env.observe(market, params, state)


@partial(jax.jit, static_argnames="env")
def _stepped(
    market: MarketArrays, params: EnvParams, state: EnvState, action: jax.Array, *, env: Env
) -> tuple[StepResult, Observation]:
    result = env.step(market, params, state, action)
    return result, env.observe(market, params, result.state)


def _trade(result: StepResult) -> dict[str, Any]:
    """The closed trade as plain values, or nothing."""
    if not bool(result.trade.closed[0]):
        return {}
    names = ("pnl_cents", "risk_cents", "bars_held", "side")
    trade: dict[str, Any] = {name: int(getattr(result.trade, name)[0]) for name in names}
    return {"trade": trade | {"reason": EXIT_NAMES[int(result.trade.reason[0])]}}
