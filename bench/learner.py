"""What one changed setting costs the learner of phase 1: its share of the computed optimum after some bars.

    python bench/learner.py [--json] [--seeds 3] [--world planted] [--strength 1.5] [--world-seed 31] [--worlds 1]
                            [--look-at BARS ...] [--only NAME ...]

Each row is the quick selftest's phase 1 (`configs/selftest_quick.toml`: the defaults, on fewer bars) with one
setting changed to what is usual for other tasks, or to the learner that makes entries and learns from those alone
(GAE). Shares are means over seeds, of policies judged on another world; what a policy earns that never enters stands
beside them. JSON: one object a row. With `--world reverting`, whose move comes back, and more `--sessions` or `--bars`
than the quick selftest has, it shows what the fading credit of a trade's later bars costs.

With `--worlds N` each setting is trained on N worlds, of seeds two apart, and judged on the one after each. The last
lines compare every setting with the first one: the mean difference over worlds with its t interval, as seeds of one
world meet the same bars and only worlds are independent.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
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
MOST_OF_IT = 0.8  # of the optimum: after how many bars it is reached

Look = dict[str, Any]
CHANGES: dict[str, dict[str, Any]] = {
    "default": {},
    "discount 0.99, lambda 0.95": {"discount": 0.99, "gae_lambda": 0.95},
    "discount 0.9, lambda 0.8": {"discount": 0.9, "gae_lambda": 0.8},
    "hold_bias 0": {"hold_bias": 0.0},
    "window_decay 0": {"window_decay": 0.0},
    "window_evidence": {"window_evidence": True},
    "all bars of the window alike": {"window_evidence": False, "window_decay": 0.0},
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


def shares_of(
    config: PPOConfig, train: TradedWorld, test: Judged, *, seeds: int, look_at: Sequence[int] = ()
) -> list[Look]:
    """One look after another: bars, seconds, each seed's share and trades; ``look_at`` are bars to look after."""
    updates = math.gcd(*(bars // config.batch_size for bars in look_at), config.num_updates)
    every = updates * config.batch_size
    looks = []
    for look in learn(config, 1, train, range(seeds), looks=config.num_updates // updates if look_at else LOOKS):
        if look_at and look.step not in {bars // every * every for bars in (*look_at, config.total_steps)}:
            continue
        judged = [test.world.judge(policy) for policy in look.policies]
        shares = [test.share(float(r_by_session(each).mean())) for each in judged]
        trades = [len(each.trades.r) for each in judged]
        looks.append({"bars": look.step, "seconds": round(look.seconds, 1), "shares": shares, "trades": trades})
    return looks


def bars_to(looks: Sequence[Look], start: float, share: float = MOST_OF_IT) -> float | None:
    """Bars after which the mean over seeds first reached ``share``, on a straight line between two looks.

    Args:
        looks: of one setting on one world, in order.
        start: the share before the first bar, of a policy that never enters.
        share: to be reached; None comes back where no look has it.
    """
    bars, reached = 0.0, start
    for look in looks:
        now = float(np.mean(look["shares"]))
        if now >= share:
            return float(bars + (look["bars"] - bars) * max(share - reached, 0.0) / max(now - reached, 1e-9))
        bars, reached = look["bars"], now
    return None


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % t interval of independent differences, one a world."""
    from scipy.stats import t  # slow to load

    values = np.asarray(differences, float)
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return mean, mean - half, mean + half


def compared(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines that set every setting beside the first, look by look, over the worlds that both were trained on."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    (first, reference), *others = by_name.items()
    lines = []
    for name, rows_of_it in others:
        pairs = list(zip(rows_of_it, reference, strict=True))
        for number, look in enumerate(rows_of_it[0]["looks"]):
            mean, low, high = interval([_share(a, number) - _share(b, number) for a, b in pairs])
            lines.append(f"{name} less {first} after {look['bars']:,} bars: {mean:+.3f} ({low:+.3f} to {high:+.3f})")
        reached = [(a["bars_to_80"], b["bars_to_80"]) for a, b in pairs]
        if any(bars is None for pair in reached for bars in pair):
            lines.append(f"{name} less {first}, bars to 80 %: not reached by both on every world")
            continue
        mean, low, high = interval([a - b for a, b in reached])
        lines.append(f"{name} less {first}, bars to 80 %: {mean:+,.0f} ({low:+,.0f} to {high:+,.0f})")
    return lines


def _share(row: dict[str, Any], number: int) -> float:
    return float(np.mean(row["looks"][number]["shares"]))


def worlds_of(kind: str, strength: float) -> tuple[str, Callable[[int, int], Any], Any]:
    """Name, maker and drift after a signal of the worlds asked for."""
    if kind == "reverting":
        return kind, reverting_world, reverting_drift()
    return f"planted {strength:g}", partial(planted_world, drift_atr=strength), fading_drift(strength)


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--world", choices=("planted", "reverting"), default="planted")
    parser.add_argument("--strength", type=float, default=1.5, help="planted: ATR of drift after a signal")
    parser.add_argument("--world-seed", type=int, default=31, help="the test world has the next one")
    parser.add_argument("--worlds", type=int, default=1, help="as many, of seeds two apart")
    parser.add_argument("--only", choices=CHANGES, nargs="+", default=list(CHANGES))
    parser.add_argument("--sessions", type=int, help="to train on; by default the quick selftest's")
    parser.add_argument("--test-sessions", type=int, help="to judge on; the same")
    parser.add_argument("--bars", type=int, help="of a training; the same")
    parser.add_argument(
        "--look-at", type=int, nargs="+", default=(), metavar="BARS", help="and at the end; else thirds"
    )
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = asked()
    use_compile_cache()
    config = read_config(SelftestConfig, Path("configs/selftest_quick.toml"), ())
    named, world, drift = worlds_of(given.world, given.strength)
    learner = config.phase1.model_copy(update={"total_steps": given.bars or config.phase1.total_steps})
    machine = {"device": str(jax.devices()[0].device_kind), "versions": versions("jax", "jaxlib", "numpy")}
    rows = []
    for seed in range(given.world_seed, given.world_seed + 2 * given.worlds, 2):
        train = traded_world(world(seed, given.sessions or config.train_sessions), config.trading)
        test = judged_world(world(seed + 1, given.test_sessions or config.test_sessions), config, drift)
        never = test.share(0.0)
        facts = {"never_enters": never, "world": f"{named}, {seed}", **machine}
        if not given.json:
            print(f"{facts['world']}: a policy that never enters scores {never:+.3f}")
        for name in given.only:
            changed = learner.model_copy(update=CHANGES[name])
            looks = shares_of(changed, train, test, seeds=given.seeds, look_at=given.look_at)
            to_80 = bars_to(looks, never)
            rows.append({"name": name, "settings": CHANGES[name], "looks": looks, "bars_to_80": to_80, **facts})
            if given.json:
                print(json.dumps(rows[-1]), flush=True)
            else:
                shares = "  ".join(f"{look['bars']:>9,}: {np.mean(look['shares']):+.2f}" for look in looks)
                reached = "80 % not reached" if to_80 is None else f"80 % after {to_80:,.0f}"
                print(f"{name:<40}{shares}  ({reached}; {looks[-1]['seconds']:.0f} s)", flush=True)
    lines = compared(rows) if given.worlds > 1 else []
    if lines:
        print(json.dumps({"compared": lines}) if given.json else "\n".join(lines))


if __name__ == "__main__":
    main()
