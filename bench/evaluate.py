"""How fast a verdict comes: one path, the nulls, every rule pack, the whole command; and other backtesters beside it.

    python bench/evaluate.py [--json] [--run RUN ...] [--bars FILE] [--peers PYTHON] [--only TABLE ...]

Everything that is timed is what `rl-core evaluate` calls, and all times are CPU seconds, so that a busy machine is no
excuse. Without RUN two policies are trained first, briefly; without FILE the bars are a generated year. The table
``brackets`` plays one list of entries, each with a stop and a target at given prices and without costs, here and in
the peers that PYTHON's environment has (`bench/evaluate_peers.py`), and compares every fill.
"""

import os

# A second thread of a small matrix product waits busily: CPU seconds would count the waiting.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

import numpy as np
import numpy.typing as npt

from bench.evaluate_peers import PEERS
from bench.facts import Row, versions
from bench.packs import made_up
from bench.verdict_worlds import drawn_worlds
from rl_core.bars.bars import Bars
from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.attempts_at_once import Setting
from rl_core.evaluation.carried import FRESH, play_carried
from rl_core.evaluation.entrants import Signals, Trained, channel_breakout
from rl_core.evaluation.evaluate import play_fresh
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.nulls import DRAWS, SHUFFLES, random_entries, shuffled_days
from rl_core.evaluation.outcomes import outcomes_of
from rl_core.evaluation.pack_odds import DRAWS as ATTEMPTS
from rl_core.evaluation.pack_odds import chosen_packs, odds_under, orders
from rl_core.evaluation.span import Span, span_of
from rl_core.evaluation.tapes import unhindered
from rl_core.evaluation.trades import Trades
from rl_core.exchange.instruments import instrument
from rl_core.features.market_view import MarketView
from rl_core.market.costs import stop_distance, target_distance
from rl_core.market.own_bracket import OwnBracket
from rl_core.market.types import TARGET, Bracket, PlainIntegers
from rl_core.rules.pack import limits_of, terms_of
from rl_core.trading.costs import CostsConfig
from rl_core.trading.hours import EntryHours, hours_of
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from rl_core.training.entries_job import EntriesFiles, prepare_entries
from rl_core.training.sources import prepare_evaluation

YEAR, TRAINED_ON = 252, 60  # sessions
STEPS = {1: 2_097_152, 2: 65_536}  # bars that the policies are trained on, where no run is given
PACK_SESSIONS = 1000
BEFORE_FLAT = 65  # minutes: flat at 15:55, five minutes before the last bar of the regular hours
TARGETS = {"path": 1e5, "nulls": 1e7, "first": 5.0, "packs": 10.0, "verdict": 180.0}

T = TypeVar("T")


class Given(NamedTuple):
    """What is asked for."""

    runs: list[Path]
    bars: Path | None
    peers: str | None
    sessions: int
    bracket_sessions: int
    folder: Path  # for whatever has to be made first


def spent_on(work: Callable[[], T]) -> tuple[float, T]:
    """CPU seconds of this process, and what came of it."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def command(*words: str | Path, **environment: str) -> float:
    """CPU seconds of an `rl-core` command, with the processes that it starts."""
    before = _of_children()
    said = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environment}
    subprocess.run([sys.executable, "-m", "rl_core", *map(str, words)], env=said, check=True, stdout=subprocess.DEVNULL)
    return _of_children() - before


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def year(given: Given) -> Path:
    """The bars that are judged."""
    if given.bars is not None:
        return given.bars
    out = given.folder / "year"
    if not out.exists():
        command("data", "demo", "--out", out, "--sessions", str(given.sessions), "--seed", "201")
    return out / "NQ_D1M.parquet"


def policies(given: Given) -> list[Path]:
    """The runs that are judged: those that were given, else one of each phase."""
    if given.runs:
        return given.runs
    world, one, two = (given.folder / name for name in ("trained_on", "phase1", "phase2"))
    if not two.exists():
        command("data", "demo", "--out", world, "--sessions", str(TRAINED_ON), "--seed", "7")
        steps = {phase: f"ppo.total_steps={count}" for phase, count in STEPS.items()}
        of_one = ("--bars", world / "NQ_D1M.parquet", "--config", "configs/phase1_demo.toml", "--set", steps[1])
        command("train", "--phase", "1", *of_one, "--out", one)
        command("train", "--phase", "2", "--from", one, "--set", steps[2], "--out", two)
    return [one, two]


def path(given: Given) -> Iterator[Row]:
    """Policies and rules along one path; a path that is played again shares no table with the first."""
    for run in policies(given):
        job = prepare_evaluation(run, bars=year(given), part="all", market=None)
        inputs = job.inputs()
        name = f"path.policy.phase{job.who.phase}"
        yield _path_row(name, inputs)
        assert isinstance(job.who, Trained)
        policy = job.who.policy
        play_fresh(policy, inputs)  # compiles
        spent, found = spent_on(partial(play_fresh, policy, inputs))
        yield _bars_row(f"{name}.fresh", inputs.span, spent, found.trades)
    yield _path_row("path.rule.breakout", inputs._replace(who=channel_breakout(inputs.view)))


def _path_row(name: str, inputs: EvaluationInputs) -> Row:
    who, view, trading, span, _, _ = inputs
    spent, found = spent_on(lambda: play_carried(who, view, trading, span))
    return _bars_row(name, span, spent, found.trades)


def _bars_row(name: str, span: Span, spent: float, trades: Trades) -> Row:
    bars = span.stop - span.first
    facts = {"bars": bars, "cpu_s": round(spent, 2), "trades": len(trades.decided), "bars_held": int(_held(trades))}
    return Row(name, bars / spent, "bars/CPU s", {"target": round(bars / spent / TARGETS["path"], 2)}, facts)


def _held(trades: Trades) -> int:
    return int(trades.bars_held.sum())


def nulls(given: Given) -> Iterator[Row]:
    """Random entries and shuffled days of a written rule; a draw covers all bars of the span, whatever it costs."""
    files = EntriesFiles("breakout", year(given))
    job = prepare_entries(files, TradingConfig(), part="all", market=None, seen_until=None)
    inputs = job.inputs()
    trades = play_account("fresh", inputs).trades
    first, outcomes = spent_on(lambda: outcomes_of(inputs))
    again, _ = spent_on(lambda: outcomes_of(inputs))
    bars, count = inputs.span.stop - inputs.span.first, len(trades.decided)
    facts = {"bars": bars, "again_cpu_s": round(again, 2), "note": "each bar's long and short, tabulated; cold compile"}
    yield Row("nulls.first_call", first, "CPU s", {"target": round(TARGETS["first"] / first, 2)}, facts)
    draws: tuple[tuple[str, int, Callable[[], object]], ...] = (
        ("random", DRAWS, lambda: random_entries(trades, inputs, outcomes)),
        ("shuffled", SHUFFLES, lambda: shuffled_days(trades, inputs, outcomes)),
    )
    for name, many, draw in draws:
        spent, found = spent_on(draw)
        assert found is not None, "too few trades or sessions to draw from"
        speed = many * bars / spent
        facts = {"draws": many, "entries": count, "cpu_s": round(spent, 2)}
        yield Row(f"nulls.{name}", speed, "bars/CPU s", {"target": round(speed / TARGETS["nulls"], 2)}, facts)


def packs(given: Given) -> Iterator[Row]:
    """The odds of all packs, from a made-up tape."""
    del given
    contract, named = instrument("MNQ"), chosen_packs("all")
    tape, terms = made_up(PACK_SESSIONS, np.random.default_rng(0)), terms_of(contract)
    settings = [Setting(each.pack.compiled(), limits_of(each.pack, contract, 50_000), terms) for each in named]
    spent, _ = spent_on(lambda: odds_under(named, tape, settings, orders(PACK_SESSIONS, draws=ATTEMPTS)))
    facts = {"packs": len(named), "sessions": PACK_SESSIONS, "draws": ATTEMPTS}
    yield Row("packs", spent, "CPU s", {"target": round(TARGETS["packs"] / spent, 2)}, facts)


def verdict(given: Given) -> Iterator[Row]:
    """The whole command with everything that it can say, in a new process; first without compiled programs."""
    bars = year(given)
    for run in policies(given):
        cache = {"XDG_CACHE_HOME": str(given.folder / f"cache of {run.name}")}
        asked = ("evaluate", run, "--bars", bars, "--part", "all", "--rules", "all", "--json")
        for name in ("cold", "again"):
            spent = command(*asked, TRIGATE_TRIES=str(given.folder / "tries.jsonl"), **cache)
            ratio = {"target": round(TARGETS["verdict"] / spent, 2)}
            yield Row(f"verdict.{run.name}.{name}", spent, "CPU s", ratio, {"bars": str(bars.name)})


def brackets(given: Given) -> Iterator[Row]:
    """One list of entries with brackets here and in the peers, fill by fill."""
    view, trading = _costless(drawn_worlds(5, 1, given.bracket_sessions, drift_atr=0.0).view)
    span = span_of(view.located.session, 0)
    listed = _with_own_brackets(channel_breakout(view), view)
    _, first = spent_on(lambda: play_carried(listed, view, trading, span, accounts=FRESH))
    made = _only(listed, first.trades.decided)
    spent, found = spent_on(lambda: play_carried(made, view, trading, span, accounts=FRESH))
    ours, bars = found.trades, span.stop
    facts: dict[str, Any] = {"bars": bars, "trades": len(ours.decided), "cpu_s": round(spent, 2)}
    own = Row(
        "brackets.trigate", bars / spent, "bars/CPU s", {"target": round(bars / spent / TARGETS["path"], 2)}, facts
    )
    yield own
    entries = given.folder / "entries.npz"
    np.savez(entries, allow_pickle=False, **_for_peers(view, made, span))
    for peer in PEERS:
        yield _peer_row(peer, given, entries, ours, own.value, view.bars)


def _costless(view: MarketView) -> tuple[MarketView, Trading]:
    """The regular hours, flat by their end, under an account that stops nothing and pays nothing."""
    hours, free = EntryHours(close_buffer_minutes=BEFORE_FLAT), CostsConfig(slippage_ticks=0)
    config = TradingConfig(commission_dollars=Decimal(0), costs=free, hours=hours)
    trading = unhindered(compile_trading(config, view.bars.instrument))
    return view._replace(hours=hours_of(view.bars.ts_event_ns, view.located, trading.pack, hours)), trading


def _with_own_brackets(rule: Signals, view: MarketView) -> Signals:
    """The rule's entries with the usual distances as prices that stay where they are."""
    own = {}
    for bar in rule.bars.tolist():
        stop = stop_distance(PlainIntegers(), int(view.features.true_range_sum[bar]), view.yardstick)
        distances = Bracket(stop, target_distance(stop, view.yardstick))
        side, close = int(rule.side[bar]), int(view.bars.close[bar])
        own[bar] = OwnBracket(distances, close - side * stop, close + side * distances.target_ticks)
    return Signals(rule.name, rule.side, own)


def _only(signals: Signals, bars: npt.NDArray[np.int64]) -> Signals:
    side = np.zeros_like(signals.side)
    side[bars] = signals.side[bars]
    return Signals(signals.name, side, {bar: signals.brackets[bar] for bar in bars.tolist()})


def _for_peers(view: MarketView, made: Signals, span: Span) -> dict[str, npt.NDArray[Any]]:
    """What a peer plays: prices in points, entries and flat times by the bar at whose close they are decided."""
    bars, tick = view.bars, float(view.bars.instrument.tick_size)
    stop, target = np.full(len(bars), np.nan), np.full(len(bars), np.nan)
    for bar, own in made.brackets.items():
        assert own.stop is not None and own.target is not None
        stop[bar], target[bar] = tick * own.stop, tick * own.target
    columns = {name: tick * getattr(bars, name) for name in ("open", "high", "low", "close")}
    flatten = view.hours.flatten_due | view.last_in_session
    columns |= {"ts_event_ns": bars.ts_event_ns, "side": made.side, "stop": stop, "target": target, "flatten": flatten}
    return {name: column[: span.stop] for name, column in columns.items()}


def _peer_row(peer: str, given: Given, entries: Path, ours: Trades, own: float, bars: Bars) -> Row:
    """How fast it was and how many of our trades it filled alike; a row that says so where it is absent."""
    if given.peers is None:
        return Row(f"brackets.{peer}", float("nan"), "not asked: give --peers PYTHON", {}, {})
    fills = given.folder / f"{peer}.npz"
    # With -P this folder is not on the peer's path, where its `coverage.py` would be taken for the package.
    asked: list[str | Path] = [given.peers, "-P", Path(__file__).with_name("evaluate_peers.py"), peer, entries, fills]
    said = subprocess.run(asked, capture_output=True, text=True, env=_without_us(), check=False)
    if said.returncode:
        return Row(f"brackets.{peer}", float("nan"), "failed", {}, {"said": said.stderr.strip().splitlines()[-1:]})
    found = json.loads(said.stdout.splitlines()[-1])
    if "missing" in found:
        return Row(f"brackets.{peer}", float("nan"), found["missing"], {}, {})
    count = int(np.load(entries)["side"].size)
    speed = count / found["cpu_s"]
    facts = {**found, **compared(np.load(fills)["trades"], ours, float(bars.instrument.tick_size))}
    return Row(f"brackets.{peer}", speed, "bars/CPU s", {"of trigate": round(speed / own, 3)}, facts)


def _without_us() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def compared(theirs: npt.NDArray[np.float64], ours: Trades, tick: float) -> dict[str, int]:
    """How many of our trades [N] are among ``theirs`` [M, 4], bar by bar and price by price.

    A market or stop fill loses at least a tick here, which is taken back for the comparison. A target needs a trade
    beyond it here, so one that was only touched is counted apart where the peer has filled it.
    """
    lost = np.where(ours.reason == TARGET, 0, 1)
    mine = np.stack([ours.decided + 1, ours.entry, ours.exit_bar, ours.exit + ours.side * lost], axis=1)
    told = np.rint(theirs / [1, tick, 1, tick]).astype(np.int64)
    by_entry = {row[0]: row for row in told.tolist()}
    pairs = [(row, by_entry.get(row[0])) for row in mine.tolist()]
    alike = sum(own == their for own, their in pairs)
    earlier = sum(their is not None and own[:2] == their[:2] and their[2] < own[2] for own, their in pairs)
    later = sum(their is not None and own[:2] == their[:2] and their[2] > own[2] for own, their in pairs)
    return {"trades": len(theirs), "of": len(mine), "filled_alike": alike, "left_earlier": earlier, "left_later": later}


TABLES: dict[str, Callable[[Given], Iterator[Row]]] = {
    "brackets": brackets,
    "nulls": nulls,
    "path": path,
    "packs": packs,
    "verdict": verdict,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--run", type=Path, nargs="+", default=[], help="runs or checkpoints to judge")
    parser.add_argument("--bars", type=Path, help="minute bars to judge them on")
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment that has the peers")
    parser.add_argument("--sessions", type=int, default=YEAR, help="of the generated year")
    parser.add_argument("--bracket-sessions", type=int, default=YEAR, help="of 390 bars, for the table of brackets")
    parser.add_argument("--only", choices=TABLES, nargs="+", default=list(TABLES))
    asked = parser.parse_args()
    facts = {"cores": os.cpu_count(), "versions": versions("jax", "numpy")}
    with tempfile.TemporaryDirectory() as folder:
        given = Given(asked.run, asked.bars, asked.peers, asked.sessions, asked.bracket_sessions, Path(folder))
        for table in asked.only:
            for row in TABLES[table](given):
                print(json.dumps(fields(row) | facts) if asked.json else line(row), flush=True)


def fields(row: Row) -> dict[str, Any]:
    """The row as one flat object; null where there is no figure."""
    return row._asdict() | {"value": None if math.isnan(row.value) else row.value}


def line(row: Row) -> str:
    """The row for a person."""
    ratios = "  ".join(f"{ratio:,.2f} x {name}" for name, ratio in row.ratio_to.items())
    return f"{row.name:<28}{row.value:>16,.1f} {row.unit:<12}{ratios:<22} {row.settings}"


if __name__ == "__main__":
    main()
