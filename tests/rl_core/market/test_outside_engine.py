"""Our fills against an outside engine, backtesting.py: alike, but for causes that are named, replayed and counted."""

import sys
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tomli_w

from rl_core.bars.choices import Choices
from rl_core.bars.read import read_bars
from rl_core.contract import BUY, HOLD, SELL
from rl_core.envs.env import Env, EnvParams, EnvState, TradeClosed, new_accounts
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.features.market_view import MarketView
from rl_core.market.costs import stop_distance
from rl_core.market.fills import Venue
from rl_core.market.types import ADAPTIVE, EXIT_NAMES, FLAT, PESSIMISTIC, UNLIMITED, Limits, Position
from tests.rl_core.market.outside_engine import (
    CAUSES,
    RULES,
    TERMS,
    XP,
    Compared,
    Course,
    Entry,
    Fill,
    compared,
    ours,
    outside,
    placeable,
    table,
)
from tests.rl_core.markets import seen

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data"
REAL = pytest.mark.skipif(not SHARED.is_dir(), reason="the local sample data is absent")
ROLLS = ("2023-12-12T06:01Z", "2024-03-12T05:01Z", "2024-06-17T05:01Z", "2024-09-17T05:01Z", "2024-12-16T23:00Z",
         "2025-03-17T22:00Z")  # fmt: skip
NOON = 12 * 60


class Case(NamedTuple):
    """Bars by hand: two before the order, which fills at 1000 (ours 1001: stop 991, target 1031)."""

    bars: list[tuple[int, int, int, int]]
    ours: tuple[int, int, str]  # exit bar, price, reason
    theirs: tuple[int, int, str]
    causes: set[str]
    flatten: int | None = None
    last: int | None = None
    roll: int | None = None
    resolution: int = PESSIMISTIC


CALM = (1000, 1005, 995, 1000)
CASES = {
    "stop": Case([CALM, (1000, 1002, 985, 990)], (3, 990, "stop"), (3, 991, "stop"), {"stop_slip"}),
    "stop_in_the_bar_of_the_fill": Case([(1000, 1002, 985, 990)], (2, 990, "stop"), (2, 991, "stop"), {"stop_slip"}),
    "stop_touched": Case([CALM, (1000, 1002, 991, 995)], (3, 990, "stop"), (3, 991, "stop"), {"stop_slip"}),
    "open_beyond_the_stop": Case([CALM, (980, 985, 975, 980)], (3, 979, "stop"), (3, 980, "stop"), {"stop_slip"}),
    "target_in_the_bar_of_the_fill": Case([(1000, 1032, 995, 1030)], (2, 1031, "target"), (2, 1031, "target"), set()),
    "target_traded_through": Case([CALM, (1000, 1032, 995, 1030)], (3, 1031, "target"), (3, 1031, "target"), set()),
    "target_touched": Case(
        [CALM, (1000, 1031, 995, 1020), (1020, 1025, 980, 985)],
        (4, 990, "stop"), (3, 1031, "target"), {"target_touch"},
    ),
    "open_beyond_the_target": Case(
        [CALM, (1040, 1045, 1035, 1040)], (3, 1031, "target"), (3, 1040, "target"), {"gap_target"}
    ),
    "open_beyond_the_target_then_the_stop": Case(
        [CALM, (1040, 1045, 980, 990)], (3, 1031, "target"), (3, 991, "stop"), {"gap_order", "stop_slip"}
    ),
    "both_in_one_bar": Case([CALM, (1000, 1040, 980, 1000)], (3, 990, "stop"), (3, 991, "stop"), {"stop_slip"}),
    "both_in_one_bar_adaptive": Case(
        [CALM, (1000, 1040, 950, 1000)],
        (3, 1031, "target"), (3, 991, "stop"), {"same_bar_order", "stop_slip"}, resolution=ADAPTIVE,
    ),
    "flatten": Case(
        [CALM, CALM, (1003, 1050, 950, 1000)], (4, 1002, "flatten"), (4, 1003, "flatten"), {"flatten_slip"}, flatten=3
    ),
    "no_open_before_the_flat_time": Case(
        [CALM, CALM, (1010, 1012, 1005, 1010)],
        (3, 999, "session_end"), (4, 1010, "session_end"), {"session_end"}, last=3,
    ),
    "roll": Case(
        [CALM, CALM, (1300, 1310, 1290, 1300)], (3, 999, "session_end"), (4, 1300, "session_end"), {"roll"}, roll=3
    ),
}  # fmt: skip


def made(case: Case, side: int) -> Course:
    """The case's bars, mirrored around 1000 for a short, and one more so that every order can fill."""
    bars = np.array([CALM, CALM, *case.bars, CALM], np.int64)
    if side < 0:
        bars = (2000 - bars)[:, [0, 2, 1, 3]]

    def at(row: int | None) -> np.ndarray:
        return np.arange(len(bars)) == (-1 if row is None else row)

    return Course(bars, at(case.flatten), at(case.last) | at(case.roll), at(case.roll))


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("name", CASES)
def test_by_hand_both_engines_do_what_the_cause_says(name: str, side: int) -> None:
    case = CASES[name]

    (pair,) = compared([(made(case, side), Entry(1, side, 10))], case.resolution)

    for fill, paid, (bar, price, reason) in ((pair.ours, 1001, case.ours), (pair.theirs, 1000, case.theirs)):
        profit = (price - paid) * TERMS.tick_value - 2 * TERMS.commission
        entry, left = (x if side > 0 else 2000 - x for x in (paid, price))
        assert fill == Fill(2, entry, bar, left, reason, profit)
    assert pair.causes == case.causes | {"entry_slip"}


def test_the_cases_by_hand_hold_every_cause() -> None:
    assert {cause for case in CASES.values() for cause in case.causes} | {"entry_slip"} == set(CAUSES)


def test_a_difference_without_a_name_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop that slips two ticks is no habit that has a name."""
    from rl_core.market import fills

    monkeypatch.setattr(fills, "stop_slippage", lambda xp, terms: 2)

    with pytest.raises(AssertionError, match="its own habits give"):
        compared([(made(CASES["stop"], 1), Entry(1, 1, 10))], PESSIMISTIC)


# The local sample of real bars, where it is.


def market(folder: Path) -> MarketView:
    """NQ, November 2023 to May 2025, with its six rolls."""
    rolls = folder / "rolls.toml"
    rolls.write_text(tomli_w.dumps({"roll": [{"ts_event": datetime.fromisoformat(at)} for at in ROLLS]}))
    return seen(read_bars(SHARED / "NQ_D1M.csv.gz", choices=Choices(rolls=rolls)))


class Courses(NamedTuple):
    """The contract's time exits, and longer holding: over every break, out at noon."""

    contract: Course
    held: Course


def courses_of(view: MarketView) -> Courses:
    bars = view.bars
    prices = np.stack([bars.open, bars.high, bars.low, bars.close], axis=-1).astype(np.int64)
    rolls = np.append(bars.contract[1:] != bars.contract[:-1], False)
    noon = view.hours.decision_minute == NOON
    return Courses(
        Course(prices, view.hours.flatten_due, view.last_in_session, rolls), Course(prices, noon, rolls, rolls)
    )


Trades = dict[str, list[tuple[Course, Entry]]]


def chosen(view: MarketView) -> Trades:
    """Several hundred entries, always the same: in hours, late, across the widest gaps, before rolls."""
    generator, courses = np.random.default_rng(20250530), courses_of(view)
    bars, count = view.bars, len(view.bars)
    safe = np.arange(count) < count - 3 * 1380
    in_hours = np.flatnonzero(view.hours.entry_open & view.features.warm & ~view.last_in_session & safe)
    latest = in_hours[view.hours.decision_minute[in_hours] == view.hours.decision_minute[in_hours].max()]
    rolls = np.flatnonzero(courses.contract.rolls)
    opens = np.flatnonzero(np.diff(view.located.session) > 0)
    gaps = np.abs(bars.open[opens + 1] - bars.close[opens])
    gaps[np.isin(opens, rolls) | (opens < 2 * 1380) | ~safe[opens]] = 0
    widest = opens[np.argsort(-gaps, kind="stable")[:60]]

    def both(course: Course, at: np.ndarray) -> list[tuple[Course, Entry]]:
        at = at[~course.flatten_due[at] & ~course.last[at]]
        sides = [(int(t), side) for t in at for side in (1, -1)]
        trades = [Entry(t, s, stop_distance(XP, int(view.features.true_range_sum[t]))) for t, s in sides]
        return [(course, trade) for trade in trades if placeable(course, trade)]

    random = both(courses.contract, np.sort(generator.choice(in_hours, 400, replace=False)))
    kept = [trade for trade, keep in zip(random, generator.permutation(len(random)) % 2 == 0, strict=True) if keep]
    return {
        "in hours": kept,
        "15:45": both(courses.contract, np.sort(generator.choice(latest, 40, replace=False))),
        "over a gap": both(courses.held, np.concatenate([widest - 4, widest - 9])),
        "before a roll": both(courses.contract, (rolls[:, None] - [2, 5, 9]).ravel()),
    }


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> MarketView:
    return market(tmp_path_factory.mktemp("rolls"))


@pytest.fixture(scope="module")
def trades(view: MarketView) -> Trades:
    return chosen(view)


@pytest.fixture(scope="module")
def theirs(trades: Trades) -> list[Fill]:
    """What the outside engine makes of them."""
    return outside([trade for group in trades.values() for trade in group])


def grouped(trades: Trades, pairs: list[Compared]) -> dict[str, list[Compared]]:
    rest = iter(pairs)
    return {name: [next(rest) for _ in group] for name, group in trades.items()}


@REAL
@pytest.mark.parametrize("resolution", [PESSIMISTIC, ADAPTIVE], ids=["pessimistic", "adaptive"])
def test_on_real_bars_every_difference_has_a_name(trades: Trades, theirs: list[Fill], resolution: int) -> None:
    groups = grouped(trades, compared([trade for group in trades.values() for trade in group], resolution, theirs))

    sys.stdout.write(f"\n{table(groups)}\n")
    pairs = [c for group in groups.values() for c in group]
    counted = {cause for c in pairs for cause in c.causes}
    assert len(pairs) > 500 and all("entry_slip" in c.causes for c in pairs)
    assert {c.entry.side for c in pairs} == {1, -1}
    assert {"stop_slip", "target_touch", "gap_target", "flatten_slip", "roll"} <= counted
    assert ("same_bar_order" in counted) == (resolution == ADAPTIVE)


@REAL
def test_with_settings_aligned_the_fills_are_the_same(trades: Trades) -> None:
    """No slippage at the entry, and their limit a tick beyond our target: bars, entries and reasons are equal."""
    both = [trade for group in trades.values() for trade in group]
    reasons, came_down = set(), 0
    for (course, entry), theirs in zip(both, outside(both, slip=0, target_beyond=1), strict=True):
        mine = ours(course, entry, PESSIMISTIC, slip=0)
        reasons.add(mine.reason)
        if (mine.reason, theirs.reason) == ("target", "stop"):  # `gap_order`
            opened, stop = int(course.prices[mine.exit_bar, 0]), course.levels(entry, 0)[0]
            assert entry.side * (opened - mine.exit_price) > 0
            assert (theirs.exit_bar, theirs.exit_price) == (mine.exit_bar, stop)
            came_down += 1
            continue
        assert mine[:2] == theirs[:2] and mine.reason == theirs.reason
        if mine.reason == "session_end":
            assert theirs.exit_bar == mine.exit_bar + 1
            assert (theirs.exit_price, mine.exit_price + entry.side) == (
                course.prices[theirs.exit_bar, 0], course.prices[mine.exit_bar, 3],
            )  # fmt: skip
            continue
        opened = int(course.prices[mine.exit_bar, 0])
        gapped = mine.reason == "target" and entry.side * (opened - mine.exit_price) > 0
        apart = opened - mine.exit_price if gapped else entry.side
        assert (theirs.exit_bar, theirs.exit_price) == (mine.exit_bar, mine.exit_price + apart)
        assert theirs.profit - mine.profit == entry.side * apart * TERMS.tick_value
    assert reasons == {"stop", "target", "flatten", "session_end"} and came_down < 10


@REAL
def test_the_environment_fills_as_compared(view: MarketView, trades: Trades) -> None:
    """The batch that trains closes each trade for the same reason, after as many bars, at the same profit."""
    whole = make_market(view)
    held = courses_of(view).held
    long = whole._replace(flatten_due=jnp.asarray(held.flatten_due), last_in_session=jnp.asarray(held.last))
    both = [trade for group in trades.values() for trade in group]
    for arrays, over in ((whole, False), (long, True)):
        some = [(c, e) for c, e in both if bool(c.last.sum() == held.last.sum()) == over]
        wanted = [ours(course, entry, PESSIMISTIC) for course, entry in some]
        steps = max(fill.exit_bar - fill.entry_bar for fill in wanted) + 1
        closed = jax.device_get(_stepped(arrays, *_orders(some), steps))
        step = closed.closed.argmax(axis=0)
        got = [
            (EXIT_NAMES[closed.reason[k, i]], int(closed.bars_held[k, i]), int(closed.pnl_cents[k, i]))
            for i, k in enumerate(step)
        ]
        assert got == [(fill.reason, fill.exit_bar - fill.entry_bar + 1, fill.profit) for fill in wanted]


def _orders(trades: list[tuple[Course, Entry]]) -> tuple[EnvState, jax.Array]:
    count = len(trades)
    position = Position(*(jnp.zeros(count, jnp.int32) for _ in FLAT))
    bars = jnp.array([entry.bar for _, entry in trades], jnp.int32)
    actions = jnp.array([BUY if entry.side > 0 else SELL for _, entry in trades], jnp.int32)
    return EnvState(bars, position, new_accounts(RULES, count)), actions


def _stepped(market: MarketArrays, first: EnvState, entering: jax.Array, steps: int) -> TradeClosed:
    params = EnvParams(Venue(TERMS, RULES, PESSIMISTIC), Limits(UNLIMITED, 1), 1.0, 1.0)

    @jax.jit
    def run(market: MarketArrays, state: EnvState) -> TradeClosed:
        def one(state: EnvState, k: jax.Array) -> tuple[EnvState, TradeClosed]:
            step = Env(1).step(market, params, state, jnp.where(k == 0, entering, HOLD))
            return step.state, step.trade

        return jax.lax.scan(one, state, jnp.arange(steps))[1]

    return run(market, first)
