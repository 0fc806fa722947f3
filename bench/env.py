"""Random-action steps per second of the full phase-2 environment: rules, masks, drawdown floor, resets.

    python bench/env.py [--json] [--repeats 7] [--prng threefry2x32]

Every step draws a legal action of each account, plays a bar and starts ended accounts afresh; with observations the
[B, 228] array is kept in the loop's carry, so that it is really built. The fastest of the repeats is the figure,
since whatever else the machine does only adds time; the median stands beside it.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import jax.numpy as jnp
import numpy as np

from bench.facts import Row, versions
from rl_core.bars.bars import Bars
from rl_core.envs.env import Env, EnvParams, EnvState
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import view_of
from rl_core.market.types import ADAPTIVE, STATIC
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world

ENV = Env(2)
BATCHES = (256, 4096, 16384)
SESSIONS = 30
BARS = 50_000  # the sessions' bars, repeated
MANY_BARS = 3_000_000
LONGEST_SESSION = 1_440  # bars
TARGETS = {(256, True): 1e6, (4096, True): 2e6, (256, False): 4e6, (4096, False): 4e6}  # steps/s on two CPU cores
MOST_STATE_BYTES = 256


@partial(jax.jit, static_argnames=("num_envs", "steps", "observations"))
def play(
    market: MarketArrays, params: EnvParams, key: jax.Array, *, num_envs: int, steps: int, observations: bool
) -> tuple[EnvState, jax.Array, jax.Array]:
    """The states after ``steps`` bars of random legal actions, the last observations (or nothing), the reward."""

    def one(carry: tuple[EnvState, jax.Array], key: jax.Array) -> tuple[tuple[EnvState, jax.Array], jax.Array]:
        state, kept = carry
        action_key, reset_key = jax.random.split(key)
        seen = ENV.observe(market, params, state)
        step = ENV.step(market, params, state, random_action(action_key, seen.legal_actions))
        done = step.terminated | step.truncated

        def fresh() -> EnvState:
            new = ENV.reset(market, params, reset_key, num_envs)
            return EnvState(*jax.tree.map(lambda a, b: jnp.where(done, a, b), new, step.state))

        state = jax.lax.cond(jnp.any(done), fresh, lambda: step.state)
        return (state, seen.values if observations else kept), step.reward.sum()

    reset_key, key = jax.random.split(key)
    first = ENV.reset(market, params, reset_key, num_envs)
    kept = jnp.zeros((num_envs, ENV.observation_size) if observations else (0,))
    (state, kept), reward = jax.lax.scan(one, (first, kept), jax.random.split(key, steps))
    return state, kept, reward.sum()


def random_action(key: jax.Array, legal: jax.Array) -> jax.Array:
    """One of the legal actions [B, A] with equal chances, [B] int32."""
    rank = jnp.cumsum(legal, axis=-1, dtype=jnp.int32)
    drawn = (jax.random.bits(key, legal.shape[:1], jnp.uint32) >> 8).astype(jnp.int32)
    return jnp.sum(rank <= (drawn % rank[:, -1])[:, None], axis=-1, dtype=jnp.int32)


def tiled(market: MarketArrays, length: int) -> MarketArrays:
    """The market's arrays repeated, or cut, to ``length`` bars; episodes start in every whole repetition."""
    bars = market.prices.shape[0]
    rows = np.arange(length) % bars
    starts = np.asarray(market.starts[: market.start_count])
    every = (starts[None] + bars * np.arange(length // bars)[:, None]).ravel()
    if length < bars:
        every = starts[starts < length - LONGEST_SESSION]
    arrays = {name: leaf[rows] for name, leaf in market._asdict().items() if getattr(leaf, "ndim", 0)}
    starts = np.pad(every, (0, length - every.size), mode="edge")
    return market._replace(**{**arrays, "starts": jnp.asarray(starts, jnp.int32), "start_count": jnp.int32(every.size)})


def seconds_of(market: MarketArrays, params: EnvParams, key: jax.Array, repeats: int, **settings: Any) -> list[float]:
    """Wall seconds of each of ``repeats`` runs, after one that compiles."""
    spent = []
    for run in range(repeats + 1):
        started = time.perf_counter()
        jax.block_until_ready(play(market, params, jax.random.fold_in(key, run), **settings))
        spent.append(time.perf_counter() - started)
    return spent[1:]


def speed_row(name: str, market: MarketArrays, params: EnvParams, key: jax.Array, repeats: int, **settings: Any) -> Row:
    """Steps per second of one setting, against its target where it has one."""
    spent = seconds_of(market, params, key, repeats, **settings)
    done = settings["num_envs"] * settings["steps"]
    best, median = done / min(spent), done / float(np.median(spent))
    target = TARGETS.get((settings["num_envs"], settings["observations"]))
    ratio = {} if target is None or jax.default_backend() != "cpu" else {"target": best / target}
    shown = {**settings, "bars": market.prices.shape[0], "repeats": repeats, "median": round(median)}
    return Row(name, best, "steps/s", ratio, shown)


def market_of(bars: Bars, hours: EntryHours, trading: Trading) -> MarketArrays:
    """The market of ``bars`` under these hours."""
    return make_market(view_of(bars, trading.pack, hours))


def compile_count(market: MarketArrays, params: EnvParams, trading: Trading, key: jax.Array) -> Row:
    """Programs compiled for other prices, hours, pack, costs and resolution: one is right."""
    play.clear_cache()  # type: ignore[attr-defined]
    later = EntryHours(first_minute=11 * 60, last_minute=14 * 60)
    venue = trading.venue
    strict = venue.rules._replace(ratchet=STATIC, max_loss=100_000, target=100_000)
    dear = venue.terms._replace(tick_value=500, commission=999, slippage_ticks=3)
    elsewhere = tiled(market_of(demo_world(8, SESSIONS).minutes, later, trading), BARS)
    others = [
        (market, params),
        (elsewhere, params),
        (market, params._replace(venue=venue._replace(rules=strict))),
        (market, params._replace(venue=venue._replace(terms=dear, resolution=ADAPTIVE))),
        (market, params._replace(limits=params.limits._replace(risk_budget=1_000), least_room=0.9)),
    ]
    for values, given in others:
        jax.block_until_ready(play(values, given, key, num_envs=16, steps=4, observations=True))
    settings = {"changed": ["prices", "entry hours", "rule pack", "costs", "resolution", "limits"]}
    programs = play._cache_size()  # type: ignore[attr-defined]
    return Row("env.compile_count", programs, "programs", {"target": 1 / programs}, settings)


def measure(repeats: int, prng: str) -> list[Row]:
    """Every row of the table."""
    bars = demo_world(7, SESSIONS).minutes
    trading = compile_trading(TradingConfig(), instrument("NQ"))
    params = EnvParams(trading.venue, trading.limits, 0.2, 1.0)
    market = tiled(market_of(bars, trading.hours, trading), BARS)
    key = jax.random.key(0, impl=prng)
    one = ENV.reset(market, params, key, 1)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(one))
    rows = [
        compile_count(market, params, trading, key),
        Row("env.state_bytes", size, "bytes/env", {"limit": size / MOST_STATE_BYTES}, {"phase": ENV.phase}),
    ]
    for num_envs in BATCHES:
        steps = max(64, 524_288 // num_envs)
        for observations in (True, False):
            given = {"num_envs": num_envs, "steps": steps, "observations": observations}
            rows.append(speed_row("env.random_steps", market, params, key, repeats, **given))
    rows += long_market_rows(market, params, key, repeats)
    return rows


def long_market_rows(market: MarketArrays, params: EnvParams, key: jax.Array, repeats: int) -> list[Row]:
    """Speed on 3 million bars against that on 50,000, the two run in turns so that a busy machine is fair to both."""
    many, rows = tiled(market, MANY_BARS), []
    for observations in (True, False):
        given = {"num_envs": 4096, "steps": 128, "observations": observations}
        turns = [[seconds_of(m, params, key, 1, **given)[0] for m in (market, many)] for _ in range(repeats)]
        few_s, many_s = np.min(turns, axis=0)
        shown = {**given, "bars": MANY_BARS, "repeats": repeats}
        rows.append(
            Row("env.random_steps_many_bars", 4096 * 128 / many_s, "steps/s", {"50k_bars": few_s / many_s}, shown)
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--prng", default="threefry2x32", help="JAX key implementation, or rbg")
    given = parser.parse_args()
    device = jax.devices()[0]
    found = versions("jax", "jaxlib", "numpy")
    for row in measure(given.repeats, given.prng):
        if given.json:
            settings = {**row.settings, "prng": given.prng}
            print(
                json.dumps(
                    {**row._asdict(), "settings": settings, "device": str(device.device_kind), "versions": found}
                )
            )
            continue
        ratios = "  ".join(f"{value:.2f} x {name}" for name, value in row.ratio_to.items())
        print(f"{row.name:<28}{row.value:>16,.0f} {row.unit:<10} {ratios:<20} {row.settings}")


if __name__ == "__main__":
    main()
