"""How often the verdict says PASS where there is nothing, and where there is something: best of twenty rules.

    python bench/verdict.py [--worlds 200] [--json]

In each world twenty rules trade. One is chosen by its first year and judged on the next, by the function that gives
`rl-core evaluate` its verdict and with the tries that the registry counts. Beside it: whoever looks at all twenty on
the judged year and shows the best, counted and not.

Three kinds of worlds: without an edge, after costs; the same with each rule's mean cost given back, so that the truth
is exactly zero; and with a planted edge of +0.15 R a trade after costs for whoever enters at its signals.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import numpy as np
import numpy.typing as npt

from bench.facts import versions
from bench.verdict_peers import PACKAGE, PASSED, gauntlet_version, gauntlet_words
from bench.verdict_played import Traded, played
from bench.verdict_rules import PLANTED_RULES, RULES
from bench.verdict_worlds import drawn_worlds
from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.judgement import Circumstances, judge
from rl_core.evaluation.trades import Trades
from rl_core.evaluation.tries import content_digest, new_try, note_try
from rl_core.statistics.bootstrap import session_block_bootstrap
from rl_core.statistics.criteria import PolicyCriteria
from rl_core.statistics.proportions import wilson_interval
from rl_core.statistics.sharpe import sharpe_of

INSIDE, OUTSIDE = 250, 250  # sessions to choose by, and to be judged on: a year each
AT_ONCE = 8  # worlds that are drawn and played together
DRIFT_ATR = 0.39  # after a signal: about +0.15 R a trade after costs; the table says what it was in fact
RISK_CENTS = 10_000
CALIBRATED = PolicyCriteria()
NOTHING_TO_DOUBT = Circumstances(in_sample=False, synthetic=False, trained_on_world=False, training_ended=True)
CHOSEN, COUNTED, UNCOUNTED = "chosen before", "best of all looks, counted", "best of all looks, not counted"
KINDS = ("no edge", "break even", "planted")

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


class Given(NamedTuple):
    """What is asked for."""

    worlds: int
    inside: int
    outside: int
    seed: int
    drift_atr: float = DRIFT_ATR  # in planted worlds


class Judged(NamedTuple):
    """What was said in one world."""

    words: dict[str, str]  # by protocol
    rule: str  # that was chosen before
    trades: int  # of the chosen rule in the judged year


def all_played(given: Given, drift_atr: float) -> Iterator[Traded]:
    """The trades of every world of one kind, drawn and played several at a time."""
    for begun in range(0, given.worlds, AT_ONCE):
        seed = given.seed + begun + (1_000_000 if drift_atr else 0)
        count = min(AT_ONCE, given.worlds - begun)
        yield from played(drawn_worlds(seed, count, given.inside + given.outside, drift_atr=drift_atr))


def break_even(worlds: Sequence[Traded]) -> list[Traded]:
    """The same trades with each rule's mean over all worlds taken off: nothing can be earned, and nothing is lost."""
    rule, r = (np.concatenate([getattr(world, name) for world in worlds]) for name in ("rule", "r"))
    count = np.maximum(1, np.bincount(rule, minlength=len(RULES)))
    mean = np.bincount(rule, weights=r, minlength=len(RULES)) / count
    return [world._replace(r=world.r - mean[world.rule]) for world in worlds]


def judged(world: Traded, given: Given, registry: Path) -> Judged:
    """The words on one world; ``registry`` is a new file, as beside the runs of whoever tries."""
    whole = given.inside + given.outside
    inside = [_ratio(*world.of(rule, 0, given.inside), given.inside) for rule in range(len(RULES))]
    outside = [world.of(rule, given.inside, whole) for rule in range(len(RULES))]
    chosen = int(np.argmax(inside))
    best = int(np.argmax([_ratio(*trades, given.outside) for trades in outside]))
    once = _looked_at([chosen], registry.with_suffix(".once"), given)
    often = _looked_at([rule for rule in range(len(RULES)) if rule != best] + [best], registry, given)
    shown = evaluation_of(*outside[best], given.outside)
    words: dict[str, str] = {
        CHOSEN: judge(evaluation_of(*outside[chosen], given.outside), once, NOTHING_TO_DOUBT, CALIBRATED).verdict.word,
        COUNTED: judge(shown, often, NOTHING_TO_DOUBT, CALIBRATED).verdict.word,
        UNCOUNTED: judge(shown, 1, NOTHING_TO_DOUBT, CALIBRATED).verdict.word,
    }
    if gauntlet_version() is not None:
        session, r = outside[chosen]
        by_session = np.bincount(session, weights=r, minlength=given.outside).astype(np.float64)
        told = gauntlet_words(by_session, (len(RULES), 1))
        words |= {f"{PACKAGE}, told of {tries}": word for tries, word in zip((len(RULES), 1), told, strict=True)}
    return Judged(words, list(RULES)[chosen], len(outside[chosen][0]))


def evaluation_of(session: Integers, r: Reals, sessions: int) -> Evaluation:
    """The trades as an evaluation holds them, with the interval that it computes."""
    none = np.zeros(len(r), np.int64)
    columns = dict.fromkeys(Trades._fields, none) | {
        "session": session,
        "pnl_cents": np.rint(RISK_CENTS * r).astype(np.int64),
        "risk_cents": none + RISK_CENTS,
    }
    trades = Trades(**columns)
    return Evaluation(trades, sessions, 0, session_block_bootstrap(trades.r, trades.session))


def _ratio(session: Integers, r: Reals, sessions: int) -> float:
    """The Sharpe ratio of R a session; the worst of all where there are too few trades for any."""
    found = sharpe_of(session, r, sessions)
    return -np.inf if found is None else found.ratio


def _looked_at(rules: Sequence[int], registry: Path, given: Given) -> int:
    """How many tries the registry counts after these rules were looked at, each on all judged sessions."""
    tries = 0
    for rule in rules:
        look = new_try(content_digest(list(RULES)[rule]), "NQ", given.inside, given.inside + given.outside - 1)
        tries = note_try(registry, look)
    return tries


def table(kind: str, worlds: Sequence[Judged]) -> list[dict[str, Any]]:
    """A row for each protocol: how often which word was said."""
    rows = []
    for protocol in worlds[0].words:
        words = Counter(world.words[protocol] for world in worlds)
        passes = words["PASS"] + words[PASSED]
        low, high = wilson_interval(passes / len(worlds), len(worlds))
        rows.append(
            {
                "worlds": kind,
                "protocol": protocol,
                "count": len(worlds),
                "passes": passes,
                "pass_share": round(passes / len(worlds), 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "words": dict(words.most_common()),
            }
        )
    return rows


def edge_of(worlds: Sequence[Traded]) -> dict[str, dict[str, float]]:
    """What the planted rules earn over all planted worlds, the truth to a few thousandths, and how often they trade."""
    facts = {}
    for name in PLANTED_RULES:
        r = np.concatenate([world.r[world.rule == list(RULES).index(name)] for world in worlds])
        sessions = sum(int(world.session.max()) + 1 for world in worlds)
        facts[name] = {
            "mean_r": round(float(r.mean()), 4),
            "error": round(float(r.std(ddof=1) / np.sqrt(len(r))), 4),
            "std_r": round(float(r.std(ddof=1)), 3),
            "trades_a_session": round(len(r) / sessions, 2),
        }
    return facts


def experiment(given: Given) -> dict[str, Any]:
    """Every world of every kind, judged."""
    began, spent = time.perf_counter(), time.process_time()
    nothing, something = list(all_played(given, 0.0)), list(all_played(given, given.drift_atr))
    played_s = time.process_time() - spent
    kinds = dict(zip(KINDS, (nothing, break_even(nothing), something), strict=True))
    rows, chosen, trades = [], {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, worlds in kinds.items():
            words = [judged(world, given, Path(folder) / f"{kind} {i}") for i, world in enumerate(worlds)]
            rows += table(kind, words)
            chosen[kind] = dict(Counter(each.rule for each in words).most_common(4))
            trades[kind] = float(np.median([each.trades for each in words]))
    return {
        "rows": rows,
        "planted": edge_of(something),
        "chosen_before": chosen,
        "trades_judged_median": trades,
        "settings": {**given._asdict(), "rules": len(RULES)},
        "seconds": {
            "wall": round(time.perf_counter() - began, 1),
            "cpu": round(time.process_time() - spent, 1),
            "cpu_of_playing": round(played_s, 1),
        },
        "versions": versions("jax", "numpy", "scipy") | {PACKAGE: gauntlet_version() or "not installed"},
    }


def lines_of(found: dict[str, Any]) -> list[str]:
    """The result as a table for the terminal."""
    settings, seconds = found["settings"], found["seconds"]
    lines = [
        f"best of {settings['rules']} rules, chosen on {settings['inside']} sessions, judged on the next "
        f"{settings['outside']}; {settings['worlds']} worlds of each kind",
        f"{'worlds':<12}{'who is judged':<34}{'PASS':>10}{'share':>8}   95 %",
    ]
    for row in found["rows"]:
        counted = f"{row['passes']}/{row['count']}"
        bounds = f"{100 * row['low']:.1f} to {100 * row['high']:.1f} %"
        share = f"{100 * row['pass_share']:.1f} %"
        lines.append(f"{row['worlds']:<12}{row['protocol']:<34}{counted:>10}{share:>8}   {bounds}")
    for name, fact in found["planted"].items():
        lines.append(
            f"planted, {name}: {fact['mean_r']:+.3f} R a trade in truth (error {fact['error']:.3f}), one trade's "
            f"standard deviation {fact['std_r']:.2f} R, {fact['trades_a_session']:.1f} trades a session"
        )
    for kind, rules in found["chosen_before"].items():
        lines.append(f"chosen in {kind}: " + ", ".join(f"{name} {count}" for name, count in rules.items()))
    lines.append(
        f"{seconds['cpu']} s of CPU, {seconds['cpu_of_playing']} of them to draw and play; {found['versions']}"
    )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--inside", type=int, default=INSIDE)
    parser.add_argument("--outside", type=int, default=OUTSIDE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drift-atr", type=float, default=DRIFT_ATR)
    parser.add_argument("--json", action="store_true")
    asked = vars(parser.parse_args())
    as_json = asked.pop("json")
    found = experiment(Given(**asked))
    print(json.dumps(found) if as_json else "\n".join(lines_of(found)))


if __name__ == "__main__":
    main()
