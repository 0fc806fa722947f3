"""How much of the critic's targets anything can explain, what the trained critic explains, and what it is worth.

    python bench/critic.py [--json] [--only WORLD ...] [--seed 7601] [--sessions 1000] [--rollouts 8] [--phase-2]

A default phase 1 is trained on a planted world and its policy, frozen, plays another world of the same kind. Of every
state that it meets are known: the target that its critic would learn (the lambda-return of training), the critic's
value, and what nobody in a market knows, the drift that is still to come after the last signal. What is left in the
targets when that is known, and the position, the hour and the time since the last signal, is noise of prices to come,
which no features, loss or network can explain. So the variance that this knowledge explains in sessions that it was
not fitted to is the bound, found from two sides:

    fitted      Var(E[target | known]) / Var(target), by least squares on cells and a few continuous columns: the bound
                or less, as a better fit would find more
    one step    1 - E[sum of (discount * lambda)^(2k) e_k^2] / Var(target), where e_k is what one bar brings beyond
                its expectation: above the bound, as what each bar changes of later expectations is left out, and as
                far as surprises are uncorrelated

`outcomes` asks the same of a long and of a short left to its bracket at every close, by the table of outcomes.

With `--phase-2` learners of phase 2 are trained on the reverting world twice, with their critic and with one that says
0 throughout, and phase 1 twice as well; the comparison says what the critic is worth to the policy.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bench.facts import versions
from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env
from rl_core.ppo.advantages import Trajectory, generalized_advantage
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.devices import UNSHARDED
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.rollout import Actor, EpisodesInPlay, RolloutContext, roll_out, trajectory_of
from rl_core.ppo.train import batch_of
from rl_core.proofs.learners import LearnedArrays, Snapshot, TradedWorld, learn, r_by_session, traded_world
from rl_core.proofs.selftest import TRAIL_AFTER, trade_costs
from rl_core.proofs.selftest_config import SelftestConfig
from rl_core.proofs.untrained_policies import declared_rule
from rl_core.training.compile_cache import use_compile_cache
from rl_core.worlds.controls import no_edge_world, planted_world, reverting_drift, reverting_world
from rl_core.worlds.demo import DRIFT_ATR, demo_world, fading_drift
from rl_core.worlds.planted_value import managed_value
from trigate.toml_config import read_config

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TRAIN_SESSIONS, ACCOUNTS, GROUPS = 700, 512, 10
NEVER = 10**6  # minutes since a signal where there was none
QUARTER_HOURS, WAITS = 28, 12  # cells of time from 9:00 on, and of five minutes since the last signal
SILENT = 1e-12  # of the value loss: under Adam's epsilon a step of it moves no parameter
WORLDS: Mapping[str, tuple[Callable[[int, int], Any], Reals]] = {
    "planted 0.9": (partial(planted_world, drift_atr=0.9), fading_drift(0.9)),
    "planted 1.5": (partial(planted_world, drift_atr=1.5), fading_drift(1.5)),
    "reverting": (reverting_world, reverting_drift()),
    "demo": (demo_world, fading_drift(DRIFT_ATR)),
    "no_edge": (no_edge_world, fading_drift(0.0)),
}


class States(NamedTuple):
    """What a frozen policy met in its rollouts, leaves [T, N]: of T bars and N accounts, rollouts side by side."""

    bar: Integers
    standing: Reals  # [T, N, 5], `position_features`
    value: Reals  # of the critic
    target: Reals  # what the critic would learn
    surprise: Reals  # reward + discount * next value - value
    done: npt.NDArray[np.bool_]


class Share(NamedTuple):
    """A share of variance, with its standard error over groups of sessions."""

    value: float
    error: float

    @property
    def label(self) -> str:
        """In percent."""
        return f"{self.value:.1%} +- {self.error:.1%}"


def states_met(config: PPOConfig, traded: TradedWorld, learned: LearnedArrays, rollouts: int) -> States:
    """The states in ``rollouts`` rollouts of the learned policy, one after another, on all of ``traded``."""
    played = config.model_copy(update={"num_envs": ACCOUNTS})
    env, arrays = Env(1, traded.trading.yardstick), traded.env_arrays
    actor = Actor(*jax.tree.map(jnp.asarray, learned))

    @jax.jit
    def one(arrays: EnvArrays, playing: EpisodesInPlay, key: jax.Array) -> tuple[EpisodesInPlay, Any]:
        playing, rollout = roll_out(RolloutContext(played, env, arrays, actor), playing, key)
        steps, trajectory = rollout.transitions, trajectory_of(rollout)
        batch = batch_of(played, rollout, UNSHARDED)
        surprise = generalized_advantage(trajectory, discount=played.discount, gae_lambda=0.0)
        return playing, (steps.memory.bar, steps.memory.standing, steps.value, batch.target, surprise, steps.done)

    key, *keys = jax.random.split(jax.random.key(0), rollouts + 1)
    playing, rows = EpisodesInPlay(env.reset(*arrays, key, ACCOUNTS), jnp.zeros(ACCOUNTS)), []
    for each in keys:
        playing, row = one(arrays, playing, each)
        rows.append(jax.device_get(row))
    return States(*(np.concatenate(columns, axis=1) for columns in zip(*rows, strict=True)))


def since_signal(signals: npt.NDArray[np.int8]) -> tuple[Integers, Integers]:
    """Minutes [T] since the last signal, `NEVER` where there was none, and its side."""
    bar = np.arange(len(signals))
    last = np.maximum.accumulate(np.where(signals != 0, bar, -1))
    return np.where(last < 0, NEVER, bar - last), np.where(last < 0, 0, signals[np.maximum(last, 0)]).astype(np.int64)


def known_columns(states: States, traded: TradedWorld, drift: Reals) -> Reals:
    """What can be known of each state [T * N, K]: drift to come, position, hour, last signal, and what the critic says.

    The critic's value stands for what is seen of the market besides: it is made of the observation alone.
    """
    bar, standing = states.bar.reshape(-1), states.standing.reshape(-1, states.standing.shape[-1]).astype(float)
    minutes, side = (column[bar] for column in since_signal(traded.signals))
    held, position = standing[:, 0] != 0, np.sign(standing[:, 0])
    relation = np.where(held, np.where(position == side, 1, 2), 0)  # flat, with the drift, against it
    to_come = np.r_[np.cumsum(drift[::-1])[::-1], 0.0][np.minimum(minutes, len(drift))]
    quarter = np.clip((traded.view.hours.decision_minute[bar] - 9 * 60) // 15, 0, QUARTER_HOURS - 1)
    near_stop = np.minimum(standing[:, 2:3], 1.0)
    with_drift = np.where(held, position * side * to_come, 0.0)[:, None]
    return np.concatenate(
        [
            _cells(relation * (len(drift) + 1) + np.minimum(minutes, len(drift)), 3 * (len(drift) + 1)),
            _cells(2 * quarter + held, 2 * QUARTER_HOURS),
            _cells(np.where(held, 0, np.minimum(minutes // 5, WAITS - 1)), WAITS),
            standing,
            np.square(standing[:, 1:]),
            *(np.minimum(standing[:, column : column + 1], most) for column in (2, 3) for most in (0.5, 1.0)),
            with_drift * near_stop,
            states.value.reshape(-1, 1).astype(float),
        ],
        axis=1,
    )


def _cells(number: Integers, count: int) -> Reals:
    return np.asarray(number[:, None] == np.arange(count), float)


def held_out_prediction(known: Reals, target: Reals, session: Integers) -> Reals:
    """Least squares of ``target`` [N] on ``known`` [N, K], each half of the sessions predicted from the other."""
    predicted = np.zeros(len(target))
    for half in (0, 1):
        here = session % 2 == half
        others, mean = known[~here], target[~here].mean()
        ridge = np.eye(known.shape[1])  # one row's weight: cells that the other half never met stay at the mean
        weights = np.linalg.solve(others.T @ others + ridge, others.T @ (target[~here] - mean))
        predicted[here] = known[here] @ weights + mean
    return predicted


def explained(target: Reals, predicted: Reals, session: Integers) -> Share:
    """1 - Var(target - predicted) / Var(target), with a jackknife over ten groups of sessions."""

    def share(rows: npt.NDArray[np.bool_]) -> float:
        return float(1 - np.var(target[rows] - predicted[rows]) / np.var(target[rows]))

    return _jackknifed(share, session)


def explained_by_one_step(states: States, known: Reals, session: Integers, *, carried: float) -> Share:
    """The bound from what one bar brings beyond its expectation; ``carried`` is discount times lambda."""
    surprise = states.surprise.reshape(-1).astype(float)
    left = np.square(surprise - held_out_prediction(known, surprise, session)).reshape(states.done.shape)
    nothing = jnp.zeros(left.shape)
    sums = generalized_advantage(
        Trajectory(jnp.asarray(left), nothing, nothing, jnp.asarray(states.done), jnp.asarray(states.done)),
        discount=carried**2,
        gae_lambda=1.0,
    )
    noise, target = np.asarray(sums, float).reshape(-1), states.target.reshape(-1)
    return _jackknifed(lambda rows: float(1 - noise[rows].mean() / np.var(target[rows])), session)


def _jackknifed(share: Callable[[npt.NDArray[np.bool_]], float], session: Integers) -> Share:
    group = np.argsort(np.argsort(np.unique(session)))[np.unique(session, return_inverse=True)[1]] % GROUPS
    without = np.array([share(group != one) for one in range(GROUPS)])
    spread = float(np.sqrt((GROUPS - 1) / GROUPS * np.square(without - without.mean()).sum()))
    return Share(share(np.ones(len(session), bool)), spread)


def outcome_shares(traded: TradedWorld, drift: Reals, credit_decay: float) -> dict[str, Share]:
    """Of a long's and a short's outcome at every close, and of its credit: what the drift to come explains."""
    arrays = traded.env_arrays
    table = with_entry_outcomes(*arrays, credit_decay=credit_decay, yardstick=traded.trading.yardstick).entries
    assert table is not None
    bar = np.flatnonzero((np.asarray(table.bars) > 0).all(-1))
    minutes, side = (column[bar] for column in since_signal(traded.signals))
    number = np.minimum(minutes, len(drift))
    shares = {}
    for name, column in (("outcome", table.r), ("credit", table.credit)):
        # A long beside a short: of each close both, told apart by whether they go with the last signal.
        value = np.asarray(column, float)[bar].reshape(-1)
        with_it = np.stack([side > 0, side < 0], -1).reshape(-1)
        known = _cells(np.repeat(number, 2) * 2 + with_it, 2 * (len(drift) + 1))
        session = np.repeat(traded.view.located.session[bar], 2).astype(np.int64)
        shares[name] = explained(value, held_out_prediction(known, value, session), session)
    return shares


def measured(name: str, config: SelftestConfig, seed: int, sessions: int, rollouts: int) -> dict[str, Any]:
    """One row: a default phase 1 on a world of ``seed``, its targets and what explains them on the next one."""
    make, drift = WORLDS[name]
    learner = config.phase1
    *_, last = learn(learner, 1, traded_world(make(seed, TRAIN_SESSIONS), config.trading), [0], looks=1)
    other = traded_world(make(seed + 1, sessions), config.trading)
    states = states_met(learner, other, last.learned[0], rollouts)
    known, target = known_columns(states, other, drift), states.target.reshape(-1).astype(float)
    session = other.view.located.session[states.bar.reshape(-1)].astype(np.int64)
    shares = {
        "critic": explained(target, states.value.reshape(-1).astype(float), session),
        "fitted": explained(target, held_out_prediction(known, target, session), session),
        "one_step": explained_by_one_step(states, known, session, carried=learner.discount * learner.gae_lambda),
        **outcome_shares(other, drift, learner.credit_decay),
    }
    return {
        "world": f"{name}, {seed}",
        "bars": learner.total_steps,
        "states": len(target),
        "target_variance": float(np.var(target)),
        **{key: share._asdict() for key, share in shares.items()},
    }


def worth_to_phase_1(config: PPOConfig, train: TradedWorld) -> bool:
    """Whether the policy is the same to the bit where the critic learns nothing."""
    silent = config.model_copy(update={"value_coefficient": SILENT})
    ends = [list(learn(each, 1, train, [0], looks=1))[-1].learned[0] for each in (config, silent)]
    actors = [jax.tree.leaves(parameters["actor"]) for parameters, _ in ends]
    return all(np.array_equal(a, b) for a, b in zip(*actors, strict=True))


def without_critic(start: Snapshot) -> Snapshot:
    """``start`` with critics that say 0."""

    def zeroed(learned: LearnedArrays) -> LearnedArrays:
        parameters, normaliser = learned
        critic = dict(parameters["critic"])
        critic["head"] = jax.tree.map(np.zeros_like, critic["head"])
        return {**parameters, "critic": critic}, normaliser

    return start._replace(learned=[zeroed(learned) for learned in start.learned])


def worth_to_phase_2(config: SelftestConfig, seed: int, seeds: int) -> dict[str, Any]:
    """Phase 2's share of the managed optimum on the reverting world, with its critic and with one that says 0."""
    train = traded_world(reverting_world(seed, TRAIN_SESSIONS), config.trading)
    test = traded_world(reverting_world(seed + 1, config.test_sessions), config.trading)
    rule = test.judge(declared_rule(trail_after=TRAIL_AFTER))
    worth = managed_value(reverting_drift()) - trade_costs(test, at_signals=True)
    optimum, by_rule = worth * len(rule.trades.r) / rule.sessions, float(r_by_session(rule).mean())
    *_, start = learn(config.phase1, 1, train, range(seeds), looks=1)
    silent = config.phase2.model_copy(update={"value_coefficient": SILENT})
    runs = {"critic": (config.phase2, start), "critic_zero": (silent, without_critic(start))}
    row: dict[str, Any] = {"world": f"reverting, {seed}", "bars": config.phase2.total_steps}
    for name, (learner, begun) in runs.items():
        *_, last = learn(learner, 2, train, range(seeds), looks=1, start=begun)
        earned = [float(r_by_session(test.judge(policy)).mean()) for policy in last.policies]
        row[name] = [1 + (of_seed - by_rule) / optimum for of_seed in earned]
    return row | {"phase_1_policy_is_the_same": worth_to_phase_1(config.phase1, train)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--only", choices=WORLDS, nargs="*", default=list(WORLDS), help="none: only what else is asked")
    parser.add_argument("--seed", type=int, default=7601, help="of the world to train on; the next one is played")
    parser.add_argument("--sessions", type=int, default=1000, help="of the world that is played")
    parser.add_argument("--rollouts", type=int, default=8, help=f"of {ACCOUNTS} accounts by 128 bars")
    parser.add_argument("--bars", type=int, help="of a training of phase 1; by default the selftest's")
    parser.add_argument("--phase-2", action="store_true", help="and train with and without a critic")
    parser.add_argument("--seeds", type=int, default=3, help="of phase 2")
    given = parser.parse_args()
    use_compile_cache()
    config = read_config(SelftestConfig, Path("configs/selftest.toml"), ())
    if given.bars:
        config = config.model_copy(update={"phase1": config.phase1.model_copy(update={"total_steps": given.bars})})
    facts = {"device": str(jax.devices()[0].device_kind), "versions": versions("jax", "jaxlib", "numpy")}
    for name in given.only:
        row = measured(name, config, given.seed, given.sessions, given.rollouts)
        print(json.dumps(row | facts) if given.json else _line(row), flush=True)
    if given.phase_2:
        worth = worth_to_phase_2(config, given.seed, given.seeds)
        print(json.dumps(worth | facts) if given.json else worth, flush=True)


def _line(row: Mapping[str, Any]) -> str:
    names = ("critic", "fitted", "one_step", "outcome", "credit")
    return f"{row['world']:<18}" + "  ".join(f"{name} {Share(**row[name]).label}" for name in names)


if __name__ == "__main__":
    main()
