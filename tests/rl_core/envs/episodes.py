"""Episodes of random legal actions, and single steps from a chosen close."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_core.envs.env import Env, EnvParams, EnvState, Observation, StepResult
from rl_core.envs.market_arrays import MarketArrays
from rl_core.features.market_view import MarketView
from rl_core.market.account import limits_today, opening_account
from rl_core.market.decisions import KnownAtClose, managed, order_for
from rl_core.market.fills import Venue, closed_at_last_price, play_bar, trailed
from rl_core.market.types import FLAT, PESSIMISTIC, Account, BarPrices, PlainIntegers, Position
from rl_core.rules.pack import RulePack, limits_of, terms_of
from tests.rl_core.markets import MNQ, mnq_limits, mnq_venue

XP = PlainIntegers()
ENVS, STEPS = 48, 460  # from 09:30 to 16:54 are 445 closes; one size for all files: each other one is compiled anew


class Steps(NamedTuple):
    """Every leaf is [K, B]: what was seen, done and got at each step; only ``live`` ones count."""

    state: EnvState
    seen: Observation
    action: jax.Array
    result: StepResult
    live: jax.Array


def params_of(pack: RulePack, least_room: float = 1.0) -> EnvParams:
    """MNQ under ``pack``, $500 a trade."""
    venue = Venue(terms_of(MNQ), pack.compiled(), PESSIMISTIC)
    return EnvParams(venue, limits_of(pack, MNQ, 50_000), least_room, 1.0)


def params_for(venue: Venue | None = None, least_room: float = 0.2) -> EnvParams:
    """MNQ under the legacy pack, $500 a trade."""
    return EnvParams(venue or mnq_venue(), mnq_limits(), least_room, 1.0)


@partial(jax.jit, static_argnames=("env", "num_envs", "steps"))
def random_episodes(
    env: Env, market: MarketArrays, params: EnvParams, key: jax.Array, num_envs: int = ENVS, steps: int = STEPS
) -> Steps:
    """One episode of each account under random legal actions, mostly HOLD."""
    likely = jnp.array([3.0, 0.0, 0.0, 0.0, 0.0, 1.0])

    def one(carry: tuple[EnvState, jax.Array], key: jax.Array) -> tuple[tuple[EnvState, jax.Array], Steps]:
        state, live = carry
        seen = env.observe(market, params, state)
        action = jax.random.categorical(key, jnp.where(seen.legal_actions, likely[: env.num_actions], -jnp.inf)).astype(
            jnp.int32
        )
        result = env.step(market, params, state, action)
        on = live & ~(result.terminated | result.truncated)
        following = jax.tree.map(lambda a, b: jnp.where(on, a, b), result.state, state)
        return (following, on), Steps(state, seen, action, result, live)

    key_reset, key_actions = jax.random.split(key)
    first = (env.reset(market, params, key_reset, num_envs), jnp.ones((num_envs,), bool))
    return jax.lax.scan(one, first, jax.random.split(key_actions, steps))[1]


step = jax.jit(Env.step, static_argnames="self")
observe = jax.jit(Env.observe, static_argnames="self")


def at_close(t: int, position: Position = FLAT, account: Account | None = None) -> EnvState:
    """One account at the close of bar ``t``, new unless said otherwise."""
    account = account or Account(5_000_000, 4_750_000)
    one = partial(jnp.full, (1,), dtype=jnp.int32)
    return EnvState(one(t), Position(*map(one, position)), Account(*map(one, account)))


def act(env: Env, market: MarketArrays, state: EnvState, action: int, params: EnvParams | None = None) -> StepResult:
    """One account, one bar."""
    result: StepResult = step(env, market, params or params_for(), state, jnp.array([action], jnp.int32))
    return result


def legal_at(env: Env, market: MarketArrays, state: EnvState, params: EnvParams | None = None) -> list[bool]:
    """The mask of one account."""
    mask: list[bool] = observe(env, market, params or params_for(), state).legal_actions[0].tolist()
    return mask


def scalar(values: NamedTuple) -> tuple[int, ...]:
    """The fields of a batch of one, as integers."""
    return tuple(int(field[0]) for field in values)


def replayed(view: MarketView, params: EnvParams, steps: Steps, b: int) -> Iterator[tuple[int, Position, Account]]:
    """Account ``b`` again, in plain integers as the broker plays it: step, position and account after it."""
    venue = params.venue
    start, floor = int(steps.state.bar[0, b]), int(steps.state.account.floor[0, b])
    position, account = FLAT, opening_account(XP, venue.rules)._replace(floor=floor)
    for k in range(int(steps.live[:, b].sum())):
        t = start + k
        total = int(view.features.true_range_sum[t])
        decision = KnownAtClose(int(view.bars.close[t]), total, True, bool(view.hours.flatten_due[t]))
        action = int(steps.action[k, b])
        limits = limits_today(XP, params.limits, account)
        order = order_for(XP, action, position, decision, venue.terms, limits)
        position = managed(XP, action, position, decision, venue.terms)
        bar = BarPrices(*(int(getattr(view.bars, name)[t + 1]) for name in ("open", "high", "low", "close")))
        played = play_bar(XP, position, account, order, bar, venue)
        if view.last_in_session[t + 1]:
            played = closed_at_last_price(XP, played.position, played.account, bar.close, venue)
        position, account = played.position, played.account
        position = trailed(XP, position, bar.close, int(view.features.true_range_sum[t + 1]))
        yield k, position, account
