"""Training as environments grow from 64 to 65,536 and bars from 10 k to 5 M: speed and memory, one compile a size.

    python bench/scale.py [--json] [--quick] [--only envs bars devices] [--most-envs 65536]

What would not fit the machine's memory is not run, and its row says so. Memory is that of a rollout of 128 bars; from
4,096 environments on the speed is that of a rollout of 16, as an update of 8 M bars takes minutes on a CPU. Rollouts
keep an index instead of observations, as many environments need it. `devices` compares one device with all of them
at the same global batch (on a CPU: XLA_FLAGS=--xla_force_host_platform_device_count=2).
A ratio is to the table's first row. `--quick` takes two sizes of each and one repeat.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import numpy as np

from bench.facts import versions
from bench.train import OURS, Row, fields, line, world_of
from rl_core.envs.env import Env
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import REPLICATED, put_on_devices
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.train import STATE_SHARDING, TrainState, initial_state, update

ENVS = (64, 256, 1024, 4096, 16384, 65536)
BARS = (10_000, 50_000, 500_000, 3_000_000, 5_000_000)
QUICK = {64, 1024, 10_000, 500_000}  # sizes
SHOWN_BARS, SHORT = 128, 16  # of a rollout
MOST_STEPS = 262_144  # of an update that is timed
MEMORY_SHARE = 0.6  # of the free memory that may be planned
ENV = Env(1)


class Given(NamedTuple):
    """What was asked for."""

    repeats: int
    most_envs: int
    quick: bool

    def of(self, sizes: tuple[int, ...]) -> list[int]:
        """Those of ``sizes`` to measure."""
        return [size for size in sizes if not self.quick or size in QUICK]


def free_bytes() -> int:
    """Memory that a program may still take, on the device where it counts its own, else of the host."""
    statistics = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"] - statistics["bytes_in_use"])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def fits(needed: int) -> bool:
    """Whether a program, or a market, of so many bytes is tried."""
    return needed <= MEMORY_SHARE * free_bytes()


def unmeasured(name: str, needed: int, **settings: Any) -> Row:
    """The row of a size that is not tried."""
    return Row(name, None, "does not fit", {}, settings, {"peak_mb": round(needed / 1e6, 1)})


def compiled(config: PPOConfig, world: EnvArrays) -> tuple[Any, TrainState, EnvArrays, float]:
    """The update as a program, with what it takes, and the seconds that took."""
    began = time.perf_counter()
    state = put_on_devices(initial_state(config, ENV, world), config.devices, STATE_SHARDING)
    world = put_on_devices(world, config.devices, REPLICATED)
    program = update.lower(state, world, config=config, env=ENV).compile()
    return program, state, world, time.perf_counter() - began


def measured(name: str, config: PPOConfig, world: EnvArrays, repeats: int, **settings: Any) -> Row:
    """Memory of one size as planned by the compiler, and its speed if that fits."""
    program, state, world, seconds = compiled(config, world)
    plan = program.memory_analysis()
    planned = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    if not fits(planned):
        return unmeasured(name, planned, **settings)
    facts = {
        "compile_s": round(seconds, 2),
        "peak_mb": round(planned / 1e6, 1),
        "temporary_kb_per_env": round(plan.temp_size_in_bytes * config.devices / config.num_envs / 1e3, 1),
    }
    if config.batch_size > MOST_STEPS:
        config = settings_of(config.num_envs, config.devices, SHORT)
        program, state, world, _ = compiled(config, world)
    spent = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        state, metrics = program(state, world)
        jax.block_until_ready((state, metrics))
        spent.append(time.perf_counter() - began)
    settings |= {"timed_bars": config.rollout_length, "best": round(config.batch_size / min(spent[1:]))}
    return Row(name, config.batch_size / float(np.median(spent[1:])), "steps/s", {}, settings, facts)


def settings_of(num_envs: int, devices: int = 1, rollout_length: int = SHOWN_BARS) -> PPOConfig:
    """One torso of 128 x 128 for both heads, with a rollout that keeps an index."""
    steps = num_envs * rollout_length
    return PPOConfig(
        num_envs=num_envs,
        rollout_length=rollout_length,
        total_steps=max(8_388_608, steps),
        devices=devices,
        shared_torso=OURS.shared_torso,
        hidden=OURS.hidden,
        stored_observations=False,
    )


def by_envs(given: Given) -> Iterator[Row]:
    """Environments on a market of 50,000 bars."""
    world = world_of(50_000)
    for num_envs in given.of(ENVS):
        if num_envs > given.most_envs:
            yield Row("scale.envs", None, "not asked for", {}, {"envs": num_envs})
            continue
        yield measured("scale.envs", settings_of(num_envs), world, given.repeats, envs=num_envs, bars=50_000)


def by_bars(given: Given) -> Iterator[Row]:
    """Bars under 256 environments."""
    small = world_of(BARS[0])
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(small.market)) // BARS[0]
    for bars in given.of(BARS):
        needed = 2 * size * bars  # one copy while it is made
        if not fits(needed):
            yield unmeasured("scale.bars", needed, envs=256, bars=bars)
            continue
        yield measured("scale.bars", settings_of(256), world_of(bars), given.repeats, envs=256, bars=bars)


def by_devices(given: Given) -> Iterator[Row]:
    """One device and all that there are, at the same global batch."""
    world = world_of(50_000)
    for devices in sorted({1, len(jax.devices())}):
        yield measured("scale.devices", settings_of(256, devices), world, given.repeats, envs=256, devices=devices)


TABLES = {"envs": by_envs, "bars": by_bars, "devices": by_devices}


def compared(rows: Iterator[Row]) -> Iterator[Row]:
    """Each row with its speed over that of the first."""
    first = None
    for row in rows:
        first = first or row.value
        yield row if row.value is None or first is None else row._replace(ratio_to={"first": row.value / first})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="two sizes of each table, one repeat")
    parser.add_argument("--only", choices=TABLES, nargs="+", default=list(TABLES))
    parser.add_argument("--most-envs", type=int, default=ENVS[-1])
    given = parser.parse_args()
    asked = Given(1 if given.quick else 3, given.most_envs, given.quick)
    found = versions("jax", "jaxlib", "numpy")
    facts = {"device": str(jax.devices()[0].device_kind), "versions": found}
    for table in given.only:
        for row in compared(TABLES[table](asked)):
            print(json.dumps({**fields(row), **facts}) if given.json else line(row), flush=True)


if __name__ == "__main__":
    main()
