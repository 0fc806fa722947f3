"""How often the 95 % of a lifetime's value, and of passing, hold the truth: sessions drawn from a law that is known.

python bench/account_values.py [--json] [--sessions 60 120 250] [--wins 0.24 0.3 0.4] [--trials 200] [--pack NAME]
python bench/account_values.py --law skewed --wins 0.36 0.42

A session has one trade, which loses its stop or wins (`--wins`: how often): three stops by the law `bracket`, one stop,
and one time in eight six, by the law `skewed`. Of as many sessions as are
given, again and again, the value of a lifetime is computed as `rl-core evaluate --rules` does, with the prices that are
shipped; the truth is that of 40,000 sessions of the same law. Beside it stands what the bounds would be if passing
alone were uncertain.
"""

import argparse
import json
import os
import platform
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from bench.facts import versions
from rl_core.evaluation.account_value import value_of, with_values
from rl_core.evaluation.pack_odds import PackOdds, chosen_packs, odds_of
from rl_core.evaluation.tapes import UNSEEN, Tape
from rl_core.exchange.instruments import instrument
from rl_core.rules.prices import read_prices
from rl_core.trading.setup import TradingConfig, compile_trading

STOP_TICKS, TARGET_STOPS = 100, 3
SKEWED = (1, 1, 1, 1, 1, 1, 1, 6)  # stops that a trade wins by the law of that name
TRUTH_SESSIONS = 40_000
MOST_FILLED = 1 << 30  # contracts, of any size


def tape_of_sessions(count: int, wins: float, seed: int, law: str) -> Tape:
    """One trade in each of ``count`` sessions, of a stop of 100 ticks ($50 a micro)."""
    rng = np.random.default_rng(seed)
    won = rng.random(count) < wins
    worth = STOP_TICKS * (rng.choice(SKEWED, count) if law == "skewed" else np.full(count, TARGET_STOPS))
    ones = np.ones(count, np.int64)
    worst = np.where(won, 0, STOP_TICKS)
    return Tape(
        session=np.arange(count),
        first=np.arange(count),
        trades=ones,
        stop_cents=50 * STOP_TICKS * ones,
        stop_percent=-(-100 // TARGET_STOPS) * ones,
        fills=MOST_FILLED * ones,
        halved=np.zeros(count, np.bool_),
        gain=np.where(won, worth, -STOP_TICKS),
        worst=worst,
        best=np.where(won, worth, 0),
        best_held=UNSEEN * ones,
        drop=worst[:, None],
        loss=worst[:, None],
    )


def odds(tape: Tape, pack: str, draws: int) -> PackOdds:
    """What becomes of an attempt over these sessions, and its value."""
    trading = compile_trading(TradingConfig(), instrument("NQ"))
    found = odds_of(trading, chosen_packs(pack), lambda _: tape, draws=draws)
    return with_values(found, read_prices(), trading, lambda _: tape, draws=draws)[0]


def row(sessions: int, wins: float, given: argparse.Namespace) -> dict[str, Any]:
    """How often the truth lay inside, below and above."""
    truth = odds(tape_of_sessions(TRUTH_SESSIONS, wins, 1, given.law), given.pack, 10_000)
    assert truth.value is not None and truth.passes is not None
    counts, widths = Counter[str](), defaultdict[str, float](float)
    for trial in range(given.trials):
        found = odds(tape_of_sessions(sessions, wins, 1_000 + trial, given.law), given.pack, given.draws)
        assert found.value is not None and found.price is not None and found.passes is not None
        if found.interval is None or found.lifetime_between is None:
            raise SystemExit(f"{sessions} sessions have no interval")
        bounds = [value_of(found.price, edge, found.renewals, found.value.payouts).lifetime for edge in found.interval]
        for name, (low, high), true in (
            ("lifetime", found.lifetime_between, truth.value.lifetime),
            ("by_passing_alone", (min(bounds), max(bounds)), truth.value.lifetime),
            ("passes", found.interval, truth.passes),
        ):
            counts[name] += low <= true <= high
            counts[f"{name}_below"] += true < low
            widths[name] += high - low
    shares = {name: round(counts[name] / given.trials, 3) for name in sorted(counts)}
    return {
        "name": "account_values",
        "value": shares["lifetime"],
        "unit": "share of trials whose 95 % hold the truth",
        "ratio_to": {},
        "settings": {"sessions": sessions, "law": given.law, "wins": wins, "pack": given.pack, "trials": given.trials},
        "truth": {"passes": round(truth.passes, 3), "lifetime": round(truth.value.lifetime)},
        "shares": shares,
        "mean_width": {name: round(total / given.trials, 2) for name, total in widths.items()},
        "load": os.getloadavg()[0],
        "device": f"{os.cpu_count()} x {platform.machine()}",
        "versions": versions("numpy"),
    }


def main() -> None:
    """Measure and print one row a size and law."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--sessions", type=int, nargs="+", default=[60, 120, 250])
    parser.add_argument("--law", choices=["bracket", "skewed"], default="bracket")
    parser.add_argument("--wins", type=float, nargs="+", default=[0.24, 0.3, 0.4])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--draws", type=int, default=5_000)
    parser.add_argument("--pack", default="topstep_combine#50k")
    given = parser.parse_args()
    for sessions in given.sessions:
        for wins in given.wins:
            found = row(sessions, wins, given)
            text = f"{sessions} sessions, {wins:.0%} won: {found['shares']} of {found['truth']}"
            print(json.dumps(found) if given.json else text, flush=True)


if __name__ == "__main__":
    main()
