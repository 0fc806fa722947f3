"""What one desk or a firm of accounts needs, computed from measured figures: python bench/capacity.py [--json].

Nothing is measured here: each input names the command that printed it, and docs/scaling.md the machine and the commit.
`--set NAME=VALUE` replaces an input by what its command prints on your machine; `--accounts`, `--markets` and the other
options are what is asked for.
"""

import argparse
import json
import math
from typing import NamedTuple

MINUTE_S = 60.0
SESSION_BARS = 1380
SESSIONS_A_YEAR = 252
MOST_TOGETHER = 128  # accounts of one file of `orchestrator run --accounts`


class Input(NamedTuple):
    """A measured figure, or a setting that ships."""

    value: float
    unit: str
    source: str


INPUTS = {
    "training_cpu_s": Input(64.2, "CPU s, 2.1 M bars, a fold judged", "rl-core walk-forward: 1,348 s / 21 trainings"),
    "training_mb": Input(1331, "MB, one process", "rl-core walk-forward: 1.3 GiB"),
    "ruled_bar_cpu_ms": Input(0.92, "CPU ms a bar and account, rules", "bench/whole_run.py: 12 less 2 sessions"),
    "run_start_cpu_s": Input(8.6, "CPU s before the first bar", "bench/whole_run.py: 2 sessions less their bars"),
    "run_mb": Input(584, "MB, all processes of a run", "bench/commands.py -- orchestrator run --gate rules"),
    "together_mb": Input(611, "MB of accounts in one command", "bench/whole_run.py --only accounts: 4 and 28 accounts"),
    "together_account_mb": Input(0.46, "MB more an account in it", "the same: 613 and 624 MB"),
    "together_bar_cpu_ms": Input(
        0.66, "CPU ms a bar and account in it", "the same: 12.3 and 34.0 s, 33,120 bars apart"
    ),
    "model_mb": Input(4852, "MB more with the model server", "bench/commands.py -- make sim: 5,436 less run_mb"),
    "journal_bytes": Input(266, "bytes a bar and account", "orchestrator run: journal of 16,095 bars, 4,273,386"),
    "verdicts_a_session": Input(11.2, "proposals an account", "orchestrator run: 134 in 12 sessions"),
    "gate_per_s": Input(17.1, "verdicts/s of a server, 8 at once", "bench/gate.py --model package, prefix cached"),
    "gate_deadline_s": Input(10, "s from proposal to verdict", "the default of gate.deadline_s"),
    "member_cpu_s": Input(64.2, "CPU s, one seed of a member", "as a fold's training, of the same length"),
}


class Asked(NamedTuple):
    """What a desk or a firm wants to run."""

    accounts: int
    markets: int
    folds: int
    seeds: int
    members: int
    cases: int
    cores: int


def needs(asked: Asked, known: dict[str, float]) -> dict[str, float]:
    """What that takes, by the formulas of docs/scaling.md."""
    trainings = asked.markets * asked.folds * asked.seeds
    members = asked.markets * asked.members * asked.seeds
    bars_a_year = SESSION_BARS * SESSIONS_A_YEAR
    return {
        "cores while bars come": asked.accounts * known["ruled_bar_cpu_ms"] / 1e3 / MINUTE_S,
        "memory, a run each, GB": (asked.accounts * known["run_mb"] + known["model_mb"]) / 1e3,
        "memory, accounts together, GB": _together_mb(asked.accounts, known) / 1e3,
        "start of all, min": asked.accounts * known["run_start_cpu_s"] / asked.cores / MINUTE_S,
        "journals a year, GB": asked.accounts * bars_a_year * known["journal_bytes"] / 1e9,
        "worst minute at one gate, s": asked.accounts / known["gate_per_s"],
        "verdicts of a year, h": asked.accounts
        * SESSIONS_A_YEAR
        * known["verdicts_a_session"]
        / known["gate_per_s"]
        / 3600,
        "gate cases, h": asked.cases / known["gate_per_s"] / 3600,
        "walks, h": trainings * known["training_cpu_s"] / asked.cores / 3600,
        "sweeps, h": members * known["member_cpu_s"] / asked.cores / 3600,
        "trainings at once in 24 GB": float(int(24e3 // known["training_mb"])),
        "a year played again, h": asked.accounts * bars_a_year * known["together_bar_cpu_ms"] / 3.6e6 / asked.cores,
    }


def _together_mb(accounts: int, known: dict[str, float]) -> float:
    """Of commands that play as many accounts as a file may name, and one model server."""
    commands = math.ceil(accounts / MOST_TOGETHER)
    return commands * known["together_mb"] + accounts * known["together_account_mb"] + known["model_mb"]


def limits(known: dict[str, float], *, memory_gb: float) -> dict[str, float]:
    """How many accounts each part carries on one machine before it breaks."""
    return {
        "one gate, all accounts propose at one close": known["gate_per_s"] * known["gate_deadline_s"],
        f"memory of {memory_gb:g} GB, a run each": (memory_gb * 1e3 - known["model_mb"]) // known["run_mb"],
        "one core, bars of each minute": MINUTE_S * 1e3 // known["ruled_bar_cpu_ms"],
    }


def _known(replaced: list[str]) -> dict[str, float]:
    known = {name: given.value for name, given in INPUTS.items()}
    for each in replaced:
        name, _, value = each.partition("=")
        if name not in known:
            raise SystemExit(f"--set {each}: there is no such input; known: {', '.join(known)}")
        known[name] = float(value)
    return known


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value >= 0.001 else "< 0.001"


def main() -> None:
    """Print the inputs, what is needed at each size, and what breaks first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--accounts", type=int, nargs="+", default=[1, 20, 128, 1000, 5000])
    parser.add_argument("--markets", type=int, default=4)
    parser.add_argument("--folds", type=int, default=7, help="that are judged, of a walk forward over each market")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--members", type=int, default=24, help="of a sweep over each market")
    parser.add_argument("--cases", type=int, default=10_000, help="that a gate is evaluated on")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--memory-gb", type=float, default=24.0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    known = _known(given.set)
    sizes = (given.markets, given.folds, given.seeds, given.members, given.cases, given.cores)
    table = {accounts: needs(Asked(accounts, *sizes), known) for accounts in given.accounts}
    bounds = limits(known, memory_gb=given.memory_gb)
    if given.json:
        print(json.dumps({"inputs": known, "needs": table, "limits": bounds}))
        return
    for name, value in known.items():
        print(f"{name:<20} {value:>8,.4g}  {INPUTS[name].unit:<36} {INPUTS[name].source}")
    print(f"\n{'accounts':<30}" + "".join(f"{accounts:>10,}" for accounts in table))
    for row in next(iter(table.values())):
        print(f"{row:<30}" + "".join(f"{_shown(needed[row]):>10}" for needed in table.values()))
    print("\naccounts on one machine until it breaks")
    for name, value in sorted(bounds.items(), key=lambda each: each[1]):
        print(f"{name:<48}{value:>10,.0f}")


if __name__ == "__main__":
    main()
