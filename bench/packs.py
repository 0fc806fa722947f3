"""How long the odds of every rule pack take: 1,000 sessions, 10,000 attempts of each pack.

    python bench/packs.py [--sessions 1000] [--draws 10000] [--json]

The tape is made up (six trades a session at random, a third of them winning three times their risk), so that only the
attempts are timed: `rl-core evaluate --rules all` also plays what is judged, once for each flat time.
"""

import argparse
import json
import time

import numpy as np

from rl_core.evaluation.attempts_at_once import Setting
from rl_core.evaluation.pack_odds import DRAWS, chosen_packs, odds_under, orders
from rl_core.evaluation.tapes import Tape
from rl_core.exchange.instruments import instrument
from rl_core.rules.pack import limits_of, terms_of

TRADES_A_SESSION = 6


def made_up(sessions: int, rng: np.random.Generator) -> Tape:
    """Brackets of random width; losers fall at once, winners fall back first."""
    count = sessions * TRADES_A_SESSION
    stop = rng.integers(15, 60, count)
    wins = rng.random(count) < 0.29
    back = (stop * rng.random(count)).astype(np.int64)
    worst, best = np.where(wins, back, stop), np.where(wins, 3 * stop, back)
    first = np.arange(sessions) * TRADES_A_SESSION
    return Tape(
        session=np.arange(sessions),
        first=first,
        trades=np.full(sessions, TRADES_A_SESSION),
        stop_cents=50 * stop + 170,
        stop_percent=np.full(count, 34),
        fills=np.full(count, 1 << 30),
        halved=np.zeros(count, np.bool_),
        gain=np.where(wins, 3 * stop, -stop - 1),
        worst=worst,
        best=best,
        best_held=best,
        drop=(worst + np.where(wins, 0, back))[:, None],
        loss=worst[:, None],
    )


def main() -> None:
    """Print the time of all packs, and how many attempts a second that is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    contract, packs = instrument("MNQ"), chosen_packs("all")
    tape = made_up(given.sessions, np.random.default_rng(0))
    began, spent = time.perf_counter(), time.process_time()
    order = orders(given.sessions, draws=given.draws)
    terms = terms_of(contract)
    settings = [Setting(each.pack.compiled(), limits_of(each.pack, contract, 50_000), terms) for each in packs]
    found = odds_under(packs, tape, settings, order)
    wall, cpu = time.perf_counter() - began, time.process_time() - spent
    row = {
        "name": "packs_at_once",
        "value": round(wall, 2),
        "unit": "s",
        "cpu_s": round(cpu, 2),
        "packs": len(packs),
        "sessions": given.sessions,
        "draws": given.draws,
        "attempts_a_cpu_second": round(len(packs) * given.draws / cpu),
        "mean_pass": round(float(np.mean([each.passes for each in found if each.passes is not None])), 3),
    }
    print(json.dumps(row) if given.json else "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
