"""What one changed setting costs the learner of phase 1: its share of the computed optimum after some bars.

    python bench/learner.py [--json] [--seeds 3] [--world planted] [--strength 1.5] [--world-seed 31] [--only NAME ...]

Each row is the quick selftest's phase 1 (`configs/selftest_quick.toml`: the defaults, on fewer bars) with one
setting changed to what is usual for other tasks, or to the learner that makes entries and learns from those alone
(GAE). Shares are means over seeds, of policies judged on another world; what a policy earns that never enters stands
beside them. JSON: one object a row. With `--world reverting`, whose move comes back, and more `--sessions` or `--bars`
than the quick selftest has, it shows what the fading credit of a trade's later bars costs.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import jax
import numpy as np

from bench.facts import versions
from rl_core.ppo.config import PPOConfig
from rl_core.proofs.learners import TradedWorld, learn, r_by_session, traded_world
from rl_core.proofs.selftest import trade_costs
from rl_core.proofs.selftest_config import SelftestConfig
from rl_core.proofs.untrained_policies import declared_rule
from rl_core.training.compile_cache import use_compile_cache
from rl_core.worlds.controls import planted_world, reverting_drift, reverting_world
from rl_core.worlds.demo import fading_drift
from rl_core.worlds.planted_value import bracket_value
from trigate.toml_config import read_config

LOOKS = 3
CHANGES: dict[str, dict[str, Any]] = {
    "default": {},
    "discount 0.99, lambda 0.95": {"discount": 0.99, "gae_lambda": 0.95},
    "discount 0.9, lambda 0.8": {"discount": 0.9, "gae_lambda": 0.8},
    "hold_bias 0": {"hold_bias": 0.0},
    "window_decay 0": {"window_decay": 0.0},
    "learning rate 1e-3": {"learning_rate": 1e-3},
    "128 environments": {"num_envs": 128},
    "128 environments, learning rate 1e-3": {"num_envs": 128, "learning_rate": 1e-3},
    "entropy 0.01": {"entropy_coefficient": 0.01},
    "entropy 0.003": {"entropy_coefficient": 0.003},
    "credit_decay 0.5": {"credit_decay": 0.5},
    "credit_decay 0": {"credit_decay": 0.0},
    "one torso": {"shared_torso": True},
    "made entries": {"known_entries": False},
    "made entries, discount 0.9, lambda 0.8": {"known_entries": False, "discount": 0.9, "gae_lambda": 0.8},
}


class Judged(NamedTuple):
    """A test world and what can be earned there, R a session."""

    world: TradedWorld
    rule: float  # measured
    optimum: float  # computed

    def share(self, earned: float) -> float:
        """Of the optimum, with the rule on the same bars as the control."""
        return 1 + (earned - self.rule) / self.optimum


def judged_world(market: Any, config: SelftestConfig, drift: Any) -> Judged:
    """The test world with its rule played and its optimum computed; ``drift`` is what follows a signal."""
    world = traded_world(market, config.trading)
    rule = world.judge(declared_rule())
    each = bracket_value(drift).mean_r - trade_costs(world, at_signals=True)
    return Judged(world, float(r_by_session(rule).mean()), each * len(rule.trades.r) / rule.sessions)


def shares_of(config: PPOConfig, train: TradedWorld, test: Judged, seeds: int) -> list[dict[str, Any]]:
    """One look after another: bars, seconds, each seed's share and trades."""
    looks = []
    for look in learn(config, 1, train, range(seeds), looks=LOOKS):
        judged = [test.world.judge(policy) for policy in look.policies]
        shares = [test.share(float(r_by_session(each).mean())) for each in judged]
        trades = [len(each.trades.r) for each in judged]
        looks.append({"bars": look.step, "seconds": round(look.seconds, 1), "shares": shares, "trades": trades})
    return looks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--world", choices=("planted", "reverting"), default="planted")
    parser.add_argument("--strength", type=float, default=1.5, help="planted: ATR of drift after a signal")
    parser.add_argument("--world-seed", type=int, default=31, help="the test world has the next one")
    parser.add_argument("--only", choices=CHANGES, nargs="+", default=list(CHANGES))
    parser.add_argument("--sessions", type=int, help="to train on; by default the quick selftest's")
    parser.add_argument("--test-sessions", type=int, help="to judge on; the same")
    parser.add_argument("--bars", type=int, help="of a training; the same")
    given = parser.parse_args()
    use_compile_cache()
    config = read_config(SelftestConfig, Path("configs/selftest_quick.toml"), ())
    named, world, drift = "reverting", reverting_world, reverting_drift()
    if given.world == "planted":
        drift = fading_drift(given.strength)
        named, world = f"planted {given.strength:g}", partial(planted_world, drift_atr=given.strength)
    train = traded_world(world(given.world_seed, given.sessions or config.train_sessions), config.trading)
    judged = world(given.world_seed + 1, given.test_sessions or config.test_sessions)
    test = judged_world(judged, config, drift)
    learner = config.phase1.model_copy(update={"total_steps": given.bars or config.phase1.total_steps})
    facts = {
        "never_enters": test.share(0.0),
        "world": f"{named}, {given.world_seed}",
        "device": str(jax.devices()[0].device_kind),
        "versions": versions("jax", "jaxlib", "numpy"),
    }
    if not given.json:
        print(f"{facts['world']}: a policy that never enters scores {facts['never_enters']:+.3f}")
    for name in given.only:
        looks = shares_of(learner.model_copy(update=CHANGES[name]), train, test, given.seeds)
        if given.json:
            print(json.dumps({"name": name, "settings": CHANGES[name], "looks": looks, **facts}), flush=True)
        else:
            shares = "  ".join(f"{look['bars']:>9,}: {np.mean(look['shares']):+.2f}" for look in looks)
            print(f"{name:<40}{shares}  ({looks[-1]['seconds']:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
