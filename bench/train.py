"""Training end to end beside its own floor and its peers, in one alternating run.

    python bench/train.py [--json] [--quick] [--repeats 7] [--only NAME ...]

An update is a rollout of 256 environments x 128 bars over the demo world, advantages, 4 epochs of 4 minibatches. Its
**floor** is what no PPO can do without: the same network's forward pass once a bar, its forward and backward pass and
Adam once a minibatch, on arrays that lie ready. The environment alone is what no faster learner can save. The default
is measured with its own number of accounts, too. All take turns once compiled; a ratio is the median of those within a
turn, fair on a busy machine; CPU seconds of all threads hardly know other work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.env import BARS, MANY_BARS, market_of, play, tiled
from bench.facts import versions
from bench.gpu_program import compiled_for_a_gpu, compiles_for_a_gpu
from bench.operations import Operations, operations_of
from bench.train_peers import HIDDEN, rejax_update, sb3_update
from bench.train_products import products_update
from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env, EnvParams
from rl_core.exchange.instruments import instrument
from rl_core.ppo.backend import as_on_an_accelerator, conditions_are_free
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.networks import forward, initial_parameters
from rl_core.ppo.optimiser import make_optimiser
from rl_core.ppo.train import initial_state, update
from rl_core.trading.setup import TradingConfig, compile_trading
from rl_core.worlds.demo import demo_world

SESSIONS = 30
FIRST_COLD_S, FIRST_CACHED_S = 6.0, 2.5  # limits
SEPARATE = PPOConfig(num_envs=256, hidden=HIDDEN)
OURS = PPOConfig(num_envs=256, shared_torso=True, hidden=(128, 128))  # one torso for both heads
AS_IT_IS: Mapping[str, str] = MappingProxyType({})
DEFAULT = PPOConfig(num_envs=256)  # on a world whose entries are tabulated, as `rl-core train` plays it
AS_SHIPPED = PPOConfig()  # the same with as many accounts as `rl-core train` plays by itself


class Subject(NamedTuple):
    """Something that makes one update when called."""

    name: str
    once: Callable[[], None]
    steps: int
    facts: dict[str, Any]  # compile_s, peak_mb


class Row(NamedTuple):
    """One measurement."""

    name: str
    value: float | None
    unit: str
    ratio_to: dict[str, float]
    settings: dict[str, Any]
    facts: dict[str, Any] = {}  # noqa: RUF012  (never written to)


def with_known_entries(world: EnvArrays) -> EnvArrays:
    """The same world as phase 1 trains on it by default."""
    return world._replace(market=with_entry_outcomes(*world, credit_decay=DEFAULT.credit_decay))


def world_of(bars: int) -> EnvArrays:
    """The demo world, repeated to ``bars`` bars, under the default account."""
    trading = compile_trading(TradingConfig(), instrument("NQ"))
    market = tiled(market_of(demo_world(7, SESSIONS).minutes, trading.hours, trading), bars)
    return EnvArrays(market, EnvParams(trading.venue, trading.limits, 0.2, 1.0))


def ours(name: str, config: PPOConfig, env: Env, world: EnvArrays, options: Mapping[str, str] = AS_IT_IS) -> Subject:
    """Our update, compiled with XLA's ``options``."""
    state = initial_state(config, env, world)
    lowered = update.lower(state, world, config=config, env=env)
    began, cpu_began = time.perf_counter(), time.process_time()
    program = lowered.compile(compiler_options=dict(options))
    facts = {"compile_s": round(time.perf_counter() - began, 2)} | _memory(program, config)
    facts["compile_cpu_s"] = round(time.process_time() - cpu_began, 2)

    def once() -> None:
        nonlocal state
        state, metrics = program(state, world)
        jax.block_until_ready((state, metrics))

    once()
    return Subject(name, once, config.batch_size, facts)


def floor(name: str, config: PPOConfig, env: Env) -> Subject:
    """The network passes and Adam of one update and nothing else."""
    parameters = initial_parameters(config, env.observation_size, env.num_actions, jax.random.key(0))
    state = (parameters, make_optimiser(config).init(parameters))
    shape = (config.rollout_length, config.num_envs, env.observation_size)
    stored = jax.random.normal(jax.random.key(1), shape)
    program = _floor.lower(state, stored, config=config).compile()

    def once() -> None:
        nonlocal state
        state, seen = program(state, stored)
        jax.block_until_ready((state, seen))

    once()
    return Subject(name, once, config.batch_size, {})


@partial(jax.jit, static_argnames=("config",), donate_argnums=0)
def _floor(state: Any, stored: jax.Array, *, config: PPOConfig) -> tuple[Any, jax.Array]:
    optimiser = make_optimiser(config)

    def loss(parameters: Any, rows: jax.Array) -> jax.Array:
        output = forward(config, parameters, rows)
        return jnp.mean(jnp.square(output.value)) + jnp.mean(jnp.square(output.logits))

    def play(total: jax.Array, rows: jax.Array) -> tuple[jax.Array, None]:
        output = forward(config, state[0], rows)
        return total + jnp.sum(output.value) + jnp.sum(output.logits), None

    def learn(carry: Any, turn: jax.Array) -> tuple[Any, None]:
        parameters, moments = carry
        gradients = jax.grad(loss)(parameters, minibatches[turn % config.minibatches])
        changes, moments = optimiser.update(gradients, moments, parameters)
        return (optax.apply_updates(parameters, changes), moments), None

    total, _ = jax.lax.scan(play, jnp.float32(0), stored)
    minibatches = stored.reshape(config.minibatches, -1, stored.shape[-1])
    state, _ = jax.lax.scan(learn, state, jnp.arange(config.steps_per_update))
    return state, total


def _memory(program: Any, config: PPOConfig) -> dict[str, Any]:
    """Peak megabytes of the program: of the device where it counts them, else arguments, results and temporaries."""
    plan = program.memory_analysis()
    statistics = jax.devices()[0].memory_stats() or {}
    planned = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return {
        "peak_mb": round(statistics.get("peak_bytes_in_use", planned) / 1e6, 1),
        "temporary_kb_per_env": round(plan.temp_size_in_bytes / config.num_envs / 1e3, 1),
    }


class Spent(NamedTuple):
    """What one subject took in each turn."""

    wall_s: np.ndarray  # [turns]
    cpu_s: np.ndarray  # [turns], of all threads


def take_turns(subjects: list[Subject], repeats: int) -> dict[str, Spent]:
    """What every subject took in each of ``repeats`` turns."""
    spent: dict[str, list[tuple[float, float]]] = {subject.name: [] for subject in subjects}
    for _ in range(repeats):
        for subject in subjects:
            began, cpu_began = time.perf_counter(), time.process_time()
            subject.once()
            spent[subject.name].append((time.perf_counter() - began, time.process_time() - cpu_began))
    return {name: Spent(*np.array(turns).T) for name, turns in spent.items()}


def rows_of(subjects: list[Subject], spent: dict[str, Spent], against: dict[str, dict[str, str]]) -> list[Row]:
    """A row a subject; ``against`` names for a subject what it is compared with, and under which word."""
    rows = []
    for subject in subjects:
        took, others = spent[subject.name], against.get(subject.name, {}).items()
        ratios, of_cpu = (
            {word: _median(spent[other][kind] / took[kind]) for word, other in others if other in spent}
            for kind in range(2)
        )
        speed = subject.steps / float(np.median(took.wall_s))
        settings = {"best": round(subject.steps / took.wall_s.min()), "repeats": len(took.wall_s)}
        cpu = {"cpu_s": _median(took.cpu_s), "cpu_ratio_to": of_cpu}
        rows.append(Row(subject.name, speed, "steps/s", ratios, settings, {**subject.facts, **cpu}))
    return rows


def _median(values: np.ndarray) -> float:
    return round(float(np.median(values)), 3)


def environment(name: str, config: PPOConfig, world: EnvArrays) -> Subject:
    """The full environment of phase 2 alone: a rollout of random actions, its observations built."""
    keys = iter(jax.random.split(jax.random.key(2), 10_000))
    played = partial(play, *world, num_envs=config.num_envs, steps=config.rollout_length, observations=True)

    def once() -> None:
        jax.block_until_ready(played(next(keys)))

    once()
    return Subject(name, once, config.num_envs * config.rollout_length, {})


def networks(repeats: int) -> list[Row]:
    """Both networks in both phases beside their floors and the environment, and the peers with the separate one."""
    world = world_of(BARS)
    subjects, against, missing = [environment("train.environment", OURS, world)], {}, []
    for name, config in (("separate", SEPARATE), ("ours", OURS)):
        for phase in (1, 2):
            title = f"train.{name}.phase{phase}"
            subjects += [ours(title, config, Env(phase), world), floor(f"{title}.floor", config, Env(phase))]
            peers = {name: f"train.{name}" for name in ("environment", "rejax", "sb3")}
            against[title] = {"floor": f"{title}.floor", **peers}
    for title, once in (("train.rejax", rejax_update(SEPARATE, Env(1), world)), ("train.sb3", sb3_update(SEPARATE))):
        if once is None:
            missing.append(Row(title, None, "not installed", {}, {}))
        else:
            once()
            subjects.append(Subject(title, once, SEPARATE.batch_size, {}))
    return rows_of(subjects, take_turns(subjects, repeats), against) + missing


def default(repeats: int) -> list[Row]:
    """The default of phase 1 beside its floor and the environment, with many accounts and with its own number."""
    subjects, against, world = [], {}, world_of(BARS)
    tabulated = with_known_entries(world)
    for config in (DEFAULT, AS_SHIPPED):
        accounts = f"{config.num_envs}_accounts"
        title, alone = f"train.default.phase1.{accounts}", f"train.environment.{accounts}"
        subjects += [environment(alone, config, world), ours(title, config, Env(1), tabulated)]
        subjects += [floor(f"{title}.floor", config, Env(1))]
        against[title] = {"floor": f"{title}.floor", "environment": alone}
    return rows_of(subjects, take_turns(subjects, repeats), against)


def products(repeats: int) -> list[Row]:
    """The plain matrix products of a floor's passes beside it, and how much they compute."""
    subjects, against = [], {}
    for name, config in (("separate.phase1", SEPARATE), ("default.phase1", DEFAULT)):
        title, plain, (once, gflop) = f"train.{name}.floor", f"train.{name}.products", products_update(config, Env(1))
        subjects += [floor(title, config, Env(1)), Subject(plain, once, config.batch_size, {"gflop": round(gflop, 2)})]
        against[title] = {"products": plain}
    return rows_of(subjects, take_turns(subjects, repeats), against)


def lengths(repeats: int) -> list[Row]:
    """Our network on a long market against a short one."""
    few, many = (f"train.bars_{bars // 1000}k" for bars in (BARS, MANY_BARS))
    subjects = [ours(name, OURS, Env(1), world_of(bars)) for name, bars in ((few, BARS), (many, MANY_BARS))]
    return rows_of(subjects, take_turns(subjects, repeats), {many: {few: few}})


def storage(repeats: int) -> list[Row]:
    """Rollouts that keep an index against those that keep observations, side by side."""
    world, subjects, against = world_of(BARS), [], {}
    for name, config in (("separate", SEPARATE), ("ours", OURS)):
        for kept, stored in (("stored", True), ("index", False)):
            chosen = PPOConfig.model_validate(config.model_dump() | {"stored_observations": stored})
            subjects.append(ours(f"train.{name}.{kept}", chosen, Env(1), world))
        against[f"train.{name}.index"] = {"stored": f"train.{name}.stored"}
    return rows_of(subjects, take_turns(subjects, repeats), against)


def levels(repeats: int) -> list[Row]:
    """Our update as XLA compiles it by itself, and with the fewest of LLVM's optimisations that it takes."""
    world, subjects, against = world_of(BARS), [], {}
    cases = (
        ("default.phase1", DEFAULT, Env(1), with_known_entries(world)),
        ("separate.phase1", SEPARATE, Env(1), world),
        ("ours.phase2", OURS, Env(2), world),
    )
    for name, config, env, played in cases:
        title = f"train.{name}.level1"
        subjects += [
            ours(f"train.{name}", config, env, played),
            ours(title, config, env, played, {"xla_backend_optimization_level": "1"}),
        ]
        against[title] = {"as it is": f"train.{name}"}
    return rows_of(subjects, take_turns(subjects, repeats), against)


FIRST = """
import time
from bench.train import BARS, DEFAULT, Env, initial_state, jax, update, with_known_entries, world_of
world = world_of(BARS)
began = time.perf_counter()
world = with_known_entries(world)
state = initial_state(DEFAULT, Env(1), world)
jax.block_until_ready(update(state, world, config=DEFAULT, env=Env(1)))
print(time.perf_counter() - began)
"""


def first(repeats: int) -> list[Row]:
    """Seconds from nothing to the end of the first update, in a new process: cold, then with a filled cache."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        given = {**os.environ, **cache, "PYTHONPATH": str(Path(__file__).parents[1])}
        for name, limit in (("cold", FIRST_COLD_S), ("cached", FIRST_CACHED_S)):
            said = subprocess.run([sys.executable, "-c", FIRST], env=given, capture_output=True, text=True, check=True)
            seconds = float(said.stdout)
            rows.append(Row(f"train.first_update.{name}", seconds, "s", {"limit": round(seconds / limit, 2)}, {}))
    return rows


def operations(repeats: int) -> list[Row]:
    """Launch-like operations of one update: of the program for an H100, and of what a CPU's compiler makes of it."""
    del repeats  # a count needs none
    world = world_of(BARS)
    separate = SEPARATE.model_copy(update={"known_entries": False})
    return [
        *_counted_update("train.operations.phase1", DEFAULT, Env(1), with_known_entries(world)),
        *_counted_update("train.operations.phase2", separate, Env(2), world),
    ]


def one_torso(repeats: int) -> list[Row]:
    """The same of a learner with one torso that learns from the entries that it makes."""
    del repeats
    config = OURS.model_copy(update={"known_entries": False})
    return _counted_update("train.operations.ours.phase1", config, Env(1), world_of(BARS))


def _counted_update(name: str, config: PPOConfig, env: Env, world: EnvArrays) -> list[Row]:
    arguments, static = (initial_state(config, env, world), world), {"config": config, "env": env}
    with as_on_an_accelerator():
        there = operations_of(update.lower(*arguments, **static).compile().as_text() or "")
        gpu = compiled_for_a_gpu(update, *arguments, **static) if compiles_for_a_gpu() else None
    ratio = {}
    if conditions_are_free():
        here = operations_of(update.lower(*arguments, **static).compile().as_text() or "").total
        ratio = {"the program for a CPU": round(there.total / here, 3)}
    rows = [_counts(name, there, ratio)]
    if gpu is None:
        return [*rows, Row(f"{name}.h100", None, "no jax-cuda13-plugin here", {}, {})]
    row = _counts(f"{name}.h100", operations_of(gpu.as_text() or ""), {})
    kept = {"temporary_kb_per_env": _memory(gpu, config)["temporary_kb_per_env"]}
    return [*rows, row._replace(facts={**row.facts, **kept})]


def _counts(name: str, found: Operations, ratio: dict[str, float]) -> Row:
    loops = [tuple(loop) for loop in found.loops[:2]]
    facts = {"conditions": found.conditions, "turns_and_operations_a_turn": loops}
    return Row(name, found.total, "operations", ratio, {}, facts)


TABLES = {
    "networks": networks,
    "default": default,
    "products": products,
    "lengths": lengths,
    "storage": storage,
    "levels": levels,
    "first": first,
    "operations": operations,
    "one-torso": one_torso,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="two turns each")
    parser.add_argument("--repeats", type=int, default=7, help="turns")
    parser.add_argument("--only", choices=TABLES, nargs="+", default=list(TABLES))
    given = parser.parse_args()
    found = versions("jax", "jaxlib", "numpy")
    facts = {"device": str(jax.devices()[0].device_kind), "versions": found}
    for table in given.only:
        for row in TABLES[table](2 if given.quick else given.repeats):
            print(json.dumps({**fields(row), **facts}) if given.json else line(row), flush=True)


def fields(row: Row) -> dict[str, Any]:
    """The row as one flat object, with the same keys in every row."""
    named = row._asdict()
    absent = dict.fromkeys(("compile_s", "compile_cpu_s", "peak_mb", "cpu_s", "cpu_ratio_to"))
    facts = {"floor_fraction": row.ratio_to.get("floor"), **absent, **named.pop("facts")}
    facts["gflop_per_cpu_s"] = round(facts["gflop"] / facts["cpu_s"], 1) if "gflop" in facts else None
    return {**named, "steps_per_s": row.value if row.unit == "steps/s" else None, **facts}


def line(row: Row) -> str:
    """The row for a person."""
    value = "-" if row.value is None else f"{row.value:,.1f}"
    ratios = "  ".join(f"{ratio:.2f} x {name}" for name, ratio in row.ratio_to.items())
    return f"{row.name:<30}{value:>14} {row.unit:<14}{ratios:<40} {row.facts} {row.settings}"


if __name__ == "__main__":
    main()
