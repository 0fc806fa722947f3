"""Whether the accelerator books what the CPU books: one sequence of random actions, every trade to the cent.

    python bench/same_fills.py [--tiny]

One JSON object; exit 1 where a trade, account or stop differs. Without an accelerator it compares the CPU with itself.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import jax.numpy as jnp
import numpy as np

from bench.env import ENV, market_of, random_action
from bench.facts import versions
from rl_core.envs.env import EnvParams, EnvState
from rl_core.envs.market_arrays import MarketArrays
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world

ACCOUNTS, BARS = 512, 1000
TINY_ACCOUNTS, TINY_BARS = 64, 200
BOOKED = ("closed", "pnl_cents", "risk_cents", "bars_held", "side", "reason", "quantity", "entry", "exit")


def booked(market: MarketArrays, params: EnvParams, key: jax.Array, accounts: int, bars: int) -> dict[str, Any]:
    """What random actions book, [bars, accounts] each; ended accounts begin anew."""

    def one(state: EnvState, key: jax.Array) -> tuple[EnvState, dict[str, Any]]:
        act, begin = jax.random.split(key)
        result = ENV.step(market, params, state, random_action(act, ENV.glimpse(market, params, state).legal_actions))
        done = result.terminated | result.truncated
        fresh = ENV.reset(market, params, begin, accounts)
        after = jax.tree.map(lambda a, b: jnp.where(done, a, b), fresh, result.state)
        held = {"terminated": result.terminated, "stop": result.state.position.stop}
        account = {f"account_{name}": value for name, value in result.state.account._asdict().items()}
        return after, {name: getattr(result.trade, name) for name in BOOKED} | held | account

    first, rest = jax.random.split(key)
    begun = ENV.reset(market, params, first, accounts)
    return jax.lax.scan(one, begun, jax.random.split(rest, bars))[1]


def main() -> None:
    """Play on both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="sizes for a trial on a CPU")
    accounts, bars = (TINY_ACCOUNTS, TINY_BARS) if parser.parse_args().tiny else (ACCOUNTS, BARS)
    trading = compile_trading(TradingConfig(), instrument("NQ"))
    world = demo_world(7, 30).minutes
    found = []
    devices = (jax.devices("cpu")[0], jax.devices()[0])
    for device in devices:
        with jax.default_device(device):
            market, params = (
                market_of(world, trading.hours, trading),
                EnvParams(trading.venue, trading.limits, 0.2, 1.0),
            )
            play = jax.jit(booked, static_argnums=(3, 4))
            found.append(jax.device_get(play(market, params, jax.random.key(3), accounts, bars)))
    differ = {name: int((np.asarray(a) != np.asarray(found[1][name])).sum()) for name, a in found[0].items()}
    row = {
        "name": "same_fills",
        "device": str(devices[1].device_kind),
        "trades": int(np.sum(found[0]["closed"])),
        "differences": {name: count for name, count in differ.items() if count},
        "equal": not any(differ.values()),
        "versions": versions("jax", "jaxlib", "numpy"),
    }
    print(json.dumps(row))
    sys.exit(not row["equal"])


if __name__ == "__main__":
    main()
