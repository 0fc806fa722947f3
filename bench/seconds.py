"""What second bars cost on the fast path: random-action steps a second by resolution, and memory a minute.

python bench/seconds.py [--json] [--envs 256 4096] [--sessions 40]
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import jax.numpy as jnp

from bench.facts import versions
from rl_core.bars.rungs import ladder_of
from rl_core.envs.env import Env, EnvParams, EnvState
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import view_of
from rl_core.market.types import PESSIMISTIC, SECONDS
from rl_core.trading.setup import TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world

RULES = Path(__file__).parents[1] / "configs/rules/apex_legacy_50k_eval.toml"
ENV = Env(2)
STEPS_IN_ALL = 400_000
REPEATS = 4


@partial(jax.jit, static_argnames=("envs", "steps", "observe"))
def roll(market: MarketArrays, params: EnvParams, key: jax.Array, envs: int, steps: int, observe: bool) -> jax.Array:
    """Play random legal actions with resets; the sum of everything keeps it from being optimised away."""

    def one(state: EnvState, key: jax.Array) -> tuple[EnvState, jax.Array]:
        key_action, key_reset = jax.random.split(key)
        if observe:
            seen = ENV.observe(market, params, state)
            mask, shown = seen.legal_actions, seen.values.sum()
        else:
            mask, shown = ENV.glimpse(market, params, state).legal_actions, jnp.float32(0)
        drawn = jax.random.uniform(key_action, mask.shape)
        action = jnp.argmax(jnp.where(mask, drawn, -1.0), axis=-1).astype(jnp.int32)
        result = ENV.step(market, params, state, action)
        done = result.terminated | result.truncated
        fresh = ENV.reset(market, params, key_reset, envs)
        state = jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, result.state)
        return state, result.reward.sum() + shown

    key_first, key_steps = jax.random.split(key)
    first = ENV.reset(market, params, key_first, envs)
    return jax.lax.scan(one, first, jax.random.split(key_steps, steps))[1].sum()


def steps_per_second(market: MarketArrays, params: EnvParams, envs: int, observe: bool) -> float:
    """The best of a few runs, compiled before."""
    steps, best = STEPS_IN_ALL // envs, 0.0
    for repeat in range(REPEATS + 1):
        start = time.perf_counter()
        jax.block_until_ready(roll(market, params, jax.random.key(repeat), envs, steps, observe))
        if repeat:
            best = max(best, envs * steps / (time.perf_counter() - start))
    return best


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--envs", type=int, nargs="+", default=[256, 4096])
    parser.add_argument("--sessions", type=int, default=40)
    given = parser.parse_args()
    world = demo_world(7, given.sessions, seconds=True)
    assert world.seconds is not None
    trading = compile_trading(TradingConfig(rules=RULES), instrument("NQ"))
    view = view_of(world.minutes, trading.pack, trading.hours)
    start = time.perf_counter()
    ladder = ladder_of(world.minutes, world.seconds)
    built = len(world.seconds) / (time.perf_counter() - start)
    bytes_ = (ladder.rungs.nbytes + ladder.offsets.nbytes) / len(world.minutes)
    facts = {"device": jax.devices()[0].device_kind, "versions": versions("jax", "jaxlib", "numpy")}

    def say(name: str, value: float, unit: str, ratio: float | None = None, **settings: object) -> None:
        row = {"name": name, "value": value, "unit": unit, "ratio": ratio, "settings": settings, **facts}
        text = f"{name:32} {value:16,.1f} {unit:14} {settings}" + ("" if ratio is None else f"  x {ratio:.2f} of plain")
        print(json.dumps(row) if given.json else text)

    say("ladder_seconds_read", built, "seconds/s", sessions=given.sessions)
    say("ladder_rungs", len(ladder.rungs) / len(world.minutes), "per minute", sessions=given.sessions)
    say("ladder_memory", bytes_, "bytes/minute", sessions=given.sessions)
    plain, climbed = make_market(view), make_market(view, ladder=ladder)
    for envs in given.envs:
        for observe in (True, False):
            base = None
            for name, market, resolution in (
                ("plain", plain, PESSIMISTIC),
                ("with_ladder_pessimistic", climbed, PESSIMISTIC),
                ("with_ladder_seconds", climbed, SECONDS),
            ):
                venue = trading.venue._replace(resolution=resolution)
                rate = steps_per_second(market, EnvParams(venue, trading.limits, 0.2, 1.0), envs, observe)
                base = base or rate
                say(f"steps_{name}", rate, "steps/s", rate / base, envs=envs, observe=observe)


if __name__ == "__main__":
    main()
